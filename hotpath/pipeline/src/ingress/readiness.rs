//! Waiting for sockets without burning a core.

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::time::Duration;

/// Events taken from the system at a time.
const EVENTS_MAX: usize = 64;

/// Sockets that are waited for together. It tells that one of them changed, not which: receive until there is nothing more, then wait
/// again.
#[derive(Debug)]
pub struct Readiness {
    poll: Poll,
    events: Events,
}

impl Readiness {
    /// Nothing to wait for yet.
    ///
    /// # Errors
    /// The system's, where it gives no more descriptors.
    pub fn new() -> io::Result<Readiness> {
        Ok(Readiness { poll: Poll::new()?, events: Events::with_capacity(EVENTS_MAX) })
    }

    /// Adds a socket. It leaves by being closed.
    ///
    /// # Errors
    /// The system's.
    pub fn add(&self, socket: &mut impl Source) -> io::Result<()> {
        self.poll.registry().register(socket, Token(0), Interest::READABLE | Interest::WRITABLE)
    }

    /// Waits until a socket changed or the time is over; `None` waits for ever.
    ///
    /// # Errors
    /// The system's. A signal is no error: the wait is over.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }
}
