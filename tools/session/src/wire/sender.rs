//! The far end: plays a capture into a socket.

use super::envelope::{Envelope, Kind};
use super::impair::{Fate, Impairer};
use super::{Note, Shared, Speed, Transport, WireError, WireOptions};
use crate::capture::{Capture, CaptureItem, Place};
use chronos_market::Timestamp;
use chronos_market::decode::{DecodeError, Feed, FeedProtocol, UdpDatagram};
use chronos_pipeline::stopwatch::{Started, Stopwatch};
use chronos_pipeline::topology::{Source, Waiting};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tungstenite::{Bytes, Message, Utf8Bytes, WebSocket};

/// Longest payload of a datagram over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Probes of the wire before the capture.
const PROBES: u64 = 1_000;
/// Bytes of a probe's message: an ordinary one's.
const PROBE_BYTES: usize = 300;
/// Time between two probes.
const PROBE_PAUSE: Duration = Duration::from_micros(100);
/// Longest wait for the answer to one: its datagram was dropped.
const PROBE_MAX: Duration = Duration::from_millis(200);
/// Waits shorter than this are spun: a sleep would be longer.
const SLEEP_MIN: Duration = Duration::from_micros(80);
/// Longest sleep without a look whether anybody still listens.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// How long the receiver may take to connect.
const ACCEPT_MAX: Duration = Duration::from_secs(10);
/// Broken lines told one by one.
const TOLD_MAX: usize = 8;

/// Where to send.
pub(super) enum Link {
    Udp(UdpSocket),
    WebSocket(Box<WebSocket<TcpStream>>),
}

impl Link {
    pub(super) fn udp(to: SocketAddr) -> Result<Link, WireError> {
        let connected = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.connect(to).map(|()| socket));
        connected.map(Link::Udp).map_err(WireError::socket("the sender's UDP socket"))
    }

    /// Waits for the receiver.
    pub(super) fn accept(listener: &TcpListener, shared: &Shared) -> Result<Link, WireError> {
        let stream = accept(listener, shared)?;
        let socket = tungstenite::accept(stream).map_err(|error| WireError::Lost(error.to_string()))?;
        Ok(Link::WebSocket(Box::new(socket)))
    }

    fn transport(&self) -> Transport {
        match self {
            Link::Udp(_) => Transport::Udp,
            Link::WebSocket(_) => Transport::WebSocket,
        }
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), WireError> {
        match self {
            Link::Udp(socket) => socket.send(frame).map(|_| ()).map_err(|error| WireError::Lost(error.to_string())),
            Link::WebSocket(socket) => {
                let bytes = Bytes::copy_from_slice(frame);
                let message = Utf8Bytes::try_from(bytes.clone()).map_or(Message::Binary(bytes), Message::Text);
                socket.send(message).map_err(|error| WireError::Lost(error.to_string()))
            }
        }
    }
}

/// Waits for a connection, at most ten seconds and not longer than anybody wants one.
pub(super) fn accept(listener: &TcpListener, shared: &Shared) -> Result<TcpStream, WireError> {
    let failed = || WireError::socket("a loopback listener");
    listener.set_nonblocking(true).map_err(failed())?;
    let started = Instant::now();
    while started.elapsed() < ACCEPT_MAX && !shared.is_stopped() {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true)).map_err(failed())?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(failed()(error)),
        }
    }
    Err(WireError::Lost("nobody connected".into()))
}

/// What was sent.
pub(super) struct Sent {
    pub(super) capture: Capture,
    pub(super) counts: SentCounts,
    /// The first lines that could not be split, and why.
    pub(super) told: Vec<(Place, String)>,
}

/// Counts of the sender.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct SentCounts {
    pub(super) lines: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) malformed: u64,
}

pub(super) struct Sender {
    pub(super) capture: Capture,
    pub(super) options: WireOptions,
    /// Lines to read at most.
    pub(super) limit: u64,
    pub(super) link: Link,
    pub(super) notes: rtrb::Producer<Note>,
    pub(super) shared: Arc<Shared>,
    /// Bytes of the receive buffer that may be taken; messages wait for more.
    pub(super) window_bytes: u64,
}

