//! The thread that has the model: it packs what waits into steps, and keeps the adapter busy while answers go out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::model::{Buffer, KeptRows, Model, Reading, Slot, brief, floats};
use crate::step::{Piece, Rows};

/// Something to do.
pub(crate) enum Request {
    /// A piece to compute.
    Piece(Job),
    /// Ranges of states to sum.
    Sum(SumJob),
    /// States to bring here.
    Read(States, SyncSender<Result<Vec<f32>, String>>),
}

/// A piece to compute.
pub(crate) struct Job {
    pub(crate) piece: Piece,
    pub(crate) keep: Keep,
    pub(crate) wants_states: bool,
    pub(crate) wants_logits: bool,
    pub(crate) reply: SyncSender<Result<Reply, String>>,
}

/// What the piece has to do with others of its document.
pub(crate) enum Keep {
    /// It is all of it.
    Nothing,
    /// It is the first; more may follow.
    First,
    /// It is a later one.
    Later(Slot),
}

/// What came of a piece.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) entropies: Vec<f32>,
    pub(crate) norms: Vec<f32>,
    pub(crate) states: Option<States>,
    pub(crate) logits: Vec<f32>,
    pub(crate) slot: Option<Slot>,
}

/// Pre-norm states on the adapter: rows of those of a step.
pub(crate) struct States {
    buffer: Arc<Buffer>,
    row: usize,
    n: usize,
}

/// Sums of states, each range beginning where the one before ends, the first at the first row.
pub(crate) struct SumJob {
    pub(crate) states: States,
    pub(crate) ends: Vec<u32>,
    pub(crate) reply: SyncSender<Result<Vec<f32>, String>>,
}

/// What the adapter has to do, in its order.
enum Running<'a> {
    Step(Step<'a>),
    Sums(Sums<'a>),
}

/// Sums of one step's states.
struct Sums<'a> {
    jobs: Vec<SumJob>,
    /// None when there are no ranges.
    reading: Option<Reading<'a>>,
}

/// A step on the adapter.
struct Step<'a> {
    jobs: Vec<(Job, usize, Option<Slot>)>,
    states: Option<Arc<Buffer>>,
    reading: Reading<'a>,
}

/// Does what is asked for until nobody can ask any more. Two steps are under way at most, one that computes and one behind it;
/// sums wait behind them without keeping the next step from being prepared.
pub(crate) fn work(model: &Model, requests: &Receiver<Request>) {
    let mut waiting: VecDeque<Job> = VecDeque::new();
    let mut running: VecDeque<Running<'_>> = VecDeque::new();
    loop {
        let is_idle = waiting.is_empty() && running.is_empty();
        let mut sums = Vec::new();
        let mut take = |request| match request {
            Request::Piece(job) => waiting.push_back(job),
            Request::Sum(job) => sums.push(job),
            Request::Read(states, reply) => {
                // Whoever asked may have gone, here and below.
                let _ = reply.send(model.guarded(|| model.read_states(&states.buffer, states.row, states.n)));
            }
        };
        if is_idle {
            match requests.recv() {
                Ok(request) => take(request),
                Err(_) => return,
            }
        }
        requests.try_iter().for_each(&mut take);
        start_sums(model, sums, &mut running);
        let n_steps = running.iter().filter(|running| matches!(running, Running::Step(_))).count();
        if !waiting.is_empty() && (n_steps == 0 || n_steps == 1 && fills(model, &waiting)) {
            running.extend(start(model, take_front(model.capacity, &mut waiting)).map(Running::Step));
        } else {
            match running.pop_front() {
                Some(Running::Step(step)) => finish(model, step),
                Some(Running::Sums(sums)) => finish_sums(model, sums),
                None => {}
            }
        }
    }
}

/// Whether what waits is worth a step behind another: more may come while that computes.
fn fills(model: &Model, waiting: &VecDeque<Job>) -> bool {
    waiting.iter().map(|job| job.piece.n_rows()).sum::<usize>() >= model.capacity / 2
}

/// The jobs in front that fit into `capacity` rows, at least one.
fn take_front(capacity: usize, waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let (mut taken, mut n_rows) = (Vec::new(), 0);
    while let Some(job) = waiting.front() {
        let end = job.piece.start_behind(n_rows) + job.piece.n_rows();
        if end > capacity && !taken.is_empty() {
            break;
        }
        n_rows = end;
        taken.extend(waiting.pop_front());
    }
    taken
}

