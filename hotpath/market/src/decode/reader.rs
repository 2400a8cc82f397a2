//! How the scanner reads numbers and text: on any processor, and with AVX2 or AVX-512 where there is it. All say the same.

use super::digits::{POWERS, digits, eight_digits, number, plain, unsigned};
use crate::fixed::{PRICE_DECIMALS, QTY_DECIMALS};

/// Text that [`Reader::plain`] has passed.
#[inline(always)]
pub(super) fn ascii(plain: &[u8]) -> &str {
    debug_assert!(plain.is_ascii());
    // SAFETY: ASCII is UTF-8.
    unsafe { str::from_utf8_unchecked(plain) }
}

/// Bytes that a level is read from: price and quantity of up to 15 characters each, and what stands between.
pub(super) const LEVEL_WINDOW: usize = 34;

/// Reads the beginning of a few bytes at once.
pub(super) trait Reader: Copy {
    /// The digits the window begins with as a number, and how many they are; 16 says that there may be more.
    fn unsigned(self, window: &[u8; 16]) -> (u64, usize);

    /// The decimal before the window's first quote in units of its last decimal, and where that quote is. `None` is no verdict.
    fn decimal<const DECIMALS: u32>(self, window: &[u8; 16]) -> Option<(i64, usize)>;

    /// `PRICE","QTY"`: both, and what length they were read from. `None` is no verdict.
    fn level(self, window: &[u8; LEVEL_WINDOW]) -> Option<(i64, i64, usize)>;

    /// How many bytes the window begins with are printable ASCII but neither quote nor backslash.
    fn plain(self, window: &[u8; 32]) -> usize;

    /// One or two levels at once, where the reader can: `text` begins with the quote before the first price and may end anywhere.
    #[inline(always)]
    fn levels(self, _text: &[u8]) -> Levels {
        Levels::NoVerdict
    }
}

/// Price and quantity in units of their last decimals.
pub(super) type Numbers = (i64, i64);

/// What [`Reader::levels`] has read, and of what length up to and with the last quantity's closing quote.
pub(super) enum Levels {
    /// Two levels with `],[` between them.
    Two([Numbers; 2], usize),
    /// A level that is the last, or has an unusual one behind it.
    One(Numbers, usize),
    /// Unusual, or more than can be read at once.
    NoVerdict,
}

/// Eight bytes at a time, on any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Reader for Portable {
    #[inline(always)]
    fn unsigned(self, window: &[u8; 16]) -> (u64, usize) {
        unsigned(window, 0)
    }

    #[inline(always)]
    fn decimal<const DECIMALS: u32>(self, window: &[u8; 16]) -> Option<(i64, usize)> {
        let (whole, values) = digits(u64::from_le_bytes(*window.first_chunk()?));
        let after = window.get(whole + 1..whole + 9)?;
        let (fraction, fraction_values) = digits(u64::from_le_bytes(after.try_into().ok()?));
        let end = whole + 1 + fraction;
        if whole == 0 || window[whole] != b'.' || window.get(end) != Some(&b'"') {
            return None;
        }
        // The digits that are there, and zeros for those that are not: so many hundred-millionths.
        let kept = if fraction == 8 { fraction_values } else { fraction_values & !(u64::MAX << (8 * fraction)) };
        let hundred_millionths = eight_digits(kept) * POWERS[DECIMALS as usize - 8];
        Some(((number(values, whole) * POWERS[DECIMALS as usize] + hundred_millionths) as i64, end))
    }

    #[inline(always)]
    fn level(self, window: &[u8; LEVEL_WINDOW]) -> Option<(i64, i64, usize)> {
        let (price, end) = self.decimal::<PRICE_DECIMALS>(window.first_chunk()?)?;
        let rest = window.get(end..end + 19)?;
        let (qty, length) = self.decimal::<QTY_DECIMALS>(rest.last_chunk()?)?;
        is_between(rest.first_chunk()?).then_some((price, qty, end + 3 + length + 1))
    }

    #[inline(always)]
    fn plain(self, window: &[u8; 32]) -> usize {
        plain(window, 0)
    }
}

