//! One side of a level book: a place for every tick around the best level, and sorted blocks for the levels farther away.
//!
//! Keys are prices, or negated ones: the larger, the better. The places form a ring that follows the best level; a bitmap tells which
//! ones hold a level. Nobody says how large a tick is: it is the greatest common divisor of the distances between the keys seen.

use super::l2::{BookFull, LEVELS_MAX, TOP_LEVELS};
use super::sorted_blocks::SortedBlocks;

/// Ticks in the ladder: 8 bytes of memory each, a side. On real captures all but 1 to 10 % of changes are so near the best.
const WINDOW: usize = 1 << 15;
/// Ticks the ladder is moved by at a time.
const STRIDE: usize = 1 << 10;
/// Where the best level comes to lie when the ladder is set up around it: there is more to come below than above.
const BEST_PLACE: i128 = WINDOW as i128 * 3 / 4;
/// Ticks that [`Ladder::touch`] looks at with each call.
const TOUCH_TICKS: usize = 1 << 10;
/// Calls of it that see all of the ladder.
const TOUCH_PARTS: usize = WINDOW / TOUCH_TICKS;
/// Levels farther away that it looks at.
const TOUCH_FAR: usize = 256;
/// The largest tick: a window of them is far from the ends of 64 bits.
const TICK_MAX: i64 = 1_000_000_000_000;

/// One side.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    /// The key of the lowest tick. All levels below it, and only those, are in `far`.
    low: i64,
    tick: Tick,
    /// Where in the ring the lowest tick is: a multiple of 64.
    start: usize,
    /// Ticks from the lowest one to the best level; -1 where there is none, and then `far` is empty too.
    best: i64,
    /// Levels in the ladder.
    near: usize,
    /// One bit a tick.
    is_level: Box<[u64; WINDOW / 64]>,
    /// Quantities; 0 where there is no level.
    qtys: Box<[i64; WINDOW]>,
    /// Quantities of the levels below.
    far: SortedBlocks,
}

impl Ladder {
    pub(super) fn new() -> Ladder {
        Ladder {
            low: 0,
            tick: Tick::new(TICK_MAX),
            start: 0,
            best: -1,
            near: 0,
            is_level: Box::new([0; WINDOW / 64]),
            qtys: Box::new([0; WINDOW]),
            far: SortedBlocks::new(LEVELS_MAX),
        }
    }

    pub(super) fn clear(&mut self) {
        self.drain(WINDOW, |_, _, _| {});
        self.far.clear();
        self.tick = Tick::new(TICK_MAX);
        self.best = -1;
    }

    pub(super) fn count(&self) -> usize {
        self.near + self.far.len()
    }

    /// Sets the quantity of a key; 0 removes it. Returns whether that changed anything.
    #[inline]
    pub(super) fn set(&mut self, key: i64, qty: i64) -> Result<bool, BookFull> {
        let ticks = self.tick.count(key.wrapping_sub(self.low));
        if ticks >= WINDOW as u64 {
            return self.set_outside(key, qty);
        }
        let ticks = ticks as usize;
        let place = self.place(ticks);
        let held = self.qtys[place];
        if held == qty || held == 0 && self.near + self.far.len() >= LEVELS_MAX {
            return if held == qty { Ok(false) } else { Err(BookFull) };
        }
        // Which of the three it is, nobody can foresee: so without branches.
        self.qtys[place] = qty;
        let (was_there, is_there) = (held != 0, qty != 0);
        let word = &mut self.is_level[place / 64];
        *word = *word & !(1 << (place % 64)) | u64::from(is_there) << (place % 64);
        self.near = self.near + usize::from(is_there) - usize::from(was_there);
        let candidate = if is_there { ticks as i64 } else { -1 };
        self.best = self.best.max(candidate);
        if !is_there && ticks as i64 == self.best {
            self.find_best()?;
        }
        Ok(true)
    }

    #[inline]
    pub(super) fn get(&self, key: i64) -> i64 {
        let ticks = self.tick.count(key.wrapping_sub(self.low));
        if ticks < WINDOW as u64 { self.qtys[self.place(ticks as usize)] } else { self.far.find(key).1.unwrap_or(0) }
    }

    /// Best key and its quantity, zeros where there is none.
    #[inline]
    pub(super) fn best(&self) -> (i64, i64) {
        match usize::try_from(self.best) {
            Ok(ticks) => (self.key(ticks), self.qtys[self.place(ticks)]),
            Err(_) => (0, 0),
        }
    }

