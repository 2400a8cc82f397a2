//! Levels two at a time, where the processor has AVX-512 with its byte permutations.
//!
//! All that is not a digit is gathered at the front of a register, where one comparison tells whether it is what two levels must
//! have between their digits; and so are its places, from which follows where each digit belongs. There is no table, no branch
//! on the length of a number, and nothing behind the text is read.

use super::reader::{Avx2, Levels, Reader};
use super::scan::scan;
use super::{LevelChange, Message};
use crate::fixed::{PRICE_DECIMALS, QTY_DECIMALS};
use std::arch::x86_64::*;

/// Sixty-four bytes at a time. There is one only where the processor has every feature that `compiled` names below.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(Avx2);

impl Avx512 {
    pub(super) fn detect(avx2: Avx2) -> Option<Avx512> {
        let is_there = is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2");
        is_there.then_some(Avx512(avx2))
    }

    /// [`scan`] compiled for this processor.
    #[inline]
    pub(super) fn scan<'a>(self, raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
        #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
        fn compiled<'a>(reader: Avx512, raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
            scan(reader, raw, levels)
        }
        // SAFETY: an `Avx512` is made only where the processor has these features.
        unsafe { compiled(self, raw, levels) }
    }
}

// The methods have no `target_feature` of their own, for then they could not be inlined for certain.
impl Reader for Avx512 {
    #[inline(always)]
    fn unsigned(self, window: &[u8; 16]) -> (u64, usize) {
        self.0.unsigned(window)
    }

    #[inline(always)]
    fn decimal<const DECIMALS: u32>(self, window: &[u8; 16]) -> Option<(i64, usize)> {
        self.0.decimal::<DECIMALS>(window)
    }

    #[inline(always)]
    fn level(self, window: &[u8; super::reader::LEVEL_WINDOW]) -> Option<(i64, i64, usize)> {
        self.0.level(window)
    }

    #[inline(always)]
    fn plain(self, window: &[u8; 32]) -> usize {
        self.0.plain(window)
    }

    #[inline(always)]
    fn levels(self, text: &[u8]) -> Levels {
        // SAFETY: an `Avx512` is made only where the processor has what is used here.
        unsafe {
            match read(text, &WITH_POINTS) {
                Levels::NoVerdict => read(text, &WHOLE_QUANTITIES),
                levels => levels,
            }
        }
    }
}

/// What stands between the digits of two levels, and which of these marks a digit's place follows from.
struct Form {
    /// The marks in order.
    marks: [u8; 32],
    /// Which mark closes the first and the second level's quantity.
    ends: [u32; 2],
    /// For each of 64 digits to be: the mark behind the last digit before the point, and the marks before the first and behind
    /// the last digit of its number.
    point: [u8; 64],
    before: [u8; 64],
    after: [u8; 64],
}

/// `"61804.70","0.014"],["61804.60","1.2"`.
static WITH_POINTS: Form = form(b"\".\",\".\"],[\".\",\".\"", 5, 6);
/// `"61804.7","35"],["61804.6","1645"`.
static WHOLE_QUANTITIES: Form = form(b"\".\",\"\"],[\".\",\"\"", 5, 5);

const fn form<const N: usize>(marks: &[u8; N], qty_point: u8, qty_end: u8) -> Form {
    let mut form = Form { marks: [0; 32], ends: [qty_end as u32, N as u32 - 1], point: [0; 64], before: [0; 64], after: [0; 64] };
    let mut place = 0;
    while place < N {
        form.marks[place] = marks[place];
        place += 1;
    }
    // Quote, point and quote of the price, comma, quote, perhaps a point, and quote of the quantity.
    let second = N as u8 - 1 - qty_end;
    place = 0;
    while place < 64 {
        let first = if place < 32 { 0 } else { second };
        let (point, before, after) = if place % 32 < 16 { (1, 0, 2) } else { (qty_point, 4, qty_end) };
        form.point[place] = first + point;
        form.before[place] = first + before;
        form.after[place] = first + after;
        place += 1;
    }
    form
}