/// Starts a step; jobs that cannot be started are answered.
fn start(model: &Model, jobs: Vec<Job>) -> Option<Step<'_>> {
    let rows = Rows::pack(jobs.iter().map(|job| &job.piece), model.rotary(), model.layout.head / 2);
    let mut jobs: Vec<(Job, usize, Option<Slot>)> =
        jobs.into_iter().zip(&rows.starts).map(|(job, &row)| (job, row, None)).collect();
    let started = model.guarded(|| {
        for (job, _, slot) in &mut jobs {
            *slot = match std::mem::replace(&mut job.keep, Keep::Nothing) {
                Keep::Nothing => None,
                Keep::First => Some(model.new_slot()),
                Keep::Later(slot) => Some(slot),
            };
        }
        let kept: Vec<KeptRows<'_>> = jobs
            .iter()
            .filter_map(|(job, row, slot)| {
                let (n_kept, n_rows) = (job.piece.n_kept, job.piece.n_rows());
                Some(KeptRows { slot: slot.as_ref()?, row: *row, n_kept, n_rows })
            })
            .collect();
        let reading = model.start(&rows, &kept);
        let wants_states = jobs.iter().any(|(job, ..)| job.wants_states);
        Ok((reading, wants_states.then(|| Arc::new(model.states(rows.tokens.len())))))
    });
    match started {
        Ok((reading, states)) => Some(Step { jobs, states, reading }),
        Err(error) => {
            jobs.into_iter().for_each(|(job, ..)| drop(job.reply.send(Err(error.clone()))));
            None
        }
    }
}

/// Waits for a step and answers its jobs.
fn finish(model: &Model, step: Step<'_>) {
    let read = model.guarded(|| cubecl::future::block_on(step.reading).map_err(|error| brief(&error)));
    let signals = read.map(|bytes| bytes.iter().map(|bytes| floats(bytes)).collect::<Vec<_>>());
    for (job, row, slot) in step.jobs {
        let (first, n) = (row + job.piece.n_kept, job.piece.tokens.len());
        let reply = signals.as_ref().map_err(Clone::clone).and_then(|signals| {
            let logits = match job.wants_logits {
                true => model.guarded(|| model.read_logits(first, n))?,
                false => Vec::new(),
            };
            let buffer = step.states.clone().filter(|_| job.wants_states);
            Ok(Reply {
                entropies: signals[0][first..first + n].to_vec(),
                norms: signals[1][first..first + n].to_vec(),
                states: buffer.map(|buffer| States { buffer, row: first, n }),
                logits,
                slot,
            })
        });
        let _ = job.reply.send(reply);
    }
}

/// Starts sums, those of one step's states together.
fn start_sums<'a>(model: &'a Model, mut jobs: Vec<SumJob>, running: &mut VecDeque<Running<'a>>) {
    while let Some(first) = jobs.first() {
        let buffer = first.states.buffer.clone();
        let (together, others): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| Arc::ptr_eq(&job.states.buffer, &buffer));
        jobs = others;
        let ranges: Vec<u32> = together.iter().flat_map(ranges).collect();
        match model.guarded(|| Ok(model.start_sums(&buffer, &ranges))) {
            Ok(reading) => running.push_back(Running::Sums(Sums { jobs: together, reading })),
            Err(error) => together.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone())))),
        }
    }
}

/// Waits for sums and answers with them.
fn finish_sums(model: &Model, Sums { jobs, reading }: Sums<'_>) {
    let sums = model.guarded(|| match reading {
        Some(reading) => {
            let bytes = cubecl::future::block_on(reading).map_err(|error| brief(&error))?;
            Ok(floats(&bytes[0]))
        }
        None => Ok(Vec::new()),
    });
    let n_ranges: usize = jobs.iter().map(|job| job.ends.len()).sum();
    let width = sums.as_ref().map_or(0, |sums| sums.len() / n_ranges.max(1));
    let mut rest = sums.as_deref().map_err(Clone::clone);
    for job in jobs {
        let own = rest.clone().map(|sums| sums[..job.ends.len() * width].to_vec());
        rest = rest.map(|sums| &sums[job.ends.len() * width..]);
        let _ = job.reply.send(own);
    }
}

/// First and last row of each range, among the rows of its step.
fn ranges(job: &SumJob) -> Vec<u32> {
    let (row, n) = (job.states.row as u32, job.states.n as u32);
    let mut start = 0;
    let range = |&end: &u32| {
        let range = [row + start.min(n), row + end.min(n)];
        start = end;
        range
    };
    job.ends.iter().flat_map(range).collect()
}
