//! One order of a replay, found by replaying up to it.
//!
//! A replay is a function of its input, so the decision behind an order is had again by running as far as the order. What is asked for
//! must be asked of the same captures, configuration, model and meta model; with the journal of the session they are compared, and every
//! record up to the order is.

use crate::assembly::{Assembly, AssemblyOptions, ReplayFused, assemble};
use crate::capture::{Broken, Capture, CaptureReader, Reason, Received};
use crate::config::Config;
use crate::journal::{Beginning, SessionInput};
use crate::meta::MetaDirectory;
use crate::model::ChosenModel;
use crate::replay::{Progress, SessionError};
use chronos_market::OrderId;
use chronos_pipeline::decision::SentOrder;
use chronos_pipeline::journal::Recovery;
use chronos_pipeline::topology::{Fused, Waiting};
use std::path::{Path, PathBuf};

/// Threads of the replay: the hot one and the cold path.
const THREADS: usize = 2;

/// Which order, and of which session.
#[derive(Clone, Copy, Debug)]
pub struct FindOrder<'a> {
    /// The order.
    pub id: OrderId,
    /// Files and folders.
    pub paths: &'a [PathBuf],
    /// Everything that can be set.
    pub config: &'a Config,
    /// The model that judged it.
    pub meta: &'a MetaDirectory,
    /// The journal of the session, to be followed.
    pub journal: Option<&'a Path>,
}

/// An order and its instrument.
#[derive(Clone, PartialEq, Debug)]
pub struct FoundOrder {
    /// Venue and symbol.
    pub instrument: String,
    /// The order, and what it was decided on.
    pub sent: SentOrder,
    /// Records of the journal up to it that were made again, the same to the byte; none where no journal was followed.
    pub records_followed: Option<u64>,
}

/// Why an order was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindOrderError {
    /// The text is no identity of an order.
    #[error("order `{0}`: write session and number, as journal and records have them: 1-17")]
    Identity(String),
    /// The replay, or what it is made from.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The replay sent no such order.
    #[error(
        "order {id} was not sent: this replay sends {orders}; captures, configuration, model and meta model have to be those of the replay \
         the order is from"
    )]
    NotSent {
        /// What was asked for.
        id: OrderId,
        /// Orders it sends, in words.
        orders: String,
    },
}

/// Reads an order's identity: `1-17`.
///
/// # Errors
/// [`FindOrderError::Identity`].
pub fn parse_order_id(text: &str) -> Result<OrderId, FindOrderError> {
    let parts = text.split_once('-').and_then(|(session, number)| Some((session.parse().ok()?, number.parse().ok()?)));
    parts.map(|(session, number)| OrderId::new(session, number)).ok_or_else(|| FindOrderError::Identity(text.to_owned()))
}

/// Replays captures, fused, until the order was sent. `progress` is called now and then.
///
/// # Errors
/// [`FindOrderError`], with the place and the remedy.
pub fn find_order(find: &FindOrder<'_>, progress: &mut dyn FnMut(Progress)) -> Result<FoundOrder, FindOrderError> {
    let found = run(find, progress)?;
    let (id, orders) = (find.id, found.orders);
    let orders =
        if orders == 0 { "none".to_owned() } else { format!("{} to {}", OrderId::new(1, 1), OrderId::new(1, orders as u32)) };
    let sent = found.sent.ok_or(FindOrderError::NotSent { id, orders })?;
    Ok(FoundOrder { instrument: found.instrument, sent, records_followed: found.records_followed })
}

/// How far a replay came.
struct Run {
    sent: Option<SentOrder>,
    instrument: String,
    orders: u64,
    records_followed: Option<u64>,
}

fn run(find: &FindOrder<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Run, SessionError> {
    let FindOrder { id, paths, config, meta, journal } = *find;
    config.validate()?;
    let mut capture = Capture::open(paths, config)?;
    let followed = journal.map(|path| Recovery::open(path).map(|recovery| (recovery, path))).transpose()?;
    let limit = match &followed {
        Some((recovery, _)) => Beginning::read(recovery)?.and_then(|then| then.start.limit),
        None => None,
    };
    let model = ChosenModel::of(config)?;
    let captures: Vec<PathBuf> = capture.files.iter().map(|file| file.path.clone()).collect();
    let options = AssemblyOptions {
        meta: Some(meta),
        watch: Some(id),
        follow: followed.as_ref().map(|(recovery, path)| (recovery, *path)),
        input: SessionInput { captures: &captures, limit, disturbances: "" },
        ..AssemblyOptions::default()
    };
    let waiting = Waiting::for_threads(THREADS);
    let Assembly { ingest, trade, cold, quarantine, .. } =
        assemble(config, &model, &capture.instruments, capture.sources(), waiting, &options)?;
    let mut finder = Finder { fused: Fused::new(ingest, trade) };
    let (records, _) = capture.read(limit, progress, &mut finder);
    progress(Progress::of(&capture, records));
    // What follows the order is not asked about, so neither is whether it is the journal's.
    let difference = finder.fused.trade().difference().cloned();
    let (_, trade) = finder.fused.finish();
    let sent = trade.strategy().watched(&trade.account().view());
    let (orders, error) = (trade.counters().orders, trade.error());
    let records_followed = followed.as_ref().map(|_| trade.records_followed());
    drop((trade, quarantine));
    cold.join()?;
    if let (Some((_, path)), Some(difference)) = (&followed, difference) {
        return Err(SessionError::Different { path: path.to_path_buf(), difference: Box::new(difference) });
    }
    if let (None, Some(error)) = (&sent, error) {
        return Err(error.into());
    }
    let known = sent.as_ref().and_then(|sent| capture.instruments.get(sent.order.instrument.index()));
    let instrument = known.map(|known| format!("{} {}", known.exchange, known.symbol)).unwrap_or_default();
    Ok(Run { sent, instrument, orders, records_followed })
}

/// Runs until the order is found.
struct Finder {
    fused: ReplayFused,
}

impl CaptureReader for Finder {
    fn is_done(&mut self, _records: u64) -> bool {
        let trade = self.fused.trade();
        trade.error().is_some() || trade.strategy().watched(&trade.account().view()).is_some()
    }

    fn take(&mut self, received: &Received<'_>) -> Result<(), Reason> {
        if let Some(symbol) = received.symbol {
            self.fused.set_symbol(received.connection, symbol);
        }
        let taken = self.fused.on_message(received.connection, received.recv, received.message);
        taken.map_err(|error| Reason { code: error.code(), text: error.to_string() })
    }

    fn on_broken(&mut self, _broken: &Broken<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_as_they_are_written() {
        let id = OrderId::new(3, 17);
        assert_eq!(parse_order_id(&id.to_string()).unwrap(), id);
        for text in ["17", "1-", "-1", "1-x", "1-99999999999", ""] {
            assert!(parse_order_id(text).is_err_and(|error| error.to_string().contains("1-17")), "{text}");
        }
    }
}
