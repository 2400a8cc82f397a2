//! The records of a file, whatever its form: what one call of a decoder takes, and when it was received.

use super::BrokenLine;
use super::bytes::Bytes;
use super::lines::{Line, Lines};
use chronos_market::decode::{
    BinaryFileStep, CryptofeedLine, DbnMetadata, DbnStep, DecodeError, LineError, LinkType, MESSAGE_BYTES_MAX, PcapReader,
    PcapStep, TardisLine, reply_symbol, split_binary_file, split_capture_line, split_cryptofeed_line, split_dbn_record,
    split_tardis_line,
};
use chronos_market::{NANOS_PER_MILLI, Price, TimeUnit, Timestamp};
use std::io;
use std::ops::Range;

/// How a file is cut into records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Lines `<receive time> <message>`.
    TimedLines,
    /// Lines that are a message alone. Its time is the venue's `"ts"` in milliseconds where it has one; where none has, a line counts
    /// as a millisecond.
    UntimedLines,
    /// Lines of the cryptofeed library: `<seconds>: <message>`, and replies behind the address that was asked.
    CryptofeedLines,
    /// Lines of Tardis' raw data: a time in ISO 8601 and the message, or both in an object.
    TardisLines,
    /// Lines of a Tardis CSV file, received at the time in their fourth column.
    TardisCsvRows,
    /// Lines that begin with the seconds since a midnight.
    LobsterRows {
        /// That midnight.
        midnight: Timestamp,
    },
    /// A packet capture, pcap or pcapng.
    Packets {
        /// What the packets' first bytes are; others are passed over.
        link_type: LinkType,
    },
    /// Messages behind their lengths, with the nanoseconds since a midnight in them.
    BinaryFile {
        /// That midnight.
        midnight: Timestamp,
    },
    /// Databento's metadata and records.
    Dbn,
}

/// What [`Records::advance`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// A record.
    Record,
    /// A line that holds no message: of the recorder, or empty.
    Aside,
    /// Something that is no record; [`Records::current`] is what it is instead, as far as it is at hand.
    Broken(BrokenLine),
    /// The end.
    End,
}

/// Reads a file record by record in bounded memory.
pub(super) struct Records {
    reader: Reader,
    framing: Framing,
    /// The record found last: where in the reader's window, when it was received, and in which unit that was written.
    current: Range<usize>,
    /// The symbol that stands beside it, if one does.
    symbol: Range<usize>,
    recv: Timestamp,
    unit: TimeUnit,
    /// Stands in place of the first record: the book after it, where that is known.
    seed: Vec<u8>,
    is_seed: bool,
    is_seeded: bool,
}

enum Reader {
    Lines(Lines),
    Packets { bytes: Bytes, pcap: Box<PcapReader>, taken: usize },
    Binary { bytes: Bytes, taken: usize },
}

impl Records {
    /// The records of a file from its beginning.
    ///
    /// # Errors
    /// The file system's, or what is wrong with the file's header.
    pub(super) fn new(mut bytes: Bytes, framing: Framing) -> io::Result<Records> {
        let reader = match framing {
            Framing::TimedLines
            | Framing::UntimedLines
            | Framing::CryptofeedLines
            | Framing::TardisLines
            | Framing::TardisCsvRows
            | Framing::LobsterRows { .. } => Reader::Lines(Lines::new(bytes)),
            Framing::Packets { .. } => Reader::Packets { bytes, pcap: Box::new(PcapReader::new()), taken: 0 },
            Framing::BinaryFile { .. } => Reader::Binary { bytes, taken: 0 },
            Framing::Dbn => {
                let (_, length) = read_dbn_metadata(&mut bytes)?;
                Reader::Binary { bytes, taken: length }
            }
        };
        Ok(Records {
            reader,
            framing,
            current: 0..0,
            symbol: 0..0,
            recv: Timestamp(0),
            unit: TimeUnit::Nanos,
            seed: Vec::new(),
            is_seed: false,
            is_seeded: false,
        })
    }

    /// Puts a row of the order book file, which shows the book after the first message, in that message's place.
    pub(super) fn with_seed(self, seed: Vec<u8>) -> Records {
        Records { seed, ..self }
    }

