package example;

import java.util.Map;
import java.util.TreeMap;

/** Counts words. */
public final class Counter {
    private final Map<String, Integer> counts = new TreeMap<>();

    public void add(String text) {
        for (String word : text.split("\\s+")) {
            counts.merge(word, 1, Integer::sum);
        }
    }

    public static void main(String[] arguments) {
        Counter counter = new Counter();
        counter.add("one two two");
        System.out.println(counter.counts);
    }
}
