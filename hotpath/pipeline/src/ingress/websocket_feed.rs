//! A WebSocket stream that stays up: connections opened, lost, opened again, and replaced before the venue ends them.

use super::{
    Action, ConnectionKeeper, ConnectionLost, CopyFilter, KeeperConfig, KeeperCounters, Readiness, Slot, Stream, UtcClock,
    WebSocketClient, WebSocketConfig,
};
use chronos_market::Timestamp;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Where a stream comes from, and what to ask for.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    addresses: Vec<SocketAddr>,
    subscriptions: Vec<String>,
    #[cfg(feature = "tls")]
    tls: Option<super::TlsConnector>,
}

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeedMessage<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// When it was taken from the socket: the receive time of the session.
    pub recv: Timestamp,
    /// Which connection it came over. With the first message of another one a book must expect a gap, unless they overlapped.
    pub slot: Slot,
}

/// Counts of all connections.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FeedCounters {
    /// Messages handed on.
    pub messages: u64,
    /// Messages that came over both connections of an overlap, handed on once.
    pub copies: u64,
    /// Pings answered.
    pub pings: u64,
    /// Connections ended because a message was too long.
    pub too_long: u64,
    /// Connections ended because the peer broke the protocol.
    pub protocol_errors: u64,
}

/// A stream of messages that is kept up. Never blocks: what is not there yet comes with a later call.
#[derive(Debug)]
pub struct WebSocketFeed {
    endpoint: Endpoint,
    config: WebSocketConfig,
    keeper: ConnectionKeeper,
    connections: [Connection; 2],
    copies: CopyFilter,
    readiness: Readiness,
    clock: UtcClock,
    /// Whose turn it is.
    turn: Slot,
    next_address: usize,
    counters: FeedCounters,
    last_lost: Option<ConnectionLost>,
}

#[derive(Debug)]
enum Connection {
    None,
    /// Waiting for the peer to answer.
    Connecting(Stream),
    /// Shaking hands.
    Shaking(WebSocketClient<Stream>),
    Open(WebSocketClient<Stream>),
}

impl WebSocketFeed {
    /// A stream without a connection: the first call of [`WebSocketFeed::receive`] begins to connect.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] without an address, or for `wss` without TLS; the system's where it gives no descriptor.
    pub fn new(endpoint: Endpoint, keeper: KeeperConfig, config: WebSocketConfig) -> io::Result<WebSocketFeed> {
        let refuse = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        if endpoint.addresses.is_empty() {
            return refuse("no address to connect to");
        }
        if endpoint.url.starts_with("wss:") && !endpoint.has_tls() {
            return refuse("a wss:// address takes TLS; give a connector (and build with `--features live`)");
        }
        Ok(WebSocketFeed {
            endpoint,
            config,
            keeper: ConnectionKeeper::new(keeper),
            connections: [Connection::None, Connection::None],
            copies: CopyFilter::new(),
            readiness: Readiness::new()?,
            clock: UtcClock::new(),
            turn: Slot::A,
            next_address: 0,
            counters: FeedCounters::default(),
            last_lost: None,
        })
    }

