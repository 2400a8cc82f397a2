//! A line of a Tardis replay: the recorder's time and the venue's own message.

use super::capture_line::LineError;
use super::time_text::iso_ns;
use crate::time::Timestamp;

/// A line split into its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TardisLine<'a> {
    /// A message of the venue.
    Message {
        /// Receive time at the recorder.
        recv: Timestamp,
        /// The message.
        message: &'a [u8],
    },
    /// An empty line: the recorder lost its connection, and no book goes on from here.
    Disconnected,
}

/// Splits a line without its newline: `2019-06-01T00:00:10.4269950Z {…}` of the raw data feeds, or
/// `{"localTimestamp":"2019-06-01T00:00:10.4269950Z","message":{…}}` of tardis-machine, written without white space.
///
/// # Errors
/// [`LineError`] where it is neither.
pub fn split_tardis_line(line: &[u8]) -> Result<TardisLine<'_>, LineError> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(TardisLine::Disconnected);
    }
    let (time, message) = match line.strip_prefix(br#"{"localTimestamp":""#) {
        Some(rest) => {
            let end = rest.iter().position(|&byte| byte == b'"').ok_or(LineError::NoReceiveTime)?;
            let message = rest[end..].strip_prefix(br#"","message":"#).and_then(|rest| rest.strip_suffix(b"}"));
            (&rest[..end], message.ok_or(LineError::NoMessage)?)
        }
        None => {
            let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
            (&line[..end], line[end..].trim_ascii())
        }
    };
    let recv = std::str::from_utf8(time).ok().and_then(iso_ns).map(Timestamp).ok_or(LineError::NoReceiveTime)?;
    if message.is_empty() {
        return Err(LineError::NoMessage);
    }
    Ok(TardisLine::Message { recv, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_a_lost_connection() {
        let recv = Timestamp(1_559_347_210_426_995_000);
        let expected = Ok(TardisLine::Message { recv, message: br#"{"type":"match"}"# });
        assert_eq!(split_tardis_line(b"2019-06-01T00:00:10.4269950Z {\"type\":\"match\"}\r"), expected);
        let line = br#"{"localTimestamp":"2019-06-01T00:00:10.4269950Z","message":{"type":"match"}}"#;
        assert_eq!(split_tardis_line(line), expected);
        assert_eq!(split_tardis_line(b"\r"), Ok(TardisLine::Disconnected));
    }

    #[test]
    fn says_what_is_wrong() {
        for (line, error) in [
            ("2019-06-01T00:00:10.4269950Z", LineError::NoMessage),
            ("2019-06-01 {}", LineError::NoReceiveTime),
            ("1559347210426995 {}", LineError::NoReceiveTime),
            ("{}", LineError::NoReceiveTime),
            (r#"{"localTimestamp":"2019-06-01T00:00:10.4269950Z"}"#, LineError::NoMessage),
            (r#"{"localTimestamp":"2019-06-01T00:00:10.4269950Z","message":}"#, LineError::NoMessage),
            (r#"{"localTimestamp":"now","message":{}}"#, LineError::NoReceiveTime),
            (r#"{"localTimestamp":"2019"#, LineError::NoReceiveTime),
        ] {
            assert_eq!(split_tardis_line(line.as_bytes()), Err(error), "{line:?}");
        }
    }
}
