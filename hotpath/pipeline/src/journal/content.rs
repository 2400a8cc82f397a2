//! What the payload of each kind of record says.

use super::record::{Record, RecordKind};
use crate::decision::{CONTROL_BYTES, Control, TimerId};
use crate::risk::{CHANGE_BYTES_MAX, LimitChange, LimitsRecord, StateChange};
use crate::topology::Overrun;
use chronos_market::{
    COMMAND_BYTES, Contract, ExecutionReport, Instrument, InstrumentId, OrderCommand, OrderId, ParameterBlock, Price, Qty,
    REPORT_BYTES, Regime, SubmitError, Timestamp, read_canonical_command, read_canonical_report,
};
use sha2::{Digest, Sha256};

/// Longest text in a record; what is beyond is cut.
const TEXT_MAX: usize = 255;

/// A record's payload, read. Integers are little-endian, a text is its length (u8) and its bytes, a hash 32 bytes.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// [`canonical_command`](chronos_market::canonical_command).
    Order {
        /// When it was sent.
        now: Timestamp,
        /// The command.
        command: OrderCommand,
    },
    /// [`canonical_report`](chronos_market::canonical_report), entry u64.
    Report {
        /// Place among everything the trade group took in: events, frames, reports, timers, window ends, parameters, and what
        /// was done by hand.
        entry: u64,
        /// The report.
        report: ExecutionReport,
    },
    /// Window's index i64, effective i64, regime u8, seq u64, hash of the block u64.
    Parameters {
        /// Number of the window they come from.
        window: i64,
        /// When they were to take effect.
        effective: Timestamp,
        /// The regime they name.
        regime: Regime,
        /// The block's place among the session's.
        seq: u64,
        /// First eight bytes of the SHA-256 of the whole block.
        hash: u64,
    },
    /// Number u16.
    Timer(TimerId),
    /// [`StateChange::to_bytes`].
    State(StateChange),
    /// Seq u64, instrument u16.
    Skip {
        /// `seq` of the frame.
        seq: u64,
        /// Its instrument.
        instrument: InstrumentId,
    },
    /// [`LimitsRecord`], entry u64.
    Limits {
        /// Hash of the block before the change, and of the one after it.
        hashes: [[u8; 32]; 2],
        /// The changed fields.
        changes: Vec<LimitChange>,
        /// As for a report.
        entry: u64,
    },
    /// [`Control::to_bytes`], entry u64.
    Control {
        /// What was ordered.
        control: Control,
        /// As for a report.
        entry: u64,
    },
    /// See [`DroppedRecord`].
    Dropped(DroppedRecord),
    /// Source u16, messages u64.
    Overrun {
        /// Number of the source whose messages were lost.
        source: u16,
        /// Messages that ingest had taken by then, of all sources.
        messages: u64,
    },
    /// Order u64, cancel u8, reason u8.
    Unsent {
        /// The order.
        order: OrderId,
        /// Whether it was to be cancelled and not placed.
        is_cancel: bool,
        /// Why it did not leave.
        reason: UnsentReason,
    },
    /// See [`SessionStart`].
    SessionStart(SessionStart),
    /// See [`JournaledInstrument`].
    Instrument(JournaledInstrument),
    /// See [`CaptureFile`].
    Capture(CaptureFile),
    /// See [`SessionEnd`].
    SessionEnd(SessionEnd),
}

/// What the cold path was not told, because its ring was full: what u8 (0 sample, 1 window's end), number 8 bytes, instrument u16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DroppedRecord {
    /// The sample of a frame.
    Sample {
        /// `seq` of the frame.
        seq: u64,
        /// Its instrument.
        instrument: InstrumentId,
    },
    /// The end of a window, of which no parameters came.
    WindowEnd {
        /// Number of the window.
        window: i64,
    },
}

/// Why a command did not leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnsentReason {
    /// It could not be encoded.
    Encode,
    /// The venue's side of the wire refused it.
    Submit(SubmitError),
}

/// How a session began: session number u32, config hash, model hash, meta model's hash, lines at most u64 (0: all), engine text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionStart {
    /// Number of the session, the high half of every order id.
    pub session: u32,
    /// SHA-256 of every setting that can change an order.
    pub config_hash: [u8; 32],
    /// SHA-256 of the model; zeros without one.
    pub model_sha256: [u8; 32],
    /// SHA-256 of the meta model; zeros without one.
    pub meta_sha256: [u8; 32],
    /// Lines after which the session was to stop; `None` for all.
    pub limit: Option<u64>,
    /// What ran the model; `none` without one.
    pub engine: String,
}

