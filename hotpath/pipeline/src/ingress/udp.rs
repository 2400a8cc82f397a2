//! Datagrams of one or several multicast groups, or of a plain port.

use super::{Readiness, UtcClock};
use chronos_market::{NANOS_PER_SECOND, Timestamp};
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

/// Longest payload of a datagram over IPv4.
pub(super) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Where datagrams come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UdpAddress {
    /// A port of this host; port 0 takes a free one.
    Unicast(SocketAddrV4),
    /// A multicast group, joined on the interface of that address.
    Multicast {
        /// Group and port.
        group: SocketAddrV4,
        /// Address of the interface.
        interface: Ipv4Addr,
    },
}

/// Sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpConfig {
    /// Longest payload taken; a longer one is counted as truncated and dropped.
    pub datagram_bytes_max: usize,
    /// Receive buffer asked of the kernel, for each socket; it may give less (`net.core.rmem_max`).
    pub receive_buffer_bytes: usize,
}

impl Default for UdpConfig {
    /// Any datagram; 8 MiB.
    fn default() -> Self {
        UdpConfig { datagram_bytes_max: DATAGRAM_BYTES_MAX, receive_buffer_bytes: 8 << 20 }
    }
}

/// One datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// Which address it came to, in the order they were given.
    pub address: usize,
    /// What it carries.
    pub payload: &'a [u8],
    /// When it was taken from the kernel: the receive time of the session.
    pub recv: Timestamp,
    /// When the kernel got it from the interface, where that is offered.
    pub kernel: Option<Timestamp>,
}

/// Counts of all sockets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct UdpCounters {
    /// Datagrams handed on.
    pub datagrams: u64,
    /// Longer than the room there is; dropped.
    pub truncated: u64,
    /// Dropped by the kernel because the receive buffer was full.
    pub kernel_drops: u64,
    /// Errors of the system on a socket, such as an ICMP refusal.
    pub errors: u64,
}

/// Receives datagrams without blocking and without taking memory.
#[derive(Debug)]
pub struct UdpIngress {
    sockets: Vec<GroupSocket>,
    /// The socket that is asked next.
    next: usize,
    buffer: Box<[u8]>,
    clock: UtcClock,
    counters: UdpCounters,
    has_kernel_times: bool,
}

#[derive(Debug)]
struct GroupSocket {
    socket: UdpSocket,
    local: SocketAddr,
    /// The kernel's count of datagrams it dropped here, which may wrap.
    kernel_drops: u32,
}

impl UdpIngress {
    /// Opens a socket for each address and joins the groups.
    ///
    /// # Errors
    /// The system's, e.g. where an interface has no such address.
    pub fn open(addresses: &[UdpAddress], config: &UdpConfig) -> io::Result<UdpIngress> {
        let mut has_kernel_times = true;
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            let socket = bound(*address, config)?;
            has_kernel_times &= ask_for_kernel_times(&socket);
            let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
            sockets.push(GroupSocket { socket: UdpSocket::from_std(socket.into()), local, kernel_drops: 0 });
        }
        let buffer = vec![0; config.datagram_bytes_max.clamp(1, DATAGRAM_BYTES_MAX)].into_boxed_slice();
        Ok(UdpIngress { sockets, next: 0, buffer, clock: UtcClock::new(), counters: UdpCounters::default(), has_kernel_times })
    }

    /// The next datagram; `None` where no socket has one. Sockets take turns.
    #[inline]
    pub fn receive(&mut self) -> Option<Datagram<'_>> {
        let mut empty = 0;
        while empty < self.sockets.len() {
            let place = self.next;
            self.next = if place + 1 == self.sockets.len() { 0 } else { place + 1 };
            let GroupSocket { socket, kernel_drops, .. } = &mut self.sockets[place];
            match receive_message(socket, &mut self.buffer) {
                Ok(received) => {
                    if let Some(drops) = received.kernel_drops {
                        self.counters.kernel_drops += u64::from(drops.wrapping_sub(*kernel_drops));
                        *kernel_drops = drops;
                    }
                    if received.is_truncated {
                        self.counters.truncated += 1;
                        continue;
                    }
                    self.counters.datagrams += 1;
                    let recv = self.clock.now();
                    let payload = self.buffer.get(..received.len).unwrap_or_default();
                    return Some(Datagram { address: place, payload, recv, kernel: received.kernel });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => empty += 1,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.counters.errors += 1;
                    empty += 1;
                }
            }
        }
        None
    }

    /// Adds the sockets to those that are waited for.
    ///
    /// # Errors
    /// The system's.
    pub fn register(&mut self, readiness: &Readiness) -> io::Result<()> {
        self.sockets.iter_mut().try_for_each(|group| readiness.add(&mut group.socket))
    }

    /// Where each socket is bound, in the order the addresses were given.
    pub fn local_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(|group| group.local)
    }

    /// Bytes the kernel holds for each socket at most, its own bookkeeping included.
    pub fn receive_buffer_bytes(&self) -> usize {
        let granted = |group: &GroupSocket| socket2::SockRef::from(&group.socket).recv_buffer_size().unwrap_or_default();
        self.sockets.iter().map(granted).min().unwrap_or_default()
    }

    /// Whether the kernel said it would tell receive times.
    pub fn has_kernel_times(&self) -> bool {
        self.has_kernel_times
    }

    /// The counts so far.
    pub fn counters(&self) -> UdpCounters {
        self.counters
    }
}

