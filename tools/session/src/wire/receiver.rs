//! Our end: the real ingress, the fused driver, the real egress.

use super::envelope::{Envelope, Kind};
use super::report::{WireLatency, histogram};
use super::sender::{Link, Sender, Sent};
use super::sink::{Sink, Sunk};
use super::{NOTES_MAX, Note, Shared, Transport, WireError, WireOptions, WireReport};
use crate::assembly::ReplayFused;
use crate::capture::{Broken, Capture, Place, Reason};
use crate::controls::Schedule;
use crate::replay::{Counted, Progress, later};
use chronos_market::{
    Instrument, InstrumentId, NewOrder, OrderCommand, OrderId, PRICE_SCALE, Price, QTY_SCALE, Qty, Side, TimeInForce, Timestamp,
};
use chronos_pipeline::gateway::{ApiKey, OrderChannel, OrderConnection, OrderEgress, OrderEncoder, Signer};
use chronos_pipeline::ingress::{
    Endpoint, KeeperConfig, Readiness, Stream, UdpAddress, UdpConfig, UdpIngress, WebSocketClient, WebSocketConfig, WebSocketFeed,
};
use chronos_pipeline::stopwatch::{Started, Stopwatch};
use chronos_pipeline::topology::Waiting;
use hdrhistogram::Histogram;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to wait for a connection on loopback.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Silence after which a sender that is done counts as heard out: its last datagram was dropped.
const LAST_SILENCE: Duration = Duration::from_millis(500);
/// Longest wait for a socket.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Messages between two calls of the progress function.
const PROGRESS_MESSAGES: u64 = 4_096;
/// Threads that may be busy all the time: this one and the sender. The sink and the cold path mostly sleep.
pub(crate) const BUSY_THREADS: usize = 2;
/// Requests told to the sink and not yet taken by it.
const REQUESTS_MAX: usize = 65_536;

/// What a replay over sockets leaves behind.
pub(crate) struct WireRun {
    pub(crate) capture: Capture,
    pub(crate) report: WireReport,
    /// Lines read of the capture.
    pub(crate) lines: u64,
    /// Lines that never went over the wire because they are broken, and the first of them.
    pub(crate) malformed: u64,
    pub(crate) told: Vec<(Place, String)>,
}

/// What [`drive`] needs beside the capture.
pub(crate) struct Session<'a> {
    pub(crate) fused: &'a mut ReplayFused,
    pub(crate) instruments: &'a [Instrument],
    pub(crate) counted: &'a mut Counted,
    /// Where malformed messages go.
    pub(crate) quarantine: &'a mut rtrb::Producer<u8>,
    /// What is done by hand on the way.
    pub(crate) schedule: &'a mut Schedule,
    pub(crate) progress: &'a mut dyn FnMut(Progress),
    pub(crate) waiting: Waiting,
}

impl Session<'_> {
    /// Does what is due before a message received at `recv`, or after so many lines of the capture.
    #[inline]
    fn do_by_hand(&mut self, lines: u64, recv: Timestamp) {
        while let Some((time, what)) = self.schedule.next_due(lines, recv) {
            self.fused.by_hand(later(self.fused.ingest(), time), &what);
        }
    }
}