    /// Goes to the next record. A file that is damaged in the middle gives the records before that, then the error.
    #[inline]
    pub(super) fn advance(&mut self) -> io::Result<Step> {
        match &mut self.reader {
            Reader::Lines(lines) => {
                match lines.advance()? {
                    Line::Text => {}
                    Line::TooLong => return Ok(Step::Broken(BrokenLine::TooLong)),
                    Line::End => return Ok(Step::End),
                }
                let line = lines.current();
                match cut_line(line, self.framing, self.recv) {
                    Ok(cut) => {
                        let place = |part: &[u8]| {
                            let start = part.as_ptr() as usize - line.as_ptr() as usize;
                            start..start + part.len()
                        };
                        (self.current, self.recv, self.unit) = (place(cut.message), cut.recv, cut.unit);
                        self.symbol = cut.symbol.map_or(0..0, |symbol| place(symbol.as_bytes()));
                        self.is_seed = !self.seed.is_empty() && !std::mem::replace(&mut self.is_seeded, true);
                        Ok(if self.current.is_empty() { Step::Aside } else { Step::Record })
                    }
                    Err(error) => {
                        self.current = 0..line.len();
                        Ok(Step::Broken(error.into()))
                    }
                }
            }
            Reader::Packets { bytes, pcap, taken } => loop {
                bytes.consume(std::mem::take(taken));
                match cut_packet(pcap, bytes.window(), self.framing).map_err(damaged)? {
                    Cut::Record { record, consumed, recv } => {
                        (self.current, *taken, self.recv) = (record, consumed, recv.unwrap_or(self.recv));
                        break Ok(Step::Record);
                    }
                    Cut::Skip(consumed) => *taken = consumed,
                    Cut::NeedMore => {
                        if !bytes.extend()? {
                            break at_end(bytes);
                        }
                    }
                }
            },
            Reader::Binary { bytes, taken } => loop {
                bytes.consume(std::mem::take(taken));
                match cut_binary(bytes.window(), self.framing).map_err(damaged)? {
                    Cut::Record { record, consumed, recv } => {
                        (self.current, *taken, self.recv) = (record, consumed, recv.unwrap_or(self.recv));
                        break Ok(Step::Record);
                    }
                    Cut::Skip(_) => break Ok(Step::End),
                    Cut::NeedMore => {
                        if !bytes.extend()? {
                            break at_end(bytes);
                        }
                    }
                }
            },
        }
    }

    /// The record that [`Records::advance`] found.
    #[inline]
    pub(super) fn current(&self) -> &[u8] {
        if self.is_seed {
            return &self.seed;
        }
        let window = match &self.reader {
            Reader::Lines(lines) => lines.current(),
            Reader::Packets { bytes, .. } | Reader::Binary { bytes, .. } => bytes.window(),
        };
        window.get(self.current.clone()).unwrap_or_default()
    }

    /// Whose message it is, where the message itself does not say and what stands beside it does.
    #[inline]
    pub(super) fn symbol(&self) -> Option<&str> {
        let Reader::Lines(lines) = &self.reader else { return None };
        let symbol = lines.current().get(self.symbol.clone()).filter(|symbol| !symbol.is_empty())?;
        std::str::from_utf8(symbol).ok()
    }

    /// When it was received.
    #[inline]
    pub(super) fn recv(&self) -> Timestamp {
        self.recv
    }

    /// The unit in which that was written.
    pub(super) fn unit(&self) -> TimeUnit {
        self.unit
    }

    /// Bytes read so far, as they are on disk.
    pub(super) fn bytes_read(&self) -> u64 {
        match &self.reader {
            Reader::Lines(lines) => lines.bytes_read(),
            Reader::Packets { bytes, .. } | Reader::Binary { bytes, .. } => bytes.bytes_read(),
        }
    }
}

/// A line and what is known of it.
struct LineCut<'a> {
    message: &'a [u8],
    recv: Timestamp,
    unit: TimeUnit,
    /// Whose message it is, where that stands beside it.
    symbol: Option<&'a str>,
}

#[inline]
fn cut_line(line: &[u8], framing: Framing, before: Timestamp) -> Result<LineCut<'_>, LineError> {
    let cut = |message, recv, unit| LineCut { message, recv, unit, symbol: None };
    if framing == Framing::TimedLines {
        return split_capture_line(line).map(|split| cut(split.message, split.recv, split.unit));
    }
    // A part of the line, so that its place can be told.
    let nothing = &line[..0];
    Ok(match framing {
        Framing::CryptofeedLines if line.trim_ascii().is_empty() => cut(nothing, before, TimeUnit::Seconds),
        Framing::CryptofeedLines => match split_cryptofeed_line(line)? {
            CryptofeedLine::Received { recv, message } => cut(message, recv, TimeUnit::Seconds),
            CryptofeedLine::Reply { url, recv, message } => {
                LineCut { message, recv, unit: TimeUnit::Seconds, symbol: reply_symbol(url) }
            }
            _ => cut(nothing, before, TimeUnit::Seconds),
        },
        Framing::TardisLines => match split_tardis_line(line)? {
            TardisLine::Message { recv, message } => cut(message, recv, TimeUnit::Nanos),
            TardisLine::Disconnected => cut(nothing, before, TimeUnit::Nanos),
        },
        Framing::TardisCsvRows => cut(line, csv_time(line).unwrap_or(before), TimeUnit::Micros),
        Framing::LobsterRows { midnight } => {
            cut(line.trim_ascii_end(), lobster_time(line, midnight).unwrap_or(before), TimeUnit::Nanos)
        }
        _ => cut(line, venue_time(line).unwrap_or(Timestamp(before.0 + NANOS_PER_MILLI)), TimeUnit::Millis),
    })
}

