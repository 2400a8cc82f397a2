//! The WebSocket client against bytes that come in every way they can, and the stream that is kept up against a real server.

#[cfg(feature = "tls")]
mod tls;

use chronos_pipeline::ingress::{ConnectionLost, Endpoint, KeeperConfig, WebSocketClient, WebSocketConfig, WebSocketFeed};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tungstenite::handshake::derive_accept_key;
use tungstenite::{Message, WebSocket};

/// A peer that says what it was told to say, in pieces of given lengths with nothing to read between them.
#[derive(Default)]
struct Script {
    incoming: VecDeque<Vec<u8>>,
    /// Whether the stream ends behind the last piece.
    ends: bool,
    is_pausing: bool,
    outgoing: Vec<u8>,
    is_shaken: bool,
}

#[derive(Clone, Default)]
struct Scripted(Rc<RefCell<Script>>);

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let script = &mut *self.0.borrow_mut();
        script.is_pausing = !script.is_pausing;
        if !script.is_shaken || script.is_pausing && !script.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(mut piece) = script.incoming.pop_front() else {
            return if script.ends { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        if count < piece.len() {
            script.incoming.push_front(piece.split_off(count));
        }
        Ok(count)
    }
}

impl Write for Scripted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let script = &mut *self.0.borrow_mut();
        script.outgoing.extend_from_slice(buffer);
        if !script.is_shaken && script.outgoing.ends_with(b"\r\n\r\n") {
            let request = String::from_utf8(std::mem::take(&mut script.outgoing)).unwrap();
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = derive_accept_key(key.as_bytes());
            let reply = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            script.incoming.push_front(reply.into_bytes());
            script.is_shaken = true;
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const TEXT: u8 = 1;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

fn frame(code: u8, is_last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![code | if is_last { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Everything a client hears of these bytes, cut into pieces.
fn heard(pieces: Vec<Vec<u8>>, config: WebSocketConfig) -> (Vec<Vec<u8>>, Option<ConnectionLost>, Scripted) {
    let stream = Scripted::default();
    (stream.0.borrow_mut().incoming, stream.0.borrow_mut().ends) = (pieces.into(), true);
    let mut client = WebSocketClient::start("ws://peer/path", stream.clone(), config).unwrap();
    let mut messages = Vec::new();
    for _ in 0..1_000_000 {
        match client.receive() {
            Ok(Some(message)) => messages.push(message.to_vec()),
            Ok(None) => {}
            Err(lost) => {
                assert_eq!(client.receive().map(|_| ()), Err(lost), "an error that does not stay");
                return (messages, Some(lost), stream);
            }
        }
    }
    panic!("no end");
}

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*size).clamp(1, rest.len()));
        pieces.push(piece.to_vec());
        rest = more;
    }
    pieces
}

/// A few messages: whole ones of all three lengths of header, one in three frames with a ping and a pong in between, an empty one.
fn conversation() -> (Vec<u8>, Vec<Vec<u8>>) {
    let (long, longest) = (vec![b'l'; 300], vec![b'L'; 70_000]);
    let frames = [
        frame(TEXT, true, b"first"),
        frame(TEXT, false, b"one "),
        frame(PING, true, b"are you there"),
        frame(CONTINUATION, false, b"in three"),
        frame(PONG, true, b"unasked"),
        frame(CONTINUATION, true, b" frames"),
        frame(TEXT, true, b""),
        frame(2, true, &long),
        frame(TEXT, true, &longest),
        frame(PING, true, b""),
        frame(TEXT, true, "\u{1f600}".as_bytes()),
        frame(CLOSE, true, &1_000_u16.to_be_bytes()),
    ];
    let messages = vec![b"first".to_vec(), b"one in three frames".to_vec(), Vec::new(), long, longest, "\u{1f600}".into()];
    (frames.concat(), messages)
}

/// Frames a client sent: they are masked.
fn sent(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [code, length, rest @ ..] = bytes {
        assert!(length & 0x80 != 0 && length & 0x7f < 126, "a short, masked frame");
        let (mask, rest) = rest.split_at(4);
        let (payload, more) = rest.split_at(usize::from(length & 0x7f));
        frames.push((code & 15, payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()));
        bytes = more;
    }
    frames
}

