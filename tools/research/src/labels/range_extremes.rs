//! The first row from a place on that satisfies a condition on its value, without looking at each.

/// Children of a block.
const BRANCHES: usize = 16;

/// Least and greatest value of blocks of 16 rows, of blocks of 16 blocks, and so on.
#[derive(Clone, Debug)]
pub struct RangeExtremes {
    /// The rows themselves first, then one level after the other; the last has at most 16 blocks.
    levels: Vec<Vec<(f64, f64)>>,
}

impl RangeExtremes {
    /// The extremes of `values`, none of which is NaN.
    pub fn new(values: &[f64]) -> RangeExtremes {
        let mut levels = vec![values.iter().map(|value| (*value, *value)).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|below| below.len() > BRANCHES) {
            let join = |(least, greatest): (f64, f64), &(low, high): &(f64, f64)| (least.min(low), greatest.max(high));
            let of_block = |block: &[(f64, f64)]| block.iter().fold((f64::INFINITY, f64::NEG_INFINITY), join);
            levels.push(below.chunks(BRANCHES).map(of_block).collect());
        }
        RangeExtremes { levels }
    }

    /// The first row in `from..to` for which `is_hit(value, value)` holds. `is_hit(least, greatest)` of a block must hold where it
    /// holds for one of its rows, and may hold only then: a condition such as "below a bound, or above another".
    pub fn first(&self, from: usize, to: usize, is_hit: impl Fn(f64, f64) -> bool) -> Option<usize> {
        let (mut level, mut place, mut rows) = (0, from, 1);
        // Along the blocks, and up whenever one begins that is not known yet.
        loop {
            let blocks = self.levels.get(level)?;
            let is_top = level + 1 == self.levels.len();
            let end = if is_top { blocks.len() } else { (place / BRANCHES * BRANCHES + BRANCHES).min(blocks.len()) };
            let found = blocks.get(place..end)?.iter().position(|(least, greatest)| is_hit(*least, *greatest));
            if let Some(found) = found {
                place += found;
                break;
            }
            if is_top || end * rows >= to {
                return None;
            }
            (level, place, rows) = (level + 1, end.div_ceil(BRANCHES), rows * BRANCHES);
        }
        // Down into the first block that holds one.
        while level > 0 {
            level -= 1;
            let blocks = self.levels[level].get(place * BRANCHES..)?;
            place = place * BRANCHES + blocks.iter().position(|(least, greatest)| is_hit(*least, *greatest))?;
        }
        (place < to).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_hit_is_that_of_a_scan(
            values in prop::collection::vec(-50i32..50, 0..900),
            from in 0usize..950,
            length in 0usize..950,
            low in -60i32..0,
            high in 0i32..60,
        ) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let (low, high, to) = (f64::from(low), f64::from(high), from + length);
            let expected = (from..to.min(values.len())).find(|row| values[*row] < low || values[*row] > high);
            let extremes = RangeExtremes::new(&values);
            prop_assert_eq!(extremes.first(from, to, |least, greatest| least < low || greatest > high), expected);
        }
    }
}
