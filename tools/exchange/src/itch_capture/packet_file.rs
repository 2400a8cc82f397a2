//! Capture containers: classic pcap and pcapng, little-endian, Ethernet, timestamps in nanoseconds or microseconds.
//!
//! Layouts: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

use chronos_market::NANOS_PER_SECOND;
use std::io::{self, Write};
use std::path::Path;

/// What packets are kept in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketContainer {
    /// Classic pcap with microseconds; what is below one is cut off.
    PcapMicros,
    /// Classic pcap with nanoseconds.
    PcapNanos,
    /// pcapng with nanoseconds.
    Pcapng,
}

impl PacketContainer {
    /// By the name of a file, before the `.gz` or `.zst` of a compressed one: `.pcap` (nanoseconds) or `.pcapng`.
    pub fn of_path(path: &Path) -> Option<PacketContainer> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        match () {
            () if name.ends_with(".pcap") => Some(PacketContainer::PcapNanos),
            () if name.ends_with(".pcapng") => Some(PacketContainer::Pcapng),
            () => None,
        }
    }
}

/// Longest packet that the file's header allows.
const SNAPSHOT_BYTES: u32 = 65_535;
const LINK_TYPE_ETHERNET: u32 = 1;

/// Writes packets to a container.
pub(super) struct PacketFile<W: Write> {
    out: W,
    container: PacketContainer,
}

impl<W: Write> PacketFile<W> {
    /// Writes the header of the file.
    pub(super) fn new(mut out: W, container: PacketContainer) -> io::Result<PacketFile<W>> {
        match container {
            PacketContainer::PcapMicros => write_pcap_header(&mut out, 0xA1B2_C3D4)?,
            PacketContainer::PcapNanos => write_pcap_header(&mut out, 0xA1B2_3C4D)?,
            PacketContainer::Pcapng => write_pcapng_header(&mut out)?,
        }
        Ok(PacketFile { out, container })
    }

    /// Writes one packet that was captured at `time_ns` since the epoch.
    pub(super) fn write(&mut self, time_ns: i64, frame: &[u8]) -> io::Result<()> {
        let time_ns = time_ns.unsigned_abs();
        let frame_bytes = frame.len() as u32;
        if self.container == PacketContainer::Pcapng {
            let padding = frame.len().next_multiple_of(4) - frame.len();
            let block_bytes = (32 + frame.len() + padding) as u32;
            let (high, low) = ((time_ns >> 32) as u32, time_ns as u32);
            // Enhanced Packet Block of interface 0.
            write_words(&mut self.out, [6, block_bytes, 0, high, low, frame_bytes, frame_bytes])?;
            self.out.write_all(frame)?;
            self.out.write_all(&[0; 3][..padding])?;
            return self.out.write_all(&block_bytes.to_le_bytes());
        }
        let second_ns = NANOS_PER_SECOND.unsigned_abs();
        let fraction_ns = (time_ns % second_ns) as u32;
        let fraction = if self.container == PacketContainer::PcapMicros { fraction_ns / 1_000 } else { fraction_ns };
        write_words(&mut self.out, [(time_ns / second_ns) as u32, fraction, frame_bytes, frame_bytes])?;
        self.out.write_all(frame)
    }

    /// Hands what is held to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Version 2.4, UTC.
fn write_pcap_header(out: &mut impl Write, magic: u32) -> io::Result<()> {
    write_words(out, [magic, 2 | 4 << 16, 0, 0, SNAPSHOT_BYTES, LINK_TYPE_ETHERNET])
}

/// A section header of version 1.0 and unknown length, and one Ethernet interface whose time unit (`if_tsresol`) is 1e-9 s.
fn write_pcapng_header(out: &mut impl Write) -> io::Result<()> {
    write_words(out, [0x0A0D_0D0A, 28, 0x1A2B_3C4D, 1, u32::MAX, u32::MAX, 28])?;
    write_words(out, [1, 32, LINK_TYPE_ETHERNET, SNAPSHOT_BYTES, 9 | 1 << 16, 9, 0, 32])
}

fn write_words<const N: usize>(out: &mut impl Write, words: [u32; N]) -> io::Result<()> {
    out.write_all(words.map(u32::to_le_bytes).as_flattened())
}
