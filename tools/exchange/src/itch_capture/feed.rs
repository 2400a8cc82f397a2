//! MoldUDP64: numbered messages in packets, heartbeats, the end of the session; and what the network does to packets.

use super::packet_file::PacketFile;
use super::udp_frame::UdpFrames;
use super::{ItchConfig, SequenceRange};
use chronos_market::NANOS_PER_SECOND;
use fastrand::Rng;
use std::io::{self, Write};

/// What was sent, and what became of it.
#[derive(Default)]
pub(super) struct FeedTruth {
    pub(super) messages: u64,
    pub(super) packets_sent: u64,
    pub(super) heartbeats: u64,
    pub(super) packets_written: u64,
    pub(super) dropped: Vec<SequenceRange>,
    pub(super) duplicated: Vec<SequenceRange>,
    pub(super) reordered: Vec<SequenceRange>,
}

/// Packs messages into packets and writes them as they arrive at the capturing host. Times are nanoseconds since midnight.
pub(super) struct MoldFeed<W: Write> {
    file: PacketFile<W>,
    frames: UdpFrames,
    session: [u8; 10],
    midnight_ns: i64,
    /// Chance of a packet to be dropped; or that or to be duplicated; or any of the three faults.
    fault_chances: [f64; 3],
    are_faults_on: bool,
    rng: Rng,
    /// The packet being filled, its messages and when the first came.
    frame: Vec<u8>,
    messages: u16,
    first_ns: u64,
    /// When the last packet was sent.
    sent_ns: Option<u64>,
    /// When the last packet was captured.
    captured_ns: u64,
    /// A packet that its successor overtakes.
    held_frame: Vec<u8>,
    held: Option<SequenceRange>,
    truth: FeedTruth,
}

/// Most bytes of a packet, from the MoldUDP64 header on.
const PAYLOAD_BYTES_MAX: usize = 1_400;
const MOLD_HEADER_BYTES: usize = 20;
/// A packet waits this long for more messages.
const PACKET_WAIT_NS: u64 = 100_000;
const HEARTBEAT_NS: u64 = NANOS_PER_SECOND.unsigned_abs();
/// The way to the capturing host: at least this long, and up to as much more.
const WAY_NS: u64 = 5_000;
/// Between two packets on the wire.
const WIRE_NS: u64 = 200;
/// The message count that tells the end of the session.
const END_OF_SESSION: u16 = u16::MAX;
const END_OF_SESSION_PACKETS: usize = 3;

enum Fault {
    Dropped,
    Duplicated,
    Reordered,
}

impl<W: Write> MoldFeed<W> {
    pub(super) fn new(config: &ItchConfig, out: W) -> io::Result<MoldFeed<W>> {
        let dropped = config.gap_rate;
        let duplicated = dropped + config.duplicate_rate;
        let mut feed = MoldFeed {
            file: PacketFile::new(out, config.container)?,
            frames: UdpFrames::new(config.vlan),
            session: config.session,
            midnight_ns: config.midnight_ns,
            fault_chances: [dropped, duplicated, duplicated + config.reorder_rate],
            are_faults_on: false,
            // Apart from the market's generators, so that the market does not depend on the wire.
            rng: Rng::with_seed(!config.seed),
            frame: Vec::with_capacity(2 * PAYLOAD_BYTES_MAX),
            messages: 0,
            first_ns: 0,
            sent_ns: None,
            captured_ns: 0,
            held_frame: Vec::with_capacity(2 * PAYLOAD_BYTES_MAX),
            held: None,
            truth: FeedTruth::default(),
        };
        feed.begin_packet();
        Ok(feed)
    }

    pub(super) fn truth(&self) -> &FeedTruth {
        &self.truth
    }

    /// What comes from now on goes through a network that is as bad as configured.
    pub(super) fn turn_faults_on(&mut self, now_ns: u64) -> io::Result<()> {
        self.send_packet(now_ns)?;
        self.are_faults_on = true;
        Ok(())
    }

    /// Sends a message of at most 1,000 bytes; times must not go back.
    pub(super) fn send(&mut self, now_ns: u64, message: &[u8]) -> io::Result<()> {
        self.wait_until(now_ns)?;
        if self.frame.len() - self.frames.payload_at() + 2 + message.len() > PAYLOAD_BYTES_MAX {
            self.send_packet(now_ns)?;
        }
        if self.messages == 0 {
            self.first_ns = now_ns;
        }
        self.frame.extend_from_slice(&(message.len() as u16).to_be_bytes());
        self.frame.extend_from_slice(message);
        self.messages += 1;
        self.truth.messages += 1;
        Ok(())
    }

