//! Axes: the range a panel shows and ticks at round values.

use super::plot::LABEL_LONG;
use crate::format::{NANOS_PER_DAY, clock_utc, date_utc, decimal, duration_ns};

/// The values an axis runs over; `high` is above `low`, both finite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Range {
    /// At the low end.
    pub low: f64,
    /// At the high end.
    pub high: f64,
}

/// A mark on an axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Tick {
    /// Its place in per cent of the axis, 0 at the low end.
    pub place: f64,
    /// Its label.
    pub label: String,
}

impl Range {
    /// Where 0 stands in per cent of the axis, if it does.
    pub fn zero(self) -> Option<f64> {
        (self.low..=self.high).contains(&0.0).then(|| self.fraction(0.0) * 100.0)
    }

    /// The range of what is finite in `values`, with a margin; around a single value, a range of a ten-thousandth of it either side.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Option<Range> {
        let finite = values.into_iter().filter(|value| value.abs() < 1e200);
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        // What is so small counts as 0: its powers of ten would leave the range of doubles.
        let size = Some(low.abs().max(high.abs())).filter(|size| *size > 1e-100);
        // Below a billionth of the size, steps between ticks are lost in double precision.
        let margin = match size {
            None => 1.0,
            Some(size) if high - low < size * 1e-9 => size * 1e-4,
            Some(_) => (high - low) * 0.06,
        };
        Some(Range { low: low - margin, high: high + margin })
    }

    /// Where a value stands in the range, 0 to 1; values outside stand at the ends.
    pub fn fraction(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// At most `ticks_max` (but at least 2) ticks at multiples of 1, 2 or 5 times a power of ten.
    pub fn ticks(self, ticks_max: usize) -> Vec<Tick> {
        let rough = (self.high - self.low) / ticks_max.max(2) as f64;
        let mut exponent = rough.log10().floor() as i32;
        let power = 10f64.powi(exponent);
        let mantissa = [1.0, 2.0, 5.0, 10.0].into_iter().find(|mantissa| mantissa * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
        let mantissa = if mantissa == 10.0 {
            exponent += 1;
            1.0
        } else {
            mantissa
        };
        // Multiplying or dividing by a whole power of ten keeps a round value round.
        let scale = 10f64.powi(exponent.abs());
        let value = |multiple: f64| if exponent < 0 { multiple * mantissa / scale } else { multiple * mantissa * scale };
        let step = value(1.0);
        let (first, last) = ((self.low / step - 1e-9).ceil(), (self.high / step + 1e-9).floor());
        let size = self.low.abs().max(self.high.abs());
        (0..)
            .map(|place| first + f64::from(place))
            .take_while(|multiple| *multiple <= last)
            .map(value)
            .map(|value| Tick { place: self.fraction(value) * 100.0, label: label(value, size, exponent) })
            .collect()
    }
}

/// The label of a round value; very large and very small numbers in powers of ten.
fn label(value: f64, size: f64, exponent: i32) -> String {
    let text = if value == 0.0 {
        "0".into()
    } else if size >= 1e8 || exponent < -9 {
        let digits = (value.abs().log10().floor() as i32 - exponent).clamp(0, 15) as usize;
        format!("{value:.digits$e}")
    } else {
        decimal(value, exponent.min(0).unsigned_abs() as usize)
    };
    minus(text)
}

/// With a typographic minus sign, as wide as a digit.
pub fn minus(text: String) -> String {
    text.replace('-', "\u{2212}")
}

/// Ticks of a time axis on a wide page, and how many of them where their labels are long.
const PAGE_TICKS: [usize; 2] = [10, 7];

/// Steps of a time axis from a second to under a day.
const CLOCK_STEPS_S: [i64; 16] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200];

/// A stretch of time, in nanoseconds since the Unix epoch; `to` is after `from`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeRange {
    /// First instant.
    pub from: i64,
    /// Last instant.
    pub to: i64,
}

impl TimeRange {
    /// The range of the given instants; around a single one, half a second either side.
    pub fn around(instants: impl IntoIterator<Item = i64>) -> Option<TimeRange> {
        let (from, to) =
            instants.into_iter().fold((i64::MAX, i64::MIN), |(from, to), instant| (from.min(instant), to.max(instant)));
        match from.cmp(&to) {
            std::cmp::Ordering::Less => Some(TimeRange { from, to }),
            std::cmp::Ordering::Equal => {
                Some(TimeRange { from: from.saturating_sub(500_000_000), to: to.saturating_add(500_000_000) })
            }
            std::cmp::Ordering::Greater => None,
        }
    }

    /// Where an instant stands in the range, 0 to 1; instants outside stand at the ends.
    pub fn fraction(self, instant: i64) -> f64 {
        ((i128::from(instant) - i128::from(self.from)) as f64 / self.length_ns() as f64).clamp(0.0, 1.0)
    }

    /// Its length.
    pub fn length_ns(self) -> u64 {
        self.to.abs_diff(self.from).max(1)
    }

