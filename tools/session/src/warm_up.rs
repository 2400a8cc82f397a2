//! A warm hot path before the first message: code, branch predictors and page tables, with no trace in what follows.

use crate::assembly::{Assembly, AssemblyOptions, ReplayFused, assemble};
use crate::capture::{Capture, CaptureItem};
use crate::config::Config;
use crate::meta::MetaDirectory;
use crate::model::ChosenModel;
use crate::replay::SessionError;
use chronos_coldpath::ColdHandle;
use chronos_pipeline::topology::{Fused, Waiting};
use std::path::PathBuf;

/// A copy of the hot path that takes the first lines of a capture and is thrown away. The session's own parts are not touched, so
/// its orders cannot depend on it; what the two share is the machine.
pub(crate) struct WarmUp {
    capture: Capture,
    fused: ReplayFused,
    cold: ColdHandle,
    quarantine: rtrb::Producer<u8>,
    lines: u64,
}

impl WarmUp {
    /// Makes the copy; `None` where none is asked for.
    ///
    /// # Errors
    /// [`SessionError`], with the place and the remedy.
    pub(crate) fn prepare(
        paths: &[PathBuf],
        config: &Config,
        model: &ChosenModel,
        meta: Option<&MetaDirectory>,
        waiting: Waiting,
    ) -> Result<Option<WarmUp>, SessionError> {
        let lines = config.topology.warm_up_lines;
        if lines == 0 {
            return Ok(None);
        }
        let capture = Capture::open(paths, config)?;
        let options = AssemblyOptions { meta, ..AssemblyOptions::default() };
        let Assembly { ingest, trade, cold, quarantine, .. } =
            assemble(config, model, &capture.instruments, capture.sources(), waiting, &options)?;
        Ok(Some(WarmUp { capture, fused: Fused::new(ingest, trade), cold, quarantine, lines }))
    }

    /// Takes the lines, on the thread that will be hot.
    ///
    /// # Errors
    /// [`SessionError::Cold`] where the copy's cold path failed.
    pub(crate) fn run(mut self) -> Result<(), SessionError> {
        for _ in 0..self.lines {
            match self.capture.next() {
                Some(CaptureItem::Message { connection, recv, symbol, message, .. }) => {
                    if let Some(symbol) = symbol {
                        self.fused.set_symbol(connection, symbol);
                    }
                    // A line that cannot be used is told when its turn comes.
                    let _ = self.fused.on_message(connection, recv, message);
                }
                Some(CaptureItem::Broken { .. }) => {}
                None => break,
            }
        }
        let (_, trade) = self.fused.finish();
        drop((trade, self.quarantine));
        self.cold.join()?;
        Ok(())
    }
}
