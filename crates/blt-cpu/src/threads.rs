//! Threads of one engine: how many a call may use, and how those on one document keep in step.

use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::transformer::Steps;

/// How many threads the calls of an engine may use together.
#[derive(Debug)]
pub(crate) struct Threads {
    /// Below zero when more callers compute at once than there are threads to be used.
    free: AtomicIsize,
}

/// Some of them, until it goes.
pub(crate) struct Share<'a> {
    threads: &'a Threads,
    n: usize,
}

impl Threads {
    pub(crate) fn new(total: usize) -> Self {
        Self { free: AtomicIsize::new(total as isize) }
    }

    /// The caller's own thread, and of those that are free as many more as make `most`.
    pub(crate) fn share(&self, most: usize) -> Share<'_> {
        self.take(1, most.saturating_sub(1))
    }

    /// Of those that are free up to `most`, for a caller that has a share already.
    pub(crate) fn more(&self, most: usize) -> Share<'_> {
        self.take(0, most)
    }

    fn take(&self, own: isize, most: usize) -> Share<'_> {
        let extra = |free: isize| usize::try_from(free - own).unwrap_or(0).min(most) as isize;
        let update = |free: isize| Some(free - own - extra(free));
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).unwrap_or_else(|free| free);
        Share { threads: self, n: (own + extra(free)) as usize }
    }
}

impl<'a> Share<'a> {
    /// How many threads it is.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// A share of its own for each of the threads.
    pub(crate) fn split(mut self) -> Vec<Share<'a>> {
        let n = std::mem::take(&mut self.n);
        (0..n).map(|_| Share { threads: self.threads, n: 1 }).collect()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.threads.free.fetch_add(self.n as isize, Ordering::Relaxed);
    }
}

/// How many layers of one chunk have their keys and values written. Whoever computes the next chunk waits here.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    n_layers: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

/// Looks at a neighbour's progress before going to sleep.
const SPINS: usize = 2000;

impl Progress {
    fn wait(&self, layer: usize) {
        for _ in 0..SPINS {
            if self.n_layers.load(Ordering::Acquire) > layer {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.n_layers.load(Ordering::Acquire) <= layer {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, n_layers: usize) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.n_layers.store(n_layers, Ordering::Release);
        self.changed.notify_all();
    }
}

/// The chunks of one call, on several threads.
#[derive(Debug)]
pub(crate) struct Line {
    progress: Vec<Progress>,
    /// Set when one of the threads panics: the others must neither wait for it nor go on without it.
    is_broken: AtomicBool,
}

impl Line {
    pub(crate) fn new(n_chunks: usize) -> Self {
        Self { progress: (0..n_chunks).map(|_| Progress::default()).collect(), is_broken: AtomicBool::new(false) }
    }

    /// The steps of chunk `i`.
    pub(crate) fn steps(&self, i: usize) -> InTurn<'_> {
        InTurn { line: self, i }
    }
}

/// The steps of one chunk among others.
pub(crate) struct InTurn<'a> {
    line: &'a Line,
    i: usize,
}

impl Steps for InTurn<'_> {
    /// # Panics
    ///
    /// When another thread of the call has panicked.
    fn wait(&self, layer: usize) {
        if let Some(before) = self.i.checked_sub(1) {
            self.line.progress[before].wait(layer);
        }
        assert!(!self.line.is_broken.load(Ordering::Acquire), "another thread of this call has panicked");
    }

    fn done(&self, layer: usize) {
        self.line.progress[self.i].set(layer + 1);
    }
}

impl Drop for InTurn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.line.is_broken.store(true, Ordering::Release);
            self.line.progress.iter().for_each(|progress| progress.set(usize::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_and_come_back() {
        let threads = Threads::new(4);
        let first = threads.share(3);
        let second = threads.share(9);
        let third = threads.share(2);
        assert_eq!((first.n(), second.n(), third.n()), (3, 1, 1));
        drop(first);
        let more = threads.more(9);
        assert_eq!(more.n(), 2);
        drop((second, third, more));
        let each = threads.share(9).split();
        assert_eq!((each.len(), threads.more(1).n()), (4, 0));
    }

    /// A panic ends the call on every thread, whoever waits for whom.
    #[test]
    fn a_panic_in_one_thread_ends_them_all() {
        let line = Line::new(6);
        let work = |first: usize| {
            for i in (first..6).step_by(3) {
                let steps = line.steps(i);
                for layer in 0..4 {
                    steps.wait(layer);
                    assert!(i != 1 || layer != 3, "the defect");
                    steps.done(layer);
                }
            }
        };
        let outcomes: Vec<bool> = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..3).map(|first| scope.spawn(move || work(first))).collect();
            threads.into_iter().map(|thread| thread.join().is_ok()).collect()
        });
        assert!(!outcomes[1] && !outcomes[2], "{outcomes:?}");
    }
}
