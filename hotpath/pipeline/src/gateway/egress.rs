//! The connection orders leave by, and the venue that sends what it simulates.

use super::{EncodeError, OrderEncoder};
use crate::ingress::{ConnectionLost, Stream, WebSocketClient};
use crate::stopwatch::{Started, Stopwatch};
use chronos_market::{MarketEvent, OrderCommand, ReportBuffer, SubmitError, Timestamp, Venue};
use hdrhistogram::Histogram;
use std::io::{self, Write};

/// Requests that may wait for the socket to take them.
const UNSENT_BYTES_MAX: usize = 64 << 10;
/// Longest time told apart, in nanoseconds.
const WIRE_NS_MAX: u64 = 60_000_000_000;

/// An open connection for requests. Never blocks.
#[derive(Debug)]
pub enum OrderConnection {
    /// HTTP/1.1 requests one behind the other.
    Rest {
        /// The connection.
        stream: Stream,
        /// What the socket has not taken yet.
        unsent: Vec<u8>,
    },
    /// Text messages of a WebSocket API.
    WebSocket(Box<WebSocketClient<Stream>>),
}

impl OrderConnection {
    /// HTTP requests over a connected stream.
    pub fn rest(stream: Stream) -> OrderConnection {
        OrderConnection::Rest { stream, unsent: Vec::with_capacity(UNSENT_BYTES_MAX) }
    }

    /// Text messages over a client that is open.
    pub fn web_socket(client: WebSocketClient<Stream>) -> OrderConnection {
        OrderConnection::WebSocket(Box::new(client))
    }

    /// Sends a whole request, or queues what the socket does not take now; it leaves with a later call or
    /// [`OrderConnection::flush`].
    ///
    /// # Errors
    /// [`SubmitError::Full`] where too much waits (nothing was queued), [`SubmitError::Disconnected`].
    #[inline]
    pub fn send(&mut self, request: &[u8]) -> Result<(), SubmitError> {
        match self {
            OrderConnection::Rest { stream, unsent } => {
                flush_unsent(stream, unsent)?;
                if !unsent.is_empty() {
                    return queue(unsent, request);
                }
                match stream.write(request) {
                    Ok(sent) if sent == request.len() => Ok(()),
                    Ok(sent) => queue(unsent, request.get(sent..).unwrap_or_default()),
                    Err(error) if is_would_block(&error) => queue(unsent, request),
                    Err(_) => Err(SubmitError::Disconnected),
                }
            }
            OrderConnection::WebSocket(client) => {
                let text = std::str::from_utf8(request).map_err(|_| SubmitError::Disconnected)?;
                client.send_text(text).map_err(|lost| match lost {
                    ConnectionLost::SendFull => SubmitError::Full,
                    _ => SubmitError::Disconnected,
                })
            }
        }
    }

    /// Sends what waits, as far as the socket takes it; `true` where nothing is left.
    ///
    /// # Errors
    /// [`SubmitError::Disconnected`].
    pub fn flush(&mut self) -> Result<bool, SubmitError> {
        match self {
            OrderConnection::Rest { stream, unsent } => flush_unsent(stream, unsent).map(|()| unsent.is_empty()),
            OrderConnection::WebSocket(client) => client.flush().map_err(|_| SubmitError::Disconnected),
        }
    }
}

#[inline]
fn flush_unsent(stream: &mut Stream, unsent: &mut Vec<u8>) -> Result<(), SubmitError> {
    while !unsent.is_empty() {
        match stream.write(unsent) {
            Ok(0) => return Err(SubmitError::Disconnected),
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(error) if is_would_block(&error) => return Ok(()),
            Err(_) => return Err(SubmitError::Disconnected),
        }
    }
    Ok(())
}

fn queue(unsent: &mut Vec<u8>, request: &[u8]) -> Result<(), SubmitError> {
    if unsent.len() + request.len() > UNSENT_BYTES_MAX {
        return Err(SubmitError::Full);
    }
    unsent.extend_from_slice(request);
    Ok(())
}

fn is_would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Counts of orders on their way out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EgressCounters {
    /// Orders and cancels handed to the socket.
    pub orders: u64,
    /// Bytes of them, headers and signatures included.
    pub bytes: u64,
    /// Requests that only measure the wire.
    pub probes: u64,
    /// Commands that did not fit into a request.
    pub unencodable: u64,
    /// Requests refused because the connection is down or takes nothing.
    pub refused: u64,
}

/// What is known of a request that left, told to whoever takes it from the wire.
#[derive(Clone, Copy, Debug)]
pub struct SentRequest {
    /// Number of the request on its connection, from 0. A number that comes again replaces the earlier one, which did not leave.
    pub number: u64,
    /// When the message that caused it left its sender; `None` where no message did.
    pub origin: Option<Started>,
    /// When it was handed to the socket.
    pub handed: Started,
    /// Whether it is an order, and not a probe of the wire.
    pub is_order: bool,
}

/// Encodes, signs and sends the orders of a session.
pub struct OrderEgress {
    encoder: OrderEncoder,
    out: Outgoing,
}