    /// Sends what is held and tells the end of the session, once a second.
    pub(super) fn end(mut self, now_ns: u64) -> io::Result<FeedTruth> {
        self.wait_until(now_ns)?;
        self.send_packet(now_ns)?;
        for second in 1..=END_OF_SESSION_PACKETS {
            self.send_control(now_ns + second as u64 * HEARTBEAT_NS, END_OF_SESSION)?;
        }
        self.file.flush()?;
        Ok(self.truth)
    }

    /// Sends what is due up to `now_ns`: the packet that waited long enough, and heartbeats.
    fn wait_until(&mut self, now_ns: u64) -> io::Result<()> {
        if self.messages > 0 && now_ns > self.first_ns + PACKET_WAIT_NS {
            self.send_packet(self.first_ns + PACKET_WAIT_NS)?;
        }
        while let Some(sent_ns) = self.sent_ns
            && self.messages == 0
            && now_ns >= sent_ns + HEARTBEAT_NS
        {
            self.send_control(sent_ns + HEARTBEAT_NS, 0)?;
            self.truth.heartbeats += 1;
        }
        Ok(())
    }

    /// Sends the packet that is being filled, if it holds anything.
    fn send_packet(&mut self, now_ns: u64) -> io::Result<()> {
        if self.messages == 0 {
            return Ok(());
        }
        let last = self.truth.messages;
        let range = SequenceRange { first: last + 1 - u64::from(self.messages), last };
        self.finish_packet(range.first, self.messages);
        self.sent_ns = Some(now_ns);
        self.truth.packets_sent += 1;
        match self.fault() {
            Some(Fault::Dropped) => self.truth.dropped.push(range),
            Some(Fault::Duplicated) => {
                self.truth.duplicated.push(range);
                self.write_frame(now_ns)?;
                self.write_frame(now_ns)?;
            }
            Some(Fault::Reordered) => {
                std::mem::swap(&mut self.frame, &mut self.held_frame);
                self.held = Some(range);
            }
            None => {
                self.write_frame(now_ns)?;
                if let Some(held) = self.held {
                    self.truth.reordered.push(held);
                    self.write_held(now_ns)?;
                }
            }
        }
        self.begin_packet();
        Ok(())
    }

    /// Sends a packet without messages; none waits to be sent. What it would overtake goes first.
    fn send_control(&mut self, now_ns: u64, count: u16) -> io::Result<()> {
        self.write_held(now_ns)?;
        self.finish_packet(self.truth.messages + 1, count);
        self.sent_ns = Some(now_ns);
        self.write_frame(now_ns)?;
        self.begin_packet();
        Ok(())
    }

    /// What happens to a packet; nothing to one that overtakes another.
    fn fault(&mut self) -> Option<Fault> {
        if !self.are_faults_on || self.held.is_some() {
            return None;
        }
        let chance = self.rng.f64();
        let [dropped, duplicated, reordered] = self.fault_chances;
        match () {
            () if chance < dropped => Some(Fault::Dropped),
            () if chance < duplicated => Some(Fault::Duplicated),
            () if chance < reordered => Some(Fault::Reordered),
            () => None,
        }
    }

    fn begin_packet(&mut self) {
        self.frames.begin(&mut self.frame);
        self.frame.extend_from_slice(&[0; MOLD_HEADER_BYTES]);
        self.messages = 0;
    }

    fn finish_packet(&mut self, sequence: u64, count: u16) {
        if let Some(mold) =
            self.frame.get_mut(self.frames.payload_at()..).and_then(|payload| payload.first_chunk_mut::<MOLD_HEADER_BYTES>())
        {
            mold[..10].copy_from_slice(&self.session);
            mold[10..18].copy_from_slice(&sequence.to_be_bytes());
            mold[18..].copy_from_slice(&count.to_be_bytes());
        }
        self.frames.finish(&mut self.frame);
    }

    fn write_frame(&mut self, sent_ns: u64) -> io::Result<()> {
        let time_ns = self.capture(sent_ns);
        self.file.write(time_ns, &self.frame)
    }

    fn write_held(&mut self, sent_ns: u64) -> io::Result<()> {
        if self.held.take().is_none() {
            return Ok(());
        }
        let time_ns = self.capture(sent_ns);
        self.file.write(time_ns, &self.held_frame)
    }

    /// When a packet is captured, in nanoseconds since the epoch.
    fn capture(&mut self, sent_ns: u64) -> i64 {
        self.captured_ns = (sent_ns + WAY_NS + self.rng.u64(..WAY_NS)).max(self.captured_ns + WIRE_NS);
        self.truth.packets_written += 1;
        self.midnight_ns.saturating_add_unsigned(self.captured_ns)
    }
}
