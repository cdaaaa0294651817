//! How much of a hostile input is looked at.

/// Bounds that every decoder keeps. Sizes and counts found inside a file are checked against these before
/// anything is allocated for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest source, in bytes.
    pub max_bytes: u64,
    /// Largest view that is made in memory (decoded text), in bytes.
    pub max_view_bytes: u64,
    /// Most units (lines, words, pages) one source may have.
    pub max_units: usize,
}

impl Default for Limits {
    /// 1 TiB a source, 1 GiB a view in memory, 50 million units.
    fn default() -> Self {
        Self { max_bytes: 1 << 40, max_view_bytes: 1 << 30, max_units: 50_000_000 }
    }
}
