//! Work on several threads whose results come in the order in which it was given out.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

/// Threads that make results of jobs. They end when this is dropped.
pub(crate) struct InOrder<J, R> {
    to_threads: Option<Sender<(J, mpsc::Sender<R>)>>,
    threads: Vec<JoinHandle<()>>,
    /// Results on the way, oldest first.
    pending: VecDeque<mpsc::Receiver<R>>,
}

impl<J: Send + 'static, R: Send + 'static> InOrder<J, R> {
    /// `n_threads`, at least one, each with a worker of its own.
    pub(crate) fn new<W: FnMut(J) -> R + Send + 'static>(
        name: &str,
        n_threads: usize,
        mut worker: impl FnMut() -> io::Result<W>,
    ) -> io::Result<Self> {
        let (to_threads, jobs) = crossbeam_channel::unbounded::<(J, mpsc::Sender<R>)>();
        let start = |_| {
            let (jobs, mut worker) = (jobs.clone(), worker()?);
            let work = move || {
                for (job, done) in jobs {
                    // Nobody waits for the result any more when the writer was dropped.
                    let _ = done.send(worker(job));
                }
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(work)
        };
        let threads = (0..n_threads.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { to_threads: Some(to_threads), threads, pending: VecDeque::new() })
    }

    /// Gives out `job`. Once two results a thread are on the way, waits for the oldest.
    pub(crate) fn push(&mut self, job: J) -> io::Result<Option<R>> {
        let (done, result) = mpsc::channel();
        self.pending.push_back(result);
        let threads = self.to_threads.as_ref().expect("the threads run until this is dropped");
        threads.send((job, done)).map_err(|_| ended())?;
        if self.pending.len() > 2 * self.threads.len() { self.next() } else { Ok(None) }
    }

    /// The oldest result; `None` when none is on the way.
    pub(crate) fn next(&mut self) -> io::Result<Option<R>> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(None) };
        oldest.recv().map(Some).map_err(|_| ended())
    }

    /// Whether no result is on the way.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}

impl<J, R> Drop for InOrder<J, R> {
    fn drop(&mut self) {
        self.to_threads = None;
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("a thread that compresses has panicked")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_jobs() {
        let slow_first = || {
            Ok(|job: u64| {
                std::thread::sleep(Duration::from_millis(if job == 0 { 30 } else { 0 }));
                job * job
            })
        };
        let mut threads = InOrder::new("test", 3, slow_first).unwrap();
        let mut results = Vec::new();
        for job in 0..20 {
            results.extend(threads.push(job).unwrap());
            assert!(threads.pending.len() <= 6);
        }
        while let Some(result) = threads.next().unwrap() {
            results.push(result);
        }
        assert!(threads.is_idle());
        assert_eq!(results, (0..20).map(|job| job * job).collect::<Vec<u64>>());
    }

    #[test]
    fn threads_end_with_it() {
        let held = Arc::new(());
        let worker = || {
            let held = held.clone();
            Ok(move |_: ()| drop(held.clone()))
        };
        let mut threads = InOrder::new("test", 2, worker).unwrap();
        threads.push(()).unwrap();
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_panic_is_an_error() {
        let mut threads = InOrder::new("test", 1, || Ok(|_: ()| -> u8 { panic!("as the test wants") })).unwrap();
        threads.push(()).unwrap();
        assert!(threads.next().is_err());
    }
}
