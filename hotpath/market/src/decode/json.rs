//! JSON text to a flat list of nodes: simd-json first, and a small bounded reader for what it refuses.
//!
//! simd-json refuses some valid messages over a field that nobody reads: an integer beyond 64 bits, a lone surrogate. The second
//! reader takes those: it keeps strings as they are written (escapes included), and numbers it cannot hold become floats.

use super::{DecodeError, MESSAGE_BYTES_MAX};
use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape};

/// Deepest nesting the bounded reader follows.
const DEPTH_MAX: usize = 32;
/// Most nodes the bounded reader makes.
const NODES_MAX: usize = 100_000;
/// Messages up to this size are read without taking memory.
const USUAL_BYTES: usize = 1 << 20;

/// Reads JSON, reusing its memory from message to message.
pub(super) struct JsonReader {
    scratch: Vec<u8>,
    buffers: Buffers,
    /// The tape's memory between messages.
    spare: Option<Tape<'static>>,
}

impl JsonReader {
    pub(super) fn new() -> JsonReader {
        JsonReader {
            scratch: Vec::with_capacity(USUAL_BYTES + INPUT_PADDING),
            buffers: Buffers::new(USUAL_BYTES),
            spare: Some(Tape(Vec::with_capacity(1 << 16))),
        }
    }

    /// Reads `raw` and gives its nodes to `use_nodes`: containers before their content, object keys before their values.
    pub(super) fn read<T>(
        &mut self,
        raw: &[u8],
        use_nodes: impl FnOnce(&[Node<'_>]) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if raw.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(raw);
        self.scratch.resize(raw.len() + INPUT_PADDING, b' ');
        let mut tape: Tape<'_> = self.spare.take().unwrap_or_else(|| Tape(Vec::new()));
        match simd_json::fill_tape_padded(&mut self.scratch, raw.len(), &mut self.buffers, &mut tape) {
            Ok(()) => {
                let result = use_nodes(&tape.0);
                self.spare = Some(tape.reset());
                result
            }
            Err(_) => {
                self.spare = Some(tape.reset());
                let mut nodes = Vec::new();
                read_bounded(raw, &mut nodes).map_err(DecodeError::Json)?;
                use_nodes(&nodes)
            }
        }
    }
}

/// Index of the node after the value that starts at `at`.
#[inline]
pub(super) fn after(nodes: &[Node<'_>], at: usize) -> usize {
    match nodes.get(at) {
        Some(Node::Object { count, .. } | Node::Array { count, .. }) => at + 1 + count,
        _ => at + 1,
    }
}

/// What a container waits for next.
enum Open {
    Object { node: usize, len: usize },
    Array { node: usize, len: usize },
}

/// Reads one JSON value and nothing after it. On failure gives the byte at which it showed.
fn read_bounded<'a>(raw: &'a [u8], nodes: &mut Vec<Node<'a>>) -> Result<(), usize> {
    let text = std::str::from_utf8(raw).map_err(|error| error.valid_up_to())?;
    let mut at = 0;
    let mut open: Vec<Open> = Vec::with_capacity(DEPTH_MAX);
    loop {
        // A value begins here.
        skip_space(raw, &mut at);
        if nodes.len() >= NODES_MAX {
            return Err(at);
        }
        let node = nodes.len();
        let mut begun = false;
        match raw.get(at).copied() {
            Some(b'{') if open.len() < DEPTH_MAX => {
                at += 1;
                nodes.push(Node::Object { len: 0, count: 0 });
                skip_space(raw, &mut at);
                if raw.get(at) == Some(&b'}') {
                    at += 1;
                } else {
                    open.push(Open::Object { node, len: 0 });
                    read_key(raw, text, &mut at, nodes)?;
                    begun = true;
                }
            }
            Some(b'[') if open.len() < DEPTH_MAX => {
                at += 1;
                nodes.push(Node::Array { len: 0, count: 0 });
                skip_space(raw, &mut at);
                if raw.get(at) == Some(&b']') {
                    at += 1;
                } else {
                    open.push(Open::Array { node, len: 0 });
                    begun = true;
                }
            }
            Some(b'"') => nodes.push(Node::String(read_string(raw, text, &mut at)?)),
            Some(b'-' | b'0'..=b'9') => nodes.push(Node::Static(read_number(raw, text, &mut at)?)),
            _ => nodes.push(Node::Static(read_word(raw, &mut at)?)),
        }
        if begun {
            continue;
        }
        // A value has ended: close what it closes.
        loop {
            skip_space(raw, &mut at);
            let end = nodes.len();
            match (open.last_mut(), raw.get(at).copied()) {
                (None, None) => return Ok(()),
                (Some(Open::Array { len, .. }), Some(b',')) => {
                    *len += 1;
                    at += 1;
                    break;
                }
                (Some(Open::Object { len, .. }), Some(b',')) => {
                    *len += 1;
                    at += 1;
                    skip_space(raw, &mut at);
                    read_key(raw, text, &mut at, nodes)?;
                    break;
                }
                (Some(Open::Array { node, len }), Some(b']')) => {
                    nodes[*node] = Node::Array { len: *len + 1, count: end - *node - 1 };
                    at += 1;
                    open.pop();
                }
                (Some(Open::Object { node, len }), Some(b'}')) => {
                    nodes[*node] = Node::Object { len: *len + 1, count: end - *node - 1 };
                    at += 1;
                    open.pop();
                }
                _ => return Err(at),
            }
        }
    }
}

fn skip_space(raw: &[u8], at: &mut usize) {
    while matches!(raw.get(*at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        *at += 1;
    }
}

fn read_key<'a>(raw: &'a [u8], text: &'a str, at: &mut usize, nodes: &mut Vec<Node<'a>>) -> Result<(), usize> {
    if raw.get(*at) != Some(&b'"') {
        return Err(*at);
    }
    nodes.push(Node::String(read_string(raw, text, at)?));
    skip_space(raw, at);
    if raw.get(*at) != Some(&b':') {
        return Err(*at);
    }
    *at += 1;
    Ok(())
}

/// The text between the quotes, escapes left as written.
fn read_string<'a>(raw: &[u8], text: &'a str, at: &mut usize) -> Result<&'a str, usize> {
    let start = *at + 1;
    let mut place = start;
    loop {
        match raw.get(place).copied() {
            Some(b'"') => break,
            Some(b'\\') => {
                match raw.get(place + 1).copied() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => place += 2,
                    Some(b'u') if raw.get(place + 2..place + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
                        place += 6
                    }
                    _ => return Err(place),
                };
            }
            Some(0..=31) | None => return Err(place),
            Some(_) => place += 1,
        }
    }
    *at = place + 1;
    text.get(start..place).ok_or(start)
}

