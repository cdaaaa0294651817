//! The queue before the cards, and the thread behind each.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::driver::{Event, Memory};
use crate::error::CudaError;
use crate::model::{KeptRows, MAX_PIECES, Model};
use crate::room::Host;
use crate::step::{Piece, Rows};

/// So many jobs may come before a document's next piece without being taken before it.
const HEAD_START: u64 = 1024;
/// Steps of fewer rows wait while a step is on the card: more may come.
const WORTHWHILE: usize = 16_384;

/// What a document keeps between its pieces, and on which card.
pub(crate) struct Kept {
    pub(crate) device: usize,
    pub(crate) memory: Memory,
}

/// A piece to compute.
pub(crate) struct Job {
    pub(crate) piece: Piece,
    pub(crate) keep: Keep,
    pub(crate) wants_norms: bool,
    pub(crate) wants_states: bool,
    pub(crate) wants_logits: bool,
    pub(crate) reply: SyncSender<Result<Reply, String>>,
    /// Its place in the order of coming, given by the queue.
    pub(crate) number: u64,
}

/// What the piece has to do with others of its document.
pub(crate) enum Keep {
    /// It is all of it.
    Nothing,
    /// It is the first; more may follow, on the card that takes it.
    First,
    /// It is a later one.
    Later(Kept),
}

/// What came of a piece.
pub(crate) struct Reply {
    pub(crate) device: usize,
    pub(crate) entropies: Vec<f32>,
    pub(crate) norms: Vec<f32>,
    pub(crate) states: Option<Memory>,
    pub(crate) logits: Option<Memory>,
    pub(crate) kept: Option<Kept>,
}

/// Pieces that no card has taken yet.
pub(crate) struct Queue {
    jobs: Mutex<Jobs>,
    /// One a card.
    changed: Vec<Condvar>,
}

struct Jobs {
    /// For any card.
    shared: VecDeque<Job>,
    /// For the card that keeps their documents.
    bound: Vec<VecDeque<Job>>,
    /// Number of the next job.
    next: u64,
    /// Cards that failed: they answer what is bound to them, and the rest only when there is no other card.
    failed: Vec<bool>,
    is_closed: bool,
}

impl Queue {
    pub(crate) fn new(n_devices: usize) -> Self {
        let bound = (0..n_devices).map(|_| VecDeque::new()).collect();
        let failed = vec![false; n_devices];
        let jobs = Mutex::new(Jobs { shared: VecDeque::new(), bound, next: 0, failed, is_closed: false });
        Self { jobs, changed: (0..n_devices).map(|_| Condvar::new()).collect() }
    }

    /// Queues jobs, all before any is taken.
    pub(crate) fn push(&self, new: impl IntoIterator<Item = Job>) {
        let mut jobs = self.lock();
        for mut job in new {
            job.number = jobs.next;
            jobs.next += 1;
            match &job.keep {
                Keep::Later(kept) => {
                    let device = kept.device;
                    jobs.bound[device].push_back(job);
                }
                _ => jobs.shared.push_back(job),
            }
        }
        self.changed.iter().for_each(Condvar::notify_one);
    }

    /// The card computes no more.
    fn fail(&self, device: usize) {
        self.lock().failed[device] = true;
        self.changed.iter().for_each(Condvar::notify_all);
    }

