//! Datagrams and WebSocket messages in, orders out: once warm, sockets take no memory and give none back.

use chronos_market::{
    Contract, Exchange, Instrument, InstrumentId, NewOrder, OrderCommand, OrderId, PRICE_SCALE, Price, QTY_SCALE, Qty, Side,
    TimeInForce, Timestamp,
};
use chronos_pipeline::gateway::{ApiKey, OrderChannel, OrderConnection, OrderEgress, OrderEncoder, Signer};
use chronos_pipeline::ingress::{
    Endpoint, KeeperConfig, Readiness, Stream, UdpAddress, UdpConfig, UdpIngress, WebSocketClient, WebSocketConfig, WebSocketFeed,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::time::{Duration, Instant};
use tungstenite::Message;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to `System` with the arguments it came with; the counter is a thread-local without a destructor that
// itself never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps `realloc`'s contract, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps `dealloc`'s contract, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of this thread's allocator while something is done.
fn calls(run: impl FnOnce()) -> u64 {
    let before = CALLS.with(Cell::get);
    run();
    CALLS.with(Cell::get) - before
}

const WARM: usize = 200;
const MEASURED: usize = 2_000;

/// Longest message while warming: buffers grow to about twice the longest message and a read.
const LONGEST: usize = 100_000;

/// Lengths like those of a market: mostly short, some long.
fn length(place: usize) -> usize {
    match place {
        _ if !place.is_multiple_of(50) => 200 + place * 37 % 900,
        0..WARM => LONGEST,
        _ => 30_000,
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(calls(|| drop(std::hint::black_box(Box::new(1_u64)))), 2);
}

#[test]
fn datagrams_take_no_memory() {
    let here = UdpAddress::Unicast(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    let mut ingress = UdpIngress::open(&[here], &UdpConfig::default()).unwrap();
    let mut readiness = Readiness::new().unwrap();
    ingress.register(&readiness).unwrap();
    let to = ingress.local_addresses().next().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let payload = vec![b'x'; LONGEST];
    let mut allocated = 0;
    for place in 0..WARM + MEASURED {
        let length = length(place).min(60_000);
        sender.send_to(&payload[..length], to).unwrap();
        let count = calls(|| {
            let begun = Instant::now();
            loop {
                if let Some(datagram) = ingress.receive() {
                    assert_eq!(datagram.payload.len(), length);
                    break;
                }
                readiness.wait(Some(Duration::from_millis(100))).unwrap();
                assert!(begun.elapsed() < Duration::from_secs(10), "no datagram");
            }
        });
        allocated += if place < WARM { 0 } else { count };
    }
    assert_eq!(allocated, 0, "calls of the allocator for {MEASURED} datagrams");
}

#[test]
fn websocket_messages_take_no_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sending = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        for place in 0..WARM + MEASURED {
            socket.send(Message::text("x".repeat(length(place)))).unwrap();
        }
        while socket.read().is_ok() {}
    });
    let endpoint = Endpoint::new(&format!("ws://{address}/"), vec![address]);
    let mut feed = WebSocketFeed::new(endpoint, KeeperConfig::default(), WebSocketConfig::default()).unwrap();
    let (begun, mut allocated) = (Instant::now(), 0);
    let mut place = 0;
    while place < WARM + MEASURED {
        let mut is_message = false;
        let count = calls(|| {
            if let Some(message) = feed.receive() {
                assert_eq!(message.bytes.len(), length(place));
                is_message = true;
            } else {
                feed.wait(Duration::from_millis(100)).unwrap();
            }
        });
        allocated += if place < WARM { 0 } else { count };
        place += usize::from(is_message);
        assert!(begun.elapsed() < Duration::from_secs(30), "{feed:?}");
    }
    assert_eq!(allocated, 0, "calls of the allocator for {MEASURED} messages");
    drop(feed);
    sending.join().unwrap();
}

#[test]
fn orders_take_no_memory_over_either_connection() {
    for channel in [OrderChannel::Rest { host: "localhost".into() }, OrderChannel::WebSocketApi] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_web_socket = channel == OrderChannel::WebSocketApi;
        let sink = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            if is_web_socket {
                let mut socket = tungstenite::accept(stream).unwrap();
                while socket.read().is_ok() {}
            } else {
                let mut buffer = [0; 4_096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
            }
        });
        let mut stream = Stream::connect(address).unwrap();
        let mut readiness = Readiness::new().unwrap();
        stream.register(&readiness).unwrap();
        while !stream.is_connected().unwrap() {
            readiness.wait(Some(Duration::from_secs(10))).unwrap();
        }
        let connection = if is_web_socket {
            let mut client = WebSocketClient::start("ws://localhost/", stream, WebSocketConfig::default()).unwrap();
            while !client.is_open().unwrap() {
                readiness.wait(Some(Duration::from_secs(10))).unwrap();
            }
            OrderConnection::web_socket(client)
        } else {
            OrderConnection::rest(stream)
        };
        let instrument = Instrument {
            exchange: Exchange::BinanceUsdm,
            symbol: "BTCUSDT".into(),
            tick: Price(PRICE_SCALE / 10),
            lot: Qty(QTY_SCALE / 1_000),
            contract: Contract::spot(),
        };
        let key = ApiKey::new("key", Signer::hmac_sha256(b"secret").unwrap());
        let encoder = OrderEncoder::new(&[instrument], Some(5_000), &channel, key);
        // One that is full tells nothing more.
        let mut egress = OrderEgress::new(encoder, connection, rtrb::RingBuffer::new(16).0);
        let mut allocated = 0;
        for place in 0..WARM + MEASURED {
            let order = NewOrder {
                id: OrderId::new(1, place as u32),
                instrument: InstrumentId(0),
                side: if place % 2 == 0 { Side::Buy } else { Side::Sell },
                price: Price((60_000 + place as i64) * PRICE_SCALE),
                qty: Qty(QTY_SCALE * (1 + place as i64 % 7) / 8),
                time_in_force: TimeInForce::ImmediateOrCancel,
                reduce_only: place % 3 == 0,
                signal: 0.0,
            };
            let command = match place % 5 {
                0 => OrderCommand::Cancel { id: order.id, instrument: order.instrument },
                _ => OrderCommand::New(order),
            };
            let count = calls(|| egress.send(Timestamp(1_700_000_000_000_000_000), &command).unwrap());
            allocated += if place < WARM { 0 } else { count };
            while !egress.flush().unwrap() {
                readiness.wait(Some(Duration::from_millis(100))).unwrap();
            }
        }
        assert_eq!(allocated, 0, "calls of the allocator for {MEASURED} orders, {channel:?}");
        assert_eq!(egress.counters().orders, (WARM + MEASURED) as u64);
        drop(egress);
        sink.join().unwrap();
    }
}