/// Plays `capture`, at most `limit` lines of it, through loopback into `session`.
pub(crate) fn drive(capture: Capture, options: &WireOptions, limit: u64, session: &mut Session<'_>) -> Result<WireRun, WireError> {
    let shared = Arc::new(Shared::default());
    // Whatever happens below, nobody waits for us afterwards.
    let _stop = StopOnDrop(Arc::clone(&shared));
    let mut report = WireReport::new(options);

    let (sent, sent_out) = rtrb::RingBuffer::new(REQUESTS_MAX);
    let sink_listener = listener()?;
    let sink_address = address_of(&sink_listener)?;
    let sink = Sink { listener: sink_listener, transport: options.transport, sent: sent_out, shared: Arc::clone(&shared) };
    let sink = spawn("chronos-sink", move || sink.run())?;
    let connection = connect_egress(options.transport, sink_address)?;
    session.fused.venue_mut().connect(OrderEgress::new(encoder(options.transport, session.instruments), connection, sent));

    let (notes_in, notes) = rtrb::RingBuffer::new(NOTES_MAX);
    let bytes_total = capture.bytes_total();
    let (mut ingress, sender) = open(capture, options, limit, notes_in, &shared)?;
    let mut receiver = Receiver {
        notes,
        shared: &shared,
        session,
        stopwatch: Stopwatch::new(),
        received: 0,
        bytes_total,
        probe_in: histogram(),
        message_in: histogram(),
        kernel_to_memory: histogram(),
    };
    receiver.run(&mut ingress)?;
    report.received = receiver.received;
    for (latency, measured) in [
        (WireLatency::CrossingIn, &receiver.probe_in),
        (WireLatency::MessageIn, &receiver.message_in),
        (WireLatency::KernelToMemory, &receiver.kernel_to_memory),
    ] {
        report.put(latency, measured);
    }
    if let Ingress::Udp(udp) = &ingress {
        let (ingress, _) = &**udp;
        report.kernel_drops = ingress.counters().kernel_drops;
        report.kernel_times = ingress.has_kernel_times();
    }
    drop(ingress);
    shared.is_stopped.store(true, Ordering::Release);
    let Sent { capture, counts, told } = joined(sender, "sender")?;
    session.do_by_hand(counts.lines, Timestamp::MIN);
    (report.sent, report.lost, report.reordered) = (counts.messages, counts.lost, counts.reordered);
    report.missing = counts.messages.saturating_sub(report.received);

    if let Some(mut egress) = session.fused.venue_mut().disconnect() {
        let begun = Instant::now();
        while begun.elapsed() < CONNECT_MAX && matches!(egress.flush(), Ok(false)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        report.orders_sent = egress.counters().orders;
        report.put(WireLatency::WireToWire, egress.wire_ns());
        report.put(WireLatency::OrderSend, egress.send_ns());
    }
    let sunk: Sunk = joined(sink, "order sink")?;
    report.orders_received = sunk.orders;
    report.put(WireLatency::WireToVenue, &sunk.wire_to_venue);
    report.put(WireLatency::CrossingOut, &sunk.probe_out);
    report.put(WireLatency::Crossings, &sunk.probe_both);
    Ok(WireRun { capture, report, lines: counts.lines, malformed: counts.malformed, told })
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::Release);
    }
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    run: impl FnOnce() -> Result<T, WireError> + Send + 'static,
) -> Result<JoinHandle<Result<T, WireError>>, WireError> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(WireError::socket("a thread"))
}

fn joined<T>(thread: JoinHandle<Result<T, WireError>>, name: &'static str) -> Result<T, WireError> {
    thread.join().map_err(|_| WireError::Panicked(name))?
}

fn listener() -> Result<TcpListener, WireError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(WireError::socket("a loopback listener"))
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, WireError> {
    listener.local_addr().map_err(WireError::socket("a loopback listener"))
}

/// Orders of an account that exists nowhere, signed as they would be.
fn encoder(transport: Transport, instruments: &[Instrument]) -> OrderEncoder {
    let channel = match transport {
        Transport::Udp => OrderChannel::Rest { host: "localhost".into() },
        Transport::WebSocket => OrderChannel::WebSocketApi,
    };
    let signer = Signer::hmac_sha256(b"replay").unwrap_or_else(|_| unreachable!("the secret is not empty"));
    OrderEncoder::new(instruments, None, &channel, ApiKey::new("replay", signer))
}

fn connect_egress(transport: Transport, to: SocketAddr) -> Result<OrderConnection, WireError> {
    let failed = || WireError::socket("the connection for orders");
    let begun = Instant::now();
    let mut readiness = Readiness::new().map_err(failed())?;
    let mut stream = Stream::connect(to).map_err(failed())?;
    stream.register(&readiness).map_err(failed())?;
    let mut wait = || match begun.elapsed() < CONNECT_MAX {
        true => readiness.wait(Some(WAIT_MAX)).map_err(failed()),
        false => Err(failed()(std::io::ErrorKind::TimedOut.into())),
    };
    while !stream.is_connected().map_err(failed())? {
        wait()?;
    }
    if transport == Transport::Udp {
        return Ok(OrderConnection::rest(stream));
    }
    let lost = |reason: chronos_pipeline::ingress::ConnectionLost| WireError::Lost(reason.to_string());
    let url = format!("ws://{to}/ws-api/v3");
    let mut client = WebSocketClient::start(&url, stream, WebSocketConfig::default()).map_err(lost)?;
    while !client.is_open().map_err(lost)? {
        wait()?;
    }
    Ok(OrderConnection::web_socket(client))
}

