//! Features of captures, without trading: a row for each decision tick, as a model would see it.

use crate::capture::{Capture, CaptureItem};
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
/// Lines between two calls of the progress function.
const PROGRESS_LINES: u64 = 4_096;

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
    let mut out = begin(&capture.instruments)?;
    let ingest_config = IngestConfig { tick: config.tick(), features: config.features(), verify: false };
    let mut ingest = Ingest::new(&capture.instruments, capture.sources(), &ingest_config);
    let instruments = capture.instruments.iter().map(name).collect();
    let mut followed = Followed { messages: 0, malformed: 0, last_recv_ns: i64::MIN, instruments, notices: Vec::new() };
    while followed.messages < limit.unwrap_or(u64::MAX) && !is_over(&out) {
        if followed.messages.is_multiple_of(PROGRESS_LINES) {
            progress(Progress::of(&capture, followed.messages));
        }
        let Some(item) = capture.next() else { break };
        followed.messages += 1;
        let (place, reason) = match item {
            CaptureItem::Message { connection, recv, symbol, message, place } => {
                if let Some(symbol) = symbol {
                    ingest.set_symbol(connection, symbol);
                }
                ingest.advance(recv, &mut out);
                followed.last_recv_ns = followed.last_recv_ns.max(recv.0);
                match ingest.on_message(connection, message, &mut out) {
                    Ok(()) => continue,
                    Err(error) => (place, error.to_string()),
                }
            }
            CaptureItem::Broken { error, place, .. } => (place, error.to_string()),
        };
        if followed.malformed == 0 {
            let path = capture.files.get(place.file).map(|file| file.path.display().to_string()).unwrap_or_default();
            followed.notices.push(format!("{path}, line {}: {reason}; the first line that had no effect", place.line));
        }
        followed.malformed += 1;
    }
    ingest.finish(&mut out);
    progress(Progress::of(&capture, followed.messages));
    for file in &capture.files {
        if let Some(damage) = &file.damage {
            followed.notices.push(format!("{}: cut off or damaged ({damage}); what came before was used", file.path.display()));
        }
    }
    Ok((out, followed))
}

/// What an instrument is called in tables.
fn name(instrument: &Instrument) -> String {
    format!("{} {}", instrument.exchange, instrument.symbol)
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