/// All but the encoder, which lends its request while this changes.
struct Outgoing {
    connection: OrderConnection,
    stopwatch: Stopwatch,
    /// When the message being dealt with left its sender.
    origin: Option<Started>,
    sent: rtrb::Producer<SentRequest>,
    counters: EgressCounters,
    wire_ns: Histogram<u64>,
    send_ns: Histogram<u64>,
}

impl OrderEgress {
    /// An egress by an open connection. Each request is told to `sent` just before it leaves; where that is full it is not told.
    pub fn new(encoder: OrderEncoder, connection: OrderConnection, sent: rtrb::Producer<SentRequest>) -> OrderEgress {
        let empty = Histogram::new_with_bounds(1, WIRE_NS_MAX, 3).unwrap_or_else(|_| unreachable!("1 <= 60e9/2 and 3 <= 5 digits"));
        OrderEgress {
            encoder,
            out: Outgoing {
                connection,
                stopwatch: Stopwatch::new(),
                origin: None,
                sent,
                counters: EgressCounters::default(),
                wire_ns: empty.clone(),
                send_ns: empty,
            },
        }
    }

    /// Says when the message that is dealt with next left its sender; `None` for what no message caused.
    #[inline]
    pub fn set_origin(&mut self, origin: Option<Started>) {
        self.out.origin = origin;
    }

    /// Sends a command.
    ///
    /// # Errors
    /// [`SubmitError`] where it did not leave.
    #[inline]
    pub fn send(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        match self.encoder.encode(now, command) {
            Ok(request) => self.out.send(request, true),
            Err(EncodeError) => {
                self.out.counters.unencodable += 1;
                Err(SubmitError::UnknownInstrument)
            }
        }
    }

    /// Sends the request a command would be, to measure the wire; it counts as no order.
    ///
    /// # Errors
    /// As [`OrderEgress::send`].
    pub fn probe(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        let request = self.encoder.encode(now, command).map_err(|EncodeError| SubmitError::UnknownInstrument)?;
        self.out.send(request, false)
    }

    /// Sends what waits, as far as the socket takes it; `true` where nothing is left.
    ///
    /// # Errors
    /// [`SubmitError::Disconnected`].
    pub fn flush(&mut self) -> Result<bool, SubmitError> {
        self.out.connection.flush()
    }

    /// The counts so far.
    pub fn counters(&self) -> EgressCounters {
        self.out.counters
    }

    /// From when a message left its sender to when the order it caused was handed to the socket, in nanoseconds.
    pub fn wire_ns(&self) -> &Histogram<u64> {
        &self.out.wire_ns
    }

    /// How long the socket took to take an order, in nanoseconds.
    pub fn send_ns(&self) -> &Histogram<u64> {
        &self.out.send_ns
    }
}

impl Outgoing {
    #[inline]
    fn send(&mut self, request: &[u8], is_order: bool) -> Result<(), SubmitError> {
        let handed = self.stopwatch.start();
        let number = self.counters.orders + self.counters.probes;
        let _ = self.sent.push(SentRequest { number, origin: self.origin, handed, is_order });
        if let Err(error) = self.connection.send(request) {
            self.counters.refused += 1;
            return Err(error);
        }
        if !is_order {
            self.counters.probes += 1;
            return Ok(());
        }
        self.counters.orders += 1;
        self.counters.bytes += request.len() as u64;
        self.send_ns.saturating_record(self.stopwatch.elapsed_ns(handed));
        if let Some(origin) = self.origin {
            self.wire_ns.saturating_record(self.stopwatch.between_ns(origin, handed));
        }
        Ok(())
    }
}

/// A venue that simulates, with a wire before it: what it is given leaves by a socket too. Without an egress it is the venue alone.
pub struct WiredVenue<V> {
    venue: V,
    egress: Option<Box<OrderEgress>>,
}

impl<V> WiredVenue<V> {
    /// The venue alone.
    pub fn new(venue: V) -> WiredVenue<V> {
        WiredVenue { venue, egress: None }
    }

    /// Lets orders leave by a socket from now on.
    pub fn connect(&mut self, egress: OrderEgress) {
        self.egress = Some(Box::new(egress));
    }

    /// What orders leave by.
    #[inline]
    pub fn egress(&mut self) -> Option<&mut OrderEgress> {
        self.egress.as_deref_mut()
    }

    /// Ends the connection and gives what it counted.
    pub fn disconnect(&mut self) -> Option<Box<OrderEgress>> {
        self.egress.take()
    }
}

impl<V: Venue> Venue for WiredVenue<V> {
    #[inline]
    fn submit(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        if let Some(egress) = &mut self.egress {
            egress.send(now, command)?;
        }
        self.venue.submit(now, command)
    }

    #[inline]
    fn on_market(&mut self, event: &MarketEvent) {
        self.venue.on_market(event);
    }

    #[inline]
    fn next_due(&self) -> Option<Timestamp> {
        self.venue.next_due()
    }

    #[inline]
    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer) {
        self.venue.poll(until, out);
    }
}
