//! Feeds of numbered messages in datagrams: what MoldUDP64 and IEX-TP have in common.
//!
//! Datagrams get lost, come twice (two lines carry one feed) and overtake one another. Messages leave here in order and once; what
//! is missing is told as a gap as soon as it cannot be expected any more.

use super::wire::{ByteOrder, at_least};
use super::{DecodeError, FeedMessage};
use crate::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, Timestamp};

/// How long a packet that came too early waits for the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReorderWindow {
    /// Packets held at most; with 0 every hole is a gap at once.
    pub packets: usize,
    /// Nanoseconds of receive time until a hole is a gap.
    pub nanos: i64,
}

impl Default for ReorderWindow {
    /// 64 packets, 10 ms.
    fn default() -> Self {
        ReorderWindow { packets: 64, nanos: 10 * NANOS_PER_MILLI }
    }
}

/// Room for one early packet. Feeds stay below the 1,500 bytes of an Ethernet frame; a longer packet is not held.
const HELD_BYTES: usize = 2_048;

/// How much later than the first a copy of a packet can still come. Longer after, a number is no copy: the numbering began anew.
const COPY_NANOS: i64 = NANOS_PER_SECOND;

/// One packet of a feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NumberedPacket<'a> {
    /// What the numbers belong to.
    session: [u8; 10],
    /// Number of the first message, or of the next one to come; 0 where there is no numbering.
    first: u64,
    content: Content<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content<'a> {
    /// So many messages, each after its length in two bytes.
    Messages(u16, &'a [u8]),
    Heartbeat,
    End,
}

impl<'a> NumberedPacket<'a> {
    /// A packet of `count` messages, none for a heartbeat.
    ///
    /// # Errors
    /// [`DecodeError`] where the messages do not fill `blocks` exactly.
    pub(super) fn messages(
        session: [u8; 10],
        first: u64,
        count: u16,
        blocks: &'a [u8],
        order: ByteOrder,
    ) -> Result<NumberedPacket<'a>, DecodeError> {
        let mut rest = blocks;
        for _ in 0..count {
            rest = split_block(rest, order)?.1;
        }
        if !rest.is_empty() {
            return Err(DecodeError::OutOfRange("message count"));
        }
        let content = if count == 0 { Content::Heartbeat } else { Content::Messages(count, blocks) };
        Ok(NumberedPacket { session, first, content })
    }

    /// The packet after the last one; `next` is the number that would come.
    pub(super) fn end(session: [u8; 10], next: u64) -> NumberedPacket<'a> {
        NumberedPacket { session, first: next, content: Content::End }
    }

    /// The first message, if any.
    pub(super) fn first_message(&self, order: ByteOrder) -> Option<&'a [u8]> {
        match self.content {
            Content::Messages(_, blocks) => split_block(blocks, order).ok().map(|(message, _)| message),
            Content::Heartbeat | Content::End => None,
        }
    }

    /// The number after the last message.
    fn next(&self) -> u64 {
        match self.content {
            Content::Messages(count, _) => self.first.saturating_add(count.into()),
            Content::Heartbeat | Content::End => self.first,
        }
    }
}

/// What leaves the sequencer.
pub(super) enum Sequenced<'a> {
    /// A message with its number.
    Message(u64, &'a [u8]),
    /// Something about the feed.
    Feed(FeedMessage),
}

/// Puts the packets of one feed in order.
pub(super) struct Sequencer {
    window: ReorderWindow,
    order: ByteOrder,
    session: [u8; 10],
    /// Number of the next message; 0 before the first packet.
    expected: u64,
    has_ended: bool,
    held: Vec<Option<Held>>,
    held_count: usize,
    /// [`HELD_BYTES`] for each place of `held`.
    arena: Vec<u8>,
    age: NumberAge,
}

