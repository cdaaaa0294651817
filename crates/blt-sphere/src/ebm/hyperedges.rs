//! From hyperedges with labels to edges with weights.

use crate::patches::Edge;

/// What a hyperedge says of its patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeLabel {
    /// They follow one another.
    Next,
    /// They are of one source.
    SameSource,
    /// They mean nearly the same.
    Semantic,
    /// They are in one unit.
    Contains,
}

/// Patches that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperedge {
    /// Why.
    pub label: EdgeLabel,
    /// The patches, by their place in the slices.
    pub patches: Vec<u32>,
    /// How much; 1 unless something is known.
    pub weight: f32,
}

/// How much each label counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelWeights {
    /// Of [`EdgeLabel::Next`].
    pub next: f32,
    /// Of [`EdgeLabel::SameSource`].
    pub same_source: f32,
    /// Of [`EdgeLabel::Semantic`].
    pub semantic: f32,
    /// Of [`EdgeLabel::Contains`].
    pub contains: f32,
}

impl Default for LabelWeights {
    /// The original's defaults; containment is off.
    fn default() -> Self {
        Self { next: 1.0, same_source: 1.0, semantic: 0.8, contains: 0.0 }
    }
}

impl LabelWeights {
    /// The label's weight.
    pub fn of(&self, label: EdgeLabel) -> f32 {
        match label {
            EdgeLabel::Next => self.next,
            EdgeLabel::SameSource => self.same_source,
            EdgeLabel::Semantic => self.semantic,
            EdgeLabel::Contains => self.contains,
        }
    }
}

/// Beyond so many patches a hyperedge becomes a star.
const MOST_IN_CLIQUE: usize = 16;

/// Edges of a weight other than 0 for hyperedges, in their order. Of `m` patches, each is joined to each other with `weight / (m - 1)`,
/// or, of more than 16, to the first with `weight`; so every patch is held about equally, however many there are. A patch that
/// stands in a hyperedge twice counts once.
pub fn expand(hyperedges: &[Hyperedge], weights: &LabelWeights) -> Vec<Edge> {
    let mut edges = Vec::new();
    for hyperedge in hyperedges {
        let weight = hyperedge.weight * weights.of(hyperedge.label);
        let mut patches = hyperedge.patches.clone();
        let mut seen = std::collections::HashSet::new();
        patches.retain(|&patch| seen.insert(patch));
        if weight == 0.0 || patches.len() < 2 {
            continue;
        }
        let (n_hubs, weight) = match patches.len() {
            m if m > MOST_IN_CLIQUE => (1, weight),
            m => (m, weight / (m - 1) as f32),
        };
        for (at, &from) in patches.iter().enumerate().take(n_hubs) {
            edges.extend(patches[at + 1..].iter().map(|&to| Edge { from, to, weight }));
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hyperedge(label: EdgeLabel, patches: &[u32]) -> Hyperedge {
        Hyperedge { label, patches: patches.to_vec(), weight: 1.0 }
    }

    #[test]
    fn few_patches_form_a_clique_and_many_a_star() {
        let weights = LabelWeights::default();
        let clique = expand(&[hyperedge(EdgeLabel::Semantic, &[3, 1, 4, 1])], &weights);
        let pairs: Vec<(u32, u32)> = clique.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(pairs, [(3, 1), (3, 4), (1, 4)]);
        assert!(clique.iter().all(|edge| edge.weight == 0.4));
        let many: Vec<u32> = (0..17).collect();
        let star = expand(&[hyperedge(EdgeLabel::SameSource, &many)], &weights);
        assert_eq!(star.len(), 16);
        assert!(star.iter().all(|edge| edge.from == 0 && edge.weight == 1.0));
    }

    /// Views of one source are three or more, and couple nonetheless.
    #[test]
    fn no_hyperedge_of_several_patches_is_lost() {
        for m in 2..40u32 {
            let patches: Vec<u32> = (0..m).collect();
            let edges = expand(&[hyperedge(EdgeLabel::SameSource, &patches)], &LabelWeights::default());
            let touched: std::collections::HashSet<u32> = edges.iter().flat_map(|edge| [edge.from, edge.to]).collect();
            assert_eq!(touched.len(), m as usize);
        }
        let nothing = [
            hyperedge(EdgeLabel::Next, &[5]),
            hyperedge(EdgeLabel::Next, &[]),
            hyperedge(EdgeLabel::Contains, &[1, 2]),
        ];
        assert_eq!(expand(&nothing, &LabelWeights::default()), []);
    }
}