/// For each of 64 digits to be, four numbers of 16, how far it stands from the point: digits before it end at a fixed place.
static FROM_POINT: [i8; 64] = {
    let mut distances = [0; 64];
    let mut place = 0;
    while place < 64 {
        let decimals = if place % 32 < 16 { PRICE_DECIMALS } else { QTY_DECIMALS };
        let distance = place as i8 % 16 - (16 - decimals as i8);
        distances[place] = if distance < 0 { distance } else { distance + 1 };
        place += 1;
    }
    distances
};

/// The last digit before the point of each of the four numbers: it must be there.
const LAST_WHOLE_DIGITS: u64 = {
    let level = 1 << (15 - PRICE_DECIMALS) | 1 << (31 - QTY_DECIMALS);
    level | level << 32
};

static COUNTING: [u8; 64] = {
    let mut counting = [0; 64];
    let mut place = 0;
    while place < 64 {
        counting[place] = place as u8;
        place += 1;
    }
    counting
};

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
#[inline]
fn read(text: &[u8], form: &Form) -> Levels {
    let there = _bzhi_u64(u64::MAX, text.len().min(64) as u32);
    // SAFETY: only bytes of the text are loaded.
    let bytes = unsafe { _mm512_maskz_loadu_epi8(there, text.as_ptr().cast()) };
    let values = _mm512_sub_epi8(bytes, _mm512_set1_epi8(b'0' as i8));
    let are_marks = _mm512_cmpgt_epu8_mask(values, _mm512_set1_epi8(9));
    let marks = _mm512_castsi512_si256(_mm512_maskz_compress_epi8(are_marks, bytes));
    let as_expected = _mm256_cmpeq_epi8_mask(marks, load_32(&form.marks));
    let [first_end, second_end] = form.ends;
    let has_first = as_expected.trailing_ones() > first_end;
    let has_second = as_expected.trailing_ones() > second_end;
    if !has_first {
        return Levels::NoVerdict;
    }
    let places = _mm512_maskz_compress_epi8(are_marks, load(&COUNTING));
    let of = |which: &[u8; 64]| _mm512_permutexvar_epi8(load(which), places);
    // SAFETY: as long as what is loaded.
    let from_point = unsafe { _mm512_loadu_si512(FROM_POINT.as_ptr().cast()) };
    let from = _mm512_add_epi8(of(&form.point), from_point);
    let are_digits = _mm512_mask_cmplt_epi8_mask(_mm512_cmpgt_epi8_mask(from, of(&form.before)), from, of(&form.after));
    let digits = _mm512_maskz_permutexvar_epi8(are_digits, from, values);
    let [first_price, first_qty, second_price, second_qty] = numbers(digits);
    let end = |mark: u32| _pdep_u64(1 << mark, are_marks).trailing_zeros();
    // Every digit has found a place, so there are not too many before a point or behind it; and there is one before each point.
    let is_whole = |end: u32, marks: u32, lanes: u64| {
        (are_digits & lanes).count_ones() == end - marks && are_digits & lanes & LAST_WHOLE_DIGITS == LAST_WHOLE_DIGITS & lanes
    };
    if has_second && is_whole(end(second_end), second_end, u64::MAX) {
        return Levels::Two([(first_price, first_qty), (second_price, second_qty)], end(second_end) as usize + 1);
    }
    match is_whole(end(first_end), first_end, u64::MAX >> 32) {
        true => Levels::One((first_price, first_qty), end(first_end) as usize + 1),
        false => Levels::NoVerdict,
    }
}

/// Four numbers of sixteen digit values.
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
#[inline]
fn numbers(digits: __m512i) -> [i64; 4] {
    let pairs = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(1 << 8 | 10));
    let fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(1 << 16 | 100));
    let eights = _mm512_madd_epi16(_mm512_packus_epi32(fours, fours), _mm512_set1_epi32(1 << 16 | 10_000));
    // The first eight digits, in the low half, before the second eight.
    let sixteens = _mm512_add_epi64(_mm512_mul_epu32(eights, _mm512_set1_epi64(100_000_000)), _mm512_srli_epi64::<32>(eights));
    let in_order = _mm512_permutexvar_epi64(_mm512_set_epi64(6, 4, 2, 0, 6, 4, 2, 0), sixteens);
    let mut numbers = [0; 4];
    // SAFETY: as long as what is stored.
    unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().cast(), _mm512_castsi512_si256(in_order)) };
    numbers
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: as long as what is loaded.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: as long as what is loaded.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