/// An instrument: id u16, tick i64, lot i64, inverse u8, size of a contract i64, venue text, symbol text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournaledInstrument {
    /// Its number in this session.
    pub id: InstrumentId,
    /// Price step.
    pub tick: Price,
    /// Quantity step.
    pub lot: Qty,
    /// Linear or inverse.
    pub contract: Contract,
    /// The venue's name.
    pub venue: String,
    /// The venue's symbol.
    pub symbol: String,
}

/// A file of market data: bytes u64, hash, name text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaptureFile {
    /// Its length on the disk.
    pub bytes: u64,
    /// SHA-256 of its bytes on the disk.
    pub sha256: [u8; 32],
    /// Its name without the folder.
    pub name: String,
}

/// How a session ended: digest (32 bytes), orders u64, cancels u64, fills u64, entries u64, error u8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionEnd {
    /// SHA-256 over the canonical bytes of every order and report.
    pub digest: [u8; 32],
    /// Orders sent.
    pub orders: u64,
    /// Cancels sent.
    pub cancels: u64,
    /// Fills.
    pub fills: u64,
    /// Everything the trade group took in.
    pub entries: u64,
    /// Code of the [`TradeError`](crate::topology::TradeError) that stopped it; 0 where none did.
    pub error: u8,
}

impl Content {
    /// Reads a record's payload; `None` where it has not the shape of its kind.
    pub fn of(record: &Record<'_>) -> Option<Content> {
        let mut fields = Fields(record.payload);
        let content = match record.kind {
            RecordKind::Order => {
                let (now, command) = read_canonical_command(fields.array::<COMMAND_BYTES>()?)?;
                Content::Order { now, command }
            }
            RecordKind::Report => {
                Content::Report { report: read_canonical_report(fields.array::<REPORT_BYTES>()?)?, entry: fields.unsigned()? }
            }
            RecordKind::Parameters => Content::Parameters {
                window: fields.signed()?,
                effective: Timestamp(fields.signed()?),
                regime: one_of(&Regime::ALL, fields.byte()?)?,
                seq: fields.unsigned()?,
                hash: fields.unsigned()?,
            },
            RecordKind::Timer => Content::Timer(TimerId(fields.short()?)),
            RecordKind::State => Content::State(StateChange::from_bytes(fields.array()?)?),
            RecordKind::Skip => Content::Skip { seq: fields.unsigned()?, instrument: InstrumentId(fields.short()?) },
            RecordKind::Limits => {
                let limits = LimitsRecord::from_bytes(fields.all_but_last::<8>()?)?;
                Content::Limits { hashes: limits.hashes(), changes: limits.changes().collect(), entry: fields.unsigned()? }
            }
            RecordKind::Control => {
                Content::Control { control: Control::from_bytes(fields.array::<CONTROL_BYTES>()?)?, entry: fields.unsigned()? }
            }
            RecordKind::Dropped => {
                let (what, number, instrument) = (fields.byte()?, *fields.array()?, InstrumentId(fields.short()?));
                Content::Dropped(match (what, instrument.0) {
                    (0, _) => DroppedRecord::Sample { seq: u64::from_le_bytes(number), instrument },
                    (1, 0) => DroppedRecord::WindowEnd { window: i64::from_le_bytes(number) },
                    _ => return None,
                })
            }
            RecordKind::Overrun => Content::Overrun { source: fields.short()?, messages: fields.unsigned()? },
            RecordKind::Unsent => Content::Unsent {
                order: OrderId(fields.unsigned()?),
                is_cancel: fields.byte()? == 1,
                reason: one_of(&UnsentReason::ALL, fields.byte()?)?,
            },
            RecordKind::SessionStart => Content::SessionStart(SessionStart {
                session: u32::from_le_bytes(*fields.array()?),
                config_hash: *fields.array()?,
                model_sha256: *fields.array()?,
                meta_sha256: *fields.array()?,
                limit: Some(fields.unsigned()?).filter(|&limit| limit != 0),
                engine: fields.text()?,
            }),
            RecordKind::Instrument => Content::Instrument(JournaledInstrument {
                id: InstrumentId(fields.short()?),
                tick: Price(fields.signed()?),
                lot: Qty(fields.signed()?),
                contract: match (fields.byte()?, fields.signed()?) {
                    (0, multiplier) => Contract::Linear { multiplier: Qty(multiplier) },
                    (1, contract_quote) => Contract::Inverse { contract_quote: Price(contract_quote) },
                    _ => return None,
                },
                venue: fields.text()?,
                symbol: fields.text()?,
            }),
            RecordKind::Capture => {
                Content::Capture(CaptureFile { bytes: fields.unsigned()?, sha256: *fields.array()?, name: fields.text()? })
            }
            RecordKind::SessionEnd => Content::SessionEnd(SessionEnd {
                digest: *fields.array()?,
                orders: fields.unsigned()?,
                cancels: fields.unsigned()?,
                fills: fields.unsigned()?,
                entries: fields.unsigned()?,
                error: fields.byte()?,
            }),
        };
        fields.0.is_empty().then_some(content)
    }
}

