//! A WebSocket client over a stream that never blocks (RFC 6455).

use bytes::{Bytes, BytesMut};
use chronos_market::decode::MESSAGE_BYTES_MAX;
use std::fmt;
use std::io::{self, Read, Write};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::{Error, Message, Utf8Bytes, WebSocket};

/// Sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WebSocketConfig {
    /// Longest message taken, in all its frames.
    pub message_bytes_max: usize,
    /// Bytes asked of the socket at a time. (They are zeroed before each read, so more is not better.)
    pub read_bytes: usize,
    /// Bytes that may wait to be sent.
    pub unsent_bytes_max: usize,
}

impl Default for WebSocketConfig {
    /// Any message a decoder takes; 16 KiB at a time; 256 KiB to send.
    fn default() -> Self {
        WebSocketConfig { message_bytes_max: MESSAGE_BYTES_MAX, read_bytes: 16 << 10, unsent_bytes_max: 256 << 10 }
    }
}

/// Why a connection is of no use any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionLost {
    /// Closed by the peer, as the protocol has it.
    Closed,
    /// Cut without a word.
    Cut,
    /// The system's error.
    Io(io::ErrorKind),
    /// A message longer than is taken.
    TooLong,
    /// What came is not WebSocket, or breaks its rules.
    Protocol,
    /// The peer refused the handshake; its HTTP status, 0 where it gave none.
    Refused(u16),
    /// Too much waits to be sent.
    SendFull,
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionLost::Closed => f.write_str("closed by the peer"),
            ConnectionLost::Cut => f.write_str("cut off without a closing handshake"),
            ConnectionLost::Io(kind) => write!(f, "{kind}"),
            ConnectionLost::TooLong => f.write_str("a message longer than is taken"),
            ConnectionLost::Protocol => f.write_str("what came breaks the WebSocket protocol"),
            ConnectionLost::Refused(0) => f.write_str("the peer refused the handshake"),
            ConnectionLost::Refused(status) => write!(f, "the peer refused the handshake with HTTP status {status}"),
            ConnectionLost::SendFull => f.write_str("the peer takes nothing: too much waits to be sent"),
        }
    }
}

impl std::error::Error for ConnectionLost {}

/// Counts of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WebSocketCounters {
    /// Messages, text and binary.
    pub messages: u64,
    /// Pings, each answered.
    pub pings: u64,
    /// Pongs.
    pub pongs: u64,
}

/// One connection. After an error it can only be dropped.
///
/// Receiving and sending take no memory once the buffers have grown (to about twice the longest message and a read), pings and messages
/// in several frames excepted.
pub struct WebSocketClient<S: Read + Write> {
    state: State<S>,
    config: WebSocketConfig,
    /// The message handed out last: its memory is used again once it is dropped.
    last: Option<Message>,
    /// Whether the peer has said that it closes.
    is_closing: bool,
    outgoing: BytesMut,
    counters: WebSocketCounters,
}

enum State<S: Read + Write> {
    Shaking(MidHandshake<ClientHandshake<S>>),
    Open(WebSocket<S>),
    Lost(ConnectionLost),
}

impl<S: Read + Write> fmt::Debug for WebSocketClient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Shaking(_) => "shaking hands",
            State::Open(_) => "open",
            State::Lost(_) => "lost",
        };
        write!(f, "WebSocketClient({state}, {:?})", self.counters)
    }
}

