//! What somebody does to a session by hand, from a file: orders to the system and other limits, each at its place among the lines of the
//! captures or at its time.
//!
//! ```toml
//! [[control]]
//! at = 5000                          # after so many lines of the captures
//! do = "halt"                        # no new orders; or "reduce": only what makes positions smaller
//!
//! [[control]]
//! at = 9000
//! do = "resume"                      # lifts what holds the whole system, whatever latched it
//!
//! [[control]]
//! at = 9000
//! do = "kill"                        # no new orders in one part; "restore" trades there again
//! symbol = "BTCUSDT"                 # or `venue`, or both; or `strategy`, a number
//!
//! [[control]]
//! at = 12000
//! limits = { collar_bps = 20 }       # keys of [risk]; what is not named stays as it is then
//! ```
//!
//! In place of a number of lines `at` may be a time, as `2024-08-08T23:54:20.5Z`: what is done then comes after every message received by
//! then and before the next one. A file has the one or the other, in order. All of it is journaled, and part of what a replay of the
//! journal does again.

use crate::config::{Config, RiskSection, unknown_key_remedy};
use chronos_market::decode::iso_ns;
use chronos_market::{Exchange, Instrument, InstrumentId, Timestamp};
use chronos_pipeline::decision::{Control, STRATEGIES_MAX, Scope, StrategyId};
use chronos_pipeline::topology::ByHand;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::{Spanned, Table, Value};

/// Something done by hand, as an order to the system or other limits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DoneByHand {
    /// When.
    pub at: Moment,
    /// What is done.
    pub what: ByHand,
}

/// A place between two messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// After so many lines, at the time of the last of them.
    AfterLines(u64),
    /// At this logical time, after every message received by then.
    Time(Timestamp),
}

/// Why a file of controls was refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlsError {
    /// It could not be read.
    #[error("controls {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or not of `[[control]]` entries.
    #[error("controls {path}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the reader said, with the line.
        message: String,
    },
    /// An entry that makes no sense.
    #[error("controls {path}, line {line}: {message}", path = path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The line its entry begins in, from 1.
        line: usize,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// A replay that follows a journal does what that has.
    #[error("controls {path}: with `--journal` what is done by hand comes from the journal; leave `--controls` out", path = path.display())]
    Following {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    control: Vec<Spanned<Table>>,
}

/// Reads a file for a session of these instruments, whose limits are at first those of `config`.
///
/// # Errors
/// [`ControlsError`], with the place and the remedy.
pub fn read_controls(path: &Path, config: &Config, instruments: &[Instrument]) -> Result<Vec<DoneByHand>, ControlsError> {
    let text = std::fs::read_to_string(path).map_err(|source| ControlsError::Read { path: path.to_owned(), source })?;
    let file: File =
        toml::from_str(&text).map_err(|error| ControlsError::Syntax { path: path.to_owned(), message: error.to_string() })?;
    let mut session = Session { config: config.clone(), instruments };
    let mut done: Vec<DoneByHand> = Vec::new();
    for entry in &file.control {
        let before = done.last().map(|done| done.at);
        let read = session.entry(entry.get_ref()).and_then(|next| in_order(before, next.at).map(|()| next));
        let line = text.get(..entry.span().start).unwrap_or_default().matches('\n').count() + 1;
        done.push(read.map_err(|message| ControlsError::Entry { path: path.to_owned(), line, message })?);
    }
    Ok(done)
}

fn in_order(before: Option<Moment>, at: Moment) -> Result<(), String> {
    match (before, at) {
        (Some(Moment::AfterLines(before)), Moment::AfterLines(lines)) if lines < before => {
            Err(format!("`at` goes back from {before} to {lines} lines; put the entries in order"))
        }
        (Some(Moment::Time(before)), Moment::Time(time)) if time < before => {
            Err("`at` is before that of the entry before; put the entries in order".into())
        }
        (Some(Moment::AfterLines(_)), Moment::Time(_)) | (Some(Moment::Time(_)), Moment::AfterLines(_)) => {
            Err("`at` is a time in one entry and a number of lines in another; a file has the one or the other".into())
        }
        _ => Ok(()),
    }
}

