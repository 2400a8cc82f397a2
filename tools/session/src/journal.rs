//! What the journal of a session begins with, and whether a replay may follow it.

use crate::config::Config;
use crate::meta::MetaDirectory;
use crate::model::ChosenModel;
use chronos_market::{Instrument, InstrumentId};
use chronos_pipeline::journal::{
    AppendError, CaptureFile, Content, Journal, JournalError, JournaledInstrument, Record, RecordKind, Recovery, SessionStart,
};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a capture hashed at once.
const HASHED_BYTES: usize = 1 << 20;

/// What a session is fed with.
#[derive(Clone, Copy, Default, Debug)]
pub struct SessionInput<'a> {
    /// The files of the captures, in the order they are read.
    pub captures: &'a [PathBuf],
    /// Lines after which the session is to stop; `None` for all.
    pub limit: Option<u64>,
    /// What is done to the messages on the way, in words: books dropped, faults injected. Empty where nothing is.
    pub disturbances: &'a str,
}

/// Everything an order depends on that is not in the journal itself: its first records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// Configuration, model, engine.
    pub start: SessionStart,
    /// The instruments, by id.
    pub instruments: Vec<JournaledInstrument>,
    /// The captures, in the order they are read.
    pub captures: Vec<CaptureFile>,
}

/// Why a replay cannot follow a journal.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It does not begin as a session's journal does.
    #[error("journal {path}: it does not begin with the beginning of a session; there is nothing to follow", path = path.display())]
    NoBeginning {
        /// The journal.
        path: PathBuf,
    },
    /// The replay is set up in another way than the session was.
    #[error("journal {path}: {what} is not that of the session: it was {then}, and is {now} here; {remedy}", path = path.display())]
    Other {
        /// The journal.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As the journal has it.
        then: String,
        /// As it is here.
        now: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl Beginning {
    /// The beginning of a session.
    ///
    /// # Errors
    /// [`JournalError::Io`] where a capture cannot be read.
    pub fn of(
        session: u32,
        config: &Config,
        model: &ChosenModel,
        meta: Option<&MetaDirectory>,
        engine: &str,
        instruments: &[Instrument],
        input: &SessionInput<'_>,
    ) -> Result<Beginning, JournalError> {
        let start = SessionStart {
            session,
            config_hash: config.decision_hash(input.disturbances),
            model_sha256: model.directory().map_or([0; 32], |model| bytes_of_hex(&model.manifest.model.sha256)),
            meta_sha256: meta.map_or([0; 32], |meta| bytes_of_hex(&meta.manifest.meta.sha256)),
            limit: input.limit,
            engine: engine.to_owned(),
        };
        let capture = |path: &PathBuf| capture_file(path).map_err(|source| JournalError::Io { path: path.clone(), source });
        let instruments = instruments.iter().enumerate();
        Ok(Beginning {
            start,
            instruments: instruments.map(|(id, known)| JournaledInstrument::of(InstrumentId(id as u16), known)).collect(),
            captures: input.captures.iter().map(capture).collect::<Result<_, _>>()?,
        })
    }

    /// Reads the beginning of a journal; `None` where it has none.
    ///
    /// # Errors
    /// [`JournalError`] where a segment cannot be read any more.
    pub fn read(journal: &Recovery) -> Result<Option<Beginning>, JournalError> {
        let mut reader = journal.reader();
        let Some(Content::SessionStart(start)) = reader.next()?.and_then(|record| Content::of(&record)) else { return Ok(None) };
        let mut beginning = Beginning { start, instruments: Vec::new(), captures: Vec::new() };
        while let Some(record) = reader.next()? {
            match Content::of(&record) {
                Some(Content::Instrument(instrument)) => beginning.instruments.push(instrument),
                Some(Content::Capture(capture)) => beginning.captures.push(capture),
                _ => break,
            }
        }
        Ok(Some(beginning))
    }

    /// Writes it. Its records have the time 0.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn write(&self, journal: &mut Journal) -> Result<(), AppendError> {
        self.records().into_iter().try_for_each(|(kind, payload)| journal.append(kind, 0, &payload))
    }

    /// An identity of the session made from all of it: the same replay has the same, and so the same journal to the byte.
    pub fn session_id(&self) -> u64 {
        let mut hash = Sha256::new();
        for (kind, payload) in self.records() {
            hash.update([kind as u8]);
            hash.update(payload);
        }
        u64::from_le_bytes(hash.finalize().first_chunk().copied().unwrap_or_default())
    }

    /// Whether a replay that begins like this may follow a journal that begins like `then`.
    ///
    /// # Errors
    /// [`FollowError::Other`] names the first thing that differs.
    pub fn check(&self, then: &Beginning, path: &Path) -> Result<(), FollowError> {
        let differs = |what, then: String, now: String, remedy| {
            if then == now { Ok(()) } else { Err(FollowError::Other { path: path.to_owned(), what, then, now, remedy }) }
        };
        let captures = |beginning: &Beginning| beginning.captures.iter().map(describe_capture).collect::<Vec<_>>().join(", ");
        let instruments =
            |beginning: &Beginning| beginning.instruments.iter().map(describe_instrument).collect::<Vec<_>>().join(", ");
        let limit = |beginning: &Beginning| beginning.start.limit.map_or("none".to_owned(), |limit| limit.to_string());
        let (own, old) = (&self.start, &then.start);
        differs("the capture", captures(then), captures(self), "name the same files")?;
        differs("the set of instruments", instruments(then), instruments(self), "use the same configuration and `--symbols`")?;
        differs("the limit of lines", limit(then), limit(self), "leave `--limit` out")?;
        differs("the model", hex(&old.model_sha256), hex(&own.model_sha256), "use the same `--model` and `--seed`")?;
        differs("the meta model", hex(&old.meta_sha256), hex(&own.meta_sha256), "use the same `--meta`")?;
        differs("the engine of the model", old.engine.clone(), own.engine.clone(), "use the same `--engine`")?;
        differs("the configuration", hex(&old.config_hash), hex(&own.config_hash), "use the same `--config` and options")?;
        differs("the number", old.session.to_string(), own.session.to_string(), "use the same build")
    }

    fn records(&self) -> Vec<(RecordKind, Vec<u8>)> {
        let mut records = vec![(RecordKind::SessionStart, self.start.to_bytes())];
        records.extend(self.instruments.iter().map(|instrument| (RecordKind::Instrument, instrument.to_bytes())));
        records.extend(self.captures.iter().map(|capture| (RecordKind::Capture, capture.to_bytes())));
        // As it will be read back: a long text is cut.
        debug_assert!(
            records.iter().all(|(kind, payload)| Content::of(&Record { kind: *kind, seq: 1, recv_ns: 0, payload }).is_some())
        );
        records
    }
}

fn describe_capture(capture: &CaptureFile) -> String {
    format!("{} ({} bytes, sha256 {})", capture.name, capture.bytes, hex(&capture.sha256))
}

fn describe_instrument(instrument: &JournaledInstrument) -> String {
    let JournaledInstrument { venue, symbol, tick, lot, contract, .. } = instrument;
    format!("{venue} {symbol} (tick {tick}, lot {lot}, {contract:?})")
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from lower-case hex; zeros where it is none.
fn bytes_of_hex(text: &str) -> [u8; 32] {
    let byte = |at: usize| text.get(at * 2..at * 2 + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0);
    std::array::from_fn(byte)
}

fn capture_file(path: &Path) -> io::Result<CaptureFile> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; HASHED_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(CaptureFile { bytes, sha256: hash.finalize().into(), name })
}
