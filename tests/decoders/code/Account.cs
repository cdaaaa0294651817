using System;
using System.Collections.Generic;
using System.Linq;

namespace Example
{
    /// <summary>Money in and out.</summary>
    public class Account
    {
        private readonly List<decimal> entries = new List<decimal>();

        public decimal Balance => entries.Sum();

        public void Book(decimal amount)
        {
            if (amount == 0) throw new ArgumentException("nothing to book");
            entries.Add(amount);
        }
    }

    internal static class Program
    {
        private static void Main()
        {
            var account = new Account();
            account.Book(12.50m);
            Console.WriteLine(account.Balance);
        }
    }
}