    /// At most `ticks_max` + 1 ticks at round times of day, or days.
    pub fn ticks(self, ticks_max: usize) -> Vec<Tick> {
        let rough = (self.length_ns() / ticks_max.max(1) as u64).max(1);
        let step = time_step_ns(rough);
        let first = self.from.div_euclid(step) + i64::from(self.from.rem_euclid(step) != 0);
        let last = self.to.div_euclid(step);
        let days = self.from.div_euclid(NANOS_PER_DAY) != self.to.div_euclid(NANOS_PER_DAY);
        (first..=last)
            .map(|multiple| multiple * step)
            .map(|instant| Tick { place: self.fraction(instant) * 100.0, label: time_label(instant, step, days) })
            .collect()
    }

    /// Ticks for a page as wide as it gets: ten at most, and seven where their labels are long.
    pub fn page_ticks(self) -> Vec<Tick> {
        let [many, few] = PAGE_TICKS.map(|ticks_max| self.ticks(ticks_max));
        if many.iter().any(|tick| tick.label.len() > LABEL_LONG) { few } else { many }
    }

    /// The dates it covers, for the title of the axis: `2024-08-08` or `2024-08-08 to 2024-08-09`.
    pub fn dates(self) -> String {
        let (from, to) = (date_utc(self.from), date_utc(self.to));
        if from == to { from } else { format!("{from} to {to}") }
    }
}

/// The smallest round step of at least `rough_ns`.
fn time_step_ns(rough_ns: u64) -> i64 {
    let one_two_five =
        |units: i64| (0..18).flat_map(move |power| [1, 2, 5].map(|digit| i64::checked_mul(digit * 10i64.pow(power), units)));
    one_two_five(1)
        .take_while(|step| step.is_none_or(|step| step < 1_000_000_000))
        .chain(CLOCK_STEPS_S.map(|seconds| Some(seconds * 1_000_000_000)))
        .chain(one_two_five(NANOS_PER_DAY))
        .flatten()
        .find(|step| step.unsigned_abs() >= rough_ns)
        .unwrap_or(50_000 * NANOS_PER_DAY)
}

fn time_label(instant: i64, step_ns: i64, days: bool) -> String {
    if step_ns >= NANOS_PER_DAY {
        return date_utc(instant);
    }
    if days && instant.rem_euclid(NANOS_PER_DAY) == 0 {
        return date_utc(instant).split_off(5);
    }
    let decimals = [1_000_000_000, 1_000_000, 1_000].into_iter().position(|unit| step_ns % unit == 0).unwrap_or(3) * 3;
    let mut clock = clock_utc(instant, decimals);
    if step_ns % 60_000_000_000 == 0 {
        clock.truncate(5);
    }
    clock
}

/// A logarithmic axis of durations over whole decades.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decades {
    low: u32,
    high: u32,
}

