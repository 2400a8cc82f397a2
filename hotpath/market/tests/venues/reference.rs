//! What the slow decoders share: one JSON tree a message with the text of its numbers kept, owned messages, changed messages.

use chronos_market::decode::{DecodeError, DecodeSink, Decoder, LevelChange, Message};
use chronos_market::{Price, Qty, Side, Timestamp};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// A JSON value with its fields in the order written, repeated ones too, and numbers as text.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element::<&RawValue>()? {
            values.push(Json::read(value.get()).map_err(A::Error::custom)?);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            fields.push((name, Json::read(value.get()).map_err(A::Error::custom)?));
        }
        Ok(Json::Object(fields))
    }
}

struct Container(Json);

impl<'de> Deserialize<'de> for Container {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Container, D::Error> {
        deserializer.deserialize_any(Parts).map(Container)
    }
}

impl Json {
    pub(crate) fn read(text: &str) -> Result<Json, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Ok(match raw.get().as_bytes()[0] {
            b'{' | b'[' => serde_json::from_str::<Container>(raw.get())?.0,
            b'"' => Json::Text(serde_json::from_str(raw.get())?),
            b't' | b'f' => Json::Bool(raw.get() == "true"),
            b'n' => Json::Null,
            _ => Json::Number(raw.get().to_owned()),
        })
    }

    /// The last field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.fields().iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(crate) fn fields(&self) -> &[(String, Json)] {
        match self {
            Json::Object(fields) => fields,
            _ => &[],
        }
    }

    pub(crate) fn list(&self) -> Option<&[Json]> {
        match self {
            Json::List(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn string(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.string()
    }

    /// The text of a number or of a string.
    pub(crate) fn digits(&self) -> Option<&str> {
        match self {
            Json::Number(text) | Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn unsigned(&self) -> Option<u64> {
        self.digits().filter(|text| !text.starts_with('+'))?.parse().ok()
    }

    pub(crate) fn price(&self) -> Option<Price> {
        decimal(self.digits()?, 9).filter(|price| *price >= 0).map(Price)
    }

    pub(crate) fn positive_price(&self) -> Option<Price> {
        self.price().filter(|price| price.0 > 0)
    }

    /// The price of a level or an order: `Some(None)` for an ask beyond all that is kept.
    pub(crate) fn book_price(&self, side: Side) -> Option<Option<Price>> {
        let is_number = self.digits()?.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
        let is_far = || self.digits().is_some_and(|text| text.parse::<f64>().is_ok_and(|price| price >= i64::MAX as f64 / 1e9));
        if side == Side::Sell && is_number && self.price().is_none() && is_far() {
            return Some(None);
        }
        self.positive_price().map(Some)
    }

    pub(crate) fn qty(&self) -> Option<Qty> {
        decimal(self.digits()?, 8).filter(|qty| *qty >= 0).map(Qty)
    }
}

/// A decimal, perhaps with an exponent, by moving the point in its text.
pub(crate) fn decimal(text: &str, places: usize) -> Option<i64> {
    let (sign, unsigned) = if let Some(rest) = text.strip_prefix('-') { (-1, rest) } else { (1, text) };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let mut parts = mantissa.split('.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or(""));
    let digits = format!("{whole}{fraction}");
    if parts.next().is_some() || digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    if digits.chars().all(|c| c == '0') {
        return Some(0);
    }
    let point = whole.len() as i32 + exponent;
    if !(-100..100).contains(&point) {
        return None;
    }
    let padded = format!("{}{digits}{}", "0".repeat(100), "0".repeat(200));
    let end = (100 + point) as usize + places;
    let (kept, rest) = padded.split_at(end);
    if rest.chars().any(|c| c != '0') {
        return None;
    }
    kept.trim_start_matches('0').parse::<i64>().ok().map(|value| sign * value)
}

/// A rate in 1e-9, to the nearest.
pub(crate) fn rate(text: &str) -> Option<i64> {
    let is_number = !text.starts_with('+') && text.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
    text.parse::<f64>().ok().filter(|rate| is_number && rate.abs() < 9e9).map(|rate| (rate * 1e9).round() as i64)
}

/// Nanoseconds of an ISO time, days counted one by one.
pub(crate) fn iso(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str, len: usize| {
        if text.len() == len && text.chars().all(|c| c.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let date: Vec<&str> = date.split('-').collect();
    let time: Vec<&str> = time.split(':').collect();
    let (&[year, month, day], &[hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    let (year, month, day): (i64, i64, i64) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (hour, minute): (i64, i64) = (number(hour, 2)?, number(minute, 2)?);
    let (second, fraction) = second.split_once('.').map_or((second, None), |(second, fraction)| (second, Some(fraction)));
    let second: i64 = number(second, 2)?;
    let fraction: i64 = match fraction {
        Some(digits) if digits.len() <= 9 && !digits.is_empty() => number(&format!("{digits:0<9}"), 9)?,
        Some(_) => return None,
        None => 0,
    };
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let lengths = |year| [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1970..=2261).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > lengths(year)[month as usize - 1] {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<i64>()
        + lengths(year)[..month as usize - 1].iter().sum::<i64>()
        + day
        - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + fraction)
}

/// Nanoseconds of seconds with decimals.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    decimal(text, 9).filter(|nanos| *nanos >= 0)
}

/// An id that is a text: a number as it is, a UUID's halves one over the other, or the hash named FNV-1a.
pub(crate) fn folded(text: &str) -> u64 {
    if !text.starts_with('+')
        && let Ok(number) = text.parse()
    {
        return number;
    }
    let groups: Vec<&str> = text.split('-').collect();
    if groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.chars().all(|c| c.is_ascii_hexdigit()))
    {
        let high = u64::from_str_radix(&groups[..3].concat(), 16).unwrap();
        return high ^ u64::from_str_radix(&groups[3..].concat(), 16).unwrap();
    }
    let mut hash = 14_695_981_039_346_656_037_u64;
    for byte in text.bytes() {
        hash = (hash ^ byte as u64).wrapping_mul(1_099_511_628_211);
    }
    hash
}

/// `[price, quantity, …]` pairs of one side.
pub(crate) fn pairs(list: &Json, side: Side) -> Option<Vec<LevelChange>> {
    let mut levels = Vec::new();
    for row in list.list()? {
        let row = row.list()?;
        levels.extend(level(side, row.first()?, row.get(1)?)?);
    }
    Some(levels)
}

/// A level; `Some(None)` for one that is left out.
pub(crate) fn level(side: Side, price: &Json, qty: &Json) -> Option<Option<LevelChange>> {
    let (price, qty) = (price.book_price(side)?, qty.qty()?);
    Some(price.map(|price| LevelChange { side, price, qty }))
}

/// Keeps every message as it is shown.
#[derive(Default)]
pub(crate) struct Shown(pub(crate) Vec<String>);

impl DecodeSink for Shown {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        self.0.push(format!("{} {message:?}", recv.0));
    }
}

/// A message as [`Shown`] keeps it, received at 7.
pub(crate) fn shown(message: Message<'_>) -> String {
    format!("7 {message:?}")
}

/// What a decoder makes of a message received at 7.
pub(crate) fn decoded(decoder: &mut impl Decoder, raw: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut sink = Shown::default();
    let result = decoder.decode(raw, Timestamp(7), &mut sink);
    assert!(result.is_ok() || sink.0.is_empty(), "{result:?}, yet the sink had {:?}", sink.0);
    result.map(|()| sink.0)
}

/// Says how a decoder's answer differs from the slow one's; `None` where they agree. The slow one gives `None` for a message it
/// refuses.
pub(crate) fn difference(
    ours: Result<Vec<String>, DecodeError>,
    raw: &str,
    theirs: impl FnOnce(&Json) -> Option<Vec<String>>,
) -> Option<String> {
    let theirs = match Json::read(raw) {
        Ok(root) => theirs(&root),
        // Stricter than the decoder on a field nobody reads: half a surrogate pair.
        Err(error) if ["surrogate", "hex escape"].iter().any(|reason| error.to_string().contains(reason)) => return None,
        Err(_) => None,
    };
    (ours.as_ref().ok() != theirs.as_ref()).then(|| format!("{raw}\ndecoder: {ours:?}\nreference: {theirs:?}"))
}

/// The committed messages of a fuzz target, by name of file.
pub(crate) fn corpus(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/__fuzz__").join(target).join("corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The lines of a capture; `None` where it is missing.
pub(crate) fn capture(name: &str) -> Option<Vec<String>> {
    let path = chronos_tests::data_file(name)?;
    let bytes = std::fs::read(&path).unwrap();
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => zstd::decode_all(bytes.as_slice()).unwrap(),
        Some("zip") => {
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
            let mut plain = Vec::new();
            archive.by_index(0).unwrap().read_to_end(&mut plain).unwrap();
            plain
        }
        Some("xz") => {
            let mut plain = Vec::new();
            lzma_rust2::XzReader::new(bytes.as_slice(), true).read_to_end(&mut plain).unwrap();
            plain
        }
        _ => bytes,
    };
    Some(String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect())
}

/// The messages received in a capture of `<seconds>: <message>` lines.
pub(crate) fn received(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| line.split_once(": ").unwrap().1)
        .collect()
}

/// What to put in the place of a part of a message.
const ODD_PARTS: [&str; 29] = [
    "9999999997.0",
    "\"9999999997.00000\"",
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e3",
    "-1.5e-07",
    "5e-9",
    "0.0000000001",
    "18446744073709551616",
    "123456789012345678901234567890",
    "\"\"",
    "\"0\"",
    "\"-0.1\"",
    "\"0.-10000\"",
    "\"9223372036.854775808\"",
    "\"1e-2\"",
    "\"buy\"",
    "\"delete\"",
    "\"\\u0041\\n\\\"\"",
    "\"2021-02-29T00:00:00Z\"",
    "\"0001-01-01T00:00:00.000000Z\"",
    "\"5ffb8b77-900c-507d-97a2-0922557ffe54\"",
    "[]",
    "[[\"1\",\"2\"],[\"3\",\"0\",\"4\"]]",
    "{}",
    "[1,2,3]",
];

#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Replace(prop::sample::Index, usize),
    Exchange(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index),
    Insert(prop::sample::Index, usize),
}

pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let place = any::<prop::sample::Index>;
    let mutation = prop_oneof![
        4 => (place(), any::<usize>()).prop_map(|(place, part)| Mutation::Replace(place, part)),
        3 => (place(), place()).prop_map(|(one, other)| Mutation::Exchange(one, other)),
        1 => place().prop_map(Mutation::Remove),
        1 => place().prop_map(Mutation::Repeat),
        1 => (place(), any::<usize>()).prop_map(|(place, part)| Mutation::Insert(place, part)),
    ];
    prop::collection::vec(mutation, 1..4)
}

/// A message changed part by part: strings, numbers and words for others, brackets and commas lost or doubled.
pub(crate) fn mutated(message: &str, mutations: &[Mutation]) -> String {
    let mut parts = parts(message);
    for mutation in mutations {
        if parts.is_empty() {
            break;
        }
        let words: Vec<usize> =
            (0..parts.len()).filter(|&at| parts[at].len() > 1 || parts[at].as_bytes()[0].is_ascii_digit()).collect();
        let is_wordless = words.is_empty();
        match mutation {
            Mutation::Replace(place, part) if !is_wordless => {
                parts[words[place.index(words.len())]] = ODD_PARTS[part % ODD_PARTS.len()].to_owned();
            }
            Mutation::Exchange(one, other) if !is_wordless => {
                parts.swap(words[one.index(words.len())], words[other.index(words.len())]);
            }
            Mutation::Remove(place) => {
                parts.remove(place.index(parts.len()));
            }
            Mutation::Repeat(place) => {
                let at = place.index(parts.len());
                parts.insert(at, parts[at].clone());
            }
            // After an opening bracket a list is longer by one.
            Mutation::Insert(place, part) => {
                let at = place.index(parts.len());
                if parts[at] == "[" && parts.get(at + 1).is_some_and(|next| next != "]") {
                    parts.insert(at + 1, format!("{},", ODD_PARTS[part % ODD_PARTS.len()]));
                }
            }
            _ => {}
        }
    }
    parts.concat()
}

fn parts(message: &str) -> Vec<String> {
    let bytes = message.as_bytes();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                at = (at + 1).min(bytes.len());
            }
            b'[' | b']' | b'{' | b'}' | b',' | b':' | b' ' | b'\n' => at += 1,
            _ => {
                while at < bytes.len() && !b"[]{},: \"\n".contains(&bytes[at]) {
                    at += 1;
                }
            }
        }
        parts.push(String::from_utf8_lossy(&bytes[start..at]).into_owned());
    }
    parts
}

