//! The other far end: takes orders from the wire and counts them.

use super::sender::accept;
use super::{Shared, Transport, WireError};
use chronos_pipeline::gateway::SentRequest;
use chronos_pipeline::stopwatch::Stopwatch;
use hdrhistogram::Histogram;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What came.
pub(super) struct Sunk {
    /// Orders and cancels that arrived whole.
    pub(super) orders: u64,
    /// Requests that arrived and were not announced, or in a form that no request has.
    pub(super) unknown: u64,
    /// From the sender's call of send to the order's arrival here.
    pub(super) wire_to_venue: Histogram<u64>,
    /// Of probes: from the egress to here, and from the sender to here.
    pub(super) probe_out: Histogram<u64>,
    pub(super) probe_both: Histogram<u64>,
}

/// Takes requests until the connection ends.
pub(super) struct Sink {
    pub(super) listener: TcpListener,
    pub(super) transport: Transport,
    pub(super) sent: rtrb::Consumer<SentRequest>,
    pub(super) shared: Arc<Shared>,
}

impl Sink {
    pub(super) fn run(self) -> Result<Sunk, WireError> {
        let Sink { listener, transport, sent, shared } = self;
        let stream = accept(&listener, &shared)?;
        let empty = super::report::histogram();
        let mut count = Count {
            sent,
            stopwatch: Stopwatch::new(),
            number: 0,
            sunk: Sunk { orders: 0, unknown: 0, wire_to_venue: empty.clone(), probe_out: empty.clone(), probe_both: empty },
        };
        match transport {
            Transport::Udp => take_http(stream, &mut count)?,
            Transport::WebSocket => take_web_socket(stream, &mut count)?,
        }
        Ok(count.sunk)
    }
}

struct Count {
    sent: rtrb::Consumer<SentRequest>,
    stopwatch: Stopwatch,
    number: u64,
    sunk: Sunk,
}

impl Count {
    /// One request has arrived.
    fn request(&mut self) {
        let arrived = self.stopwatch.start();
        let number = self.number;
        self.number += 1;
        let mut found = None;
        while let Ok(request) = self.sent.peek().copied() {
            if request.number > number {
                break;
            }
            let _ = self.sent.pop();
            found = Some(request).filter(|request| request.number == number);
        }
        let Some(request) = found else {
            self.sunk.unknown += 1;
            return;
        };
        let whole_ns = request.origin.map(|origin| self.stopwatch.between_ns(origin, arrived));
        if request.is_order {
            self.sunk.orders += 1;
            whole_ns.iter().for_each(|nanos| self.sunk.wire_to_venue.saturating_record(*nanos));
        } else {
            self.sunk.probe_out.saturating_record(self.stopwatch.between_ns(request.handed, arrived));
            whole_ns.iter().for_each(|nanos| self.sunk.probe_both.saturating_record(*nanos));
        }
    }
}

/// HTTP/1.1 requests one behind the other, each with the length of its body.
fn take_http(mut stream: TcpStream, count: &mut Count) -> Result<(), WireError> {
    let mut buffer = vec![0; 256 << 10];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(WireError::socket("the order sink")(error)),
        }
        let mut at = 0;
        while let Some(length) = request_length(&buffer[at..filled]) {
            count.request();
            at += length;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        if filled == buffer.len() {
            // No request is that long.
            count.sunk.unknown += 1;
            filled = 0;
        }
    }
}

/// Length of the whole request that `bytes` begin with.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let name = b"Content-Length:";
    let body = match memchr::memmem::find(&bytes[..head], name) {
        None => 0,
        Some(at) => {
            let value = bytes[at + name.len()..head].split(|&byte| byte == b'\r').next()?;
            std::str::from_utf8(value).ok()?.trim().parse().ok()?
        }
    };
    head.checked_add(body).filter(|length| *length <= bytes.len())
}

fn take_web_socket(stream: TcpStream, count: &mut Count) -> Result<(), WireError> {
    let mut socket = tungstenite::accept(stream).map_err(|error| WireError::Lost(error.to_string()))?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() => count.request(),
            Ok(_) => {}
            // However it ends, the report tells how many came.
            Err(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_their_lengths() {
        let get = b"DELETE /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n".as_slice();
        let post = b"POST /a HTTP/1.1\r\nContent-Length:   10\r\n\r\n0123456789".as_slice();
        let both = [post, get].concat();
        assert_eq!(request_length(&both), Some(post.len()));
        assert_eq!(request_length(&both[post.len()..]), Some(get.len()));
        for cut in 0..post.len() {
            assert_eq!(request_length(&post[..cut]), None);
        }
    }
}