    /// Keys and quantities, best first.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let mut left = self.near;
        let mut first = self.best.max(0) as usize / 64 * 64;
        let mut word = self.is_level[self.place(first) / 64];
        let near = std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            while word == 0 {
                first = first.checked_sub(64)?;
                word = self.is_level[self.place(first) / 64];
            }
            let bit = 63 - word.leading_zeros() as usize;
            word &= !(1 << bit);
            Some((self.key(first + bit), self.qtys[self.place(first + bit)]))
        });
        near.chain(self.far.iter())
    }

    /// How many levels are better, told up to [`TOP_LEVELS`].
    #[inline]
    pub(super) fn better(&self, key: i64) -> usize {
        let ticks = self.tick.count(key.wrapping_sub(self.low));
        if ticks >= WINDOW as u64 {
            return self.iter().take(TOP_LEVELS).take_while(|(held, _)| *held > key).count();
        }
        let last = ticks as usize / 64 * 64;
        let mut first = self.best.max(0) as usize / 64 * 64;
        if self.best <= ticks as i64 {
            return 0;
        }
        let mut better = 0;
        while first > last && better < TOP_LEVELS {
            better += self.is_level[self.place(first) / 64].count_ones() as usize;
            first -= 64;
        }
        if first == last {
            better += (self.is_level[self.place(last) / 64] >> 1 >> (ticks % 64)).count_ones() as usize;
        }
        better.min(TOP_LEVELS)
    }

    /// Reads a part of the levels, the best ones first, the sorted ones last, then from the beginning; and says nothing of use.
    pub(super) fn touch(&self, part: usize) -> i64 {
        let part = part % (TOUCH_PARTS + 1);
        if part == TOUCH_PARTS {
            return self.far.iter().take(TOUCH_FAR).fold(0, |all, (key, qty)| all ^ key ^ qty);
        }
        let Some(top) = (self.best.max(0) as usize / 64 * 64).checked_sub(part * TOUCH_TICKS) else { return 0 };
        let mut all = 0;
        for first in (0..=top).rev().step_by(64).take(TOUCH_TICKS / 64) {
            let place = self.place(first);
            let mut word = self.is_level[place / 64];
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                all ^= self.qtys[place + bit];
                // The others of the same eight lie in the same line.
                word &= !(0xff << (bit / 8 * 8));
            }
        }
        all
    }

    #[inline]
    fn place(&self, ticks: usize) -> usize {
        (self.start + ticks) % WINDOW
    }

    #[inline]
    fn key(&self, ticks: usize) -> i64 {
        self.low.wrapping_add(self.tick.size.wrapping_mul(ticks as i64))
    }

    /// The best level is gone: looks for the next one, and moves the ladder down where it is far below.
    #[inline(never)]
    fn find_best(&mut self) -> Result<(), BookFull> {
        if self.near == 0 {
            self.best = -1;
            return match self.far.best() {
                None => Ok(()),
                Some((best, _)) => self.set_up(best, self.tick),
            };
        }
        let mut first = self.best as usize / 64 * 64;
        let mut word = self.is_level[self.place(first) / 64];
        while word == 0 && first > 0 {
            first -= 64;
            word = self.is_level[self.place(first) / 64];
        }
        self.best = (first + 63 - word.leading_zeros() as usize) as i64;
        while self.best < WINDOW as i64 / 2 {
            let Some(low) = self.tick.size.checked_mul(STRIDE as i64).and_then(|step| self.low.checked_sub(step)) else { break };
            self.low = low;
            self.start = (self.start + WINDOW - STRIDE) % WINDOW;
            self.best += STRIDE as i64;
            self.fetch_far()?;
        }
        Ok(())
    }

    /// A key that is none of the ladder's.
    #[inline(never)]
    fn set_outside(&mut self, key: i64, qty: i64) -> Result<bool, BookFull> {
        let ticks = i128::from(key) - i128::from(self.low);
        let is_new = qty != 0 && self.get(key) == 0;
        if self.best >= 0 && ticks < 0 && ticks % i128::from(self.tick.size) == 0 {
            return if is_new && self.count() >= LEVELS_MAX { Err(BookFull) } else { set_far(&mut self.far, key, qty) };
        }
        if qty == 0 {
            return Ok(false);
        }
        if self.count() >= LEVELS_MAX {
            return Err(BookFull);
        }
        if self.best < 0 {
            self.set_up(key, self.tick)?;
        } else if ticks % i128::from(self.tick.size) != 0 {
            let tick = Tick::new(common_divisor(self.tick.size, ticks));
            self.set_up(self.best().0.max(key), tick)?;
        } else {
            self.raise(key, ticks / i128::from(self.tick.size))?;
        }
        // A ladder that was set up or raised for a key holds it; one with a new tick may have it far below.
        self.set(key, qty)
    }

    /// Moves the ladder up until it holds a key.
    fn raise(&mut self, key: i64, ticks: i128) -> Result<(), BookFull> {
        let by = (ticks - WINDOW as i128) / STRIDE as i128 * STRIDE as i128 + STRIDE as i128;
        let top = i128::from(self.low) + (by + WINDOW as i128) * i128::from(self.tick.size);
        if by >= WINDOW as i128 || top > i128::from(i64::MAX) {
            return self.set_up(key, self.tick);
        }
        self.spill(by as usize)?;
        self.low = self.key(by as usize);
        self.start = self.place(by as usize);
        self.best = (self.best - by as i64).max(-1);
        Ok(())
    }

    /// Sets the ladder up anew, around a best key that there is or will be, with a tick that all keys are multiples of from it.
    #[inline(never)]
    fn set_up(&mut self, best: i64, tick: Tick) -> Result<(), BookFull> {
        self.spill(WINDOW)?;
        self.best = -1;
        let size = i128::from(tick.size);
        let room_below = (i128::from(best) - i128::from(i64::MIN)) / size;
        let room_above = (i128::from(i64::MAX) - i128::from(best)) / size;
        let below = BEST_PLACE.max(WINDOW as i128 - 1 - room_above).min(room_below);
        // Within 64 bits: no more than the room below.
        self.low = (i128::from(best) - below * size) as i64;
        self.tick = tick;
        self.start = 0;
        self.fetch_far()
    }
    /// Moves the levels of the lowest ticks, a multiple of 64 of them, to the far ones.
    fn spill(&mut self, ticks: usize) -> Result<(), BookFull> {
        let mut spilt = Ok(());
        self.drain(ticks, |far, key, qty| spilt = spilt.and(set_far(far, key, qty).map(drop)));
        spilt
    }

    /// Empties the lowest ticks, a multiple of 64 of them.
    fn drain(&mut self, ticks: usize, mut to: impl FnMut(&mut SortedBlocks, i64, i64)) {
        for first in (0..ticks).step_by(64) {
            let place = self.place(first);
            let mut word = std::mem::take(&mut self.is_level[place / 64]);
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                word &= word - 1;
                self.near -= 1;
                let qty = std::mem::take(&mut self.qtys[place + bit]);
                let key = self.key(first + bit);
                to(&mut self.far, key, qty);
            }
        }
    }

    /// Takes the far levels that the ladder has come to reach.
    fn fetch_far(&mut self) -> Result<(), BookFull> {
        while let Some((key, qty)) = self.far.best().filter(|(key, _)| *key >= self.low) {
            set_far(&mut self.far, key, 0)?;
            let ticks = self.tick.count(key.wrapping_sub(self.low)) as usize;
            let place = self.place(ticks);
            self.qtys[place] = qty;
            self.is_level[place / 64] |= 1 << (place % 64);
            self.near += 1;
            self.best = self.best.max(ticks as i64);
        }
        Ok(())
    }
}