impl Sender {
    /// Sends everything. What the receiver has stopped taking is no error.
    pub(super) fn run(self) -> Result<Sent, WireError> {
        let Sender { mut capture, options, limit, link, notes, shared, window_bytes } = self;
        let sources = capture.sources();
        let mut impairer = Impairer::new(options.loss, options.reorder, options.seed);
        let mut wire = Wire {
            link,
            notes,
            shared,
            window_bytes,
            charged: 0,
            seq: 0,
            stopwatch: Stopwatch::new(),
            counts: SentCounts::default(),
        };
        let mut payloads = Payloads { sources: &sources, ports: vec![None; sources.len()] };
        let (mut parcel, mut held) = (Parcel::default(), None::<Parcel>);
        let mut told = Vec::new();
        let mut pace = Pace::new(&options);
        wire.probe();
        while wire.counts.lines < limit && !wire.shared.is_stopped() {
            let Some(item) = capture.next() else { break };
            wire.counts.lines += 1;
            let (place, reason) = match item {
                CaptureItem::Message { connection, recv, symbol, message, place } => match payloads.of(connection, message) {
                    Ok(payload) => {
                        parcel.pack(wire.next_seq(), connection, recv, payload);
                        (parcel.lines, parcel.place, parcel.symbol) = (wire.counts.lines, place, symbol.map(Box::from));
                        (place, None)
                    }
                    Err(error) => (place, Some(error.to_string())),
                },
                CaptureItem::Broken { error, place, .. } => (place, Some(error.to_string())),
            };
            wire.shared.lines.store(wire.counts.lines, Ordering::Relaxed);
            wire.shared.bytes_read.store(capture.bytes_read(), Ordering::Relaxed);
            if let Some(reason) = reason {
                wire.counts.malformed += 1;
                if told.len() < TOLD_MAX {
                    told.push((place, reason));
                }
                continue;
            }
            if wire.link.transport() == Transport::Udp && parcel.frame.len() > DATAGRAM_BYTES_MAX {
                let path = capture.files.get(place.file).map(|file| file.path.clone()).unwrap_or_default();
                let max = DATAGRAM_BYTES_MAX - super::envelope::ENVELOPE_BYTES;
                let bytes = parcel.frame.len() - super::envelope::ENVELOPE_BYTES;
                wire.end();
                return Err(WireError::TooLong { place: path, line: place.line, bytes, max });
            }
            pace.wait(parcel.recv, &wire);
            match impairer.fate() {
                Fate::Lose => wire.counts.lost += 1,
                Fate::HoldBack => {
                    wire.counts.reordered += 1;
                    held = Some(std::mem::take(&mut parcel));
                }
                Fate::Send => {
                    wire.send(&mut parcel)?;
                    if let Some(mut late) = held.take() {
                        wire.send(&mut late)?;
                    }
                }
            }
        }
        if let Some(mut late) = held {
            wire.send(&mut late)?;
        }
        wire.end();
        let counts = wire.counts;
        // The socket stays until the receiver has taken what is in it.
        while !wire.shared.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Sent { capture, counts, told })
    }
}

/// A message ready to be sent.
struct Parcel {
    frame: Vec<u8>,
    seq: u64,
    recv: Timestamp,
    lines: u64,
    place: Place,
    symbol: Option<Box<str>>,
}

impl Default for Parcel {
    fn default() -> Self {
        Parcel { frame: Vec::new(), seq: 0, recv: Timestamp(0), lines: 0, place: Place { file: 0, line: 0 }, symbol: None }
    }
}

impl Parcel {
    fn pack(&mut self, seq: u64, connection: usize, recv: Timestamp, payload: &[u8]) {
        (self.seq, self.recv) = (seq, recv);
        self.frame.clear();
        // A session has at most 64 instruments, so connections fit.
        Envelope { recv, seq, kind: Kind::Message(connection as u16) }.write(&mut self.frame);
        self.frame.extend_from_slice(payload);
    }
}

/// What of a record goes over the wire: of a captured packet its datagram's payload.
struct Payloads<'a> {
    sources: &'a [Source],
    /// The port of each ITCH feed: others are other feeds, as they are to the decoder of a file.
    ports: Vec<Option<u16>>,
}

impl Payloads<'_> {
    fn of<'m>(&mut self, connection: usize, message: &'m [u8]) -> Result<&'m [u8], DecodeError> {
        let (Some(source), Some(port)) = (self.sources.get(connection), self.ports.get_mut(connection)) else { return Ok(message) };
        let Feed::Packets { link_type, protocol, .. } = &source.feed else { return Ok(message) };
        let datagram = UdpDatagram::parse(*link_type, message)?;
        if *protocol == FeedProtocol::Itch50 {
            let here = datagram.destination.port();
            if port.is_none() {
                FeedProtocol::detect(&datagram)?;
            }
            if *port.get_or_insert(here) != here {
                return Err(DecodeError::Capacity("feeds in one capture"));
            }
        }
        Ok(datagram.payload)
    }
}

