//! Ticks of captures, as a replay of them has them.

use super::{RegimeFollower, Ticks, TicksError};
use chronos_market::features::{FEATURE_COUNT, registry};
use chronos_market::{BookState, EventKind, Frame, Instrument, MarketEvent, REGIME_EMBEDDING, Timestamp};
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::Crossing;
use chronos_session::config::Config;
use chronos_session::features::{Followed, follow};
use chronos_session::{Progress, SessionError};
use std::path::PathBuf;

/// Takes captures, which continue each other as in a replay, through decoding, books and features, and keeps every decision tick of their
/// one instrument. Ticks, features, instruments and the regime's windows are those of `config`. It ends after `limit` lines.
///
/// # Errors
/// [`TicksError`]: the captures, several instruments, no tick.
pub fn observe_ticks(
    paths: &[PathBuf],
    config: &Config,
    limit: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Ticks, Followed), TicksError> {
    // Windows that make no sense are refused by the configuration's own check, with the key.
    config.validate().map_err(SessionError::from)?;
    let regime = RegimeFollower::new(config.windows())
        .map_err(|error| TicksError::Unfit { message: format!("config: `parameters.window_ms`: {error}") })?;
    let begin = |instruments: &[Instrument]| {
        let features = registry().iter().map(|spec| (spec.name.to_owned(), spec.version)).collect();
        let ticks = Ticks { tick: config.tick(), features, regimes: vec![[0.0; REGIME_EMBEDDING]], ..Ticks::default() };
        Ok(Observer { instruments: instruments.len(), is_broken: true, ticks, regime })
    };
    let (observer, followed) = follow(paths, config, limit, begin, |observer| observer.instruments != 1, progress)?;
    if observer.instruments != 1 {
        return Err(TicksError::Instruments { instruments: followed.instruments.join(", ") });
    }
    let mut ticks = observer.ticks;
    ticks.instrument = followed.instruments.first().cloned().unwrap_or_default();
    if ticks.rows() == 0 {
        return Err(TicksError::NoTick { instrument: ticks.instrument });
    }
    Ok((ticks, followed))
}

/// Takes the ticks.
struct Observer {
    instruments: usize,
    /// Whether the next tick begins a segment.
    is_broken: bool,
    ticks: Ticks,
    regime: RegimeFollower,
}

impl Crossing for Observer {
    fn event(&mut self, event: &MarketEvent) {
        // As the trade group does: a state belongs to an unbroken book.
        if matches!(event.kind, EventKind::BookSynced | EventKind::BookStale) {
            self.is_broken = true;
        }
    }

    fn frame(&mut self, frame: &Frame, _started: Started) {
        let (ticks, now) = (&mut self.ticks, Timestamp(frame.recv_ns));
        if std::mem::take(&mut self.is_broken) {
            ticks.starts.push(ticks.times_ns.len());
        }
        let embedding = self.regime.at(now);
        if ticks.regimes.last() != Some(embedding) {
            ticks.regimes.push(*embedding);
        }
        ticks.regime_of.push(ticks.regimes.len() as u32 - 1);
        let has_mid = frame.book == BookState::Synced && frame.bbo.is_two_sided();
        let mid = if has_mid { frame.bbo.mid() } else { f64::NAN };
        if has_mid {
            self.regime.on_mid(now, mid);
        }
        ticks.times_ns.push(frame.recv_ns);
        ticks.elapsed_s.push((frame.elapsed_ns as f64 * 1e-9) as f32);
        ticks.mids.push(mid);
        ticks.values.extend(frame.features[..FEATURE_COUNT].iter().map(|value| *value as f32));
        ticks.is_warm.push(frame.warmup_left == 0 && has_mid);
    }
}
