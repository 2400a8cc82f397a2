//! Features of captures, without trading: a row for each decision tick, as a model would see it.

use crate::capture::{Broken, Capture, CaptureReader, Place, Reason, Received};
use crate::config::Config;
use crate::replay::{Progress, SessionError};
use chronos_coldpath::store::{FeatureTable, StoreError};
use chronos_market::features::registry;
use chronos_market::{Frame, Instrument, MarketEvent};
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::{Crossing, Ingest, IngestConfig};
use serde::Serialize;
use std::path::PathBuf;

/// Version of [`FeaturesReport`]'s fields.
pub const FEATURES_SCHEMA: u32 = 1;

/// What to compute.
#[derive(Clone, Debug, Default)]
pub struct FeaturesOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Decision ticks, features and instruments are read of it.
    pub config: Config,
    /// The table to write, `.parquet` or `.csv`; `None` for the statistics alone.
    pub out: Option<PathBuf>,
    /// Stop after so many lines.
    pub limit: Option<u64>,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeaturesReport {
    /// [`FEATURES_SCHEMA`].
    pub schema: u32,
    /// Lines read.
    pub messages: u64,
    /// Lines that had no effect.
    pub malformed: u64,
    /// Rows: decision ticks of all instruments, those of the warm-up too.
    pub rows: u64,
    /// What each instrument is called in the table.
    pub instruments: Vec<String>,
    /// Each feature over all rows, in registry order.
    pub features: Vec<FeatureStatistics>,
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// One feature over all rows; the numbers are 0 where there is no row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeatureStatistics {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: String,
    /// Mean.
    pub mean: f64,
    /// Standard deviation, with one degree of freedom taken off; 0 below two rows.
    pub std: f64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

/// Computes the features of captures. `progress` is called now and then.
///
/// # Errors
/// [`SessionError`], with the place and the remedy. A broken line is no error: it is counted and told in the notices.
pub fn write_features(options: &FeaturesOptions, progress: &mut dyn FnMut(Progress)) -> Result<FeaturesReport, SessionError> {
    let begin = |instruments: &[Instrument]| {
        let names = instruments.iter().map(name).collect();
        let table = options.out.as_ref().map(|path| FeatureTable::create(path, names)).transpose()?;
        Ok(Rows { table, error: None, count: 0, moments: vec![Moments::default(); registry().len()] })
    };
    let is_over = |rows: &Rows| rows.error.is_some();
    let (rows, followed) = follow(&options.paths, &options.config, options.limit, begin, is_over, progress)?;
    let Rows { table, error, count, moments } = rows;
    let Followed { messages, malformed, instruments, mut notices, .. } = followed;
    if count == 0 {
        notices.push(
            "no row: no book came into sync, or no decision tick was due; `chronos inspect` tells what the files hold".into(),
        );
    }
    if let Some(error) = error {
        return Err(error.into());
    }
    if let Some(table) = table {
        table.finish()?;
    }
    let features = registry().iter().zip(&moments).map(|(spec, moments)| moments.statistics(spec.name, spec.unit.to_string()));
    let features = features.collect();
    Ok(FeaturesReport { schema: FEATURES_SCHEMA, messages, malformed, rows: count, instruments, features, notices })
}

/// What [`follow`] met.
#[derive(Clone, PartialEq, Debug)]
pub struct Followed {
    /// Lines read.
    pub messages: u64,
    /// Lines that had no effect.
    pub malformed: u64,
    /// Receive time of the last message, nanoseconds since the epoch; the least number there is before the first.
    pub last_recv_ns: i64,
    /// Venue and symbol of each instrument.
    pub instruments: Vec<String>,
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// Takes captures through decoding, books, features and decision ticks, and hands every event and every tick to what `begin` makes once
/// the instruments are known. It ends after `limit` lines, or when `is_over` says so. `progress` is called now and then.
///
/// # Errors
/// [`SessionError`], with the place and the remedy. A broken line is no error: it is counted and told in the notices.
pub fn follow<C: Crossing>(
    paths: &[PathBuf],
    config: &Config,
    limit: Option<u64>,
    begin: impl FnOnce(&[Instrument]) -> Result<C, SessionError>,
    is_over: impl Fn(&C) -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(C, Followed), SessionError> {
    config.validate()?;
    let mut capture = Capture::open(paths, config)?;
    let out = begin(&capture.instruments)?;
    let ingest_config = IngestConfig {
        tick: config.tick(),
        features: config.features(),
        verify: false,
        cold_start: config.cold_start(),
        levels: config.levels(),
    };
    let ingest = Ingest::new(&capture.instruments, capture.sources(), &ingest_config);
    let instruments = capture.instruments.iter().map(name).collect();
    let mut reader = Follower { ingest, out, is_over, malformed: 0, first: None, last_recv_ns: i64::MIN };
    let (messages, _) = capture.read(limit, progress, &mut reader);
    let Follower { mut ingest, mut out, mut malformed, first, last_recv_ns, .. } = reader;
    let mut notices = Vec::new();
    if let Some((place, reason)) = first {
        let path = capture.files.get(place.file).map(|file| file.path.display().to_string()).unwrap_or_default();
        notices.push(format!("{path}, line {}: {reason}; the first line that had no effect", place.line));
    }
    ingest.finish(&mut out);
    malformed += ingest.end_errors().len() as u64;
    notices.extend(ingest.end_errors().iter().map(|(_, error)| format!("what a feed still held at the end: {error}")));
    progress(Progress::of(&capture, messages));
    notices.extend(capture.notices());
    for file in &capture.files {
        if let Some(damage) = &file.damage {
            notices.push(format!("{}: cut off or damaged ({damage}); what came before was used", file.path.display()));
        }
    }
    Ok((out, Followed { messages, malformed, last_recv_ns, instruments, notices }))
}

/// What an instrument is called in tables.
fn name(instrument: &Instrument) -> String {
    format!("{} {}", instrument.exchange, instrument.symbol)
}

/// Hands what is read of captures to `out`.
struct Follower<C, F> {
    ingest: Ingest,
    out: C,
    is_over: F,
    malformed: u64,
    /// The first line that had no effect, and why.
    first: Option<(Place, String)>,
    last_recv_ns: i64,
}

impl<C: Crossing, F: Fn(&C) -> bool> CaptureReader for Follower<C, F> {
    fn is_done(&mut self, _records: u64) -> bool {
        (self.is_over)(&self.out)
    }

    fn take(&mut self, received: &Received<'_>) -> Result<(), Reason> {
        if let Some(symbol) = received.symbol {
            self.ingest.set_symbol(received.connection, symbol);
        }
        self.last_recv_ns = self.last_recv_ns.max(received.recv.0);
        self.ingest.advance(received.recv, &mut self.out);
        let taken = self.ingest.on_message(received.connection, received.message, &mut self.out);
        taken.map_err(|error| Reason { code: error.code(), text: error.to_string() })
    }

    fn on_broken(&mut self, broken: &Broken<'_>) {
        self.malformed += 1;
        self.first.get_or_insert_with(|| (broken.place, broken.reason.text.clone()));
    }
}

/// Takes the frames.
struct Rows {
    table: Option<FeatureTable>,
    error: Option<StoreError>,
    count: u64,
    moments: Vec<Moments>,
}

impl Crossing for Rows {
    fn event(&mut self, _event: &MarketEvent) {}

    fn frame(&mut self, frame: &Frame, _started: Started) {
        self.count += 1;
        for (moments, value) in self.moments.iter_mut().zip(frame.features) {
            moments.add(value, self.count);
        }
        if let (Some(table), None) = (&mut self.table, &self.error) {
            self.error = table.push(frame).err();
        }
    }
}

/// Running mean and sum of squares (Welford, "Note on a method for calculating corrected sums of squares and products", 1962).
#[derive(Clone, Copy, Default)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Moments {
    fn add(&mut self, value: f64, count: u64) {
        let before = value - self.mean;
        self.mean += before / count as f64;
        self.squares += before * (value - self.mean);
        (self.min, self.max) = if count == 1 { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        self.count = count;
    }

    fn statistics(&self, name: &'static str, unit: String) -> FeatureStatistics {
        let std = if self.count < 2 { 0.0 } else { (self.squares / (self.count - 1) as f64).sqrt() };
        FeatureStatistics { name, unit, mean: self.mean, std, min: self.min, max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_the_definition() {
        let values = [3.0, -1.0, 4.0, 1.5];
        let mut moments = Moments::default();
        for (place, value) in values.into_iter().enumerate() {
            moments.add(value, place as u64 + 1);
        }
        let got = moments.statistics("x", String::new());
        // Sum 7.5; squared differences from 1.875 sum to 14.1875.
        assert!((got.mean - 1.875).abs() < 1e-12 && (got.std - (14.1875_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((got.min, got.max), (-1.0, 4.0));
    }
}
