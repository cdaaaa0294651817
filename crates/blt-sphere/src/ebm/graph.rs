//! Edges by their ends, and colours of patches that no edge joins.

use crate::patches::Edge;

/// For each patch, the other ends of its edges with their weights, in the order of the edges.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    first: Vec<usize>,
    ends: Vec<(u32, f32)>,
}

impl Graph {
    /// Edges from a patch to itself, or of weight 0, join nothing. Ends are below `n`.
    pub(crate) fn new(n: usize, edges: &[Edge]) -> Self {
        let real = || edges.iter().filter(|edge| edge.from != edge.to && edge.weight != 0.0);
        let mut first = vec![0usize; n + 1];
        for edge in real() {
            first[edge.from as usize + 1] += 1;
            first[edge.to as usize + 1] += 1;
        }
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        let mut next = first.clone();
        let mut ends = vec![(0, 0.0); first[n]];
        for edge in real() {
            for (from, to) in [(edge.from, edge.to), (edge.to, edge.from)] {
                ends[next[from as usize]] = (to, edge.weight);
                next[from as usize] += 1;
            }
        }
        Self { first, ends }
    }

    /// Number of patches.
    pub(crate) fn len(&self) -> usize {
        self.first.len() - 1
    }

    /// Other ends and weights of the edges of patch `i`.
    pub(crate) fn of(&self, i: usize) -> &[(u32, f32)] {
        &self.ends[self.first[i]..self.first[i + 1]]
    }

    /// Patches by colour: no edge joins two of one colour. Each patch in turn gets the first colour that none of its ends has.
    pub(crate) fn colours(&self) -> Vec<Vec<u32>> {
        let mut colour_of = vec![usize::MAX; self.len()];
        let mut colours: Vec<Vec<u32>> = Vec::new();
        let mut last_seen = Vec::new(); // the last patch one of whose ends has the colour
        for i in 0..self.len() {
            for &(end, _) in self.of(i) {
                if let Some(seen) = last_seen.get_mut(colour_of[end as usize]) {
                    *seen = i;
                }
            }
            let colour = (0..colours.len()).find(|&colour| last_seen[colour] != i).unwrap_or(colours.len());
            if colour == colours.len() {
                colours.push(Vec::new());
                last_seen.push(usize::MAX);
            }
            colour_of[i] = colour;
            colours[colour].push(i as u32);
        }
        colours
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ends_of_an_edge_differ_in_colour(pairs in proptest::collection::vec((0u32..20, 0u32..20), 0..80)) {
            let edges: Vec<Edge> = pairs.iter().map(|&(from, to)| Edge { from, to, weight: 1.0 }).collect();
            let graph = Graph::new(20, &edges);
            let colours = graph.colours();
            let mut all: Vec<u32> = colours.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..20).collect::<Vec<u32>>());
            let colour = |patch: u32| colours.iter().position(|colour| colour.contains(&patch));
            for (from, to) in pairs {
                prop_assert!(from == to || colour(from) != colour(to));
            }
            let most_ends = (0..20).map(|i| graph.of(i).len()).max().unwrap();
            prop_assert!(colours.len() <= most_ends + 1);
        }
    }
}