    /// No more comes: cards end once the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.iter().for_each(Condvar::notify_all);
    }

    /// Jobs of at most `capacity` rows together, at least one; `None` when it is closed and empty.
    fn take(&self, device: usize, capacity: usize) -> Option<Vec<Job>> {
        let mut jobs = self.lock();
        loop {
            let taken = jobs.take(device, capacity);
            if !taken.is_empty() {
                return Some(taken);
            }
            if jobs.is_closed {
                return None;
            }
            jobs = self.changed[device].wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same without waiting; none when there are fewer than `worthwhile` rows.
    fn try_take(&self, device: usize, capacity: usize, worthwhile: usize) -> Vec<Job> {
        let mut jobs = self.lock();
        let waiting: usize = jobs.bound[device].iter().chain(&jobs.shared).map(|job| job.piece.n_rows()).sum();
        if waiting >= worthwhile { jobs.take(device, capacity) } else { Vec::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn take(&mut self, device: usize, capacity: usize) -> Vec<Job> {
        let mut taken: Vec<Job> = Vec::new();
        let mut n_rows = 0;
        // Of what any card may take, no more than its share, so that none idles while another has all.
        let is_alone = self.failed.iter().all(|&failed| failed);
        let n_cards = self.failed.iter().filter(|&&failed| !failed).count().max(1);
        let mut share = match self.failed[device] && !is_alone {
            true => 0,
            false => self.shared.len().div_ceil(n_cards),
        };
        while taken.len() < MAX_PIECES {
            // The older first, where a document that goes on counts as older than it is: one that is long has to begin its
            // last steps while there is something to compute beside it.
            let bound = self.bound[device].front();
            let shared = self.shared.front().filter(|_| share > 0);
            let is_bound = match (bound, shared) {
                (Some(bound), Some(shared)) => bound.number < shared.number + HEAD_START,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let queue = if is_bound { &mut self.bound[device] } else { &mut self.shared };
            let Some(job) = queue.pop_front() else { break };
            let end = job.piece.start_behind(n_rows) + job.piece.n_rows();
            if end > capacity {
                queue.push_front(job);
                break;
            }
            n_rows = end;
            share -= usize::from(!is_bound);
            taken.push(job);
        }
        taken
    }
}

/// A step on the card.
struct Step {
    jobs: Vec<Running>,
    end: Event,
    host: usize,
}

/// A job of it.
struct Running {
    job: Job,
    row: usize,
    kept: Option<Kept>,
    states: Option<Memory>,
    logits: Option<Memory>,
}

/// Computes what is in the queue until it is closed. Two steps are under way at most: one on the card, one behind it.
pub(crate) fn work(device: usize, model: &Arc<Model>, queue: &Queue) {
    let card = &model.stream.device;
    let hosts = card.bind().and_then(|()| Ok([Host::new(card, model.capacity)?, Host::new(card, model.capacity)?]));
    let mut hosts = match hosts {
        Ok(hosts) => hosts,
        Err(error) => return refuse(device, model, queue, &error.to_string()),
    };
    let mut running: VecDeque<Step> = VecDeque::new();
    let mut next_host = 0;
    loop {
        let jobs = if running.is_empty() {
            match queue.take(device, model.capacity) {
                Some(jobs) => jobs,
                None => return,
            }
        } else if running.len() == 1 {
            queue.try_take(device, model.capacity, WORTHWHILE)
        } else {
            Vec::new()
        };
        if !jobs.is_empty() {
            if let Some(step) = start(device, model, jobs, next_host, &mut hosts[next_host]) {
                running.push_back(step);
                next_host = 1 - next_host;
            }
            continue;
        }
        let Some(step) = running.pop_front() else { continue };
        let ended = step.end.wait();
        if ended.is_err() {
            // What the driver reports at the end of a step is for good: illegal access, a card that is gone.
            queue.fail(device);
        }
        // The card goes on before the answers go out.
        if running.is_empty() {
            let jobs = queue.try_take(device, model.capacity, 1);
            if !jobs.is_empty()
                && let Some(step) = start(device, model, jobs, next_host, &mut hosts[next_host])
            {
                running.push_back(step);
                next_host = 1 - next_host;
            }
        }
        let host = &hosts[step.host];
        for running in step.jobs {
            let rows = running.row + running.job.piece.n_kept..running.row + running.job.piece.n_rows();
            let reply = match &ended {
                Ok(()) => Ok(Reply {
                    device,
                    entropies: host.entropies[rows.clone()].to_vec(),
                    norms: if running.job.wants_norms { host.norms[rows].to_vec() } else { Vec::new() },
                    states: running.states,
                    logits: running.logits,
                    kept: running.kept,
                }),
                Err(error) => Err(error.to_string()),
            };
            // Whoever asked may have gone.
            let _ = running.job.reply.send(reply);
        }
    }
}

/// Starts a step; jobs that cannot be started are answered.
fn start(device: usize, model: &Model, jobs: Vec<Job>, host_index: usize, host: &mut Host) -> Option<Step> {
    match try_start(device, model, jobs, host) {
        Ok((jobs, end)) => Some(Step { jobs, end, host: host_index }),
        Err((jobs, error)) => {
            jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.to_string()))));
            None
        }
    }
}

type Started = Result<(Vec<Running>, Event), (Vec<Job>, CudaError)>;

