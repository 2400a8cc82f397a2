//! The direction in which observations vary most, one observation at a time.

/// Weights of the first principal component, scaled to an absolute sum of 1 and a sum that is not negative: what Cont, Cucuringu
/// and Zhang 2023 weigh the levels' order flows with.
///
/// The sample covariance is kept since the first observation, and each observation moves the weights by one step of the power
/// iteration on it, so that they follow the component at a fixed cost and know no later observation.
#[derive(Clone, Copy, Debug)]
pub struct PrincipalWeights<const N: usize> {
    count: f64,
    mean: [f64; N],
    /// Sums of products of deviations from the mean.
    comoments: [[f64; N]; N],
    weights: [f64; N],
}

impl<const N: usize> Default for PrincipalWeights<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> PrincipalWeights<N> {
    /// Equal weights, before the first observation.
    pub fn new() -> Self {
        PrincipalWeights { count: 0.0, mean: [0.0; N], comoments: [[0.0; N]; N], weights: [1.0 / N as f64; N] }
    }

    /// The weights so far.
    #[inline]
    pub fn weights(&self) -> &[f64; N] {
        &self.weights
    }

    /// Takes an observation and moves the weights one step.
    pub fn observe(&mut self, values: &[f64; N]) {
        self.count += 1.0;
        // Welford 1962: no difference of large sums.
        let before: [f64; N] = std::array::from_fn(|place| values[place] - self.mean[place]);
        for (mean, deviation) in self.mean.iter_mut().zip(before) {
            *mean += deviation / self.count;
        }
        let after: [f64; N] = std::array::from_fn(|place| values[place] - self.mean[place]);
        for (row, deviation) in self.comoments.iter_mut().zip(before) {
            for (comoment, other) in row.iter_mut().zip(after) {
                *comoment += deviation * other;
            }
        }
        self.step();
    }

    /// One step of the power iteration, `weights = C * weights` scaled; nothing where that is zero. Repeated without observations
    /// it ends at the first component of those so far.
    pub fn step(&mut self) {
        let next = self.comoments.map(|row| row.iter().zip(&self.weights).map(|(comoment, weight)| comoment * weight).sum::<f64>());
        let (sum, size) = next.iter().fold((0.0, 0.0), |(sum, size), value| (sum + value, size + value.abs()));
        if size > 0.0 {
            let scale = if sum < 0.0 { -1.0 } else { 1.0 } / size;
            self.weights = next.map(|value| value * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_turn_to_where_the_variation_is() {
        let mut weights = PrincipalWeights::<2>::new();
        assert_eq!(weights.weights(), &[0.5, 0.5]);
        weights.observe(&[1.0, 1.0]);
        assert_eq!(weights.weights(), &[0.5, 0.5]);
        // Along (3, -1): C is proportional to [[9, -3], [-3, 1]], whose first component is (3, -1).
        weights.observe(&[4.0, 0.0]);
        assert_eq!(weights.weights(), &[0.75, -0.25]);
    }
}
