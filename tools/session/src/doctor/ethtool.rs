//! What a network card tells through the `SIOCETHTOOL` request: what it waits for before it interrupts, and its rings.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// From `linux/sockios.h`.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// From `linux/ethtool.h`.
const ETHTOOL_GCOALESCE: u32 = 0x0e;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
/// Words of `struct ethtool_coalesce` and `struct ethtool_ringparam`.
const COALESCE_WORDS: usize = 23;
const RING_WORDS: usize = 9;

/// What a card waits for before it tells of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Coalescing {
    /// Whether it decides by itself.
    pub(super) is_adaptive: bool,
    /// Microseconds.
    pub(super) receive_us: u32,
    /// Packets.
    pub(super) receive_frames: u32,
}

/// Places of a card's receive ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rings {
    /// Now.
    pub(super) receive: u32,
    /// At most.
    pub(super) receive_max: u32,
}

pub(super) fn coalescing(card: &str) -> io::Result<Coalescing> {
    let words = ask::<COALESCE_WORDS>(card, ETHTOOL_GCOALESCE)?;
    Ok(Coalescing { receive_us: words[1], receive_frames: words[2], is_adaptive: words[10] != 0 })
}

pub(super) fn rings(card: &str) -> io::Result<Rings> {
    let words = ask::<RING_WORDS>(card, ETHTOOL_GRINGPARAM)?;
    Ok(Rings { receive_max: words[1], receive: words[5] })
}

/// The kernel's answer to a command that takes nothing but its own number, as the words of its struct.
fn ask<const WORDS: usize>(card: &str, command: u32) -> io::Result<[u32; WORDS]> {
    // Any socket will do; it is never bound to anything but the loopback.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut answer = [0; WORDS];
    answer[0] = command;
    // SAFETY: a struct of integers and a pointer, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if card.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(card.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = answer.as_mut_ptr().cast();
    // SAFETY: the name ends with a zero, and the kernel writes at most the struct of the command, which `answer` has room for.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if done == 0 { Ok(answer) } else { Err(io::Error::last_os_error()) }
}
