//! Vectors of one width, one after another.

/// `n` vectors of `dim` numbers, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Rows<'a> {
    /// The rows in `values`, `[n * dim]`.
    ///
    /// # Panics
    ///
    /// Panics when `dim` is 0 or the length is no multiple of it.
    pub fn new(values: &'a [f32], dim: usize) -> Self {
        assert!(dim > 0 && values.len().is_multiple_of(dim), "{} numbers are no rows of {dim}", values.len());
        Self { values, dim }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Row `i`, `[dim]`.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// All numbers, `[n * dim]`.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }
}
