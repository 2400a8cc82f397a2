//! Text eight bytes at a time: digits, and plain text up to its quote. What the scanners read with on any processor.

/// Powers of ten that a `u64` holds.
pub(super) const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// The same byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

const HIGH_BITS: u64 = eight(0x80);

/// Eight bytes from `at` on, the first one lowest; zeros beyond the end.
#[inline]
pub(super) fn load(bytes: &[u8], at: usize) -> u64 {
    if let Some(&whole) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        return u64::from_le_bytes(whole);
    }
    let left = bytes.len().saturating_sub(at);
    match bytes.last_chunk() {
        Some(&last) if left > 0 => u64::from_le_bytes(last) >> (64 - 8 * left),
        Some(_) => 0,
        None => bytes.iter().skip(at).rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// How many of eight bytes, from the first on, are digits, and the bytes with digits as their values.
#[inline]
pub(super) fn digits(word: u64) -> (usize, u64) {
    let values = word ^ eight(b'0');
    // Above 9: the low seven bits reach 0x80 when 0x76 is added, or the high bit is set already.
    let others = (((values & !HIGH_BITS) + eight(0x76)) | values) & HIGH_BITS;
    (others.trailing_zeros() as usize / 8, values)
}

/// The first `count` (1 to 8) of eight digit values as a number.
#[inline]
pub(super) fn number(values: u64, count: usize) -> u64 {
    eight_digits(values << (64 - 8 * count))
}

/// Eight digit values as a number: pairs, then fours and eights at once.
#[inline]
pub(super) fn eight_digits(values: u64) -> u64 {
    const EVERY_FOURTH: u64 = 0x0000_00ff_0000_00ff;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let first_and_third = (pairs & EVERY_FOURTH).wrapping_mul(100 + (1_000_000 << 32));
    let second_and_fourth = (pairs >> 16 & EVERY_FOURTH).wrapping_mul(1 + (10_000 << 32));
    first_and_third.wrapping_add(second_and_fourth) >> 32
}

/// The digits from `at` on as a number, and how many they are: wrong beyond 19, which is for the caller to refuse.
#[inline]
pub(super) fn unsigned(bytes: &[u8], at: usize) -> (u64, usize) {
    let mut value = 0u64;
    let mut length = 0;
    loop {
        let (count, values) = digits(load(bytes, at + length));
        length += count;
        if count < 8 {
            let value = if count == 0 { value } else { value.wrapping_mul(POWERS[count]).wrapping_add(number(values, count)) };
            return (value, length);
        }
        value = value.wrapping_mul(POWERS[8]).wrapping_add(eight_digits(values));
    }
}

/// How many bytes from `at` on are printable ASCII but neither quote nor backslash.
#[inline]
pub(super) fn plain(bytes: &[u8], at: usize) -> usize {
    let mut length = 0;
    loop {
        let word = load(bytes, at + length);
        // Exact up to the first one found, and that is all that is asked.
        let is = |byte| (word ^ eight(byte)).wrapping_sub(eight(1)) & !(word ^ eight(byte));
        let below_space = word.wrapping_sub(eight(b' ')) & !word;
        let others = (is(b'"') | is(b'\\') | is(0x7f) | below_space | word) & HIGH_BITS;
        if others != 0 {
            return length + others.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_one_byte_at_a_time_reads(bytes in prop::collection::vec(prop::sample::select(b"0123456789012345678901234567890.\"\\a~ \x1f\x7f\x80\xff/:".to_vec()), 0..40), at in 0usize..44) {
            let rest = bytes.get(at..).unwrap_or_default();
            let digit_count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (value, length) = unsigned(&bytes, at);
            prop_assert_eq!(length, digit_count);
            if (1..=19).contains(&length) {
                prop_assert_eq!(Some(value), str::from_utf8(&rest[..length]).unwrap().parse().ok());
            }
            let is_plain = |byte: &&u8| matches!(**byte, b' '..=b'~') && !matches!(**byte, b'"' | b'\\');
            prop_assert_eq!(plain(&bytes, at), rest.iter().take_while(is_plain).count());
        }
    }
}
