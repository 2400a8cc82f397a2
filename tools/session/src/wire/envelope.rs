//! What goes before a message on the wire: text of a fixed length, so that a WebSocket text message stays one.

use chronos_market::Timestamp;

/// Bytes of an envelope: receive time, number and kind, in hexadecimal digits, and spaces.
pub(super) const ENVELOPE_BYTES: usize = 39;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A message of this connection of the capture.
    Message(u16),
    /// Nothing but a probe of the wire.
    Probe,
    /// The end.
    End,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Kind::Message(source) => source.into(),
            Kind::Probe => 0x1_0000,
            Kind::End => 0x1_0001,
        }
    }
}

/// The envelope of one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Envelope {
    /// Receive time in the capture: logical time.
    pub(super) recv: Timestamp,
    /// Number of the message.
    pub(super) seq: u64,
    pub(super) kind: Kind,
}

impl Envelope {
    /// Appends the envelope.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_hex(self.recv.0 as u64, 16, out);
        put_hex(self.seq, 16, out);
        put_hex(self.kind.code().into(), 5, out);
        out.extend_from_slice(b"  ");
    }

    /// Splits a frame into envelope and message; `None` where it has none.
    #[inline]
    pub(super) fn read(frame: &[u8]) -> Option<(Envelope, &[u8])> {
        let (envelope, message) = frame.split_at_checked(ENVELOPE_BYTES)?;
        let kind = match hex(&envelope[32..37])? {
            0x1_0000 => Kind::Probe,
            0x1_0001 => Kind::End,
            source => Kind::Message(u16::try_from(source).ok()?),
        };
        Some((Envelope { recv: Timestamp(hex(&envelope[..16])? as i64), seq: hex(&envelope[16..32])?, kind }, message))
    }
}

fn put_hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (place * 4)) as usize & 15]);
    }
}

#[inline]
fn hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut is_hex = true;
    for &digit in digits {
        // Letters have bit 6, and their low four bits begin with 1 for 10.
        let nibble = (digit & 15) + 9 * (digit >> 6);
        is_hex &= matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        value = value << 4 | u64::from(nibble);
    }
    is_hex.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_was_written(recv: i64, seq: u64, code in 0_u32..=0x1_0001, message in prop::collection::vec(any::<u8>(), 0..40)) {
            let kind = match code {
                0x1_0000 => Kind::Probe,
                0x1_0001 => Kind::End,
                source => Kind::Message(source as u16),
            };
            let envelope = Envelope { recv: Timestamp(recv), seq, kind };
            let mut frame = Vec::new();
            envelope.write(&mut frame);
            prop_assert!(frame.len() == ENVELOPE_BYTES && frame.is_ascii());
            frame.extend_from_slice(&message);
            prop_assert_eq!(Envelope::read(&frame), Some((envelope, message.as_slice())));
        }

        #[test]
        fn no_frame_panics(frame in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Envelope::read(&frame);
        }
    }
}