#[test]
fn every_message_is_heard_wherever_the_bytes_are_cut() {
    let (bytes, expected) = conversation();
    // Beyond the first 400 bytes lies one long payload: a cut in it is as good as another.
    for at in (1..400).chain([bytes.len() - 12, bytes.len() - 3, bytes.len() - 1]) {
        let (messages, lost, stream) = heard(vec![bytes[..at].to_vec(), bytes[at..].to_vec()], WebSocketConfig::default());
        assert_eq!((messages, lost), (expected.clone(), Some(ConnectionLost::Closed)), "cut at {at}");
        let answers = sent(&stream.0.borrow().outgoing);
        let pong = |payload: &[u8]| (PONG, payload.to_vec());
        assert!(answers.contains(&pong(b"are you there")) && answers.contains(&pong(b"")), "{answers:?}");
        assert_eq!(answers.last().map(|(code, _)| *code), Some(CLOSE));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_message_is_heard_in_pieces_of_any_sizes(sizes in prop::collection::vec(1_usize..900, 1..20)) {
        let (bytes, expected) = conversation();
        let (messages, lost, _) = heard(cut(&bytes, &sizes), WebSocketConfig::default());
        prop_assert_eq!((messages, lost), (expected, Some(ConnectionLost::Closed)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), sizes in prop::collection::vec(1_usize..50, 1..5)) {
        heard(cut(&bytes, &sizes), WebSocketConfig::default());
    }
}

#[test]
fn what_breaks_the_rules_ends_the_connection_with_its_reason() {
    let small = WebSocketConfig { message_bytes_max: 100, ..WebSocketConfig::default() };
    let before = frame(TEXT, true, b"before");
    // Four bytes of mask and four of text.
    let masked = [[0x81, 0x84].as_slice(), b"maskabcd"].concat();
    for (bytes, expected) in [
        (frame(TEXT, true, &[b'x'; 101]), ConnectionLost::TooLong),
        ([frame(TEXT, false, &[b'x'; 60]), frame(CONTINUATION, true, &[b'x'; 60])].concat(), ConnectionLost::TooLong),
        // A length that no machine holds.
        ([vec![0x81, 127], vec![0x7f; 8]].concat(), ConnectionLost::TooLong),
        (frame(CONTINUATION, true, b"of nothing"), ConnectionLost::Protocol),
        ([frame(TEXT, false, b"a"), frame(TEXT, true, b"b")].concat(), ConnectionLost::Protocol),
        (frame(TEXT, true, &[0xff, 0xfe]), ConnectionLost::Protocol),
        (frame(PING, false, b""), ConnectionLost::Protocol),
        (frame(3, true, b""), ConnectionLost::Protocol),
        (vec![0xf1, 0], ConnectionLost::Protocol),
        (masked, ConnectionLost::Protocol),
        (Vec::new(), ConnectionLost::Cut),
        (frame(TEXT, true, b"cut off")[..5].to_vec(), ConnectionLost::Cut),
    ] {
        let (messages, lost, _) = heard(vec![[before.clone(), bytes.clone()].concat()], small);
        assert_eq!((messages, lost), (vec![b"before".to_vec()], Some(expected)), "{bytes:?}");
    }
}

#[test]
fn a_refused_handshake_tells_its_status() {
    struct Refusing(bool);
    impl Read for Refusing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if !self.0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let reply = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
            buffer[..reply.len()].copy_from_slice(reply);
            Ok(reply.len())
        }
    }
    impl Write for Refusing {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.0 = true;
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let refused = WebSocketClient::start("ws://peer/", Refusing(false), WebSocketConfig::default()).map(|_| ());
    assert_eq!(refused, Err(ConnectionLost::Refused(429)));
}

/// The next connection, waited for at most ten seconds.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return stream;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody connects");
    }
}

/// A server on loopback that takes connections when it is asked to.
struct Server(TcpListener);

impl Server {
    fn new() -> Server {
        Server(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn endpoint(&self) -> Endpoint {
        let address = self.0.local_addr().unwrap();
        Endpoint::new(&format!("ws://{address}/ws"), vec![address]).with_subscriptions(vec!["subscribe".into()])
    }

    /// Takes the next connection, while `feed` does its part.
    fn accept(&self, feed: &mut WebSocketFeed) -> WebSocket<TcpStream> {
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| {
                let stream = accept(&self.0);
                let mut socket = tungstenite::accept(stream).unwrap();
                assert_eq!(socket.read().unwrap(), Message::text("subscribe"));
                socket
            });
            drive(feed, |_| accepting.is_finished());
            accepting.join().unwrap()
        })
    }
}

/// Lets a feed work until a condition holds, at most ten seconds; what it hears meanwhile.
fn drive(feed: &mut WebSocketFeed, mut is_met: impl FnMut(&WebSocketFeed) -> bool) -> Vec<String> {
    let begun = Instant::now();
    let mut messages = Vec::new();
    while !is_met(feed) {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing more happens: {feed:?}");
        while let Some(message) = feed.receive() {
            messages.push(String::from_utf8(message.bytes.to_vec()).unwrap());
        }
        feed.wait(Duration::from_millis(5)).unwrap();
    }
    messages
}

/// Waits for so many messages.
fn hear(feed: &mut WebSocketFeed, count: u64) -> Vec<String> {
    let until = feed.counters().messages + count;
    drive(feed, |feed| feed.counters().messages >= until)
}

const MILLI: i64 = 1_000_000;

fn quick() -> KeeperConfig {
    KeeperConfig { backoff_min_ns: MILLI, backoff_max_ns: 20 * MILLI, overlap_ns: 30 * MILLI, ..KeeperConfig::default() }
}

fn feed(server: &Server, keeper: KeeperConfig) -> WebSocketFeed {
    WebSocketFeed::new(server.endpoint(), keeper, WebSocketConfig::default()).unwrap()
}