/// Sets the quantity of a far key; 0 removes it. Returns whether that changed anything.
fn set_far(far: &mut SortedBlocks, key: i64, qty: i64) -> Result<bool, BookFull> {
    let (cursor, held) = far.find(key);
    match held {
        Some(held) if held == qty => return Ok(false),
        Some(_) if qty == 0 => far.remove(cursor),
        Some(_) => far.set(cursor, qty),
        None if qty == 0 => return Ok(false),
        None => far.insert(cursor, key, qty).map_err(|_| BookFull)?,
    }
    Ok(true)
}

/// A tick, and what divides by it with one multiplication (Granlund and Montgomery 1994, section 9: exact division).
#[derive(Clone, Copy, Debug)]
struct Tick {
    size: i64,
    shift: u32,
    /// The inverse of the size's odd part modulo 2^64.
    inverse: u64,
}

impl Tick {
    fn new(size: i64) -> Tick {
        let shift = size.trailing_zeros();
        let odd = (size >> shift) as u64;
        // Newton: right to 3 bits at first, then to twice as many each time.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Tick { size, shift, inverse }
    }

    /// How many ticks a distance is, taken as unsigned; where it is no multiple, more than any multiple has.
    #[inline]
    fn count(&self, distance: i64) -> u64 {
        (distance as u64).wrapping_mul(self.inverse).rotate_right(self.shift)
    }
}

fn common_divisor(size: i64, distance: i128) -> i64 {
    let (mut larger, mut smaller) = (size, (distance % i128::from(size)).unsigned_abs() as i64);
    while smaller != 0 {
        (larger, smaller) = (smaller, larger % smaller);
    }
    larger
}