/// What messages arrive by.
enum Ingress {
    Udp(Box<(UdpIngress, Readiness)>),
    WebSocket(Box<WebSocketFeed>),
}

/// What arrived.
struct Arrival<'a> {
    frame: &'a [u8],
    /// Nanoseconds from the kernel's receive time to ours.
    kernel_ns: Option<u64>,
}

impl Ingress {
    #[inline]
    fn receive(&mut self) -> Option<Arrival<'_>> {
        match self {
            Ingress::Udp(udp) => udp.0.receive().map(|datagram| Arrival {
                frame: datagram.payload,
                kernel_ns: datagram.kernel.map(|kernel| datagram.recv.since_ns(kernel).max(0).unsigned_abs()),
            }),
            Ingress::WebSocket(feed) => feed.receive().map(|message| Arrival { frame: message.bytes, kernel_ns: None }),
        }
    }

    fn wait(&mut self) -> Result<(), WireError> {
        match self {
            Ingress::Udp(udp) => udp.1.wait(Some(WAIT_MAX)),
            Ingress::WebSocket(feed) => feed.wait(WAIT_MAX),
        }
        .map_err(WireError::socket("waiting for messages"))
    }

    /// Why nothing will come any more, where that is known.
    fn lost(&self) -> Option<String> {
        match self {
            Ingress::Udp(_) => None,
            Ingress::WebSocket(feed) => feed.last_lost().map(|reason| reason.to_string()),
        }
    }
}

