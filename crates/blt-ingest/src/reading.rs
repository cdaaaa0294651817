//! The one thread that reads: sources in the order of the plan, a few ahead of the workers. What is done already, from the
//! same bytes and with its outputs still there, is passed over.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::decoding::{guarded, load};
use crate::error::{IngestError, SourceError};
use crate::journal::{Journal, Row, Status};
use crate::plan::{Plan, PlannedSource, SourceKind};
use crate::run::Outcome;
use crate::sequence::{Item, Sequence};
use crate::shards::{Arrival, Place, Shards};
use crate::source::LoadedSource;
use crate::work::{Batch, Ended, Work, hex};

/// A source for the workers.
pub(crate) struct Loaded {
    pub(crate) planned: Arc<PlannedSource>,
    pub(crate) content: LoadedSource,
    /// Where it goes when outputs hold several sources.
    pub(crate) place: Place,
}

/// How long the reader waits before it looks whether the run was stopped.
const PATIENCE: Duration = Duration::from_millis(50);

/// Reads the sources of a plan.
pub(crate) struct Reader<'a> {
    pub(crate) work: &'a Work<'a>,
    pub(crate) plan: &'a Plan,
    /// A connection of this thread's own.
    pub(crate) journal: Journal,
    pub(crate) to_workers: Sender<Loaded>,
    pub(crate) to_journal: Sender<Batch>,
    /// Parts of datasets that could not be read in this run.
    pub(crate) failed_units: RefCell<HashSet<String>>,
}

/// What reading a source gave.
enum Read {
    /// Its bytes.
    Content(LoadedSource),
    /// It has ended already.
    Ended(Ended),
}

/// The run is over before its end.
struct Stopped;

