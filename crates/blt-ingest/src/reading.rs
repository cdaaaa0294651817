//! The one thread that reads: sources in the order of the plan, a few ahead of the workers. What is done already, from the
//! same bytes and with its outputs still there, is passed over.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::decoding::{guarded, load};
use crate::error::IngestError;
use crate::journal::{Journal, Row, Status};
use crate::plan::{Plan, PlannedSource};
use crate::run::Outcome;
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
        for planned in &self.plan.sources {
            if self.work.is_stopped() {
                return Ok(());
            }
            let row = self.journal.by_id(&planned.id)?;
            let sent = if self.is_passed_over(row.as_ref()) {
                self.work.observer.advanced(planned.n_bytes);
                self.end(resumed(planned))
            } else {
                match self.read(planned) {
                    Read::Content(content) if self.is_done(row.as_ref(), &content) => {
                        self.work.observer.advanced(content.n_bytes);
                        self.end(resumed(planned))
                    }
                    Read::Content(content) => {
                        let loaded = Loaded { planned: Arc::clone(planned), content, place: Place::default() };
                        self.to_workers.send(loaded).map_err(|_| Stopped)
                    }
                    Read::Ended(ended) => self.end(ended),
                }
            };
            if sent.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sources that share outputs: so many consecutive ones make a shard. A shard is passed over if all of it is done, and
    /// made anew otherwise.
    ///
    /// # Errors
    ///
    /// Fails when the journal cannot be read.
    pub(crate) fn read_shards(
        self,
        shards: &Shards,
        permits: &Receiver<()>,
        to_shards: &Sender<Arrival>,
    ) -> Result<(), IngestError> {
        let mut order = 0;
        for (number, sources) in self.plan.sources.chunks(shards.sources_per_shard).enumerate() {
            if self.is_shard_done(sources, &shards.names(number as u64))? {
                for planned in sources {
                    self.work.observer.advanced(planned.n_bytes);
                    if self.end(resumed(planned)).is_err() {
                        return Ok(());
                    }
                }
                continue;
            }
            for (i, planned) in sources.iter().enumerate() {
                let place = Place { order, shard: number as u64, is_last: i + 1 == sources.len() };
                order += 1;
                if self.await_permit(permits).is_err() {
                    return Ok(());
                }
                let sent = match self.read(planned) {
                    Read::Content(content) => self
                        .to_workers
                        .send(Loaded { planned: Arc::clone(planned), content, place })
                        .map_err(|_| Stopped),
                    Read::Ended(ended) => to_shards.send(Arrival::ended(place, ended)).map_err(|_| Stopped),
                };
                if sent.is_err() {
                    return Ok(());
                }
            }
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

    fn read(&self, planned: &Arc<PlannedSource>) -> Read {
        let work = self.work;
        let loaded = work.timed(|seconds| &mut seconds.read, || guarded(|| load(work.options, planned, work.partial)));
        match loaded {
            Ok(Ok(content)) => Read::Content(content),
            Ok(Err(reason)) => Read::Ended(Ended::skipped(Arc::clone(planned), reason)),
            Err(error) => Read::Ended(Ended::failed(Arc::clone(planned), None, error)),
        }
    }

    /// Whether the source is not even read: only failed ones are tried, and this is none.
    fn is_passed_over(&self, row: Option<&Row>) -> bool {
        self.work.options.only_failed && row.is_none_or(|row| row.status != Status::Failed)
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

    /// Whether an earlier run made the shard `names` of exactly these sources.
    fn is_shard_done(&self, sources: &[Arc<PlannedSource>], names: &[String]) -> Result<bool, IngestError> {
        let is_there = |name: &String| self.work.options.output.join(name).is_file();
        if !names.iter().all(is_there) || self.journal.output_file(&names[0])?.is_none() {
            return Ok(false);
        }
        let rows = sources.iter().map(|planned| self.journal.by_id(&planned.id)).collect::<Result<Vec<_>, _>>()?;
        if self.work.options.only_failed {
            return Ok(!rows.iter().flatten().any(|row| row.status == Status::Failed));
        }
        for (planned, row) in sources.iter().zip(&rows) {
            if self.work.is_stopped() {
                return Ok(false); // and nothing is made either
            }
            let is_same = match self.read(planned) {
                Read::Content(content) => {
                    self.is_done(row.as_ref(), &content) && row.as_ref().is_some_and(|row| row.outputs == names)
                }
                Read::Ended(Ended { outcome: Outcome::Skipped(_), .. }) => {
                    row.as_ref().is_some_and(|row| row.status == Status::Skipped)
                }
                Read::Ended(_) => false,
            };
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn resumed(planned: &Arc<PlannedSource>) -> Ended {
    Ended { source: Arc::clone(planned), outcome: Outcome::Resumed, row: None }
}