impl Decades {
    /// The decades that hold the given durations in nanoseconds; below 1 ns counts as 1 ns.
    pub fn around(nanos: impl IntoIterator<Item = u64>) -> Option<Decades> {
        let (low, high) =
            nanos.into_iter().map(|nanos| nanos.max(1)).fold((u64::MAX, 0), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        let low = low.ilog10();
        let high = high.ilog10() + u32::from(!is_power_of_ten(high));
        Some(Decades { low, high: high.max(low + 1) })
    }

    /// Where a duration stands, 0 to 1.
    pub fn fraction(self, nanos: u64) -> f64 {
        let decades = f64::from(self.high - self.low);
        ((nanos.max(1) as f64).log10() - f64::from(self.low)).clamp(0.0, decades) / decades
    }

    /// A tick a decade.
    pub fn ticks(self) -> Vec<Tick> {
        let decades = f64::from(self.high - self.low);
        (self.low..=self.high)
            .map(|power| Tick { place: f64::from(power - self.low) / decades * 100.0, label: decade_label(power) })
            .collect()
    }
}

fn is_power_of_ten(value: u64) -> bool {
    10u64.checked_pow(value.ilog10()) == Some(value)
}

fn decade_label(power: u32) -> String {
    match 10u64.checked_pow(power) {
        Some(nanos) => duration_ns(nanos).replace(".00", "").replace(".0", ""),
        None => "100,000,000,000 s".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    /// The number a label stands for.
    fn parsed(label: &str) -> f64 {
        label.replace('\u{2212}', "-").replace(',', "").parse().unwrap_or(f64::NAN)
    }

    #[test]
    fn round_values_by_hand() {
        let range = |low, high| Range { low, high };
        assert_eq!(labels(&range(-1.0, 1.0).ticks(4)), ["\u{2212}1.0", "\u{2212}0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&range(61_610.3, 61_689.7).ticks(5)), ["61,620", "61,640", "61,660", "61,680"]);
        assert_eq!(labels(&range(0.000_012_1, 0.000_012_9).ticks(4)), ["0.0000122", "0.0000124", "0.0000126", "0.0000128"]);
        assert_eq!(labels(&range(0.0, 2.5e9).ticks(5)), ["0", "5e8", "1.0e9", "1.5e9", "2.0e9", "2.5e9"]);
    }

    #[test]
    fn a_constant_has_a_range() {
        let range = Range::around([61_000.0, 61_000.0]).expect("two values");
        assert!(range.low < 61_000.0 && range.high > 61_000.0);
        assert_eq!(Range::around([0.0]), Some(Range { low: -1.0, high: 1.0 }));
        assert_eq!(Range::around([f64::NAN, f64::INFINITY]), None);
        assert_eq!(Range::around([]), None);
    }

    #[test]
    fn times_by_hand() {
        let from = 1_723_161_254_206_652_067; // 2024-08-08 23:54:14.206652067
        let after = |nanos| TimeRange { from, to: from + nanos };
        assert_eq!(labels(&after(20 * 60_000_000_000).ticks(5)), ["23:55", "08-09", "00:05", "00:10"]);
        assert_eq!(labels(&after(9_000_000_000).ticks(5)), ["23:54:16", "23:54:18", "23:54:20", "23:54:22"]);
        assert_eq!(labels(&after(900_000_000).ticks(4)), ["23:54:14.500", "23:54:15.000"]);
        assert_eq!(labels(&after(3_000).ticks(3)), ["23:54:14.206653", "23:54:14.206654", "23:54:14.206655"]);
        assert_eq!(labels(&after(3 * NANOS_PER_DAY).ticks(4)), ["2024-08-09", "2024-08-10", "2024-08-11"]);
        assert_eq!(after(1).dates(), "2024-08-08");
        assert_eq!(after(NANOS_PER_DAY).dates(), "2024-08-08 to 2024-08-09");
    }

    #[test]
    fn decades_by_hand() {
        let decades = Decades::around([420, 73_000]).expect("two values");
        assert_eq!(labels(&decades.ticks()), ["100 ns", "1 µs", "10 µs", "100 µs"]);
        assert_eq!(decades.fraction(1_000), 1.0 / 3.0);
        assert_eq!(labels(&Decades::around([1_000]).expect("one value").ticks()), ["1 µs", "10 µs"]);
        assert_eq!(labels(&Decades::around([0, 1]).expect("two values").ticks()), ["1 ns", "10 ns"]);
        assert!(Decades::around([u64::MAX]).is_some_and(|decades| decades.fraction(u64::MAX) <= 1.0 && decades.ticks().len() == 2));
        assert_eq!(Decades::around([]), None);
    }

    proptest! {
        #[test]
        fn ticks_are_round_evenly_spaced_and_inside(middle in -1e6f64..1e6, exponent in -6i32..7, ticks_max in 2usize..12) {
            let half = 10f64.powi(exponent);
            let range = Range { low: middle - half, high: middle + half };
            let ticks = range.ticks(ticks_max);
            prop_assert!(!ticks.is_empty() && ticks.len() <= ticks_max + 1, "{:?}", ticks);
            prop_assert!(ticks.iter().all(|tick| (0.0..=100.0).contains(&tick.place)));
            // The label says where the tick stands.
            for tick in &ticks {
                prop_assert!((range.fraction(parsed(&tick.label)) * 100.0 - tick.place).abs() < 1e-3, "{:?}", tick);
            }
            // In units of the last decimal, steps and values are whole.
            let decimals = ticks.iter().filter_map(|tick| tick.label.split_once('.')).map(|(_, decimals)| decimals.len() as i32).max();
            let unit = 10f64.powi(decimals.unwrap_or(0));
            let values: Vec<i64> = ticks.iter().map(|tick| (parsed(&tick.label) * unit).round() as i64).collect();
            for pair in values.windows(2) {
                let step = pair[1] - pair[0];
                let mut digit = step;
                while digit > 0 && digit % 10 == 0 {
                    digit /= 10;
                }
                prop_assert!([1, 2, 5].contains(&digit), "{step} in {values:?}");
                prop_assert!(pair[0] % step == 0, "{} is no multiple of {step}", pair[0]);
            }
        }

        #[test]
        fn any_finite_values_have_a_range_with_ticks(values in prop::collection::vec(any::<f64>(), 1..5)) {
            if let Some(range) = Range::around(values.iter().copied()) {
                prop_assert!(range.low.is_finite() && range.high.is_finite() && range.low < range.high);
                let ticks = range.ticks(5);
                prop_assert!(ticks.len() <= 7, "{:?}", ticks);
                prop_assert!(ticks.iter().all(|tick| tick.place.is_finite() && parsed(&tick.label).is_finite()), "{:?}", ticks);
            }
        }

        #[test]
        fn any_time_range_has_few_round_ticks(from in any::<i64>(), length in 1..=i64::MAX, ticks_max in 2usize..10) {
            let range = TimeRange { from, to: from.saturating_add(length) };
            prop_assume!(range.from < range.to);
            let ticks = range.ticks(ticks_max);
            prop_assert!(ticks.len() <= ticks_max + 1);
            prop_assert!(ticks.iter().all(|tick| (0.0..=100.0).contains(&tick.place)));
            let mut distinct = labels(&ticks);
            distinct.dedup();
            prop_assert_eq!(distinct.len(), ticks.len());
        }
    }
}
