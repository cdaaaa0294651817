//! What goes through the model together: pieces of documents, one behind the other.

use blt_core::TokenId;

/// Rows of a step are filled up to a multiple of this: two tiles of the largest product.
pub(crate) const ROWS: usize = 256;

/// Attention takes keys in tiles of so many rows. Tiles that hold the same positions wherever a document's rows lie make
/// its results the same to the bit, whatever else is in the step and however the document is cut.
pub(crate) const TILE: usize = 64;

/// A piece of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) tokens: Vec<TokenId>,
    /// Position of the first token in its document's row.
    pub(crate) position: u64,
    /// How many positions before it are kept.
    pub(crate) n_kept: usize,
    /// For each token the first position it sees.
    pub(crate) first_visible: Vec<u64>,
}

impl Piece {
    /// Rows of its own: first one for each kept position, then one a token.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_kept + self.tokens.len()
    }

    /// Its first row in a step that has `n` rows so far.
    pub(crate) fn start_behind(&self, n: usize) -> usize {
        let first_kept = self.position - self.n_kept as u64;
        n.next_multiple_of(TILE) + (first_kept % TILE as u64) as usize
    }
}

/// Rows to compute, as the kernels take them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) tokens: Vec<u16>,
    pub(crate) positions: Vec<i64>,
    /// For each row the first row it sees; never falling.
    pub(crate) first_visible: Vec<i32>,
    /// First row of each piece.
    pub(crate) starts: Vec<usize>,
}

impl Rows {
    /// The rows of `pieces`. Before and behind them are rows that see themselves alone, so that row and position have the
    /// same rest by [`TILE`]. What is computed for kept positions is replaced by what was kept before anything sees it.
    pub(crate) fn pack<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Self {
        let mut rows = Self::default();
        for piece in pieces {
            let first_kept = piece.position - piece.n_kept as u64;
            let start = piece.start_behind(rows.tokens.len());
            rows.starts.push(start);
            rows.fill(start);
            rows.tokens.resize(start + piece.n_kept, 0);
            rows.positions.resize(start + piece.n_kept, 0);
            rows.first_visible.resize(start + piece.n_kept, start as i32);
            rows.tokens.extend_from_slice(&piece.tokens);
            for (i, &visible) in piece.first_visible.iter().enumerate() {
                rows.positions.push((piece.position + i as u64) as i64);
                rows.first_visible.push((start as u64 + (visible - first_kept)) as i32);
            }
        }
        rows.fill(rows.tokens.len().next_multiple_of(ROWS));
        rows
    }

    /// Appends rows of nothing up to `end`.
    fn fill(&mut self, end: usize) {
        self.first_visible.extend(self.tokens.len() as i32..end as i32);
        self.tokens.resize(end, 0);
        self.positions.resize(end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_one_behind_the_other() {
        let fresh = Piece { tokens: vec![1, 9], position: 0, n_kept: 0, first_visible: vec![0, 0] };
        let later = Piece { tokens: vec![7, 8, 9], position: 70, n_kept: 3, first_visible: vec![67, 68, 71] };
        let rows = Rows::pack([&fresh, &later].into_iter());
        assert_eq!(rows.starts, [0, 67]);
        assert_eq!(rows.tokens[..2], [1, 9]);
        assert_eq!(rows.tokens[66..74], [0, 0, 0, 0, 7, 8, 9, 0]);
        assert_eq!(rows.positions[69..73], [0, 70, 71, 72]);
        assert_eq!(rows.first_visible[..3], [0, 0, 2]);
        assert_eq!(rows.first_visible[66..74], [66, 67, 67, 67, 67, 68, 71, 73]);
        assert_eq!((rows.tokens.len(), rows.positions.len(), rows.first_visible.len()), (ROWS, ROWS, ROWS));
        assert!(rows.first_visible.is_sorted(), "a tile's first row sees the first of all");
    }
}
