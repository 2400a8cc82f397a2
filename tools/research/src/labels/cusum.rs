//! Events where a series has moved by a threshold since the last one, either way (Lopez de Prado 2018, snippet 2.4).

use crate::error::{SeriesError, finite, same_rows};

/// The symmetric CUSUM filter, one value after the other.
///
/// Only the side that fires starts again, and a fall is looked at first: what the book's code does.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct CusumFilter {
    last: Option<f64>,
    rise: f64,
    fall: f64,
}

impl CusumFilter {
    /// Takes a value (a log price, usually); whether it has moved by more than `threshold`.
    pub fn update(&mut self, value: f64, threshold: f64) -> bool {
        let Some(last) = self.last.replace(value) else { return false };
        self.rise = (self.rise + value - last).max(0.0);
        self.fall = (self.fall + value - last).min(0.0);
        if self.fall < -threshold {
            self.fall = 0.0;
            return true;
        }
        if self.rise > threshold {
            self.rise = 0.0;
            return true;
        }
        false
    }
}

/// Rows at which `values` have moved by more than the row's threshold. A threshold that is NaN fires nothing: the moves are summed
/// up until there is one.
///
/// # Errors
/// Values that are not finite, thresholds that are not positive or not one for each value.
pub fn cusum_events(values: &[f64], thresholds: &[f64]) -> Result<Vec<usize>, SeriesError> {
    finite("the series of the CUSUM filter", values)?;
    same_rows("the thresholds", thresholds.len(), "the values", values.len())?;
    if let Some(row) = thresholds.iter().position(|threshold| *threshold <= 0.0) {
        return Err(SeriesError::NotPositive { what: "the threshold of the CUSUM filter", row, value: thresholds[row] });
    }
    let mut filter = CusumFilter::default();
    let is_event = |(row, (value, threshold)): (usize, (&f64, &f64))| filter.update(*value, *threshold).then_some(row);
    Ok(values.iter().zip(thresholds).enumerate().filter_map(is_event).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moves_by_hand() {
        // Rises of 2 in all at row 2, then a fall of 3 at row 4.
        assert_eq!(cusum_events(&[0.0, 1.0, 2.0, 1.0, -1.0, -1.0], &[1.5; 6]).unwrap(), [2, 4]);
        // Equal to the threshold is not beyond it.
        assert!(cusum_events(&[0.0, 1.5, 0.0], &[1.5; 3]).unwrap().is_empty());
        assert_eq!(cusum_events(&[0.0, 5.0, 5.0], &[f64::NAN, f64::NAN, 1.0]).unwrap(), [2]);
    }

    #[test]
    fn bad_input_is_told() {
        let told = |values: &[f64], thresholds: &[f64]| cusum_events(values, thresholds).unwrap_err().to_string();
        assert!(told(&[0.0, f64::NAN], &[1.0; 2]).contains("row 1"));
        assert!(told(&[0.0, 1.0], &[1.0]).contains("1 rows"));
        assert!(told(&[0.0, 1.0], &[1.0, 0.0]).contains("positive"));
    }

    proptest! {
        /// The definition: the greatest rise, or fall, of the sum of moves since that side last fired.
        #[test]
        fn events_are_those_of_the_definition(moves in prop::collection::vec(-3i32..=3, 1..120), threshold in 1u8..6) {
            let mut values = vec![0.0];
            for step in moves {
                values.push(values[values.len() - 1] + f64::from(step));
            }
            let threshold = f64::from(threshold) - 0.5;
            let (mut since_rise, mut since_fall, mut expected) = (0, 0, Vec::new());
            for row in 1..values.len() {
                let least = values[since_rise..=row].iter().copied().fold(f64::INFINITY, f64::min);
                let greatest = values[since_fall..=row].iter().copied().fold(f64::NEG_INFINITY, f64::max);
                if values[row] - greatest < -threshold {
                    since_fall = row;
                    expected.push(row);
                } else if values[row] - least > threshold {
                    since_rise = row;
                    expected.push(row);
                }
            }
            prop_assert_eq!(cusum_events(&values, &vec![threshold; values.len()]).unwrap(), expected);
        }
    }
}
