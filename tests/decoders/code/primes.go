package main

import "fmt"

// sieve sends the primes below limit.
func sieve(limit int) <-chan int {
	primes := make(chan int)
	go func() {
		defer close(primes)
		composite := make([]bool, limit)
		for n := 2; n < limit; n++ {
			if composite[n] {
				continue
			}
			primes <- n
			for m := n * n; m < limit; m += n {
				composite[m] = true
			}
		}
	}()
	return primes
}

func main() {
	for prime := range sieve(30) {
		fmt.Println(prime)
	}
}