impl UnsentReason {
    const ALL: [UnsentReason; 4] = [
        UnsentReason::Encode,
        UnsentReason::Submit(SubmitError::Full),
        UnsentReason::Submit(SubmitError::UnknownInstrument),
        UnsentReason::Submit(SubmitError::Disconnected),
    ];

    /// Its number in a record.
    fn code(self) -> u8 {
        match self {
            UnsentReason::Encode => 0,
            UnsentReason::Submit(SubmitError::Full) => 1,
            UnsentReason::Submit(SubmitError::UnknownInstrument) => 2,
            UnsentReason::Submit(SubmitError::Disconnected) => 3,
        }
    }
}

impl DroppedRecord {
    /// Its payload.
    pub(crate) fn to_bytes(self) -> [u8; 11] {
        let (what, number, instrument) = match self {
            DroppedRecord::Sample { seq, instrument } => (0, seq.to_le_bytes(), instrument),
            DroppedRecord::WindowEnd { window } => (1, window.to_le_bytes(), InstrumentId(0)),
        };
        let mut bytes = [0; 11];
        bytes[0] = what;
        bytes[1..9].copy_from_slice(&number);
        bytes[9..].copy_from_slice(&instrument.0.to_le_bytes());
        bytes
    }
}

impl SessionStart {
    /// Its payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.session.to_le_bytes().to_vec();
        bytes.extend(self.config_hash);
        bytes.extend(self.model_sha256);
        bytes.extend(self.meta_sha256);
        bytes.extend(self.limit.unwrap_or(0).to_le_bytes());
        put_text(&mut bytes, &self.engine);
        bytes
    }
}

impl JournaledInstrument {
    /// An instrument of a session.
    pub fn of(id: InstrumentId, instrument: &Instrument) -> JournaledInstrument {
        let Instrument { exchange, symbol, tick, lot, contract } = instrument;
        let venue = exchange.name().to_owned();
        JournaledInstrument { id, tick: *tick, lot: *lot, contract: *contract, venue, symbol: symbol.clone() }
    }

    /// Its payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.0.to_le_bytes().to_vec();
        let (is_inverse, size) = match self.contract {
            Contract::Linear { multiplier } => (false, multiplier.0),
            Contract::Inverse { contract_quote } => (true, contract_quote.0),
        };
        bytes.extend(self.tick.0.to_le_bytes());
        bytes.extend(self.lot.0.to_le_bytes());
        bytes.push(u8::from(is_inverse));
        bytes.extend(size.to_le_bytes());
        put_text(&mut bytes, &self.venue);
        put_text(&mut bytes, &self.symbol);
        bytes
    }
}

impl CaptureFile {
    /// Its payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.to_le_bytes().to_vec();
        bytes.extend(self.sha256);
        put_text(&mut bytes, &self.name);
        bytes
    }
}

impl SessionEnd {
    /// Its payload.
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut bytes = [0; 65];
        bytes[..32].copy_from_slice(&self.digest);
        for (place, count) in [self.orders, self.cancels, self.fills, self.entries].into_iter().enumerate() {
            bytes[32 + place * 8..40 + place * 8].copy_from_slice(&count.to_le_bytes());
        }
        bytes[64] = self.error;
        bytes
    }
}

/// The payload of [`Content::Report`].
#[inline]
pub(crate) fn report_bytes(canonical: &[u8; REPORT_BYTES], entry: u64) -> [u8; REPORT_BYTES + 8] {
    let mut bytes = [0; REPORT_BYTES + 8];
    bytes[..REPORT_BYTES].copy_from_slice(canonical);
    bytes[REPORT_BYTES..].copy_from_slice(&entry.to_le_bytes());
    bytes
}