    /// The next message; `None` where there is none now.
    #[inline]
    pub fn receive(&mut self) -> Option<FeedMessage<'_>> {
        let now = self.clock.now();
        self.keep(now);
        for _ in Slot::BOTH {
            let slot = self.turn;
            self.turn = slot.other();
            while self.advance(slot, now) {
                if let Connection::Open(client) = &self.connections[slot.index()]
                    && !(self.keeper.is_overlapping() && self.copies.is_copy(slot, client.message()))
                {
                    self.counters.messages += 1;
                    let recv = self.clock.now();
                    // Looked up again: the borrow above may not outlive the loop.
                    return self.message_of(slot, recv);
                }
                self.counters.copies += 1;
            }
        }
        None
    }

    /// Waits until there may be a message or something is due, at most for `longest`.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&mut self, longest: Duration) -> io::Result<()> {
        let due_ns = self.keeper.next_due().since_ns(self.clock.now()).max(0);
        self.readiness.wait(Some(longest.min(Duration::from_nanos(due_ns.unsigned_abs()))))
    }

    /// Sends a text message over the connection that counts.
    ///
    /// # Errors
    /// [`ConnectionLost`], also where none is open.
    pub fn send_text(&mut self, text: &str) -> Result<(), ConnectionLost> {
        let open = self.connections.iter_mut().find_map(|connection| match connection {
            Connection::Open(client) => Some(client),
            _ => None,
        });
        open.ok_or(ConnectionLost::Io(io::ErrorKind::NotConnected))?.send_text(text)
    }

    /// Whether a connection is open.
    pub fn is_open(&self) -> bool {
        self.keeper.is_open()
    }

    /// Why a connection was lost last.
    pub fn last_lost(&self) -> Option<ConnectionLost> {
        self.last_lost
    }

    /// The counts so far.
    pub fn counters(&self) -> FeedCounters {
        self.counters
    }

    /// Tries, losses and replacements so far.
    pub fn keeper_counters(&self) -> KeeperCounters {
        self.keeper.counters()
    }

    #[inline]
    fn message_of(&self, slot: Slot, recv: Timestamp) -> Option<FeedMessage<'_>> {
        match &self.connections[slot.index()] {
            Connection::Open(client) => Some(FeedMessage { bytes: client.message(), recv, slot }),
            _ => None,
        }
    }

    /// Does what the keeper asks for.
    #[inline]
    fn keep(&mut self, now: Timestamp) {
        let was_overlapping = self.keeper.is_overlapping();
        while let Some(action) = self.keeper.poll(now) {
            match action {
                Action::Close(slot) => {
                    if let Connection::Open(client) = &mut self.connections[slot.index()] {
                        client.close();
                    }
                    self.connections[slot.index()] = Connection::None;
                }
                Action::Connect(slot) => self.connect(slot, now),
            }
        }
        if was_overlapping && !self.keeper.is_overlapping() {
            self.copies.clear();
        }
    }

    #[cold]
    fn connect(&mut self, slot: Slot, now: Timestamp) {
        let address = self.endpoint.addresses[self.next_address % self.endpoint.addresses.len()];
        self.next_address += 1;
        let begin = || {
            let mut stream = Stream::connect(address)?;
            stream.register(&self.readiness)?;
            self.endpoint.encrypt(stream)
        };
        match begin() {
            Ok(stream) => self.connections[slot.index()] = Connection::Connecting(stream),
            Err(error) => self.lose(slot, ConnectionLost::Io(error.kind()), now),
        }
    }

    #[cold]
    fn lose(&mut self, slot: Slot, reason: ConnectionLost, now: Timestamp) {
        self.counters.too_long += u64::from(reason == ConnectionLost::TooLong);
        self.counters.protocol_errors += u64::from(reason == ConnectionLost::Protocol);
        self.last_lost = Some(reason);
        self.connections[slot.index()] = Connection::None;
        let was_overlapping = self.keeper.is_overlapping();
        self.keeper.on_lost(slot, now);
        if was_overlapping {
            self.copies.clear();
        }
    }

    /// Goes on with a connection; `true` where it has a message.
    #[inline]
    fn advance(&mut self, slot: Slot, now: Timestamp) -> bool {
        let Connection::Open(client) = &mut self.connections[slot.index()] else {
            if !matches!(self.connections[slot.index()], Connection::None) {
                self.open(slot, now);
            }
            return false;
        };
        let pings = client.counters().pings;
        let result = client.receive().map(|message| message.is_some());
        let pinged = client.counters().pings - pings;
        if pinged > 0 {
            self.counters.pings += pinged;
            self.keeper.on_heard(slot, now, false);
        }
        match result {
            Ok(has_message) => {
                if has_message {
                    self.keeper.on_heard(slot, now, true);
                    if is_shutdown(client.message()) {
                        self.keeper.request_rollover();
                    }
                }
                has_message
            }
            Err(reason) => {
                self.lose(slot, reason, now);
                false
            }
        }
    }

    /// Goes on with opening a connection.
    #[cold]
    fn open(&mut self, slot: Slot, now: Timestamp) {
        let result = match std::mem::replace(&mut self.connections[slot.index()], Connection::None) {
            Connection::Connecting(stream) => match stream.is_connected() {
                Ok(true) => WebSocketClient::start(&self.endpoint.url, stream, self.config).map(Connection::Shaking),
                Ok(false) => Ok(Connection::Connecting(stream)),
                Err(error) => Err(ConnectionLost::Io(error.kind())),
            },
            other => Ok(other),
        };
        let result = match result {
            Ok(Connection::Shaking(mut client)) => client.is_open().and_then(|is_open| {
                if is_open {
                    for text in &self.endpoint.subscriptions {
                        client.send_text(text)?;
                    }
                    self.keeper.on_open(slot, now);
                    return Ok(Connection::Open(client));
                }
                Ok(Connection::Shaking(client))
            }),
            other => other,
        };
        match result {
            Ok(connection) => self.connections[slot.index()] = connection,
            Err(reason) => self.lose(slot, reason, now),
        }
    }
}

impl Endpoint {
    /// `url` is `ws://host/path` or `wss://host/path`, `addresses` those of the host, tried in turn. Nothing is asked for after the
    /// handshake.
    pub fn new(url: &str, addresses: Vec<SocketAddr>) -> Endpoint {
        Endpoint {
            url: url.to_owned(),
            addresses,
            subscriptions: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Text messages sent as soon as a connection is open.
    pub fn with_subscriptions(self, subscriptions: Vec<String>) -> Endpoint {
        Endpoint { subscriptions, ..self }
    }

    /// What `wss` connections are encrypted by.
    #[cfg(feature = "tls")]
    pub fn with_tls(self, tls: super::TlsConnector) -> Endpoint {
        Endpoint { tls: Some(tls), ..self }
    }

    #[cfg(feature = "tls")]
    fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    fn has_tls(&self) -> bool {
        false
    }

    #[cfg(feature = "tls")]
    fn encrypt(&self, stream: Stream) -> io::Result<Stream> {
        let Some(tls) = self.tls.as_ref().filter(|_| self.url.starts_with("wss:")) else { return Ok(stream) };
        let authority = self.url.split('/').nth(2).unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        tls.encrypt(stream, host).map_err(io::Error::other)
    }

    #[cfg(not(feature = "tls"))]
    fn encrypt(&self, stream: Stream) -> io::Result<Stream> {
        Ok(stream)
    }
}

/// Longest message that says a server shuts down.
const SHUTDOWN_BYTES_MAX: usize = 128;

/// Whether a message is Binance's `serverShutdown`, raw or combined.
#[inline]
fn is_shutdown(message: &[u8]) -> bool {
    const NAME: &[u8] = b"serverShutdown";
    message.len() <= SHUTDOWN_BYTES_MAX && message.windows(NAME.len()).any(|window| window == NAME)
}
