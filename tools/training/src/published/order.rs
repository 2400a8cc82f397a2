//! The published order of the samples: torch's seeded permutation, with its random numbers.

const WORDS: usize = 624;

/// The order in which the samples are taken in an epoch, counted from 0: torch's `randperm` seeded by the epoch.
pub fn epoch_order(samples: usize, epoch: u32) -> Vec<usize> {
    let mut random = MersenneTwister::new(epoch);
    let mut order: Vec<usize> = (0..samples).collect();
    for place in 0..samples.saturating_sub(1) {
        let other = place + random.next() as usize % (samples - place);
        order.swap(place, other);
    }
    order
}

/// MT19937 (Matsumoto and Nishimura, 1998) with the initialiser of one 32-bit word.
struct MersenneTwister {
    words: [u32; WORDS],
    place: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut words = [seed; WORDS];
        for place in 1..WORDS {
            let before = words[place - 1];
            words[place] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(place as u32);
        }
        Self { words, place: WORDS }
    }

    fn next(&mut self) -> u32 {
        if self.place == WORDS {
            for place in 0..WORDS {
                let mixed = (self.words[place] & 0x8000_0000) | (self.words[(place + 1) % WORDS] & 0x7fff_ffff);
                let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.words[place] = self.words[(place + 397) % WORDS] ^ (mixed >> 1) ^ odd;
            }
            self.place = 0;
        }
        let mut word = self.words[self.place];
        self.place += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_s_ten_thousandth_number() {
        // C++ [rand.predef]: the 10,000th of a default mt19937, whose seed is 5489.
        let mut random = MersenneTwister::new(5489);
        let numbers: Vec<u32> = (0..10_000).map(|_| random.next()).collect();
        assert_eq!((numbers[0], numbers[9_999]), (3_499_211_612, 4_123_659_995));
    }

    #[test]
    fn an_order_is_a_permutation() {
        for samples in [0, 1, 2, 37] {
            let mut order = epoch_order(samples, 3);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..samples));
        }
        assert!(epoch_order(37, 3) != epoch_order(37, 4));
    }
}