impl<S: Read + Write> WebSocketClient<S> {
    /// Begins the handshake for `url` (`ws://host/path` or `wss://host/path`) over a connected stream.
    ///
    /// # Errors
    /// [`ConnectionLost`], with [`ConnectionLost::Protocol`] for a URL that cannot be.
    pub fn start(url: &str, stream: S, config: WebSocketConfig) -> Result<WebSocketClient<S>, ConnectionLost> {
        let request = url.into_client_request().map_err(|error| lost(&error))?;
        let limits = tungstenite::protocol::WebSocketConfig::default()
            .read_buffer_size(config.read_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(config.unsent_bytes_max.max(1))
            .max_message_size(Some(config.message_bytes_max))
            .max_frame_size(Some(config.message_bytes_max));
        let shaking = ClientHandshake::start(stream, request, Some(limits)).map_err(|error| lost(&error))?;
        let outgoing = BytesMut::with_capacity(config.read_bytes);
        let counters = WebSocketCounters::default();
        let mut client =
            WebSocketClient { state: State::Shaking(shaking), config, last: None, is_closing: false, outgoing, counters };
        client.is_open()?;
        Ok(client)
    }

    /// Goes on with the handshake; `true` once it is done.
    ///
    /// # Errors
    /// [`ConnectionLost`] where it failed.
    pub fn is_open(&mut self) -> Result<bool, ConnectionLost> {
        // Put back below, unless it failed.
        match std::mem::replace(&mut self.state, State::Lost(ConnectionLost::Protocol)) {
            State::Shaking(shaking) => match shaking.handshake() {
                Ok((socket, _)) => {
                    self.state = State::Open(socket);
                    Ok(true)
                }
                Err(HandshakeError::Interrupted(shaking)) => {
                    self.state = State::Shaking(shaking);
                    Ok(false)
                }
                Err(HandshakeError::Failure(error)) => {
                    let reason = lost(&error);
                    self.state = State::Lost(reason);
                    Err(reason)
                }
            },
            State::Open(socket) => {
                self.state = State::Open(socket);
                Ok(true)
            }
            State::Lost(reason) => {
                self.state = State::Lost(reason);
                Err(reason)
            }
        }
    }

    /// The next message; `None` where none is whole yet. Pings and closes are answered on the way.
    ///
    /// # Errors
    /// [`ConnectionLost`]; every further call gives the same.
    #[inline]
    pub fn receive(&mut self) -> Result<Option<&[u8]>, ConnectionLost> {
        // Dropped before the next is read, so that its memory can be used again.
        self.last = None;
        let socket = match &mut self.state {
            State::Open(socket) => socket,
            State::Lost(reason) => return Err(*reason),
            State::Shaking(_) => {
                self.is_open()?;
                return Ok(None);
            }
        };
        loop {
            match socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    self.counters.messages += 1;
                    self.last = Some(message);
                    return Ok(Some(self.message()));
                }
                Ok(Message::Ping(_)) => {
                    self.counters.pings += 1;
                    // The answer is queued; where the socket takes nothing now it leaves with the next call.
                    match socket.flush() {
                        Err(error) if !is_would_block(&error) => return self.fail(&error),
                        _ => {}
                    }
                }
                Ok(Message::Pong(_)) => self.counters.pongs += 1,
                // The next read answers it, and tells when the other side has closed.
                Ok(Message::Close(_)) => self.is_closing = true,
                Ok(Message::Frame(_)) => {}
                Err(error) if is_would_block(&error) => return Ok(None),
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// The message received last, until the next call of [`WebSocketClient::receive`].
    #[inline]
    pub fn message(&self) -> &[u8] {
        match &self.last {
            Some(Message::Text(text)) => text.as_bytes(),
            Some(Message::Binary(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Sends one text message, at once where the socket takes it, else with later calls.
    ///
    /// # Errors
    /// [`ConnectionLost::SendFull`] where too much waits already (the message was not queued), or why the connection is gone.
    #[inline]
    pub fn send_text(&mut self, text: &str) -> Result<(), ConnectionLost> {
        let socket = match &mut self.state {
            State::Open(socket) => socket,
            State::Lost(reason) => return Err(*reason),
            State::Shaking(_) => return Err(ConnectionLost::Io(io::ErrorKind::NotConnected)),
        };
        self.outgoing.clear();
        self.outgoing.extend_from_slice(text.as_bytes());
        let bytes: Bytes = self.outgoing.split().freeze();
        let message = Utf8Bytes::try_from(bytes).map_err(|_| ConnectionLost::Protocol)?;
        match socket.send(Message::Text(message)) {
            Ok(()) => Ok(()),
            Err(error) if is_would_block(&error) => Ok(()),
            Err(Error::WriteBufferFull(_)) => Err(ConnectionLost::SendFull),
            Err(error) => self.fail(&error).map(|_| ()),
        }
    }

    /// Sends what waits, as far as the socket takes it; `true` where nothing is left.
    ///
    /// # Errors
    /// Why the connection is gone.
    pub fn flush(&mut self) -> Result<bool, ConnectionLost> {
        let State::Open(socket) = &mut self.state else { return Ok(false) };
        match socket.flush() {
            Ok(()) => Ok(true),
            Err(error) if is_would_block(&error) => Ok(false),
            Err(error) => self.fail(&error).map(|_| false),
        }
    }

    /// Begins the closing handshake; [`WebSocketClient::receive`] tells when the peer has answered.
    pub fn close(&mut self) {
        if let State::Open(socket) = &mut self.state {
            // What cannot be told the peer it will notice.
            let _ = socket.close(None);
        }
    }

    /// The stream, where the handshake is done.
    pub fn stream(&self) -> Option<&S> {
        match &self.state {
            State::Open(socket) => Some(socket.get_ref()),
            State::Shaking(_) | State::Lost(_) => None,
        }
    }

    /// The counts so far.
    pub fn counters(&self) -> WebSocketCounters {
        self.counters
    }

    /// Longest message taken.
    pub fn message_bytes_max(&self) -> usize {
        self.config.message_bytes_max
    }

    #[cold]
    fn fail(&mut self, error: &Error) -> Result<Option<&[u8]>, ConnectionLost> {
        let reason = match lost(error) {
            // Goodbyes are said; many a server then ends TLS or TCP without a further word.
            ConnectionLost::Cut | ConnectionLost::Io(io::ErrorKind::ConnectionReset) if self.is_closing => ConnectionLost::Closed,
            reason => reason,
        };
        self.state = State::Lost(reason);
        Err(reason)
    }
}

fn is_would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted))
}

fn lost(error: &Error) -> ConnectionLost {
    use tungstenite::error::ProtocolError;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => ConnectionLost::Closed,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => ConnectionLost::Cut,
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof) => ConnectionLost::Cut,
        Error::Io(error) => ConnectionLost::Io(error.kind()),
        Error::Capacity(_) => ConnectionLost::TooLong,
        Error::Http(response) => ConnectionLost::Refused(response.status().as_u16()),
        Error::WriteBufferFull(_) => ConnectionLost::SendFull,
        _ => ConnectionLost::Protocol,
    }
}