/// The payload of [`Content::Parameters`].
pub(crate) fn parameters_bytes(block: &ParameterBlock) -> [u8; 33] {
    let mut bytes = [0; 33];
    bytes[..8].copy_from_slice(&block.window.index.to_le_bytes());
    bytes[8..16].copy_from_slice(&block.window.effective.0.to_le_bytes());
    bytes[16] = block.regime as u8;
    bytes[17..25].copy_from_slice(&block.seq.to_le_bytes());
    let mut hash = Sha256::new();
    hash.update(&bytes[..25]);
    hash.update(block.window.end.0.to_le_bytes());
    hash.update(block.size_scale.to_bits().to_le_bytes());
    for place in &block.embedding {
        hash.update(place.to_bits().to_le_bytes());
    }
    bytes[25..].copy_from_slice(&hash.finalize()[..8]);
    bytes
}

/// The payload of [`Content::Skip`].
#[inline]
pub(crate) fn skip_bytes(seq: u64, instrument: InstrumentId) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&seq.to_le_bytes());
    bytes[8..].copy_from_slice(&instrument.0.to_le_bytes());
    bytes
}

/// The payload of [`Content::Overrun`].
pub(crate) fn overrun_bytes(overrun: &Overrun) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&overrun.source.to_le_bytes());
    bytes[2..].copy_from_slice(&overrun.messages.to_le_bytes());
    bytes
}

/// The payload of [`Content::Limits`], and its length.
pub(crate) fn limits_bytes(limits: &LimitsRecord, entry: u64) -> ([u8; CHANGE_BYTES_MAX + 8], usize) {
    let mut bytes = [0; CHANGE_BYTES_MAX + 8];
    let length = limits.as_bytes().len();
    bytes[..length].copy_from_slice(limits.as_bytes());
    bytes[length..length + 8].copy_from_slice(&entry.to_le_bytes());
    (bytes, length + 8)
}

/// The payload of [`Content::Control`].
pub(crate) fn control_bytes(control: Control, entry: u64) -> [u8; CONTROL_BYTES + 8] {
    let mut bytes = [0; CONTROL_BYTES + 8];
    bytes[..CONTROL_BYTES].copy_from_slice(&control.to_bytes());
    bytes[CONTROL_BYTES..].copy_from_slice(&entry.to_le_bytes());
    bytes
}

/// The payload of [`Content::Unsent`].
pub(crate) fn unsent_bytes(command: &OrderCommand, reason: UnsentReason) -> [u8; 10] {
    let mut bytes = [0; 10];
    let (order, is_cancel) = match command {
        OrderCommand::New(order) => (order.id, false),
        OrderCommand::Cancel { id, .. } => (*id, true),
    };
    bytes[..8].copy_from_slice(&order.0.to_le_bytes());
    bytes[8] = u8::from(is_cancel);
    bytes[9] = reason.code();
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes.push(end as u8);
    bytes.extend(&text.as_bytes()[..end]);
}

/// The variant whose place in the list is its number.
fn one_of<T: Copy>(all: &[T], byte: u8) -> Option<T> {
    all.get(usize::from(byte)).copied()
}

