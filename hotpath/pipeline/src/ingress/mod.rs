//! The way in: sockets that never block, and the receive time that each message is stamped with once.
//!
//! [`UdpIngress`] receives datagrams of several multicast groups, with the kernel's receive time where it is offered;
//! [`WebSocketFeed`] keeps a WebSocket connection up: reconnecting, replacing it before the venue ends it, answering pings. Both give
//! the bytes of whole messages to the decoders of `chronos_market`. A thread that has nothing to do waits for [`Readiness`], or spins.

mod clock;
mod connection_keeper;
mod copy_filter;
mod readiness;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod udp;
mod websocket;
mod websocket_feed;

pub use clock::{UtcAnchor, UtcClock};
pub use connection_keeper::{Action, ConnectionKeeper, KeeperConfig, KeeperCounters, Slot};
pub use copy_filter::CopyFilter;
pub use readiness::Readiness;
pub use stream::Stream;
#[cfg(feature = "tls")]
pub use tls::{TlsConnector, TlsSetupError};
pub use udp::{Datagram, UdpAddress, UdpConfig, UdpCounters, UdpIngress};
pub use websocket::{ConnectionLost, WebSocketClient, WebSocketConfig, WebSocketCounters};
pub use websocket_feed::{Endpoint, FeedCounters, FeedMessage, WebSocketFeed};