/// Opens the ingress and starts the sender to it.
fn open(
    capture: Capture,
    options: &WireOptions,
    limit: u64,
    notes: rtrb::Producer<Note>,
    shared: &Arc<Shared>,
) -> Result<(Ingress, JoinHandle<Result<Sent, WireError>>), WireError> {
    let options = *options;
    let theirs = Arc::clone(shared);
    match options.transport {
        Transport::Udp => {
            let failed = || WireError::socket("the UDP ingress");
            let here = UdpAddress::Unicast(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
            let mut ingress = UdpIngress::open(&[here], &UdpConfig::default()).map_err(failed())?;
            let readiness = Readiness::new().map_err(failed())?;
            ingress.register(&readiness).map_err(failed())?;
            let to = ingress.local_addresses().next().ok_or_else(|| failed()(std::io::ErrorKind::AddrNotAvailable.into()))?;
            let window_bytes = ingress.receive_buffer_bytes() as u64 / 2;
            let link = Link::udp(to)?;
            let sender = Sender { capture, options, limit, link, notes, shared: theirs, window_bytes };
            Ok((Ingress::Udp(Box::new((ingress, readiness))), spawn("chronos-sender", move || sender.run())?))
        }
        Transport::WebSocket => {
            let listener = listener()?;
            let to = address_of(&listener)?;
            let endpoint = Endpoint::new(&format!("ws://{to}/stream"), vec![to]);
            // A capture may be silent for as long as it likes.
            let keeper = KeeperConfig { silence_ns: i64::MAX / 4, rollover_ns: i64::MAX / 4, ..KeeperConfig::default() };
            let feed = WebSocketFeed::new(endpoint, keeper, WebSocketConfig::default())
                .map_err(WireError::socket("the WebSocket ingress"))?;
            let run = move || {
                let link = Link::accept(&listener, &theirs)?;
                Sender { capture, options, limit, link, notes, shared: theirs, window_bytes: u64::MAX }.run()
            };
            Ok((Ingress::WebSocket(Box::new(feed)), spawn("chronos-sender", run)?))
        }
    }
}

struct Receiver<'a, 's> {
    notes: rtrb::Consumer<Note>,
    shared: &'a Shared,
    session: &'a mut Session<'s>,
    stopwatch: Stopwatch,
    received: u64,
    bytes_total: u64,
    probe_in: Histogram<u64>,
    message_in: Histogram<u64>,
    kernel_to_memory: Histogram<u64>,
}

impl Receiver<'_, '_> {
    fn run(&mut self, ingress: &mut Ingress) -> Result<(), WireError> {
        let mut silent_since = None::<Instant>;
        while self.session.fused.error().is_none() {
            if let Some(arrival) = ingress.receive() {
                silent_since = None;
                if !self.take(&arrival) {
                    return Ok(());
                }
                continue;
            }
            let silent_since = silent_since.get_or_insert_with(Instant::now);
            if self.shared.is_over.load(Ordering::Acquire) && silent_since.elapsed() > LAST_SILENCE {
                return Ok(());
            }
            if let Some(reason) = ingress.lost() {
                return Err(WireError::Lost(reason));
            }
            match self.session.waiting {
                Waiting::Spin => self.session.fused.idle(),
                _ => ingress.wait()?,
            }
        }
        Ok(())
    }

    /// `false` where this was the last.
    #[inline]
    fn take(&mut self, arrival: &Arrival<'_>) -> bool {
        let arrived = self.stopwatch.start();
        let Some((envelope, message)) = Envelope::read(arrival.frame) else { return true };
        let Some(note) = self.note(envelope.seq) else { return true };
        let crossing_ns = self.stopwatch.between_ns(note.sent, arrived);
        match envelope.kind {
            Kind::End => return false,
            Kind::Probe => {
                self.probe_in.saturating_record(crossing_ns);
                self.answer(note.sent);
            }
            Kind::Message(source) => {
                self.message_in.saturating_record(crossing_ns);
                if let Some(kernel_ns) = arrival.kernel_ns {
                    self.kernel_to_memory.saturating_record(kernel_ns.max(1));
                }
                self.message(source.into(), envelope.recv, message, &note);
            }
        }
        true
    }

    #[inline]
    fn message(&mut self, source: usize, recv: Timestamp, message: &[u8], note: &Note) {
        self.received += 1;
        let session = &mut *self.session;
        session.do_by_hand(note.lines.saturating_sub(1), recv);
        if let Some(symbol) = &note.symbol {
            session.fused.set_symbol(source, symbol);
        }
        session.fused.advance(recv);
        set_origin(session.fused, Some(note.sent));
        let result = session.fused.take(source, message);
        set_origin(session.fused, None);
        session.fused.flush();
        if let Err(error) = result {
            let reason = Reason { code: error.code(), text: error.to_string() };
            let broken = Broken { place: note.place, recv, raw: message, is_message: true, reason };
            session.counted.note(&broken, session.quarantine);
        }
        if self.received.is_multiple_of(PROGRESS_MESSAGES) {
            let (bytes_read, lines) = (&self.shared.bytes_read, &self.shared.lines);
            (session.progress)(Progress {
                bytes_read: bytes_read.load(Ordering::Relaxed),
                bytes_total: self.bytes_total,
                lines: lines.load(Ordering::Relaxed),
            });
        }
    }

    /// What the sender noted of a message. Notes before it are of messages that did not arrive.
    #[inline]
    fn note(&mut self, seq: u64) -> Option<Note> {
        loop {
            let note = self.notes.pop().ok()?;
            self.shared.released.fetch_add(note.charge, Ordering::Release);
            if note.seq == seq {
                return Some(note);
            }
        }
    }

    /// Sends an order of nothing, to measure both crossings alone.
    fn answer(&mut self, origin: Started) {
        let command = OrderCommand::New(NewOrder {
            id: OrderId(0),
            instrument: InstrumentId(0),
            side: Side::Buy,
            price: Price(PRICE_SCALE),
            qty: Qty(QTY_SCALE),
            time_in_force: TimeInForce::ImmediateOrCancel,
            reduce_only: false,
            signal: 0.0,
        });
        if let Some(egress) = self.session.fused.venue_mut().egress() {
            egress.set_origin(Some(origin));
            // A probe that does not leave is missing among those that arrive.
            let _ = egress.probe(Timestamp(0), &command);
            egress.set_origin(None);
        }
        self.shared.probes.fetch_add(1, Ordering::Release);
    }
}

#[inline]
fn set_origin(fused: &mut ReplayFused, origin: Option<Started>) {
    if let Some(egress) = fused.venue_mut().egress() {
        egress.set_origin(origin);
    }
}
