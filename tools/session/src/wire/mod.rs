//! A replay over sockets: a capture is played through loopback into the real ingress, and orders leave by a real egress.
//!
//! ```text
//!  sender thread                      this thread                                    sink thread
//!  capture ─ pace ─ impair ─ send ══▶ ingress ─ decode ─ book ─ … ─ order ─ sign ══▶ counts
//!                              UDP or WebSocket                        TCP or WebSocket
//! ```
//!
//! What travels is an envelope with the capture's receive time, which is the logical time on the other side: without injected faults
//! the digest equals that of the same replay from the file. Latency is measured from the sender's call of send, by one
//! processor counter for all threads.

mod envelope;
mod impair;
mod receiver;
mod report;
mod sender;
mod sink;

pub use impair::{Fate, Impairer};
pub use report::{WireLatency, WireReport};

pub(crate) use receiver::{BUSY_THREADS, Session, drive};

use crate::capture::Place;
use chronos_pipeline::stopwatch::Started;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a replay goes over, and what is done to it on the way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WireOptions {
    /// The sockets.
    pub transport: Transport,
    /// How fast the capture is played.
    pub speed: Speed,
    /// Part of the messages lost on purpose, 0 to below 1.
    pub loss: f64,
    /// Part of the messages overtaken by the next one, 0 to below 1.
    pub reorder: f64,
    /// Messages sent back to back; 1 keeps the capture's pace.
    pub burst: u32,
    /// Seed of loss and reordering.
    pub seed: u64,
}

impl WireOptions {
    /// At the capture's own pace, nothing lost.
    pub fn new(transport: Transport) -> WireOptions {
        WireOptions { transport, speed: Speed::Times(1.0), loss: 0.0, reorder: 0.0, burst: 1, seed: 1 }
    }
}

/// What messages travel by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A datagram each; orders leave as HTTP requests over TCP.
    Udp,
    /// A WebSocket message each; orders leave as messages of a WebSocket API.
    WebSocket,
}

impl Transport {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::WebSocket => "ws",
        }
    }
}

/// How fast a capture is played.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Speed {
    /// So many times its own pace, above 0.
    Times(f64),
    /// As fast as the receiver takes it.
    Max,
}

/// Why a replay over sockets failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A socket of ours.
    #[error("{what}: {source}")]
    Socket {
        /// What it was for.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A message that no datagram can carry.
    #[error(
        "{path}, line {line}: a message of {bytes} bytes, and a datagram carries {max}; play this capture with `--over ws`",
        path = place.display()
    )]
    TooLong {
        /// The file.
        place: std::path::PathBuf,
        /// The line.
        line: u64,
        /// Its length.
        bytes: usize,
        /// Most that fits.
        max: usize,
    },
    /// The topology cannot do it.
    #[error("`--over` measures one core from socket to socket; it takes `--topology fused`")]
    NotFused,
    /// A number that makes no sense.
    #[error("`--{name}` is {value}; {expected}")]
    BadNumber {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// The other side stopped.
    #[error("the connection to the sender was lost: {0}")]
    Lost(String),
    /// A thread ended unexpectedly.
    #[error("the {0} thread ended unexpectedly; this is a defect")]
    Panicked(&'static str),
}

impl WireError {
    fn socket(what: &'static str) -> impl FnOnce(std::io::Error) -> WireError {
        move |source| WireError::Socket { what, source }
    }
}

impl WireOptions {
    pub(crate) fn validate(&self) -> Result<(), WireError> {
        for (name, value) in [("loss", self.loss), ("reorder", self.reorder)] {
            if !(0.0..1.0).contains(&value) {
                return Err(WireError::BadNumber { name, value, expected: "it is a part, 0 to below 1" });
            }
        }
        match self.speed {
            Speed::Times(value) if !(value > 0.0 && value.is_finite()) => {
                Err(WireError::BadNumber { name: "speed", value, expected: "it is above 0, or `max`" })
            }
            _ if self.burst == 0 => Err(WireError::BadNumber { name: "burst", value: 0.0, expected: "it is 1 or more" }),
            _ => Ok(()),
        }
    }
}

/// What the sender tells of a message beside the wire.
struct Note {
    seq: u64,
    /// When it was handed to send.
    sent: Started,
    /// What it takes of the receive buffer at most, in bytes.
    charge: u64,
    /// Lines of the capture read by then, its own among them.
    lines: u64,
    place: Place,
    symbol: Option<Box<str>>,
}

/// Notes in flight.
const NOTES_MAX: usize = 65_536;

/// What the threads tell each other.
#[derive(Default)]
struct Shared {
    /// Bytes of the receive buffer given back.
    released: AtomicU64,
    /// Probes dealt with.
    probes: AtomicU64,
    /// Lines read.
    lines: AtomicU64,
    /// Bytes of the capture read.
    bytes_read: AtomicU64,
    /// The sender has sent everything.
    is_over: AtomicBool,
    /// The receiver takes nothing more.
    is_stopped: AtomicBool,
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}
