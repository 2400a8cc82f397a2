//! Requests prepared beforehand: text that stays, and fields that are filled in for each order.

use super::encode::{EncodeError, OrderBytes};
use super::signer::Signature;
use chronos_market::{PRICE_DECIMALS, Price, QTY_DECIMALS, Qty};

/// What differs from one request to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// Price without trailing zeros.
    Price,
    /// Quantity without trailing zeros.
    Quantity,
    /// The order's identity at the venue.
    ClientId,
    /// Time of the request, in milliseconds since 1970.
    Timestamp,
    /// The signed payload.
    Payload,
    /// Length in bytes of the payload with `&signature=` and the signature behind it, in four places, spaces before.
    BodyLength,
    /// The signature as it is.
    Signature,
    /// The signature percent-encoded, as it stands in a URL or a form.
    SignatureEncoded,
}

/// The values of the fields.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Limit price, above 0.
    pub price: Price,
    /// Quantity, above 0.
    pub qty: Qty,
    /// The order's identity at the venue: 1 to 36 letters, digits and `-_./:`.
    pub client_id: &'a [u8],
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// Text and fields, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Template {
    text: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// A part of `text`.
    Text(usize, usize),
    Field(Field),
}

/// What is known once the payload is signed.
pub(super) struct Signed<'a> {
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a Signature,
}

impl Template {
    pub(super) fn text(mut self, text: &str) -> Template {
        let start = self.text.len();
        self.text.extend_from_slice(text.as_bytes());
        match self.parts.last_mut() {
            Some(Part::Text(_, end)) => *end = self.text.len(),
            _ => self.parts.push(Part::Text(start, self.text.len())),
        }
        self
    }

    pub(super) fn field(mut self, field: Field) -> Template {
        self.parts.push(Part::Field(field));
        self
    }

    /// Writes the text with its fields filled in. Without `signed`, fields of the signature are left empty.
    #[inline]
    pub(super) fn write(&self, values: &Values<'_>, signed: Option<&Signed<'_>>, out: &mut OrderBytes) -> Result<(), EncodeError> {
        out.clear();
        for part in &self.parts {
            match part {
                Part::Text(start, end) => out.put(self.text.get(*start..*end).unwrap_or_default())?,
                Part::Field(Field::Price) => out.put_decimal(values.price.0, PRICE_DECIMALS)?,
                Part::Field(Field::Quantity) => out.put_decimal(values.qty.0, QTY_DECIMALS)?,
                Part::Field(Field::ClientId) => out.put(values.client_id)?,
                Part::Field(Field::Timestamp) => out.put_unsigned(values.timestamp_ms.unsigned_abs())?,
                Part::Field(field) => {
                    let Some(signed) = signed else { continue };
                    match field {
                        Field::Payload => out.put(signed.payload)?,
                        Field::BodyLength => {
                            let length = signed.payload.len() + SIGNATURE_NAME.len() + encoded_len(signed.signature.as_bytes());
                            put_padded(length, out)?;
                        }
                        Field::SignatureEncoded => put_percent_encoded(signed.signature.as_bytes(), out)?,
                        _ => out.put(signed.signature.as_bytes())?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// What stands before a signature.
pub(super) const SIGNATURE_NAME: &str = "&signature=";

/// Whether a byte stands for itself in a URL (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn encoded_len(text: &[u8]) -> usize {
    text.iter().map(|&byte| if is_unreserved(byte) { 1 } else { 3 }).sum()
}

fn put_percent_encoded(text: &[u8], out: &mut OrderBytes) -> Result<(), EncodeError> {
    for &byte in text {
        match byte {
            _ if is_unreserved(byte) => out.put(&[byte])?,
            _ => out.put(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)])?,
        }
    }
    Ok(())
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'A' + value - 10 }
}

/// `text` percent-encoded: for what is fixed in a template.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', char::from(hex_digit(byte >> 4)), char::from(hex_digit(byte & 15))]);
        }
    }
    encoded
}

fn put_padded(value: usize, out: &mut OrderBytes) -> Result<(), EncodeError> {
    let digit = |place: u32| match value / 10_usize.pow(place) {
        0 if place > 0 => b' ',
        quotient => b'0' + (quotient % 10) as u8,
    };
    if value > 9_999 {
        return Err(EncodeError);
    }
    out.put(&[digit(3), digit(2), digit(1), digit(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'static> =
        Values { price: Price(61_804_700_000_000), qty: Qty(1_500_000), client_id: b"id", timestamp_ms: 1_499_827_319_559 };

    #[test]
    fn fields_are_filled_in_and_text_stays() {
        let template = Template::default()
            .text("p=")
            .text("P:")
            .field(Field::Price)
            .text(" q=")
            .field(Field::Quantity)
            .field(Field::ClientId)
            .text(" ")
            .field(Field::Timestamp);
        let mut out = OrderBytes::new();
        for _ in 0..2 {
            template.write(&VALUES, None, &mut out).unwrap();
            assert_eq!(out.as_bytes(), b"p=P:61804.7 q=0.015id 1499827319559");
        }
    }

    #[test]
    fn lengths_stand_right_of_spaces() {
        for (value, expected) in [(0, "   0"), (7, "   7"), (312, " 312"), (9_999, "9999")] {
            let mut out = OrderBytes::new();
            put_padded(value, &mut out).unwrap();
            assert_eq!(out.as_bytes(), expected.as_bytes());
        }
        assert_eq!(put_padded(10_000, &mut OrderBytes::new()), Err(EncodeError));
    }

    #[test]
    fn a_signature_in_a_url_is_percent_encoded() {
        let mut out = OrderBytes::new();
        put_percent_encoded(b"a+/=Z9-_.~", &mut out).unwrap();
        assert_eq!(out.as_bytes(), b"a%2B%2F%3DZ9-_.~");
        assert_eq!(encoded_len(b"a+/=Z9-_.~"), out.as_bytes().len());
        assert_eq!(percent_encoded("[\"id1\",\"\u{ff11}\"]"), "%5B%22id1%22%2C%22%EF%BC%91%22%5D");
    }
}