fn bound(address: UdpAddress, config: &UdpConfig) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Less is given where the system allows less: `receive_buffer_bytes` tells.
    let _ = socket.set_recv_buffer_size(config.receive_buffer_bytes);
    match address {
        UdpAddress::Unicast(local) => socket.bind(&local.into())?,
        UdpAddress::Multicast { group, interface } => {
            // Other processes may follow the same group.
            socket.set_reuse_address(true)?;
            // Bound to the group, so that datagrams to the same port of another group stay out.
            socket.bind(&group.into())?;
            socket.join_multicast_v4(group.ip(), &interface)?;
        }
    }
    Ok(socket)
}

/// Asks for receive times in nanoseconds and for the count of dropped datagrams; `false` where times are not offered.
fn ask_for_kernel_times(socket: &Socket) -> bool {
    let ask = |option: libc::c_int| {
        let on: libc::c_int = 1;
        // SAFETY: the descriptor is open for as long as `socket` lives, and `on` is of the length given.
        let status = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                std::ptr::from_ref(&on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        status == 0
    };
    // Without it drops go uncounted, which the numbering of a feed tells anyway.
    let _ = ask(libc::SO_RXQ_OVFL);
    ask(libc::SO_TIMESTAMPNS)
}

/// What came with one datagram.
struct Received {
    len: usize,
    is_truncated: bool,
    kernel: Option<Timestamp>,
    kernel_drops: Option<u32>,
}

/// Room for the two control messages asked for, aligned as the kernel wants it.
#[repr(C, align(8))]
struct ControlBuffer([u8; 128]);

#[inline]
fn receive_message(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = ControlBuffer([0; 128]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zeros are a valid `msghdr`: no name, no parts, no control.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    // SAFETY: the header points at buffers of the lengths it gives, which live until the call returns.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let mut received = Received { len, is_truncated: header.msg_flags & libc::MSG_TRUNC != 0, kernel: None, kernel_drops: None };
    // SAFETY: the kernel filled the control buffer and said in `msg_controllen` how far; the macros stay within that.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(found) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (found.cmsg_level, found.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = data.cast::<libc::timespec>().read_unaligned();
                    received.kernel = Some(Timestamp(time.tv_sec.saturating_mul(NANOS_PER_SECOND).saturating_add(time.tv_nsec)));
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => received.kernel_drops = Some(data.cast::<u32>().read_unaligned()),
                _ => {}
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as Sender;
    use std::time::Duration;

    fn loopback() -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)
    }

    /// The next datagram's address and payload, waiting at most five seconds.
    fn next(ingress: &mut UdpIngress, readiness: &mut Readiness) -> (usize, Vec<u8>) {
        for _ in 0..50 {
            if let Some(datagram) = ingress.receive() {
                return (datagram.address, datagram.payload.to_vec());
            }
            readiness.wait(Some(Duration::from_millis(100))).unwrap();
        }
        panic!("no datagram came: {:?}", ingress.counters());
    }

    fn opened(addresses: &[UdpAddress], config: &UdpConfig) -> (UdpIngress, Readiness, Sender) {
        let mut ingress = UdpIngress::open(addresses, config).unwrap();
        let readiness = Readiness::new().unwrap();
        ingress.register(&readiness).unwrap();
        (ingress, readiness, Sender::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    #[test]
    fn datagrams_arrive_with_both_times() {
        let (mut ingress, mut readiness, sender) = opened(&[UdpAddress::Unicast(loopback())], &UdpConfig::default());
        let to = ingress.local_addresses().next().unwrap();
        assert_eq!(ingress.receive(), None);
        let longest = vec![7; DATAGRAM_BYTES_MAX];
        for payload in [b"one".as_slice(), b"", &longest] {
            sender.send_to(payload, to).unwrap();
            assert_eq!(next(&mut ingress, &mut readiness), (0, payload.to_vec()));
        }
        sender.send_to(b"timed", to).unwrap();
        readiness.wait(Some(Duration::from_secs(5))).unwrap();
        let has_kernel_times = ingress.has_kernel_times();
        let datagram = ingress.receive().unwrap();
        assert_eq!(datagram.kernel.is_some(), has_kernel_times);
        if let Some(kernel) = datagram.kernel {
            let late_ns = datagram.recv.since_ns(kernel);
            assert!((-NANOS_PER_SECOND..NANOS_PER_SECOND).contains(&late_ns), "{late_ns}");
        }
        assert_eq!(ingress.counters().datagrams, 4);
    }

    #[test]
    fn sockets_take_turns() {
        let addresses = [UdpAddress::Unicast(loopback()); 3];
        let (mut ingress, mut readiness, sender) = opened(&addresses, &UdpConfig::default());
        let to: Vec<SocketAddr> = ingress.local_addresses().collect();
        for round in 0..4_u8 {
            for address in &to {
                sender.send_to(&[round], address).unwrap();
            }
        }
        let mut seen = [0_u8; 3];
        for _ in 0..12 {
            let (address, payload) = next(&mut ingress, &mut readiness);
            assert_eq!(payload, [seen[address]], "socket {address}");
            seen[address] += 1;
            assert!(seen.iter().max().unwrap() - seen.iter().min().unwrap() <= 1, "one socket got ahead: {seen:?}");
        }
        assert_eq!(seen, [4; 3]);
    }

    #[test]
    fn a_datagram_without_room_is_counted_and_the_next_one_arrives() {
        let config = UdpConfig { datagram_bytes_max: 16, ..UdpConfig::default() };
        let (mut ingress, mut readiness, sender) = opened(&[UdpAddress::Unicast(loopback())], &config);
        let to = ingress.local_addresses().next().unwrap();
        for payload in [b"0123456789abcdef".as_slice(), b"0123456789abcdef+", b"short"] {
            sender.send_to(payload, to).unwrap();
        }
        assert_eq!(next(&mut ingress, &mut readiness).1, b"0123456789abcdef");
        assert_eq!(next(&mut ingress, &mut readiness).1, b"short");
        assert_eq!((ingress.counters().datagrams, ingress.counters().truncated), (2, 1));
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let config = UdpConfig { receive_buffer_bytes: 1, ..UdpConfig::default() };
        let (mut ingress, mut readiness, sender) = opened(&[UdpAddress::Unicast(loopback())], &config);
        let to = ingress.local_addresses().next().unwrap();
        let sent = 200;
        for _ in 0..sent {
            sender.send_to(&[1; 1_000], to).unwrap();
        }
        readiness.wait(Some(Duration::from_secs(5))).unwrap();
        while ingress.receive().is_some() {}
        // The count comes with the next datagram that gets through.
        sender.send_to(b"after", to).unwrap();
        assert_eq!(next(&mut ingress, &mut readiness).1, b"after");
        let counters = ingress.counters();
        assert!(counters.kernel_drops > 0);
        assert_eq!(counters.datagrams + counters.kernel_drops, sent + 1);
    }

    #[test]
    fn groups_are_told_apart() {
        let group = |last| SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, last), 30_977);
        let address = |last| UdpAddress::Multicast { group: group(last), interface: Ipv4Addr::LOCALHOST };
        let (mut ingress, mut readiness, sender) = opened(&[address(1), address(2)], &UdpConfig::default());
        socket2::SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        sender.set_multicast_loop_v4(true).unwrap();
        for last in [2, 1, 2] {
            sender.send_to(&[last], group(last)).unwrap();
            assert_eq!(next(&mut ingress, &mut readiness), (usize::from(last) - 1, vec![last]));
        }
    }
}
