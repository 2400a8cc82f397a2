//! Randomness of a run: a generator for each purpose, made from the seed and where the run stands, so that nothing has to be saved.

/// The seed of one purpose: SplitMix64 (Steele, Lea and Flood, 2014) over the run's seed and each number that tells the purpose.
pub fn seed_of(seed: u64, purpose: &[u64]) -> u64 {
    purpose.iter().fold(mix(seed), |mixed, number| mix(mixed ^ mix(*number)))
}

/// The samples in an order that depends on the seed and the epoch alone (Fisher and Yates).
pub fn shuffled(samples: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = samples.to_vec();
    fastrand::Rng::with_seed(seed_of(seed, &[epoch])).shuffle(&mut order);
    order
}

fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_of_its_seed_and_epoch() {
        let samples: Vec<usize> = (10..40).collect();
        let mut order = shuffled(&samples, 7, 3);
        assert_eq!(order, shuffled(&samples, 7, 3));
        assert!(order != shuffled(&samples, 7, 4) && order != shuffled(&samples, 8, 3) && order != samples);
        order.sort_unstable();
        assert_eq!(order, samples);
    }
}