/// The link, and what is counted on it.
struct Wire {
    link: Link,
    notes: rtrb::Producer<Note>,
    shared: Arc<Shared>,
    window_bytes: u64,
    charged: u64,
    seq: u64,
    stopwatch: Stopwatch,
    counts: SentCounts,
}

impl Wire {
    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// What a datagram takes of the receive buffer at most: the kernel counts its own bookkeeping too.
    fn charge(&self, frame: &[u8]) -> u64 {
        match self.link {
            Link::Udp(_) => 2 * frame.len() as u64 + 1_024,
            Link::WebSocket(_) => 0,
        }
    }

    /// Waits for a condition; `false` where the receiver stopped meanwhile.
    fn wait_until(&self, mut is_met: impl FnMut(&Wire) -> bool) -> bool {
        let mut idle = 0_u32;
        while !is_met(self) {
            if self.shared.is_stopped() {
                return false;
            }
            Waiting::Park.pause(idle);
            idle = idle.saturating_add(1);
        }
        true
    }

    fn send(&mut self, parcel: &mut Parcel) -> Result<(), WireError> {
        if self.put(&parcel.frame, parcel.seq, (parcel.lines, parcel.place), parcel.symbol.take()) {
            self.counts.messages += 1;
        }
        Ok(())
    }

    /// `false` where nobody takes it any more.
    fn put(&mut self, frame: &[u8], seq: u64, (lines, place): (u64, Place), symbol: Option<Box<str>>) -> bool {
        let charge = self.charge(frame);
        let has_room = |wire: &Wire| {
            let under_way = wire.charged - wire.shared.released.load(Ordering::Acquire).min(wire.charged);
            wire.notes.slots() > 0 && (under_way == 0 || under_way + charge <= wire.window_bytes)
        };
        if !self.wait_until(has_room) {
            return false;
        }
        self.charged += charge;
        let sent: Started = self.stopwatch.start();
        // There is room, and nobody else takes it.
        let _ = self.notes.push(Note { seq, sent, charge, lines, place, symbol });
        self.link.send(frame).is_ok()
    }

    /// Sends probes one by one, each when the one before has been dealt with.
    fn probe(&mut self) {
        let mut frame = Vec::new();
        for number in 1..=PROBES {
            frame.clear();
            let seq = self.next_seq();
            Envelope { recv: Timestamp(0), seq, kind: Kind::Probe }.write(&mut frame);
            frame.resize(frame.len() + PROBE_BYTES, b'.');
            let begun = Instant::now();
            let is_sent = self.put(&frame, seq, (0, Place { file: 0, line: 0 }), None);
            let is_answered = |wire: &Wire| wire.shared.probes.load(Ordering::Acquire) >= number || begun.elapsed() > PROBE_MAX;
            if !is_sent || !self.wait_until(is_answered) {
                return;
            }
            std::thread::sleep(PROBE_PAUSE);
        }
    }

    fn end(&mut self) {
        let seq = self.next_seq();
        let mut frame = Vec::new();
        Envelope { recv: Timestamp(0), seq, kind: Kind::End }.write(&mut frame);
        self.put(&frame, seq, (0, Place { file: 0, line: 0 }), None);
        self.shared.is_over.store(true, Ordering::Release);
    }
}

/// Holds messages back until it is their time.
struct Pace {
    speed: Speed,
    burst: u64,
    /// Wall clock and capture at the first message.
    begun: Option<(Instant, Timestamp)>,
    messages: u64,
}

impl Pace {
    fn new(options: &WireOptions) -> Pace {
        Pace { speed: options.speed, burst: options.burst.max(1).into(), begun: None, messages: 0 }
    }

    /// The first message of a burst waits for its time, the others follow at once.
    fn wait(&mut self, recv: Timestamp, wire: &Wire) {
        let is_first = self.messages.is_multiple_of(self.burst);
        self.messages += 1;
        let Speed::Times(times) = self.speed else { return };
        let (begun, first) = *self.begun.get_or_insert_with(|| (Instant::now(), recv));
        if !is_first {
            return;
        }
        let due = Duration::from_nanos((recv.since_ns(first).max(0) as f64 / times) as u64);
        while let Some(left) = due.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            if wire.shared.is_stopped() {
                return;
            }
            if left < SLEEP_MIN {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(left.min(SLEEP_MAX));
            }
        }
    }
}
