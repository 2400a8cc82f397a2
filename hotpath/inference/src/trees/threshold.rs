//! A float32 comparison as a double one.

/// The threshold `t` for which `x <= t`, in doubles, says the same as XGBoost's `x as f32 < threshold` for every `x`.
///
/// `x as f32` is below `threshold` exactly where `x` rounds to the float32 before it or to less: up to the middle between the two,
/// the middle itself only where it rounds down, to the even one. `threshold` must be finite.
pub fn below(threshold: f32) -> f64 {
    let previous = threshold.next_down();
    let middle = if previous.is_infinite() {
        // What lies beyond the largest float32 by half a step or more rounds to infinity.
        let step = f64::from(threshold.next_up()) - f64::from(threshold);
        f64::from(threshold) - step / 2.0
    } else {
        // Exact: a double holds the middle of two neighbouring float32.
        f64::from(previous) / 2.0 + f64::from(threshold) / 2.0
    };
    if (middle as f32) < threshold { middle } else { middle.next_down() }
}

/// The float32 that [`below`] made a threshold from; `None` where it made none such.
pub(crate) fn below_inverse(threshold: f64) -> Option<f32> {
    let single = threshold.next_up() as f32;
    (single.is_finite() && below(single) == threshold).then_some(single)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agree(x: f64, threshold: f32) {
        assert_eq!(x <= below(threshold), (x as f32) < threshold, "{x:e} {threshold:e}");
    }

    #[test]
    fn at_the_edges() {
        for threshold in [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(1), f32::MAX, f32::MIN] {
            for x in [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 5e-324, -5e-324, f64::NAN] {
                agree(x, threshold);
            }
        }
    }

    proptest! {
        #[test]
        fn says_what_the_float32_comparison_says(bits in any::<u32>(), other in any::<f64>(), ulps in -40_i64..40) {
            let threshold = f32::from_bits(bits);
            prop_assume!(threshold.is_finite());
            agree(other, threshold);
            // Around the threshold, and around the middles to its neighbours.
            for centre in [f64::from(threshold), below(threshold), below(threshold.next_up())] {
                prop_assume!(centre.is_finite());
                let magnitude = f64::from_bits((centre.abs().to_bits() as i64).saturating_add(ulps).max(0) as u64);
                agree(magnitude.copysign(centre), threshold);
            }
        }

        #[test]
        fn can_be_undone(bits in any::<u32>()) {
            let threshold = f32::from_bits(bits);
            prop_assume!(threshold.is_finite());
            prop_assert_eq!(below_inverse(below(threshold)), Some(threshold));
        }
    }
}