/// An early packet; its bytes are in the arena.
#[derive(Clone, Copy)]
struct Held {
    first: u64,
    recv: Timestamp,
    content: HeldContent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HeldContent {
    Messages(u16, usize),
    Heartbeat,
    End,
}

/// Which numbers passed long ago.
#[derive(Default)]
struct NumberAge {
    /// All below passed more than [`COPY_NANOS`] ago.
    settled: u64,
    /// What was expected at `marked_at`.
    marked: u64,
    marked_at: Timestamp,
    last_recv: Timestamp,
}

impl NumberAge {
    fn advance(&mut self, recv: Timestamp, expected: u64) {
        if recv.since_ns(self.last_recv) > COPY_NANOS {
            // Nothing came for so long: everything has passed.
            (self.settled, self.marked, self.marked_at) = (expected, expected, recv);
        } else if recv.since_ns(self.marked_at) > COPY_NANOS {
            (self.settled, self.marked, self.marked_at) = (self.marked, expected, recv);
        }
        self.last_recv = recv;
    }
}

impl Sequencer {
    /// A sequencer that has seen nothing, with its memory taken. `order` is that of the length before a message.
    pub(super) fn new(window: ReorderWindow, order: ByteOrder) -> Sequencer {
        Sequencer {
            window,
            order,
            session: [0; 10],
            expected: 0,
            has_ended: false,
            held: vec![None; window.packets],
            held_count: 0,
            arena: vec![0; window.packets * HELD_BYTES],
            age: NumberAge::default(),
        }
    }

    /// Takes a packet and hands over every message that is due.
    #[inline]
    pub(super) fn accept(&mut self, recv: Timestamp, packet: &NumberedPacket<'_>, out: &mut impl FnMut(Sequenced<'_>)) {
        if packet.first == 0 {
            // Not numbered: nothing can be said of what was lost.
            return each_message(packet.content, self.order, |place, message| out(Sequenced::Message(place, message)));
        }
        self.give_up_overdue(recv, out);
        if self.expected == 0 {
            self.begin(recv, packet, out);
        } else {
            self.age.advance(recv, self.expected);
            // A heartbeat names a number without using it.
            let is_long_past = packet.next().max(packet.first.saturating_add(1)) <= self.age.settled;
            if packet.session != self.session || is_long_past {
                self.flush(out);
                out(Sequenced::Feed(FeedMessage::Restarted { expected: self.expected, received: packet.first }));
                self.restart(recv, packet, out);
            }
        }
        self.take(recv, packet, out);
    }

    /// Gives up what is missing and hands over what was held: no further packet will come.
    pub(super) fn flush(&mut self, out: &mut impl FnMut(Sequenced<'_>)) {
        while self.held_count > 0 {
            self.give_up_hole(u64::MAX, out);
        }
    }

    fn begin(&mut self, recv: Timestamp, packet: &NumberedPacket<'_>, out: &mut impl FnMut(Sequenced<'_>)) {
        if packet.first == 1 {
            out(Sequenced::Feed(FeedMessage::Started));
        }
        self.restart(recv, packet, out);
    }