fn read_number(raw: &[u8], text: &str, at: &mut usize) -> Result<StaticNode, usize> {
    let start = *at;
    let mut place = start;
    let digits = |place: &mut usize| {
        let from = *place;
        while raw.get(*place).is_some_and(u8::is_ascii_digit) {
            *place += 1;
        }
        *place - from
    };
    place += usize::from(raw.get(place) == Some(&b'-'));
    let leading_zero = raw.get(place) == Some(&b'0');
    let whole = digits(&mut place);
    if whole == 0 || (leading_zero && whole > 1) {
        return Err(place);
    }
    let mut is_integer = true;
    if raw.get(place) == Some(&b'.') {
        is_integer = false;
        place += 1;
        if digits(&mut place) == 0 {
            return Err(place);
        }
    }
    if matches!(raw.get(place), Some(b'e' | b'E')) {
        is_integer = false;
        place += 1;
        place += usize::from(matches!(raw.get(place), Some(b'+' | b'-')));
        if digits(&mut place) == 0 {
            return Err(place);
        }
    }
    *at = place;
    let number = text.get(start..place).ok_or(start)?;
    if is_integer {
        if let Ok(value) = number.parse() {
            return Ok(StaticNode::U64(value));
        }
        if let Ok(value) = number.parse() {
            return Ok(StaticNode::I64(value));
        }
    }
    number.parse().map(StaticNode::F64).map_err(|_| start)
}

fn read_word(raw: &[u8], at: &mut usize) -> Result<StaticNode, usize> {
    for (word, value) in [(&b"true"[..], StaticNode::Bool(true)), (b"false", StaticNode::Bool(false)), (b"null", StaticNode::Null)]
    {
        if raw.get(*at..).is_some_and(|rest| rest.starts_with(word)) {
            *at += word.len();
            return Ok(value);
        }
    }
    Err(*at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounded(text: &str) -> Result<String, usize> {
        let mut nodes = Vec::new();
        read_bounded(text.as_bytes(), &mut nodes)?;
        Ok(format!("{nodes:?}"))
    }

    fn simd(text: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        simd_json::to_tape(&mut bytes).ok().map(|tape| format!("{:?}", tape.0))
    }

    #[test]
    fn both_readers_make_the_same_nodes() {
        for text in [
            r#"{"e":"trade","E":1,"m":true,"x":null,"d":-5,"f":1.5,"l":[["1","2"],[]],"o":{}}"#,
            "[]",
            " { \"a\" : [ 1 , 2 , { } ] } ",
            "3",
            "\"text\"",
        ] {
            assert_eq!(bounded(text).ok(), simd(text), "{text}");
        }
    }

    #[test]
    fn takes_what_simd_json_refuses_for_a_field_nobody_reads() {
        for text in [r#"{"E":1,"x":123456789012345678901234567890}"#, r#"{"E":1,"x":"\ud800"}"#] {
            assert_eq!(simd(text), None, "{text}: then this case says nothing any more");
            assert!(bounded(text).is_ok(), "{text}");
            let mut reader = JsonReader::new();
            assert_eq!(reader.read(text.as_bytes(), |nodes| Ok(nodes.len())), Ok(5));
        }
    }

    #[test]
    fn names_the_byte_where_it_stops_being_json() {
        for (text, at) in
            [("", 0), ("{", 1), ("{\"a\"", 4), ("{\"a\":1,}", 7), ("[1 2]", 3), ("01", 2), ("tru", 0), ("1 1", 2), ("\"\\x\"", 1)]
        {
            assert_eq!(bounded(text), Err(at), "{text:?}");
        }
        assert!(bounded(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn never_disagrees_with_simd_json_on_what_both_take(text in r#"[\[\]{}":,0-9a-z\.\- ]{0,40}"#) {
            if let (Ok(ours), Some(theirs)) = (bounded(&text), simd(&text)) {
                prop_assert_eq!(ours, theirs);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = JsonReader::new().read(&bytes, |nodes| Ok(nodes.len()));
        }
    }
}