impl Reader<'_> {
    /// Sources whose outputs are their own.
    ///
    /// # Errors
    ///
    /// Fails when the journal cannot be read.
    pub(crate) fn read_documents(self) -> Result<(), IngestError> {
        for item in Sequence::new(self.plan, self.work.cancelled) {
            if self.work.is_stopped() {
                return Ok(());
            }
            let row = self.journal.by_id(&item.planned.id)?;
            let planned = Arc::clone(&item.planned);
            let sent = if self.is_passed_over(&planned, row.as_ref()) {
                self.end(self.resumed(&planned))
            } else {
                match self.read(item) {
                    Read::Content(content) if self.is_done(row.as_ref(), &content) => self.end(self.resumed(&planned)),
                    Read::Content(content) => {
                        self.to_workers.send(Loaded { planned, content, place: Place::default() }).map_err(|_| Stopped)
                    }
                    Read::Ended(ended) => self.end(ended),
                }
            };
            if sent.is_err() {
                return Ok(());
            }
        }
        self.end_of_plan()
    }

    /// Sources that share outputs: so many consecutive ones make a shard. A shard is passed over if all of it is done, and
    /// made anew otherwise. Returns how many there are, once all have been read.
    ///
    /// # Errors
    ///
    /// Fails when the journal cannot be read.
    pub(crate) fn read_shards(
        self,
        shards: &Shards,
        permits: &Receiver<()>,
        to_shards: &Sender<Arrival>,
    ) -> Result<Option<u64>, IngestError> {
        let mut sequence = Sequence::new(self.plan, self.work.cancelled);
        let mut place = Place::default();
        let held = self.journal.sources_by_output()?;
        loop {
            let start = sequence.position();
            if let Some(sources) = self.done_shard(&mut sequence, shards, place.shard, &held)? {
                let n_sources = sources.len();
                for planned in &sources {
                    if self.end(self.resumed(planned)).is_err() {
                        return Ok(None);
                    }
                }
                place.shard += u64::from(n_sources > 0);
                if n_sources < shards.sources_per_shard {
                    return self.end_of_plan().map(|()| Some(place.shard));
                }
                continue;
            }
            if sequence.position() != start {
                sequence.seek(start);
            }
            let mut n_sources = 0;
            while n_sources < shards.sources_per_shard
                && let Some(item) = sequence.next()
            {
                let planned = Arc::clone(&item.planned);
                // Behind the reading, as a row that was read while the run was stopped may have failed for that.
                if self.await_permit(permits).is_err() {
                    return Ok(None);
                }
                let sent = match self.read(item) {
                    Read::Content(content) => {
                        self.to_workers.send(Loaded { planned, content, place }).map_err(|_| Stopped)
                    }
                    Read::Ended(ended) => to_shards.send(Arrival::ended(place, ended)).map_err(|_| Stopped),
                };
                if sent.is_err() {
                    return Ok(None);
                }
                n_sources += 1;
                place.order += 1;
            }
            if n_sources > 0 {
                if self.await_permit(permits).is_err() || to_shards.send(Arrival::end_of_shard(place)).is_err() {
                    return Ok(None);
                }
                place.order += 1;
                place.shard += 1;
            }
            if n_sources < shards.sources_per_shard {
                return self.end_of_plan().map(|()| Some(place.shard));
            }
        }
    }

    /// What an earlier run could not read of the datasets, and this one could, is no failure any more.
    fn end_of_plan(&self) -> Result<(), IngestError> {
        if self.work.options.limit.is_some() {
            return Ok(()); // what lies behind the limit was not tried
        }
        let still = self.failed_units.borrow();
        let is_ours = |source: &String| {
            let mut inputs = self.plan.datasets.iter();
            inputs.any(|input| source.strip_prefix(input.name()).is_some_and(|rest| rest.starts_with('/')))
        };
        let failed = self.journal.failed_units()?.into_iter();
        let healed: Vec<String> =
            failed.filter(|(id, source)| !still.contains(id) && is_ours(source)).map(|(id, _)| id).collect();
        if !healed.is_empty() {
            // That nobody takes it is told by the journal's own error.
            let _ = self.to_journal.send(Batch { healed, ..Batch::default() });
        }
        Ok(())
    }

    /// Waits until so few sources are between reader and outputs that another may join them.
    fn await_permit(&self, permits: &Receiver<()>) -> Result<(), Stopped> {
        loop {
            match permits.recv_timeout(PATIENCE) {
                _ if self.work.is_stopped() => return Err(Stopped),
                Ok(()) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
            }
        }
    }

    fn end(&self, ended: Ended) -> Result<(), Stopped> {
        self.to_journal.send(Batch::of(ended, Vec::new())).map_err(|_| Stopped)
    }

    fn resumed(&self, planned: &Arc<PlannedSource>) -> Ended {
        self.work.observer.advanced(planned.n_bytes);
        Ended { source: Arc::clone(planned), outcome: Outcome::Resumed, row: None }
    }

    fn read(&self, Item { planned, content }: Item) -> Read {
        let work = self.work;
        let loaded = match content {
            Some(content) => {
                if matches!(content, Err(SourceError::Table(_))) && planned.id.starts_with("unit_") {
                    self.failed_units.borrow_mut().insert(planned.id.clone());
                }
                content.map(Ok)
            }
            None => work.timed(|seconds| &mut seconds.read, || guarded(|| load(work.options, &planned, work.partial))),
        };
        match loaded {
            Ok(Ok(content)) => Read::Content(content),
            Ok(Err(reason)) => Read::Ended(Ended::skipped(planned, reason)),
            Err(error) => Read::Ended(Ended::failed(planned, None, error)),
        }
    }

    /// Whether the source is not even read: only failed ones are tried, and this is none.
    fn is_passed_over(&self, planned: &PlannedSource, row: Option<&Row>) -> bool {
        let failed = match row {
            Some(row) => row.status == Status::Failed,
            // Rows that an earlier run could not read are not in the journal one by one.
            None => matches!(planned.kind, SourceKind::Row),
        };
        self.work.options.only_failed && !failed
    }

    /// Whether an earlier run made this source's outputs from the same bytes, and they are still there.
    fn is_done(&self, row: Option<&Row>, content: &LoadedSource) -> bool {
        row.is_some_and(|row| {
            row.status == Status::Done
                && !row.outputs.is_empty()
                && row.sha256.as_deref() == Some(&hex(&content.sha256))
                && row.outputs.iter().all(|name| self.work.options.output.join(name).is_file())
        })
    }

    /// The sources of shard `number`, if an earlier run made it of exactly these. `held` says how many each shard has.
    fn done_shard(
        &self,
        sequence: &mut Sequence<'_>,
        shards: &Shards,
        number: u64,
        held: &HashMap<String, u64>,
    ) -> Result<Option<Vec<Arc<PlannedSource>>>, IngestError> {
        let names = shards.names(number);
        let is_there = |name: &String| self.work.options.output.join(name).is_file();
        if !names.iter().all(is_there) || self.journal.output_file(&names[0])?.is_none() {
            return Ok(None);
        }
        let mut sources = Vec::new();
        let mut n_here = 0;
        while sources.len() < shards.sources_per_shard
            && let Some(item) = sequence.next()
        {
            if self.work.is_stopped() {
                return Ok(None); // and nothing is made either
            }
            let planned = Arc::clone(&item.planned);
            let row = self.journal.by_id(&planned.id)?;
            let is_in_it = row.as_ref().is_some_and(|row| row.outputs == names);
            n_here += u64::from(is_in_it);
            let is_as_before = if self.work.options.only_failed {
                let is_elsewhere = row.as_ref().is_some_and(|row| !is_in_it && !row.outputs.is_empty());
                self.is_passed_over(&planned, row.as_ref()) && !is_elsewhere
            } else {
                match self.read(item) {
                    Read::Content(content) => self.is_done(row.as_ref(), &content) && is_in_it,
                    Read::Ended(Ended { outcome: Outcome::Skipped(_), .. }) => {
                        row.is_some_and(|row| row.status == Status::Skipped)
                    }
                    Read::Ended(_) => false,
                }
            };
            if !is_as_before {
                return Ok(None);
            }
            sources.push(planned);
        }
        // What was there and is no more must go; but a limit leaves out what it does not say is gone.
        let is_cut = self.work.options.limit.is_some() && sources.len() < shards.sources_per_shard;
        let has_others = n_here != held.get(&names[0]).copied().unwrap_or(0);
        Ok((is_cut || !has_others).then_some(sources))
    }
}