/// Whether the bytes begin with what stands between price and quantity: `","`.
#[inline(always)]
fn is_between(bytes: &[u8; 19]) -> bool {
    let [first, second, third, fourth, ..] = *bytes;
    u32::from_le_bytes([first, second, third, fourth]) << 8 == u32::from_le_bytes(*b"\0\",\"")
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::scan::scan;
    use super::super::{LevelChange, Message};
    use super::{LEVEL_WINDOW, Reader, is_between};
    use crate::fixed::{PRICE_DECIMALS, QTY_DECIMALS};
    use std::arch::x86_64::*;

    /// Sixteen and thirty-two bytes at a time. There is one only where the processor has AVX2, BMI1 and BMI2.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        pub(in super::super) fn detect() -> Option<Avx2> {
            let is_there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
            is_there.then_some(Avx2(()))
        }

        /// [`scan`] compiled for this processor.
        #[inline]
        pub(in super::super) fn scan<'a>(self, raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
            #[target_feature(enable = "avx2,bmi1,bmi2")]
            fn compiled<'a>(reader: Avx2, raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
                scan(reader, raw, levels)
            }
            // SAFETY: an `Avx2` is made only where the processor has these features.
            unsafe { compiled(self, raw, levels) }
        }
    }

    // The methods have no `target_feature` of their own, for then they could not be inlined for certain.
    impl Reader for Avx2 {
        #[inline(always)]
        fn unsigned(self, window: &[u8; 16]) -> (u64, usize) {
            // SAFETY: an `Avx2` is made only where the processor has what is used here; the window is as long as what is loaded.
            unsafe {
                let values = _mm_sub_epi8(_mm_loadu_si128(window.as_ptr().cast()), _mm_set1_epi8(b'0' as i8));
                let are_digits = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
                let count = (!_mm_movemask_epi8(are_digits)).trailing_zeros() as usize;
                let shuffle = _mm_loadu_si128(TO_THE_RIGHT[count & 31].as_ptr().cast());
                (sixteen_digits(_mm_shuffle_epi8(values, shuffle)), count)
            }
        }

        #[inline(always)]
        fn decimal<const DECIMALS: u32>(self, window: &[u8; 16]) -> Option<(i64, usize)> {
            // SAFETY: an `Avx2` is made only where the processor has what is used here; the window is as long as what is loaded.
            unsafe {
                let bytes = _mm_loadu_si128(window.as_ptr().cast());
                let quotes = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8)));
                let points = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8)));
                let end = quotes.trailing_zeros() as usize;
                if end > 15 {
                    return None;
                }
                let shuffle = _mm_loadu_si128(alignment(DECIMALS, points as u32, end).as_ptr().cast());
                let aligned = _mm_shuffle_epi8(_mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8)), shuffle);
                let excess = _mm_subs_epu8(aligned, _mm_set1_epi8(9));
                if _mm_testz_si128(excess, excess) == 1 { Some((sixteen_digits(aligned) as i64, end)) } else { None }
            }
        }

        #[inline(always)]
        fn level(self, window: &[u8; LEVEL_WINDOW]) -> Option<(i64, i64, usize)> {
            // SAFETY: an `Avx2` is made only where the processor has what is used here; the window is longer than the 32 bytes
            // loaded first, and the other texts are as long as what is loaded.
            unsafe {
                let bytes = _mm256_loadu_si256(window.as_ptr().cast());
                let quotes = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8))) as u32;
                let points = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'.' as i8))) as u32;
                // The third quote ends the quantity. The next level waits for nothing but its place.
                let from_second = quotes & quotes.wrapping_sub(1);
                let third = from_second & from_second.wrapping_sub(1);
                let end = third.trailing_zeros() as usize;
                let price_end = quotes.trailing_zeros() as usize;
                let qty_at = price_end + 3;
                let qty_end = end.wrapping_sub(qty_at);
                if third == 0 || price_end > 15 || qty_end > 15 {
                    return None;
                }
                let rest: &[u8; 19] = window[price_end..].first_chunk()?;
                if !is_between(rest) {
                    return None;
                }
                let qty = _mm_loadu_si128(rest[3..].as_ptr().cast());
                let values = _mm256_sub_epi8(_mm256_inserti128_si256::<1>(bytes, qty), _mm256_set1_epi8(b'0' as i8));
                let price_shuffle = _mm_loadu_si128(alignment(PRICE_DECIMALS, points, price_end).as_ptr().cast());
                let qty_shuffle = _mm_loadu_si128(alignment(QTY_DECIMALS, points >> qty_at, qty_end).as_ptr().cast());
                let aligned = _mm256_shuffle_epi8(values, _mm256_set_m128i(qty_shuffle, price_shuffle));
                let excess = _mm256_subs_epu8(aligned, _mm256_set1_epi8(9));
                if _mm256_testz_si256(excess, excess) != 1 {
                    return None;
                }
                let pairs = _mm256_maddubs_epi16(aligned, _mm256_set1_epi16(1 << 8 | 10));
                let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(1 << 16 | 100));
                let eights = _mm256_madd_epi16(_mm256_packus_epi32(fours, fours), _mm256_set1_epi32(1 << 16 | 10_000));
                let price = joined(_mm_cvtsi128_si64(_mm256_castsi256_si128(eights)));
                let qty = joined(_mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(eights)));
                Some((price as i64, qty as i64, end + 1))
            }
        }

        #[inline(always)]
        fn plain(self, window: &[u8; 32]) -> usize {
            // SAFETY: an `Avx2` is made only where the processor has what is used here; the window is as long as what is loaded.
            unsafe {
                let bytes = _mm256_loadu_si256(window.as_ptr().cast());
                // Compared as signed numbers, bytes from 0x80 on are below the space too.
                let control = _mm256_cmpgt_epi8(_mm256_set1_epi8(b' ' as i8), bytes);
                let delete = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
                let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
                let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
                let others = _mm256_or_si256(_mm256_or_si256(control, delete), _mm256_or_si256(quote, backslash));
                (_mm256_movemask_epi8(others) as u32).trailing_zeros() as usize
            }
        }
    }

    /// Sixteen digit values as a number.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    fn sixteen_digits(values: __m128i) -> u64 {
        let pairs = _mm_maddubs_epi16(values, _mm_set1_epi16(1 << 8 | 10));
        let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
        let eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(1 << 16 | 10_000));
        joined(_mm_cvtsi128_si64(eights))
    }

    /// The first eight digits, in the low half, before the second eight.
    #[inline(always)]
    fn joined(eights: i64) -> u64 {
        let eights = eights as u64;
        (eights & 0xffff_ffff) * 100_000_000 + (eights >> 32)
    }

    /// What brings the digits of a text of `end` (at most 15) characters to their places.
    #[inline(always)]
    fn alignment(decimals: u32, points: u32, end: usize) -> &'static [u8; 16] {
        let whole = (points.trailing_zeros() as usize).min(end);
        let alignments = if decimals == PRICE_DECIMALS { &PRICE_ALIGNMENT } else { &QTY_ALIGNMENT };
        &alignments[(whole << 4 | (end - whole)) & 0xff]
    }

    static PRICE_ALIGNMENT: [[u8; 16]; 256] = alignments(PRICE_DECIMALS as usize);
    static QTY_ALIGNMENT: [[u8; 16]; 256] = alignments(QTY_DECIMALS as usize);

    /// A place that a shuffle fills with 0.
    const ZERO: u8 = 0x80;

    /// For each number of digits before the point and (low four bits) characters from it on, where each of 16 digits comes from,
    /// `decimals` of them after the point. Where there are none before it, or too many, the point or the quote is taken for a digit,
    /// to be refused.
    const fn alignments(decimals: usize) -> [[u8; 16]; 256] {
        let room = 16 - decimals;
        let mut alignments = [[ZERO; 16]; 256];
        let mut shape = 0usize;
        while shape < 256 {
            let whole = shape >> 4;
            let fraction = (shape & 15).saturating_sub(1);
            let mut place = 0;
            while place < 16 {
                if whole == 0 || whole > room || fraction > decimals {
                    alignments[shape][place] = whole as u8;
                } else if place < room && place + whole >= room {
                    alignments[shape][place] = (place + whole - room) as u8;
                } else if place >= room && place - room < fraction {
                    alignments[shape][place] = (whole + 1 + place - room) as u8;
                }
                place += 1;
            }
            shape += 1;
        }
        alignments
    }

    /// For each count, what brings so many digits to the right end of 16. A count beyond 16 is as 16.
    static TO_THE_RIGHT: [[u8; 16]; 32] = {
        let mut shuffles = [[ZERO; 16]; 32];
        let mut count = 0;
        while count < 32 {
            let kept = if count > 16 { 16 } else { count };
            let mut place = 16 - kept;
            while place < 16 {
                shuffles[count][place] = (place + kept - 16) as u8;
                place += 1;
            }
            count += 1;
        }
        shuffles
    };
}