/// What names in a file mean.
struct Session<'a> {
    /// With the limits of the entries so far.
    config: Config,
    instruments: &'a [Instrument],
}

const KEYS: [&str; 6] = ["at", "do", "symbol", "venue", "strategy", "limits"];
const CONTROLS: [&str; 5] = ["halt", "reduce", "resume", "kill", "restore"];

impl Session<'_> {
    fn entry(&mut self, entry: &Table) -> Result<DoneByHand, String> {
        if let Some(key) = entry.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key `{key}`; {}", unknown_key_remedy(key, &KEYS)));
        }
        let at = moment(entry.get("at"))?;
        let what = match (entry.get("do"), entry.get("limits")) {
            (Some(Value::String(name)), None) => ByHand::Control(self.control(name, entry)?),
            (None, Some(Value::Table(changes))) => {
                if ["symbol", "venue", "strategy"].iter().any(|part| entry.contains_key(*part)) {
                    return Err("`limits` are those of the whole session; leave the part out".into());
                }
                self.limits(changes)?
            }
            (Some(_), None) => return Err(format!("`do` is one of {}", CONTROLS.join(", "))),
            (None, Some(_)) => return Err("`limits` is a table of keys of [risk], as `{ collar_bps = 20 }`".into()),
            _ => return Err("it has either `do` or `limits`".into()),
        };
        Ok(DoneByHand { at, what })
    }

    fn control(&self, name: &str, entry: &Table) -> Result<Control, String> {
        let scope = self.scope(entry)?;
        match (name, scope) {
            ("halt", None) => Ok(Control::Halt),
            ("reduce", None) => Ok(Control::Reduce),
            ("resume", None) => Ok(Control::Resume),
            ("kill", Some(scope)) => Ok(Control::Kill(scope)),
            ("restore", Some(scope)) => Ok(Control::Restore(scope)),
            ("kill", None) => Err("`kill` needs a part: `symbol`, `venue` or `strategy`; `halt` stops all".into()),
            ("restore", None) => Err("`restore` needs a part: `symbol`, `venue` or `strategy`; `resume` is for all".into()),
            ("halt" | "reduce", Some(_)) => Err(format!("`{name}` is for all; `kill` stops a part")),
            ("resume", Some(_)) => Err("`resume` is for all; `restore` trades in a part again".into()),
            _ => Err(format!("`do` is `{name}`; {}", unknown_key_remedy(name, &CONTROLS))),
        }
    }

    fn scope(&self, entry: &Table) -> Result<Option<Scope>, String> {
        let text = |key: &'static str| match entry.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{key}` is a text")),
        };
        let venue = text("venue")?.map(|name| self.venue(name)).transpose()?;
        match (text("symbol")?, venue, entry.get("strategy")) {
            (None, None, None) => Ok(None),
            (Some(symbol), venue, None) => self.instrument(symbol, venue).map(Scope::Instrument).map(Some),
            (None, Some(venue), None) => Ok(Some(Scope::Venue(venue))),
            (None, None, Some(strategy)) => {
                let number = strategy.as_integer().and_then(|number| u16::try_from(number).ok());
                let number = number.filter(|number| usize::from(*number) < STRATEGIES_MAX);
                let number = number.ok_or_else(|| format!("`strategy` is a number, 0 to {}", STRATEGIES_MAX - 1))?;
                Ok(Some(Scope::Strategy(StrategyId(number))))
            }
            _ => Err("it names a strategy beside another part; write an entry for each".into()),
        }
    }

    fn venue(&self, name: &str) -> Result<Exchange, String> {
        let venues = || self.instruments.iter().map(|instrument| instrument.exchange);
        venues().find(|venue| venue.name() == name).ok_or_else(|| {
            let names: BTreeSet<&str> = venues().map(Exchange::name).collect();
            let names: Vec<&str> = names.into_iter().collect();
            format!("venue `{name}` is none of this session; {}", unknown_key_remedy(name, &names))
        })
    }

    fn instrument(&self, symbol: &str, venue: Option<Exchange>) -> Result<InstrumentId, String> {
        let of_venue = |instrument: &&Instrument| venue.is_none_or(|venue| instrument.exchange == venue);
        let known = self.instruments.iter().enumerate().filter(|(_, instrument)| of_venue(instrument));
        let mut named = known.clone().filter(|(_, instrument)| instrument.symbol == symbol);
        match (named.next(), named.next()) {
            (Some((id, _)), None) => Ok(InstrumentId(id as u16)),
            (Some((_, one)), Some((_, other))) => {
                Err(format!("symbol `{symbol}` is on {} and on {}; name the `venue` too", one.exchange, other.exchange))
            }
            (None, _) => {
                let names: Vec<&str> = known.map(|(_, instrument)| instrument.symbol.as_str()).collect();
                Err(format!("symbol `{symbol}` is none of this session; {}", unknown_key_remedy(symbol, &names)))
            }
        }
    }

    /// The limits that are in force from this entry on.
    fn limits(&mut self, changes: &Table) -> Result<ByHand, String> {
        let mut section = Table::try_from(&self.config.risk).map_err(|error| error.to_string())?;
        for (key, value) in changes {
            if !section.contains_key(key) {
                let names: Vec<&str> = section.keys().map(String::as_str).collect();
                return Err(format!("unknown limit `{key}`; {}", unknown_key_remedy(key, &names)));
            }
            section.insert(key.clone(), value.clone());
        }
        self.config.risk = section.try_into::<RiskSection>().map_err(|error| format!("limits: {}", error.message()))?;
        self.config.validate().map_err(|error| error.to_string())?;
        Ok(ByHand::Limits(self.config.limits(self.instruments)))
    }
}