fn try_start(device: usize, model: &Model, mut jobs: Vec<Job>, host: &mut Host) -> Started {
    let rows = Rows::pack(jobs.iter().map(|job| &job.piece));
    let kept = jobs.iter_mut().map(|job| match std::mem::replace(&mut job.keep, Keep::Nothing) {
        Keep::Nothing => Ok(None),
        Keep::First => Ok(Some(Kept { device, memory: model.new_kept()? })),
        Keep::Later(kept) => Ok(Some(kept)),
    });
    let kept: Vec<Option<Kept>> = match kept.collect() {
        Ok(kept) => kept,
        Err(error) => return Err((jobs, error)),
    };
    let segments: Vec<_> = kept
        .iter()
        .zip(&jobs)
        .enumerate()
        .filter_map(|(i, (kept, job))| {
            let memory = &kept.as_ref()?.memory;
            Some((i, KeptRows { memory, n_kept: job.piece.n_kept, n_rows: job.piece.n_rows() }))
        })
        .collect();
    let wants_norms = jobs.iter().any(|job| job.wants_norms);
    // A step that was begun and cannot be ended still uses `host` and what its documents keep.
    let abandon = |jobs, error| {
        let _ = model.stream.wait();
        Err((jobs, error))
    };
    if let Err(error) = model.start(&rows, &segments, wants_norms, host) {
        return abandon(jobs, error);
    }
    let mut copies = Vec::with_capacity(jobs.len());
    for (job, &row) in jobs.iter().zip(&rows.starts) {
        let (row, n) = (row + job.piece.n_kept, job.piece.tokens.len());
        let states = job.wants_states.then(|| model.states(row, n)).transpose();
        let logits = job.wants_logits.then(|| model.logits(row, n)).transpose();
        match (states, logits) {
            (Ok(states), Ok(logits)) => copies.push((states, logits)),
            (Err(error), _) | (_, Err(error)) => return abandon(jobs, error),
        }
    }
    let end = match model.stream.mark() {
        Ok(end) => end,
        Err(error) => return abandon(jobs, error),
    };
    let running = jobs.into_iter().zip(rows.starts).zip(kept.into_iter().zip(copies));
    let running =
        running.map(|((job, row), (kept, (states, logits)))| Running { job, row, kept, states, logits }).collect();
    Ok((running, end))
}

/// Answers everything with `error`.
pub(crate) fn refuse(device: usize, model: &Model, queue: &Queue, error: &str) {
    queue.fail(device);
    while let Some(jobs) = queue.take(device, model.capacity) {
        jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.to_owned()))));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// A document of `n` tokens, whose answer nobody waits for.
    fn document(n: usize) -> Job {
        let piece = Piece { tokens: vec![1; n], position: 0, n_kept: 0, first_visible: vec![0; n] };
        let (reply, _) = sync_channel(1);
        let (wants_norms, wants_states, wants_logits) = (false, false, false);
        Job { piece, keep: Keep::Nothing, wants_norms, wants_states, wants_logits, reply, number: 0 }
    }

    fn lengths(jobs: &[Job]) -> Vec<usize> {
        jobs.iter().map(|job| job.piece.tokens.len()).collect()
    }

    #[test]
    fn a_step_takes_what_fits_in_order() {
        let queue = Queue::new(1);
        queue.push([100, 60, 64, 1000, 5].map(document));
        // 100 and 60 rows and 64 begin at 0, 128 and 192; 1000 more do not fit.
        assert_eq!(queue.take(0, 256).map(|jobs| lengths(&jobs)), Some(vec![100, 60, 64]));
        assert!(queue.try_take(0, 2000, 1006).is_empty(), "too few rows are waiting");
        assert_eq!(lengths(&queue.try_take(0, 2000, 1005)), [1000, 5]);
        queue.close();
        assert!(queue.take(0, 256).is_none());
    }

    #[test]
    fn cards_share_what_waits() {
        let queue = Queue::new(2);
        queue.push([1, 2, 3, 4].map(document));
        assert_eq!(lengths(&queue.try_take(0, 4096, 1)), [1, 2]);
        assert_eq!(lengths(&queue.try_take(1, 4096, 1)), [3]);
        queue.fail(0);
        assert!(queue.try_take(0, 4096, 1).is_empty(), "another card computes it");
        assert_eq!(lengths(&queue.try_take(1, 4096, 1)), [4]);
    }

    #[test]
    fn the_last_card_that_failed_answers_everything() {
        let queue = Queue::new(2);
        queue.fail(0);
        queue.fail(1);
        queue.push([1, 2].map(document));
        assert_eq!(lengths(&queue.try_take(1, 4096, 1)), [1, 2]);
    }
}