    fn restart(&mut self, recv: Timestamp, packet: &NumberedPacket<'_>, out: &mut impl FnMut(Sequenced<'_>)) {
        if packet.first > 1 {
            out(Sequenced::Feed(FeedMessage::Gap { first: 1, last: packet.first - 1 }));
        }
        self.session = packet.session;
        self.expected = packet.first;
        self.has_ended = false;
        self.age = NumberAge { marked_at: recv, last_recv: recv, ..NumberAge::default() };
    }

    fn take(&mut self, recv: Timestamp, packet: &NumberedPacket<'_>, out: &mut impl FnMut(Sequenced<'_>)) {
        while packet.first > self.expected {
            if self.hold(recv, packet) {
                return;
            }
            self.give_up_hole(packet.first, out);
        }
        self.deliver(packet.first, packet.content, out);
        self.release(out);
    }

    /// Keeps an early packet; `false` where there is no room for it.
    fn hold(&mut self, recv: Timestamp, packet: &NumberedPacket<'_>) -> bool {
        let (content, bytes) = match packet.content {
            Content::Messages(count, blocks) => (HeldContent::Messages(count, blocks.len()), blocks),
            Content::Heartbeat => (HeldContent::Heartbeat, &[][..]),
            Content::End => (HeldContent::End, &[][..]),
        };
        if self.held.iter().flatten().any(|held| held.first == packet.first && held.content == content) {
            return true;
        }
        if bytes.len() > HELD_BYTES {
            return false;
        }
        let Some(place) = self.held.iter().position(Option::is_none) else { return false };
        self.held[place] = Some(Held { first: packet.first, recv, content });
        self.held_count += 1;
        self.arena[place * HELD_BYTES..][..bytes.len()].copy_from_slice(bytes);
        true
    }

    #[inline]
    fn give_up_overdue(&mut self, recv: Timestamp, out: &mut impl FnMut(Sequenced<'_>)) {
        while self.held_count > 0 && self.held.iter().flatten().any(|held| recv.since_ns(held.recv) > self.window.nanos) {
            self.give_up_hole(u64::MAX, out);
        }
    }

    /// Tells the hole before the first packet held (or before `limit`, where that comes first) as a gap and goes on behind it.
    fn give_up_hole(&mut self, limit: u64, out: &mut impl FnMut(Sequenced<'_>)) {
        let next = self.held.iter().flatten().map(|held| held.first).fold(limit, u64::min);
        out(Sequenced::Feed(FeedMessage::Gap { first: self.expected, last: next - 1 }));
        self.expected = next;
        self.release(out);
    }

    /// Hands over the packets held that are due.
    #[inline]
    fn release(&mut self, out: &mut impl FnMut(Sequenced<'_>)) {
        while self.held_count > 0 {
            let is_due = |held: &Option<Held>| held.is_some_and(|held| held.first <= self.expected);
            let Some(place) = self.held.iter().position(is_due) else { return };
            let Some(held) = self.held[place].take() else { return };
            self.held_count -= 1;
            let arena = std::mem::take(&mut self.arena);
            let content = match held.content {
                HeldContent::Messages(count, length) => Content::Messages(count, &arena[place * HELD_BYTES..][..length]),
                HeldContent::Heartbeat => Content::Heartbeat,
                HeldContent::End => Content::End,
            };
            self.deliver(held.first, content, out);
            self.arena = arena;
        }
    }

    /// Hands over what is new in a packet that leaves no hole.
    #[inline]
    fn deliver(&mut self, first: u64, content: Content<'_>, out: &mut impl FnMut(Sequenced<'_>)) {
        let expected = self.expected;
        match content {
            Content::Messages(count, _) => {
                let next = first.saturating_add(count.into());
                if next <= expected {
                    return;
                }
                self.expected = next;
                each_message(content, self.order, |place, message| {
                    let number = first.saturating_add(place);
                    if number >= expected {
                        out(Sequenced::Message(number, message));
                    }
                });
            }
            // One that was overtaken says nothing.
            Content::Heartbeat | Content::End if first < expected => {}
            Content::Heartbeat => out(Sequenced::Feed(FeedMessage::Heartbeat)),
            // It is repeated for a while.
            Content::End if self.has_ended => {}
            Content::End => {
                self.has_ended = true;
                out(Sequenced::Feed(FeedMessage::Ended));
            }
        }
    }
}

#[inline]
fn each_message(content: Content<'_>, order: ByteOrder, mut take: impl FnMut(u64, &[u8])) {
    let Content::Messages(count, mut blocks) = content else { return };
    for place in 0..count.into() {
        let Ok((message, rest)) = split_block(blocks, order) else { return };
        take(place, message);
        blocks = rest;
    }
}

/// The first message and what follows it.
#[inline]
fn split_block(blocks: &[u8], order: ByteOrder) -> Result<(&[u8], &[u8]), DecodeError> {
    at_least(blocks, 2)?;
    let length = usize::from(order.u16(blocks, 0));
    at_least(&blocks[2..], length)?;
    Ok(blocks[2..].split_at(length))
}
