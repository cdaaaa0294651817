//! What goes through the model together: pieces of documents, one behind the other.

use blt_checkpoint::RotaryTable;
use blt_core::TokenId;

/// Rows of a step are filled up to a multiple of this: a tile of a product.
pub(crate) const ROWS: usize = 128;

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
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) tokens: Vec<u32>,
    /// For each row its row of the table of angles; rows from `n_near` on are in `far_angles`.
    pub(crate) angle_rows: Vec<u32>,
    /// Cosines and sines of positions that the table does not reach.
    pub(crate) far_angles: Vec<f32>,
    /// For each row the first row it sees; never falling.
    pub(crate) first_visible: Vec<u32>,
    /// First row of each piece.
    pub(crate) starts: Vec<usize>,
}

impl Rows {
    /// The rows of `pieces`; a row of angles is `half` wide. Before and behind them are rows that see themselves alone, so that
    /// row and position have the same rest by [`TILE`]. What is computed for kept positions is replaced by what was kept
    /// before anything sees it.
    pub(crate) fn pack<'a>(pieces: impl Iterator<Item = &'a Piece>, rotary: &RotaryTable, half: usize) -> Self {
        let mut rows = Self::default();
        for piece in pieces {
            let first_kept = piece.position - piece.n_kept as u64;
            let start = piece.start_behind(rows.tokens.len());
            rows.starts.push(start);
            rows.fill(start);
            rows.tokens.resize(start + piece.n_kept, 0);
            rows.angle_rows.resize(start + piece.n_kept, 0);
            rows.first_visible.resize(start + piece.n_kept, start as u32);
            rows.tokens.extend(piece.tokens.iter().map(|&token| u32::from(token)));
            rows.first_visible
                .extend(piece.first_visible.iter().map(|&visible| (start as u64 + (visible - first_kept)) as u32));
            rows.turn(piece.position..piece.position + piece.tokens.len() as u64, rotary, half);
        }
        rows.fill(rows.tokens.len().next_multiple_of(ROWS));
        rows
    }

    /// Appends the angles of positions.
    fn turn(&mut self, positions: std::ops::Range<u64>, rotary: &RotaryTable, half: usize) {
        let n_near = rotary.n_defined() as u64;
        let far = positions.start.max(n_near)..positions.end;
        self.angle_rows.extend((positions.start..positions.end.min(n_near)).map(|position| position as u32));
        if far.start < far.end {
            let n = (far.end - far.start) as usize;
            let first = n_near as usize + self.far_angles.len() / (2 * half);
            self.angle_rows.extend((first..first + n).map(|row| row as u32));
            self.far_angles.extend(angles(rotary, far, half));
        }
    }

    /// Appends rows of nothing up to `end`.
    fn fill(&mut self, end: usize) {
        self.first_visible.extend(self.tokens.len() as u32..end as u32);
        self.tokens.resize(end, 0);
        self.angle_rows.resize(end, 0);
    }
}

/// Cosines and sines of `positions`, in pairs, `half` of them a position: those of places behind the model's turn nothing.
pub(crate) fn angles(rotary: &RotaryTable, positions: std::ops::Range<u64>, half: usize) -> Vec<f32> {
    let n = (positions.end - positions.start) as usize * half;
    let (mut cos, mut sin) = (vec![1.0; n], vec![0.0; n]);
    rotary.fill(positions, half, &mut cos, &mut sin);
    cos.into_iter().zip(sin).flat_map(|(cos, sin)| [cos, sin]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_one_behind_the_other() {
        let rotary = RotaryTable::new(4, 10_000.0, 64);
        let n_near = rotary.n_defined() as u64;
        let fresh = Piece { tokens: vec![1, 9], position: 0, n_kept: 0, first_visible: vec![0, 0] };
        let first = n_near - 2;
        let later = Piece {
            tokens: vec![7, 8, 9],
            position: first,
            n_kept: 3,
            first_visible: vec![first - 3, first - 2, first + 1],
        };
        let rows = Rows::pack([&fresh, &later].into_iter(), &rotary, 2);
        // Tables are whole tiles, so three rows before the last two are rows 59 to 61 of a tile.
        assert_eq!(rows.starts, [0, 64 + 59]);
        assert_eq!(rows.tokens[..2], [1, 9]);
        assert_eq!(rows.tokens[122..130], [0, 0, 0, 0, 7, 8, 9, 0]);
        assert_eq!(rows.angle_rows[126..130], [first as u32, first as u32 + 1, n_near as u32, 0]);
        assert_eq!(rows.far_angles, angles(&rotary, n_near..n_near + 1, 2));
        assert_eq!(rows.first_visible[..3], [0, 0, 2]);
        assert_eq!(rows.first_visible[122..130], [122, 123, 123, 123, 123, 124, 127, 129]);
        assert_eq!((rows.tokens.len(), rows.angle_rows.len(), rows.first_visible.len()), (256, 256, 256));
        assert!(rows.first_visible.is_sorted(), "a tile's first row sees the first of all");
    }
}
