//! One loop that reads captures: progress, the limit, and the telling of what is broken, whatever the messages are read for.

use super::{Capture, CaptureItem, Place};
use crate::replay::Progress;
use chronos_market::Timestamp;

/// Records between two calls of the progress function.
const PROGRESS_RECORDS: u64 = 4_096;

/// A message of a capture.
pub(crate) struct Received<'a> {
    pub(crate) connection: usize,
    pub(crate) recv: Timestamp,
    /// Whose it is, where it does not say so itself.
    pub(crate) symbol: Option<&'a str>,
    pub(crate) message: &'a [u8],
    pub(crate) place: Place,
}

/// Why a record had no effect: a number for records, and in words.
pub(crate) struct Reason {
    pub(crate) code: u8,
    pub(crate) text: String,
}

/// A record that had no effect.
pub(crate) struct Broken<'a> {
    pub(crate) place: Place,
    pub(crate) recv: Timestamp,
    /// Its bytes, or their beginning.
    pub(crate) raw: &'a [u8],
    /// Whether it was a message, and not a line that cannot be cut.
    pub(crate) is_message: bool,
    pub(crate) reason: Reason,
}

/// What captures are read for.
pub(crate) trait CaptureReader {
    /// Whether there is no use in more records. `records` have been read.
    fn is_done(&mut self, records: u64) -> bool;
    /// Takes a message; gives the reason where it has no effect.
    fn take(&mut self, received: &Received<'_>) -> Result<(), Reason>;
    /// Is told of a record that had no effect.
    fn on_broken(&mut self, broken: &Broken<'_>);
}

impl Capture {
    /// Reads on to the end, or so many records. Returns how many were read, and whether the end was reached. `progress` is called at the
    /// beginning and now and then.
    pub(crate) fn read(
        &mut self,
        limit: Option<u64>,
        progress: &mut dyn FnMut(Progress),
        reader: &mut impl CaptureReader,
    ) -> (u64, bool) {
        let mut records = 0;
        loop {
            if records % PROGRESS_RECORDS == 0 {
                progress(Progress::of(self, records));
            }
            if limit.is_some_and(|limit| records >= limit) || reader.is_done(records) {
                return (records, false);
            }
            let Some(item) = self.next() else { return (records, true) };
            records += 1;
            let broken = match item {
                CaptureItem::Message { connection, recv, symbol, message, place } => {
                    match reader.take(&Received { connection, recv, symbol, message, place }) {
                        Ok(()) => continue,
                        Err(reason) => Broken { place, recv, raw: message, is_message: true, reason },
                    }
                }
                CaptureItem::Broken { error, raw, place } => {
                    let reason = Reason { code: error.code(), text: error.to_string() };
                    Broken { place, recv: Timestamp(0), raw, is_message: false, reason }
                }
            };
            reader.on_broken(&broken);
        }
    }
}
