//! From a captured packet to messages: link, network and transport layers, the feed's numbering, its messages.

use super::iex::IexDecoder;
use super::iex_tp::{self, IexTpSegment};
use super::itch::itch_length;
use super::itch_decoder::ItchDecoder;
use super::mold_udp;
use super::packet::{LinkType, UdpDatagram};
use super::sequence::{NumberedPacket, ReorderWindow, Sequenced, Sequencer};
use super::{DecodeError, DecodeSink, Decoder, FeedMessage, Message};
use crate::time::Timestamp;

/// A feed that can be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FeedProtocol {
    /// NASDAQ TotalView-ITCH 5.0 over MoldUDP64.
    Itch50,
    /// IEX DEEP 1.0 over IEX-TP.
    Deep10,
    /// IEX TOPS 1.5 over IEX-TP.
    Tops15,
    /// IEX TOPS 1.6 over IEX-TP.
    Tops16,
}

impl FeedProtocol {
    /// Which feed a datagram is from, by its structure alone.
    ///
    /// # Errors
    /// [`DecodeError::Unsupported`] says what it is instead, as far as that shows.
    pub fn detect(datagram: &UdpDatagram<'_>) -> Result<FeedProtocol, DecodeError> {
        recognise(datagram).map(|(feed, _)| match feed {
            Feed::Itch { .. } => FeedProtocol::Itch50,
            Feed::Iex { protocol, .. } => protocol,
        })
    }
}

/// Decodes the packets of one feed as they were captured.
///
/// The first packet recognised decides which feed that is: ITCH on one UDP port (both lines of it), or one protocol and channel of
/// IEX. Numbers are followed, packets that come twice or out of order are put right, and what is lost is told as
/// [`FeedMessage::Gap`]. A message that cannot be read is lost too.
pub struct PacketDecoder {
    link_type: LinkType,
    feed: Option<Feed>,
    itch: NumberedFeed<ItchDecoder>,
    iex: NumberedFeed<IexDecoder>,
}

/// One feed among the packets of a capture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Feed {
    Itch { port: u16 },
    Iex { protocol: FeedProtocol, channel: u32 },
}

impl PacketDecoder {
    /// A decoder of Ethernet frames with its memory taken. `midnight` is that of New York at the beginning of the day (see
    /// [`super::new_york_midnight`]), for feeds that tell only the time of day.
    pub fn new(midnight: Timestamp, window: ReorderWindow) -> PacketDecoder {
        PacketDecoder {
            link_type: LinkType::ETHERNET,
            feed: None,
            itch: NumberedFeed { sequencer: Sequencer::new(window, mold_udp::ORDER), decoder: ItchDecoder::new(midnight) },
            iex: NumberedFeed { sequencer: Sequencer::new(window, iex_tp::ORDER), decoder: IexDecoder::new() },
        }
    }

    /// What the first bytes of the packets from here on are.
    #[inline]
    pub fn set_link_type(&mut self, link_type: LinkType) {
        self.link_type = link_type;
    }

    /// Hands over what is still held behind a hole: no packet will come any more.
    ///
    /// # Errors
    /// The first message that could not be read, as [`Decoder::decode`].
    pub fn finish(&mut self, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        self.itch.finish(recv, out).and(self.iex.finish(recv, out))
    }
}

impl Decoder for PacketDecoder {
    #[inline]
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let datagram = UdpDatagram::parse(self.link_type, raw)?;
        let itch_here = Feed::Itch { port: datagram.destination.port() };
        let (feed, packet) = if self.feed == Some(itch_here) {
            // No look at the first message: its type may be newer than this decoder.
            (itch_here, mold_udp::parse(datagram.payload)?)
        } else {
            recognise(&datagram)?
        };
        if *self.feed.get_or_insert(feed) != feed {
            return Err(DecodeError::Capacity("feeds in one capture"));
        }
        match feed {
            Feed::Itch { .. } => self.itch.accept(recv, &packet, out),
            Feed::Iex { .. } => self.iex.accept(recv, &packet, out),
        }
    }
}

/// A feed's numbering and its messages.
struct NumberedFeed<D> {
    sequencer: Sequencer,
    decoder: D,
}

impl<D: NumberedDecoder> NumberedFeed<D> {
    #[inline]
    fn accept(&mut self, recv: Timestamp, packet: &NumberedPacket<'_>, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let mut result = Ok(());
        self.sequencer.accept(recv, packet, &mut hand_over(&mut self.decoder, recv, out, &mut result));
        result
    }

    fn finish(&mut self, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let mut result = Ok(());
        self.sequencer.flush(&mut hand_over(&mut self.decoder, recv, out, &mut result));
        result
    }
}

/// Decodes single messages of a feed that numbers them.
trait NumberedDecoder {
    fn decode(&mut self, number: u64, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError>;
}

impl NumberedDecoder for ItchDecoder {
    #[inline]
    fn decode(&mut self, _number: u64, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        Decoder::decode(self, raw, recv, out)
    }
}

impl NumberedDecoder for IexDecoder {
    #[inline]
    fn decode(&mut self, number: u64, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        IexDecoder::decode(self, number, raw, recv, out)
    }
}

/// Decodes what a sequencer lets go. A message that cannot be read does not keep back those after it; its number is told as a gap,
/// and the first error is kept.
#[inline]
fn hand_over(
    decoder: &mut impl NumberedDecoder,
    recv: Timestamp,
    out: &mut impl DecodeSink,
    result: &mut Result<(), DecodeError>,
) -> impl FnMut(Sequenced<'_>) {
    move |sequenced| match sequenced {
        Sequenced::Feed(feed) => out.message(recv, &Message::Feed(feed)),
        Sequenced::Message(number, raw) => {
            if let Err(error) = decoder.decode(number, raw, recv, out) {
                *result = result.and(Err(error));
                out.message(recv, &Message::Feed(FeedMessage::Gap { first: number, last: number }));
            }
        }
    }
}

/// Which feed a datagram is from, and its packet.
fn recognise<'a>(datagram: &UdpDatagram<'a>) -> Result<(Feed, NumberedPacket<'a>), DecodeError> {
    let (port, payload) = (datagram.destination.port(), datagram.payload);
    if let Ok(packet) = mold_udp::parse(payload) {
        let is_itch = match packet.first_message(mold_udp::ORDER) {
            Some(message) => message.first().is_some_and(|&kind| itch_length(kind) == Some(message.len())),
            None => payload[..10].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' '),
        };
        if is_itch {
            return Ok((Feed::Itch { port }, packet));
        }
    }
    let Ok(segment) = IexTpSegment::parse(payload) else {
        return Err(DecodeError::Unsupported("feed (neither MoldUDP64 with ITCH 5.0 nor IEX-TP) on UDP port", port.into()));
    };
    let protocol = match segment.protocol {
        0x8002 => FeedProtocol::Tops15,
        0x8003 => FeedProtocol::Tops16,
        0x8004 => FeedProtocol::Deep10,
        other => return Err(DecodeError::Unsupported("message protocol in IEX-TP", other.into())),
    };
    Ok((Feed::Iex { protocol, channel: segment.channel }, segment.packet))
}
