//! Divisibility without a division.

/// Tells whether numbers are multiples of a step known beforehand: for an odd step, `n` is a multiple where `n` times the step's
/// inverse modulo 2^64 is at most `2^64 / step`; the twos of an even step are rotated away (Granlund and Montgomery, "Division by
/// invariant integers using multiplication", 1994, section 9).
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    inverse: u64,
    twos: u32,
    quotient_max: u64,
}

impl Divisor {
    /// For multiples of `step`; of 1 where it is not above 0.
    pub(super) fn new(step: i64) -> Divisor {
        let step = step.max(1) as u64;
        let twos = step.trailing_zeros();
        let odd = step >> twos;
        // Newton's iteration doubles the bits that are right; an odd number is its own inverse modulo 8.
        let inverse = (0..5).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))));
        Divisor { inverse, twos, quotient_max: u64::MAX / step }
    }

    #[inline]
    pub(super) fn divides(&self, number: u64) -> bool {
        number.wrapping_mul(self.inverse).rotate_right(self.twos) <= self.quotient_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_what_the_remainder_says(step in prop_oneof![1i64..200, any::<i64>(), (0u32..62).prop_map(|twos| 1 << twos)], factor: u64, off in 0u64..3) {
            let divisor = Divisor::new(step);
            let step = step.max(1) as u64;
            for number in [factor, (factor % (u64::MAX / step)) * step + off.min(step - 1)] {
                prop_assert_eq!(divisor.divides(number), number % step == 0);
            }
        }
    }
}
