//! How much of a hostile input is looked at.

use serde::{Deserialize, Serialize};

use crate::DecodeError;

/// Bounds that every decoder keeps. Sizes and counts found inside a file are checked against these before
/// anything is allocated for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest source, in bytes.
    pub max_bytes: u64,
    /// Largest view that is made in memory (text, pixels, samples), in bytes.
    pub max_view_bytes: u64,
    /// Most units (lines, words, pages) one source may have. Units that are only for orientation, such as the rows of a
    /// table, become coarser instead.
    pub max_units: usize,
    /// Most pixels of one picture.
    pub max_pixels: u64,
    /// Most frames of a film or an animation.
    pub max_frames: u64,
    /// Most pages.
    pub max_pages: u64,
    /// Longest sound or film, in seconds.
    pub max_seconds: u64,
    /// Most files inside a file.
    pub max_members: u64,
    /// Most bytes that all files inside a file may have together.
    pub max_inflated: u64,
    /// Most bytes that one compressed byte may become, beyond the first [`Limits::FREE_INFLATED`].
    pub max_ratio: u64,
    /// How deep files may lie inside files.
    pub max_depth: u32,
    /// How long decoding may take, in seconds.
    pub timeout: u64,
    /// Memory of a decoding process, in bytes.
    pub max_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 40,
            max_view_bytes: 1 << 30,
            max_units: 50_000_000,
            max_pixels: 100_000_000,
            max_frames: 100_000,
            max_pages: 5_000,
            max_seconds: 4 * 3600,
            max_members: 100_000,
            max_inflated: 1 << 30,
            max_ratio: 200,
            max_depth: 8,
            timeout: 60,
            max_memory: 4 << 30,
        }
    }
}

impl Limits {
    /// So many bytes may come out of a compressed stream before its ratio counts.
    pub const FREE_INFLATED: u64 = 16 << 20;

    /// Fails when a picture of this size would have too many pixels, or none.
    ///
    /// # Errors
    ///
    /// Fails with [`DecodeError::Limit`].
    pub fn check_pixels(&self, width: u64, height: u64) -> Result<(), DecodeError> {
        self.check("pixels", width.saturating_mul(height), self.max_pixels, "--max-pixels")
    }

    /// Fails when `found` is more than `limit`.
    ///
    /// # Errors
    ///
    /// Fails with [`DecodeError::Limit`].
    pub fn check(&self, what: &'static str, found: u64, limit: u64, option: &'static str) -> Result<(), DecodeError> {
        if found > limit {
            Err(DecodeError::Limit { what: what.into(), found, limit, option: option.into() })
        } else {
            Ok(())
        }
    }

    /// Fails when `n_inflated` bytes made of `n_compressed` are too many.
    ///
    /// # Errors
    ///
    /// Fails with [`DecodeError::Limit`].
    pub fn check_inflated(&self, n_inflated: u64, n_compressed: u64) -> Result<(), DecodeError> {
        self.check("inflated bytes", n_inflated, self.max_inflated, "--max-inflated")?;
        if n_inflated > Self::FREE_INFLATED {
            let ratio = n_inflated / n_compressed.max(1);
            self.check("inflated bytes for each compressed one", ratio, self.max_ratio, "--max-ratio")?;
        }
        Ok(())
    }
}