fn moment(at: Option<&Value>) -> Result<Moment, String> {
    let expected = "a number of lines, or a time as `2024-08-08T23:54:20.5Z`";
    let time = |text: &str| iso_ns(text).map(|nanos| Moment::Time(Timestamp(nanos)));
    let Some(at) = at else { return Err(format!("`at` is missing: {expected}")) };
    let moment = match at {
        Value::Integer(lines) => u64::try_from(*lines).ok().map(Moment::AfterLines),
        Value::String(text) => time(text),
        Value::Datetime(datetime) => time(&datetime.to_string()),
        _ => None,
    };
    moment.ok_or_else(|| format!("`at` is {at}, not {expected}"))
}

/// The entries that are still to come, in order.
#[derive(Debug)]
pub(crate) struct Schedule {
    entries: std::vec::IntoIter<DoneByHand>,
}

impl Schedule {
    pub(crate) fn new(entries: Vec<DoneByHand>) -> Schedule {
        Schedule { entries: entries.into_iter() }
    }

    /// What is to be done next of all that comes after at most so many lines, or before a message received at `recv`; and at what time,
    /// where that is not the present one.
    #[inline]
    pub(crate) fn next_due(&mut self, lines: u64, recv: Timestamp) -> Option<(Option<Timestamp>, ByHand)> {
        let DoneByHand { at, .. } = self.entries.as_slice().first()?;
        let is_due = match at {
            Moment::AfterLines(after) => *after <= lines,
            Moment::Time(time) => *time < recv,
        };
        let done = if is_due { self.entries.next()? } else { return None };
        let time = if let Moment::Time(time) = done.at { Some(time) } else { None };
        Some((time, done.what))
    }

    /// How many are still to come.
    pub(crate) fn left(&self) -> usize {
        self.entries.as_slice().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Contract, Price, Qty};
    use chronos_pipeline::risk::RiskLimits;

    fn instruments() -> Vec<Instrument> {
        let of = |(exchange, symbol): (Exchange, &str)| Instrument {
            exchange,
            symbol: symbol.into(),
            tick: Price(1),
            lot: Qty(1),
            contract: Contract::spot(),
        };
        [(Exchange::BinanceUsdm, "BTCUSDT"), (Exchange::BinanceUsdm, "ETHUSDT"), (Exchange::BybitLinear, "ETHUSDT")]
            .map(of)
            .to_vec()
    }

