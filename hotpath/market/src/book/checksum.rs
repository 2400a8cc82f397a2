//! Kraken's checksum of a book: CRC32 over the digits of the ten best levels a side.
//!
//! Asks from the lowest up, then bids from the highest down; of each level the price and the quantity as the venue writes them,
//! without the point and without leading zeros.

use super::l2::{L2Book, TOP_LEVELS};
use crate::decode::BookChecksum;
use crate::event::Side;
use crate::fixed::{PRICE_DECIMALS, QTY_DECIMALS};

/// Digits of one number: 19 of a fixed-point number, and zeros for decimals that it does not keep.
const DIGITS_MAX: usize = 24;
/// Decimals beyond those kept, at most.
const ZEROS_MAX: u32 = (DIGITS_MAX - 19) as u32;

/// The checksum of a book whose venue writes numbers with these decimals.
pub fn book_checksum(book: &L2Book, written: &BookChecksum) -> u32 {
    let mut text = [0u8; 2 * TOP_LEVELS * 2 * DIGITS_MAX];
    let mut end = 0;
    for side in [Side::Sell, Side::Buy] {
        for level in book.levels(side).take(TOP_LEVELS) {
            end = push_digits(&mut text, end, level.price.0, PRICE_DECIMALS, written.price_decimals);
            end = push_digits(&mut text, end, level.qty.0, QTY_DECIMALS, written.qty_decimals);
        }
    }
    crc32(&text[..end])
}

/// Writes `value`, which has `kept` decimals, with `written` decimals, and returns where the text ends.
#[inline]
fn push_digits(text: &mut [u8], end: usize, value: i64, kept: u32, written: u8) -> usize {
    let written = u32::from(written);
    let mut left = value.unsigned_abs() / 10u64.pow(kept.saturating_sub(written));
    let zeros = written.saturating_sub(kept).min(ZEROS_MAX) as usize;
    let digits = left.checked_ilog10().map_or(0, |log| log as usize + 1);
    for place in text[end..end + digits].iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    text[end + digits..end + digits + zeros].fill(b'0');
    end + digits + zeros
}

/// CRC32 of IEEE 802.3, reflected, eight bytes at a time (Kounavis and Berry 2008).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let low = crc ^ u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        let at = |table: usize, byte: u32| CRC_TABLES[table][(byte & 0xff) as usize];
        crc = at(7, low) ^ at(6, low >> 8) ^ at(5, low >> 16) ^ at(4, low >> 24);
        crc ^= at(3, chunk[4].into()) ^ at(2, chunk[5].into()) ^ at(1, chunk[6].into()) ^ at(0, chunk[7].into());
    }
    for &byte in chunks.remainder() {
        crc = CRC_TABLES[0][((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8);
    }
    !crc
}

static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{Price, Qty};

    #[test]
    fn crc32_has_its_check_value() {
        // The catalogue's check value, over nine bytes, and a text longer than one step.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }

    #[test]
    fn numbers_are_digits_without_point_and_leading_zeros() {
        let mut book = L2Book::new();
        let mut set = |side, price: &str, qty: &str| {
            book.set(side, Price::parse(price.as_bytes()).unwrap(), Qty::parse(qty.as_bytes()).unwrap()).unwrap()
        };
        set(Side::Buy, "0.00500", "0.5");
        set(Side::Sell, "0.05005", "1000.00000500");
        set(Side::Sell, "0.05010", "20");
        let written = |price_decimals, qty_decimals| BookChecksum { crc32: 0, price_decimals, qty_decimals };
        let five = ["5005", "100000000500", "5010", "2000000000", "500", "50000000"].concat();
        assert_eq!(book_checksum(&book, &written(5, 8)), crc32(five.as_bytes()));
        let ten = ["500500000", "100000000500", "501000000", "2000000000", "50000000", "50000000"].concat();
        assert_eq!(book_checksum(&book, &written(10, 8)), crc32(ten.as_bytes()));
        // No panic for decimals that no venue has.
        book_checksum(&book, &written(u8::MAX, u8::MAX));
    }
}