#[test]
fn a_stream_comes_back_after_it_was_closed_cut_or_broken() {
    let server = Server::new();
    let mut feed = feed(&server, quick());
    let mut socket = server.accept(&mut feed);
    socket.send(Message::text("one")).unwrap();
    socket.send(Message::Ping("ping".into())).unwrap();
    assert_eq!(hear(&mut feed, 1), ["one"]);
    drive(&mut feed, |feed| feed.counters().pings == 1);
    assert_eq!(socket.read().unwrap(), Message::Pong("ping".into()));

    // Closed as the protocol has it.
    socket.close(None).unwrap();
    std::thread::scope(|scope| {
        let closing = scope.spawn(move || while socket.read().is_ok() {});
        drive(&mut feed, |feed| feed.keeper_counters().lost == 1);
        closing.join().unwrap();
    });
    assert_eq!(feed.last_lost(), Some(ConnectionLost::Closed));

    // Cut.
    let mut socket = server.accept(&mut feed);
    socket.send(Message::text("two")).unwrap();
    assert_eq!(hear(&mut feed, 1), ["two"]);
    drop(socket);
    drive(&mut feed, |feed| feed.keeper_counters().lost == 2);

    // Broken.
    let mut socket = server.accept(&mut feed);
    socket.get_mut().write_all(&frame(3, true, b"no such frame")).unwrap();
    drive(&mut feed, |feed| feed.keeper_counters().lost == 3);
    assert_eq!((feed.last_lost(), feed.counters().protocol_errors), (Some(ConnectionLost::Protocol), 1));

    let mut socket = server.accept(&mut feed);
    socket.send(Message::text("three")).unwrap();
    assert_eq!(hear(&mut feed, 1), ["three"]);
    assert_eq!((feed.keeper_counters().opened, feed.is_open()), (4, true));
}

#[test]
fn a_message_too_long_is_counted() {
    let server = Server::new();
    let config = WebSocketConfig { message_bytes_max: 1_000, ..WebSocketConfig::default() };
    let mut feed = WebSocketFeed::new(server.endpoint(), quick(), config).unwrap();
    let mut socket = server.accept(&mut feed);
    socket.send(Message::text("x".repeat(1_001))).unwrap();
    drive(&mut feed, |feed| feed.keeper_counters().lost == 1);
    assert_eq!((feed.counters().too_long, feed.last_lost()), (1, Some(ConnectionLost::TooLong)));
}

#[test]
fn a_silent_peer_is_given_up() {
    let server = Server::new();
    let mut feed = feed(&server, KeeperConfig { silence_ns: 50 * MILLI, ..quick() });
    let silent = server.accept(&mut feed);
    drive(&mut feed, |feed| feed.keeper_counters().half_open >= 1);
    let mut socket = server.accept(&mut feed);
    socket.send(Message::text("here")).unwrap();
    assert_eq!(hear(&mut feed, 1), ["here"]);
    drop(silent);
}

#[test]
fn a_replacement_takes_over_without_a_message_lost_or_twice() {
    let server = Server::new();
    let mut feed = feed(&server, KeeperConfig { overlap_ns: 2_000 * MILLI, ..quick() });
    let mut old = server.accept(&mut feed);
    old.send(Message::text("a")).unwrap();
    assert_eq!(hear(&mut feed, 1), ["a"]);
    // The venue says that it will end the connection.
    let shutdown = "{\"e\":\"serverShutdown\",\"E\":1770123456789}";
    old.send(Message::text(shutdown)).unwrap();
    let mut heard = hear(&mut feed, 1);
    let mut new = server.accept(&mut feed);
    drive(&mut feed, |feed| feed.keeper_counters().opened == 2);
    // Both say the same, now this one first, now that one.
    for (number, old_first) in [(1, true), (2, false), (3, false), (4, true)] {
        let text = Message::text(format!("m{number}"));
        let order: [&mut WebSocket<TcpStream>; 2] = if old_first { [&mut old, &mut new] } else { [&mut new, &mut old] };
        for socket in order {
            socket.send(text.clone()).unwrap();
        }
        heard.extend(hear(&mut feed, 1));
        heard.extend(drive(&mut feed, |feed| feed.counters().copies == number));
    }
    heard.extend(drive(&mut feed, |feed| feed.keeper_counters().rollovers == 1));
    assert_eq!(heard, [shutdown, "m1", "m2", "m3", "m4"]);
    assert_eq!((feed.counters().copies, feed.keeper_counters().lost), (4, 0));
    new.send(Message::text("after")).unwrap();
    assert_eq!(hear(&mut feed, 1), ["after"]);
}

#[test]
fn wss_without_tls_is_refused() {
    let address = "127.0.0.1:9".parse().unwrap();
    for endpoint in [Endpoint::new("wss://localhost/ws", vec![address]), Endpoint::new("ws://localhost/ws", Vec::new())] {
        let refused = WebSocketFeed::new(endpoint, quick(), WebSocketConfig::default());
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
