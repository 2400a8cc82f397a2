//! The thread: drains, answers, records, and rests when there is nothing to do.

use crate::blocks::BlockCirculation;
use crate::error::{ColdError, Part};
use crate::links::ColdLinks;
use crate::quarantine::{QUARANTINE_FILE_BYTES_MAX, Quarantine};
use crate::regime::{RegimeConfig, RegimeEstimator, embedding};
use crate::store::{ParquetSink, RecordConfig, Sink, StoreError};
use chronos_market::{ColdRecord, InstrumentId, ParameterBlock, Regime, Window};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

/// The instrument whose samples make the regime: the session's first. Samples of others are counted and otherwise ignored.
const REGIME_INSTRUMENT: InstrumentId = InstrumentId(0);

/// Records read between two looks at the other rings.
const CHUNK_RECORDS: usize = 4096;

/// What the cold path is to do.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ColdConfig {
    /// How the regime is told.
    pub regime: RegimeConfig,
    /// Where to record; `None` records nothing.
    pub record: Option<RecordConfig>,
    /// File of malformed messages, appended to. `None`: `quarantine.txt` in the folder of `record`, or nowhere without one.
    pub quarantine: Option<PathBuf>,
    /// For tests: a seed with which the thread reads in portions of random length and dawdles between them.
    pub delay: Option<u64>,
}

/// What the cold path did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ColdSummary {
    /// Records taken from the hot path.
    pub records: u64,
    /// Rows in whole segments.
    pub rows_written: u64,
    /// The whole segments, in the order they were completed.
    pub segments: Vec<PathBuf>,
    /// Windows answered.
    pub windows: u64,
    /// Of these, how many in each regime, in the order of [`Regime::ALL`].
    pub regimes: [u64; Regime::ALL.len()],
    /// Samples whose mid was not finite or not above 0.
    pub samples_refused: u64,
    /// Malformed messages kept in the quarantine file.
    pub quarantined: u64,
    /// Malformed messages that came and were not kept: no file, or it is full or failed.
    pub quarantine_dropped: u64,
}

/// The cold path.
#[derive(Clone, Copy, Debug)]
pub struct ColdPath;

impl ColdPath {
    /// Starts the thread. It ends when the hot side has dropped both of its producers, `records` and `quarantine`, and all that
    /// was in them is done.
    ///
    /// # Errors
    /// A setting is out of range, the record folder is refused, or there is no thread to be had. On an error `links` are gone,
    /// and the hot side sees its ends abandoned.
    pub fn start(config: ColdConfig, links: ColdLinks) -> Result<ColdHandle, ColdError> {
        let sink = match &config.record {
            Some(record) => Some(Box::new(ParquetSink::create(record)?) as Box<dyn Sink>),
            None => None,
        };
        start_with_sink(config, sink, links)
    }
}

/// Starts the thread with any sink.
fn start_with_sink(config: ColdConfig, sink: Option<Box<dyn Sink>>, links: ColdLinks) -> Result<ColdHandle, ColdError> {
    let estimator = RegimeEstimator::new(config.regime.clone())?;
    let quarantine_path = config.quarantine.or_else(|| Some(config.record?.folder.join("quarantine.txt")));
    let worker = Worker {
        estimator,
        size_scale: config.regime.size_scale,
        blocks: BlockCirculation::new(links.blocks, links.retired),
        quarantine: Quarantine::new(links.quarantine, quarantine_path, QUARANTINE_FILE_BYTES_MAX),
        sink,
        store_error: None,
        summary: ColdSummary::default(),
    };
    let rest = Rest { idle: 0, delay: config.delay.map(fastrand::Rng::with_seed) };
    let records = links.records;
    let thread = std::thread::Builder::new().name("chronos-cold".to_string());
    let thread = thread.spawn(move || supervise(|part| worker.run(records, rest, part))).map_err(ColdError::Spawn)?;
    Ok(ColdHandle { thread })
}

/// The running cold path.
#[must_use = "what went wrong on the cold path is told by join alone"]
#[derive(Debug)]
pub struct ColdHandle {
    thread: JoinHandle<Result<ColdSummary, ColdError>>,
}

impl ColdHandle {
    /// Waits for the end, which the hot side brings about by dropping its producers: drop them first.
    ///
    /// # Errors
    /// [`ColdError::Incomplete`] where storing failed, [`ColdError::Panicked`] where the thread did.
    pub fn join(self) -> Result<ColdSummary, ColdError> {
        self.thread.join().unwrap_or_else(|panic| Err(panicked(Part::Links, panic.as_ref())))
    }