/// What binary bytes begin with.
enum Cut {
    /// A record: where it stands, bytes done with behind it, and when it was received where that is told.
    Record { record: Range<usize>, consumed: usize, recv: Option<Timestamp> },
    /// Something else, of so many bytes.
    Skip(usize),
    /// Not all of it is there.
    NeedMore,
}

#[inline]
fn cut_packet(pcap: &mut PcapReader, window: &[u8], framing: Framing) -> Result<Cut, DecodeError> {
    Ok(match pcap.next(window)? {
        PcapStep::Packet { consumed, packet } if framing == (Framing::Packets { link_type: packet.link_type }) => {
            let start = packet.bytes.as_ptr() as usize - window.as_ptr() as usize;
            let record = start..start + packet.bytes.len();
            // Simple packets have no time: they count as received with the one before.
            Cut::Record { record, consumed, recv: Some(packet.recv).filter(|recv| recv.0 > 0) }
        }
        PcapStep::Packet { consumed, .. } | PcapStep::Skip { consumed } => Cut::Skip(consumed),
        PcapStep::NeedMore(_) => Cut::NeedMore,
    })
}

#[inline]
fn cut_binary(window: &[u8], framing: Framing) -> Result<Cut, DecodeError> {
    let Framing::BinaryFile { midnight } = framing else {
        return Ok(match split_dbn_record(window)? {
            DbnStep::Record { consumed, recv, .. } => {
                Cut::Record { record: 0..consumed, consumed, recv: Some(recv).filter(|recv| recv.0 > 0) }
            }
            DbnStep::NeedMore(_) => Cut::NeedMore,
        });
    };
    Ok(match split_binary_file(window) {
        BinaryFileStep::Message { consumed, message } => {
            Cut::Record { record: consumed - message.len()..consumed, consumed, recv: itch_time(message, midnight) }
        }
        BinaryFileStep::End => Cut::Skip(0),
        BinaryFileStep::NeedMore(_) => Cut::NeedMore,
    })
}

/// Reads the metadata at the beginning of a Databento file, which stays in the window, and gives its length too.
pub(super) fn read_dbn_metadata(bytes: &mut Bytes) -> io::Result<(DbnMetadata, usize)> {
    let mut wanted = 8;
    loop {
        if let Some(beginning) = bytes.window().first_chunk() {
            wanted = DbnMetadata::length(beginning).map_err(damaged)?;
            if let Some(metadata) = bytes.window().get(..wanted) {
                return Ok((DbnMetadata::parse(metadata).map_err(damaged)?, wanted));
            }
        }
        if !bytes.extend()? {
            return Err(damaged(DecodeError::Truncated(wanted, bytes.window().len())));
        }
    }
}

/// The end of a file of binary records, which is within none of them.
fn at_end(bytes: &Bytes) -> io::Result<Step> {
    if bytes.window().is_empty() { Ok(Step::End) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn damaged(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Seconds since midnight with up to nine decimals are nanoseconds as a price is: in units of 1e-9.
fn lobster_time(line: &[u8], midnight: Timestamp) -> Option<Timestamp> {
    let seconds = line.split(|&byte| byte == b',').next()?;
    let since = Price::parse(seconds).ok()?.0;
    Some(Timestamp(midnight.0.checked_add(since)?))
}

/// The fourth column is microseconds since 1970.
fn csv_time(line: &[u8]) -> Option<Timestamp> {
    let micros = line.split(|&byte| byte == b',').nth(3)?;
    let micros: i64 = std::str::from_utf8(micros).ok()?.parse().ok()?;
    micros.checked_mul(1_000).map(Timestamp)
}

/// The 48 bits behind type, locate code and tracking number are nanoseconds since midnight.
fn itch_time(message: &[u8], midnight: Timestamp) -> Option<Timestamp> {
    let since = message.get(5..11)?.iter().fold(0_i64, |since, &byte| since << 8 | i64::from(byte));
    Some(Timestamp(midnight.0.checked_add(since)?))
}

/// The venue's time in milliseconds among the first fields of a message.
fn venue_time(line: &[u8]) -> Option<Timestamp> {
    const KEY: &[u8] = b"\"ts\":";
    let beginning = &line[..line.len().min(256)];
    let digits = &beginning[memchr::memmem::find(beginning, KEY)? + KEY.len()..];
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value: i64 = std::str::from_utf8(&digits[..count]).ok()?.parse().ok()?;
    let unit = TimeUnit::of_magnitude(value).filter(|_| line.len() <= MESSAGE_BYTES_MAX)?;
    value.checked_mul(unit.nanos()).map(Timestamp)
}