/// A payload read from its beginning.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(array)
    }

    fn all_but_last<const N: usize>(&mut self) -> Option<&'a [u8]> {
        let (front, last) = self.0.split_last_chunk::<N>()?;
        self.0 = last;
        Some(front)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|byte| byte[0])
    }

    fn short(&mut self) -> Option<u16> {
        self.array().copied().map(u16::from_le_bytes)
    }

    fn unsigned(&mut self) -> Option<u64> {
        self.array().copied().map(u64::from_le_bytes)
    }

    fn signed(&mut self) -> Option<i64> {
        self.array().copied().map(i64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::PAYLOAD_MAX;
    use super::*;
    use crate::decision::Scope;
    use crate::risk::{Origin, RiskCheck, RiskLimits, TradingState};
    use chronos_market::{Exchange, PRICE_SCALE, QTY_SCALE, Window};
    use proptest::prelude::*;

    fn read(kind: RecordKind, payload: &[u8]) -> Option<Content> {
        Content::of(&Record { kind, seq: 1, recv_ns: 2, payload })
    }

    #[test]
    fn payloads_read_back() {
        let start = SessionStart {
            session: 7,
            config_hash: [1; 32],
            model_sha256: [2; 32],
            meta_sha256: [3; 32],
            limit: Some(9),
            engine: "native-f32".into(),
        };
        assert_eq!(read(RecordKind::SessionStart, &start.to_bytes()), Some(Content::SessionStart(start.clone())));
        let unlimited = SessionStart { limit: None, ..start };
        assert_eq!(read(RecordKind::SessionStart, &unlimited.to_bytes()), Some(Content::SessionStart(unlimited.clone())));

        for contract in [Contract::spot(), Contract::inverse(100)] {
            let instrument = Instrument {
                exchange: Exchange::BinanceCoinm,
                symbol: "BTCUSD_PERP".into(),
                tick: Price(PRICE_SCALE / 10),
                lot: Qty(QTY_SCALE),
                contract,
            };
            let journaled = JournaledInstrument::of(InstrumentId(3), &instrument);
            assert_eq!(read(RecordKind::Instrument, &journaled.to_bytes()), Some(Content::Instrument(journaled)));
        }
        let capture = CaptureFile { bytes: 5, sha256: [3; 32], name: "a.gz".into() };
        assert_eq!(read(RecordKind::Capture, &capture.to_bytes()), Some(Content::Capture(capture.clone())));
        let long = CaptureFile { name: "é".repeat(200), ..capture.clone() };
        let cut = CaptureFile { name: "é".repeat(127), ..capture };
        assert_eq!(read(RecordKind::Capture, &long.to_bytes()), Some(Content::Capture(cut)), "cut at a whole letter");
        let end = SessionEnd { digest: [4; 32], orders: 1, cancels: 2, fills: 3, entries: 4, error: 5 };
        assert_eq!(read(RecordKind::SessionEnd, &end.to_bytes()), Some(Content::SessionEnd(end)));

        let skip = Content::Skip { seq: 8, instrument: InstrumentId(2) };
        assert_eq!(read(RecordKind::Skip, &skip_bytes(8, InstrumentId(2))), Some(skip));
        for dropped in [
            DroppedRecord::Sample { seq: 9, instrument: InstrumentId(0) },
            DroppedRecord::Sample { seq: u64::MAX, instrument: InstrumentId(300) },
            DroppedRecord::WindowEnd { window: -7 },
        ] {
            assert_eq!(read(RecordKind::Dropped, &dropped.to_bytes()), Some(Content::Dropped(dropped)));
        }
        let overrun = Overrun { recv: Timestamp(5), source: 3, messages: 1 << 40 };
        let told = Content::Overrun { source: 3, messages: 1 << 40 };
        assert_eq!(read(RecordKind::Overrun, &overrun_bytes(&overrun)), Some(told));
        let kill = Control::Kill(Scope::Instrument(InstrumentId(300)));
        assert_eq!(read(RecordKind::Control, &control_bytes(kill, 6)), Some(Content::Control { control: kill, entry: 6 }));
        let change = StateChange {
            state: TradingState::Reducing,
            cause: RiskCheck::Drawdown,
            origin: Origin::Limit,
            value: 1,
            scope: None,
            until: Timestamp::MAX,
        };
        assert_eq!(read(RecordKind::State, &change.to_bytes()), Some(Content::State(change)));
        let old = RiskLimits::default();
        let mut new = RiskLimits { collar_bps: 7, ..old };
        for limits in &mut new.instruments {
            (limits.is_spot, limits.is_restricted) = (!limits.is_spot, !limits.is_restricted);
        }
        // None, one, and as many as there is room for.
        for new in [old, RiskLimits { collar_bps: 7, ..old }, old.step_towards(&new)] {
            let (bytes, length) = limits_bytes(&LimitsRecord::of(&old, &new), 9);
            assert!(length <= PAYLOAD_MAX);
            let limits = Content::Limits { hashes: [old.hash(), new.hash()], changes: old.changes(&new).collect(), entry: 9 };
            assert_eq!(read(RecordKind::Limits, &bytes[..length]), Some(limits));
        }
        for reason in UnsentReason::ALL {
            let command = OrderCommand::Cancel { id: OrderId(4), instrument: InstrumentId(0) };
            let unsent = Content::Unsent { order: OrderId(4), is_cancel: true, reason };
            assert_eq!(read(RecordKind::Unsent, &unsent_bytes(&command, reason)), Some(unsent));
        }
    }

    #[test]
    fn another_block_has_another_hash() {
        let window = Window { index: 4, end: Timestamp(50), effective: Timestamp(60) };
        let block = ParameterBlock { seq: 2, window, ..ParameterBlock::initial() };
        let mut other = block.clone();
        other.embedding[127] = 1.0;
        let (one, two) = (parameters_bytes(&block), parameters_bytes(&other));
        assert_eq!(one[..25], two[..25]);
        assert_ne!(one[25..], two[25..]);
        let read = read(RecordKind::Parameters, &one);
        assert!(matches!(
            read,
            Some(Content::Parameters { window: 4, seq: 2, effective: Timestamp(60), regime: Regime::Unknown, .. })
        ));
    }

    proptest! {
        #[test]
        fn no_payload_panics(kind in prop::sample::select(&RecordKind::ALL[..]), payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(kind, &payload);
        }
    }
}