    /// Whether the thread has ended, which before the hot side's end means that it failed.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Runs the work and turns a panic into an error. All that the work owns is dropped on the way, so the hot side sees its ends
/// abandoned and does not wait for a block that will never come.
fn supervise(work: impl FnOnce(&Cell<Part>) -> Result<ColdSummary, ColdError>) -> Result<ColdSummary, ColdError> {
    let part = Cell::new(Part::Links);
    catch_unwind(AssertUnwindSafe(|| work(&part))).unwrap_or_else(|panic| Err(panicked(part.get(), panic.as_ref())))
}

fn panicked(part: Part, panic: &(dyn Any + Send)) -> ColdError {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_string(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_string(),
    };
    ColdError::Panicked { part, message }
}

struct Worker {
    estimator: RegimeEstimator,
    size_scale: [f64; Regime::ALL.len()],
    blocks: BlockCirculation,
    quarantine: Quarantine,
    /// `None` where nothing is recorded, or nothing any more.
    sink: Option<Box<dyn Sink>>,
    /// Why recording stopped.
    store_error: Option<StoreError>,
    summary: ColdSummary,
}

impl Worker {
    fn run(mut self, mut records: rtrb::Consumer<ColdRecord>, mut rest: Rest, part: &Cell<Part>) -> Result<ColdSummary, ColdError> {
        loop {
            part.set(Part::Links);
            let portion = rest.portion().min(records.slots());
            // Before the reads: what was pushed before a producer went is still read below or in the next round.
            let is_over = records.is_abandoned() && records.slots() == 0 && self.quarantine.is_over();
            if let Ok(chunk) = records.read_chunk(portion) {
                let (first, second) = chunk.as_slices();
                for record in first.iter().chain(second) {
                    self.take(record, part);
                }
                chunk.commit_all();
            }
            part.set(Part::Quarantine);
            let kept = self.quarantine.drain();
            part.set(Part::Links);
            let sent = self.blocks.deliver();
            if is_over {
                break;
            }
            rest.after_round(portion > 0 || kept || sent);
        }
        part.set(Part::Recording);
        self.close_sink();
        self.finish()
    }

    fn take(&mut self, record: &ColdRecord, part: &Cell<Part>) {
        self.summary.records += 1;
        match *record {
            ColdRecord::Sample { recv, instrument, mid } => {
                part.set(Part::Regime);
                if instrument == REGIME_INSTRUMENT && !self.estimator.on_sample(recv, mid) {
                    self.summary.samples_refused += 1;
                }
            }
            ColdRecord::WindowEnd(window) => {
                part.set(Part::Regime);
                let block = self.answer(window);
                part.set(Part::Links);
                self.blocks.send(block);
            }
            ColdRecord::Market(_) | ColdRecord::Order { .. } | ColdRecord::Report(_) | ColdRecord::Decision(_) => {
                part.set(Part::Recording);
                let Some(sink) = &mut self.sink else { return };
                if let Err(error) = sink.write(record) {
                    self.store_error = Some(error);
                    self.close_sink();
                }
            }
        }
    }

    fn answer(&mut self, window: Window) -> ParameterBlock {
        let assessment = self.estimator.on_window_end(window);
        let regime = assessment.regime;
        self.summary.windows += 1;
        self.summary.regimes[regime as usize] += 1;
        ParameterBlock {
            seq: self.summary.windows,
            window,
            regime,
            size_scale: self.size_scale[regime as usize],
            embedding: embedding(&assessment),
        }
    }

    /// Completes what is recorded; nothing is recorded after.
    fn close_sink(&mut self) {
        let Some(mut sink) = self.sink.take() else { return };
        if let Err(error) = sink.finish() {
            self.store_error.get_or_insert(error);
        }
        let written = sink.written();
        self.summary.rows_written = written.rows;
        self.summary.segments = written.segments;
    }

    fn finish(mut self) -> Result<ColdSummary, ColdError> {
        self.summary.quarantined = self.quarantine.kept;
        self.summary.quarantine_dropped = self.quarantine.dropped;
        let errors: Vec<StoreError> = self.store_error.into_iter().chain(self.quarantine.error).collect();
        match errors.is_empty() {
            true => Ok(self.summary),
            false => Err(ColdError::Incomplete { errors, summary: Box::new(self.summary) }),
        }
    }
}

/// When the thread rests, and how much it reads at once: scheduling alone, with no part in what it answers.
struct Rest {
    /// Rounds without anything to do.
    idle: u32,
    /// The dawdling of tests.
    delay: Option<fastrand::Rng>,
}

impl Rest {
    /// Most records to read in this round.
    fn portion(&mut self) -> usize {
        match &mut self.delay {
            Some(rng) => rng.usize(0..200),
            None => CHUNK_RECORDS,
        }
    }

    /// Spins for about a microsecond, yields a few times, then sleeps, longer and longer up to about half a millisecond, so that
    /// an idle thread costs next to nothing and the hot side waits little for its block.
    fn after_round(&mut self, did_something: bool) {
        if let Some(rng) = &mut self.delay {
            match rng.u32(0..8) {
                0 => std::thread::sleep(Duration::from_micros(rng.u64(0..2_000))),
                1..4 => std::thread::yield_now(),
                _ => {}
            }
        }
        self.idle = if did_something { 0 } else { self.idle.saturating_add(1) };
        match self.idle {
            0 => {}
            1..32 => std::hint::spin_loop(),
            32..48 => std::thread::yield_now(),
            idle => std::thread::sleep(Duration::from_micros(32 << ((idle - 48) / 4).min(4))),
        }
    }
}

#[cfg(test)]
mod tests;
