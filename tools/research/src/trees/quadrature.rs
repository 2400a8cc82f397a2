//! Gauss-Legendre quadrature.

/// Points in (0, 1) with their weights: the integral from 0 to 1 of any polynomial of degree below `2 * count` is the weighted sum of
/// its values there. (Newton's method on the Legendre polynomial; Press et al., "Numerical Recipes", section 4.6.)
pub(super) fn gauss_legendre(count: usize) -> Vec<(f64, f64)> {
    let rule = (0..count).map(|index| {
        let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (count as f64 + 0.5)).cos();
        let mut slope = 0.0;
        // Quadratic convergence from a start that is good to a part in the number of points.
        for _ in 0..8 {
            let (mut value, mut before) = (1.0, 0.0);
            for degree in 1..=count {
                let degree = degree as f64;
                (value, before) = (((2.0 * degree - 1.0) * x * value - (degree - 1.0) * before) / degree, value);
            }
            slope = count as f64 * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        (0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope))
    });
    rule.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_integrated_exactly() {
        for count in [1, 2, 3, 4, 8, 31, 128] {
            let rule = gauss_legendre(count);
            assert!(rule.iter().all(|(t, weight)| (0.0..1.0).contains(t) && *weight > 0.0));
            for degree in 0..2 * count {
                let sum: f64 = rule.iter().map(|(t, weight)| weight * t.powi(degree as i32)).sum();
                assert!((sum * (degree as f64 + 1.0) - 1.0).abs() < 1e-12, "{count} points, degree {degree}: {sum}");
            }
        }
    }
}
