//! Memory whose first element begins a cache line, as the vector instructions like it.

use std::ops::{Deref, DerefMut};

use crate::kernels::prefer_large;

/// Bytes of a cache line, and of the widest register.
const LINE: usize = 64;

/// A slice of fixed length, aligned to 64 bytes.
#[derive(Debug)]
pub(crate) struct Buffer<T> {
    storage: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Buffer<T> {
    /// `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let mut storage = Vec::with_capacity(len + LINE / size_of::<T>());
        prefer_large(storage.spare_capacity_mut());
        storage.resize(len + LINE / size_of::<T>(), T::default());
        let start = storage.as_ptr().align_offset(LINE);
        assert!(start + len <= storage.len(), "the offset to a line is less than a line");
        Self { storage, start, len }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..self.start + self.len]
    }
}