/// The tests of every decoder: its committed messages, and changed ones, read as the slow one reads them.
macro_rules! agrees_with_reference {
    ($target:literal, $decoder:expr, $reference:expr) => {
        #[test]
        fn agrees_on_the_committed_messages() {
            let mut taken = 0;
            let corpus = $crate::reference::corpus($target);
            for raw in &corpus {
                let ours = $crate::reference::decoded(&mut $decoder, raw.as_bytes());
                taken += usize::from(ours.is_ok());
                if let Some(difference) = $crate::reference::difference(ours, raw, |root| $reference.decode(root)) {
                    panic!("{difference}");
                }
            }
            assert!(taken >= 8 && taken < corpus.len(), "{taken} messages of {} were good", corpus.len());
        }

        proptest::proptest! {
            #![proptest_config(proptest::test_runner::Config::with_cases(3_000))]

            #[test]
            fn agrees_on_changed_messages(
                choice in proptest::prelude::any::<proptest::sample::Index>(), mutations in $crate::reference::mutations()
            ) {
                thread_local! {
                    static CORPUS: Vec<String> = $crate::reference::corpus($target);
                }
                let raw = CORPUS.with(|corpus| $crate::reference::mutated(choice.get::<String>(corpus), &mutations));
                let ours = $crate::reference::decoded(&mut $decoder, raw.as_bytes());
                let difference = $crate::reference::difference(ours, &raw, |root| $reference.decode(root));
                proptest::prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
            }
        }
    };
}
pub(crate) use agrees_with_reference;
