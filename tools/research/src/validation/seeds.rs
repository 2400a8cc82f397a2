//! Seeds of parts of a computation, so that each can run anywhere and in any order.

/// The seed of one part: SplitMix64 (Steele, Lea and Flood 2014) over the whole's seed and the part's place.
pub(crate) fn derived(seed: u64, place: u64) -> u64 {
    let mut state = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