    fn read(text: &str) -> Result<Vec<DoneByHand>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("controls.toml");
        std::fs::write(&path, text).unwrap();
        let told = read_controls(&path, &Config::default(), &instruments()).map_err(|error| error.to_string());
        told.map_err(|error| error.replace(&path.display().to_string(), "c.toml"))
    }

    #[test]
    fn every_control_and_limits_that_add_up() {
        let done = read(
            "# a comment\n[[control]]\nat = 5\ndo = \"halt\"\n[[control]]\nat = 5\ndo = \"reduce\"\n[[control]]\nat = 6\ndo = \"resume\"\n\
             [[control]]\nat = 7\ndo = \"kill\"\nsymbol = \"BTCUSDT\"\n[[control]]\nat = 7\ndo = \"kill\"\nsymbol = \"ETHUSDT\"\n\
             venue = \"bybit-linear\"\n[[control]]\nat = 8\ndo = \"restore\"\nvenue = \"bybit-linear\"\n[[control]]\nat = 9\n\
             do = \"kill\"\nstrategy = 3\n[[control]]\nat = 10\nlimits = { collar_bps = 20 }\n[[control]]\nat = 11\n\
             limits = { order_notional_quote_max = 500, cancel_on_halt = false }\n",
        );
        let done = done.unwrap();
        let scopes = [
            Scope::Instrument(InstrumentId(0)),
            Scope::Instrument(InstrumentId(2)),
            Scope::Venue(Exchange::BybitLinear),
            Scope::Strategy(StrategyId(3)),
        ];
        let controls = [
            Control::Halt,
            Control::Reduce,
            Control::Resume,
            Control::Kill(scopes[0]),
            Control::Kill(scopes[1]),
            Control::Restore(scopes[2]),
            Control::Kill(scopes[3]),
        ];
        assert_eq!(done[..7].iter().map(|done| done.what).collect::<Vec<_>>(), controls.map(ByHand::Control));
        let lines: Vec<Moment> = done.iter().map(|done| done.at).collect();
        assert_eq!(lines, [5, 5, 6, 7, 7, 8, 9, 10, 11].map(Moment::AfterLines));
        let changed = |place: usize| {
            let ByHand::Limits(limits) = done[place].what else { panic!("limits at {place}") };
            let began = Config::default().limits(&instruments());
            began.changes(&limits).map(|change| change.name()).collect::<Vec<_>>()
        };
        assert_eq!(changed(7), ["collar_bps"]);
        assert_eq!(changed(8), ["order_notional_quote_max", "collar_bps", "cancel_on_halt"]);
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn times_are_read_as_text_and_as_toml_has_them() {
        let at = Moment::Time(Timestamp(1_723_161_260_500_000_000));
        for text in ["\"2024-08-08T23:54:20.5Z\"", "2024-08-08T23:54:20.5Z"] {
            let done = read(&format!("[[control]]\nat = {text}\ndo = \"halt\"\n")).unwrap();
            assert_eq!(done, [DoneByHand { at, what: ByHand::Control(Control::Halt) }]);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line_and_the_remedy() {
        let entry = |rest: &str| format!("\n[[control]]\nat = 5\n{rest}\n");
        for (text, told) in [
            (entry("do = \"hlt\""), "line 2: `do` is `hlt`; did you mean `halt`?"),
            (entry("do = 7"), "line 2: `do` is one of halt, reduce, resume, kill, restore"),
            (entry("doo = \"halt\""), "line 2: unknown key `doo`; did you mean `do`?"),
            (entry(""), "line 2: it has either `do` or `limits`"),
            (entry("do = \"halt\"\nlimits = { collar_bps = 1 }"), "line 2: it has either `do` or `limits`"),
            (entry("do = \"kill\""), "line 2: `kill` needs a part"),
            (entry("do = \"restore\""), "line 2: `restore` needs a part"),
            (entry("do = \"halt\"\nsymbol = \"BTCUSDT\""), "line 2: `halt` is for all; `kill` stops a part"),
            (entry("do = \"resume\"\nstrategy = 0"), "line 2: `resume` is for all"),
            (entry("do = \"kill\"\nsymbol = \"BTCUSD\""), "symbol `BTCUSD` is none of this session; did you mean `BTCUSDT`?"),
            (entry("do = \"kill\"\nsymbol = \"ETHUSDT\""), "is on binance-usdm and on bybit-linear; name the `venue` too"),
            (entry("do = \"kill\"\nsymbol = \"BTCUSDT\"\nvenue = \"bybit-linear\""), "symbol `BTCUSDT` is none of this session"),
            (entry("do = \"kill\"\nvenue = \"kraken\""), "venue `kraken` is none of this session"),
            (entry("do = \"kill\"\nstrategy = 64"), "`strategy` is a number, 0 to 63"),
            (entry("do = \"kill\"\nstrategy = 0\nvenue = \"bybit-linear\""), "it names a strategy beside another part"),
            (entry("limits = { collr_bps = 20 }"), "line 2: unknown limit `collr_bps`; did you mean `collar_bps`?"),
            (entry("limits = { collar_bps = -1 }"), "`risk.collar_bps` must be 0 to 10000"),
            (entry("limits = { collar_bps = \"x\" }"), "line 2: limits: "),
            (entry("limits = 3"), "`limits` is a table of keys of [risk]"),
            (entry("limits = { collar_bps = 1 }\nvenue = \"bybit-linear\""), "leave the part out"),
            (entry("do = \"halt\"").replace('5', "-5"), "`at` is -5, not a number of lines"),
            (entry("do = \"halt\"").replace('5', "1.5"), "`at` is 1.5, not a number of lines"),
            (entry("do = \"halt\"").replace('5', "2024-08-08T23:54:20"), "not a number of lines, or a time as"),
            (entry("do = \"halt\"").replace("at = 5", ""), "line 2: `at` is missing"),
            (entry("do = \"halt\"") + "[[control]]\nat = 4\ndo = \"halt\"\n", "line 5: `at` goes back from 5 to 4 lines"),
            (entry("do = \"halt\"") + "[[control]]\nat = 2024-08-08T23:54:20Z\ndo = \"halt\"\n", "line 5: `at` is a time in one"),
            ("[[controls]]\n".into(), "controls c.toml: "),
            ("at = \n".into(), "line 1"),
        ] {
            let error = read(&text).expect_err(&text);
            assert!(error.starts_with("controls c.toml") && error.contains(told), "{text}: {error}");
        }
        let back = ["2024-08-08T23:54:20Z", "2024-08-08T23:54:19Z"].map(|at| format!("[[control]]\nat = {at}\ndo = \"halt\"\n"));
        assert!(read(&back.concat()).is_err_and(|error| error.contains("line 4: `at` is before that of the entry before")));
        let missing = read_controls(Path::new("/no/such/file"), &Config::default(), &[]).expect_err("no file").to_string();
        assert!(missing.contains("/no/such/file"), "{missing}");
    }

    #[test]
    fn each_is_due_once_in_order() {
        let what = |bps| ByHand::Limits(RiskLimits { collar_bps: bps, ..RiskLimits::default() });
        let of = |at: [Moment; 3]| {
            let entries = at.into_iter().zip(1..).map(|(at, bps)| DoneByHand { at, what: what(bps) });
            Schedule::new(entries.collect())
        };
        let never = Timestamp::MIN;
        let mut by_lines = of([0, 2, 2].map(Moment::AfterLines));
        assert_eq!(by_lines.next_due(0, never), Some((None, what(1))));
        assert_eq!(by_lines.next_due(1, Timestamp::MAX), None);
        assert_eq!(by_lines.next_due(5, never), Some((None, what(2))));
        assert_eq!((by_lines.left(), by_lines.next_due(5, never), by_lines.next_due(5, never)), (1, Some((None, what(3))), None));
        let time = |nanos| Moment::Time(Timestamp(nanos));
        let mut by_time = of([time(5), time(7), time(9)]);
        assert_eq!(by_time.next_due(u64::MAX, Timestamp(5)), None, "a message of that very time comes first");
        assert_eq!(by_time.next_due(0, Timestamp(8)), Some((Some(Timestamp(5)), what(1))));
        assert_eq!(by_time.next_due(0, Timestamp(8)), Some((Some(Timestamp(7)), what(2))));
        assert_eq!((by_time.next_due(0, Timestamp(8)), by_time.left()), (None, 1));
    }
}
