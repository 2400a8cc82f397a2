//! What each feature is, in the order that frames, manifests and models share.

use super::{bar_impact, bar_volatility, calendar, imbalance, intensity, ofi, quote, shape, spread, trade_flow, volatility, vpin};
use sha2::{Digest, Sha256};
use std::fmt;

/// What one feature is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeatureSpec {
    /// Unique name: what, level or window, unit where it is not a plain number.
    pub name: &'static str,
    /// Raised with every change of what the values mean.
    pub version: u16,
    /// Unit of the value.
    pub unit: Unit,
    /// What the value is computed over; `None` for the state at the tick.
    pub window: Option<FeatureWindow>,
    /// How it is computed, and its value while it cannot be. Features of one formula over several windows have it word for word.
    pub formula: &'static str,
    /// Where the formula is from.
    pub source: &'static str,
}

/// A spec in one line, its parts in the order of the fields.
pub(super) const fn spec(
    name: &'static str,
    version: u16,
    unit: Unit,
    window: Option<FeatureWindow>,
    formula: &'static str,
    source: &'static str,
) -> FeatureSpec {
    FeatureSpec { name, version, unit, window, formula, source }
}

/// Unit of a feature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unit {
    /// 1e-4 of the price.
    BasisPoints,
    /// 1e-4 of the price over the square root of a second: the scale on which moves over different times compare.
    BasisPointsPerRootSecond,
    /// A quotient of like quantities.
    Ratio,
    /// A logarithm.
    Log,
    /// A plain number.
    Number,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Unit::BasisPoints => "bps",
            Unit::BasisPointsPerRootSecond => "bps/s^0.5",
            Unit::Ratio => "ratio",
            Unit::Log => "log",
            Unit::Number => "number",
        })
    }
}

/// What a feature is computed over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FeatureWindow {
    /// So many seconds of logical time.
    Seconds(u32),
    /// A period of so many seconds, from the epoch on.
    Period(u32),
    /// Exponentially weighted trades: the newest weighs one part in so many.
    Trades(u32),
    /// So many book batches.
    Batches(u32),
    /// So many bars of [`BAR_TRADES`](super::BAR_TRADES) trades.
    Bars(u32),
    /// So many full buckets of equal traded volume (the default; see [`FeatureConfig`](super::FeatureConfig)).
    VolumeBuckets(u32),
    /// So many best levels of each side.
    Levels(u32),
}

impl fmt::Display for FeatureWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FeatureWindow::Seconds(count) => f.pad(&format!("{count} s")),
            FeatureWindow::Period(count) => f.pad(&format!("{count} s cycle")),
            FeatureWindow::Trades(count) => f.pad(&format!("{count} trades")),
            FeatureWindow::Batches(count) => f.pad(&format!("{count} batches")),
            FeatureWindow::Bars(count) => f.pad(&format!("{count} bars")),
            FeatureWindow::VolumeBuckets(count) => f.pad(&format!("{count} buckets")),
            FeatureWindow::Levels(count) => f.pad(&format!("{count} levels")),
        }
    }
}

/// Number of features.
pub const FEATURE_COUNT: usize = {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

/// Every family, in the order in which the engine writes them.
const FAMILIES: [&[FeatureSpec]; 12] = [
    &spread::SPECS,
    &quote::SPECS,
    &imbalance::SPECS,
    &shape::SPECS,
    &ofi::SPECS,
    &trade_flow::SPECS,
    &vpin::SPECS,
    &bar_impact::SPECS,
    &volatility::SPECS,
    &bar_volatility::SPECS,
    &intensity::SPECS,
    &calendar::SPECS,
];

static REGISTRY: [FeatureSpec; FEATURE_COUNT] = {
    let mut all = [spread::SPECS[0]; FEATURE_COUNT];
    let (mut place, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut member = 0;
        while member < FAMILIES[family].len() {
            all[place] = FAMILIES[family][member];
            place += 1;
            member += 1;
        }
        family += 1;
    }
    all
};

/// Every feature, in the order of a frame.
pub fn registry() -> &'static [FeatureSpec] {
    &REGISTRY
}

/// The place of a feature in the registry and in a frame.
pub fn index_of(name: &str) -> Option<usize> {
    REGISTRY.iter().position(|spec| spec.name == name)
}

/// How many best levels of a side a feature is computed from; 1 where the best prices and the trades are enough, which a feed of quotes
/// has. `None` for a feature that is not in the registry.
pub fn levels_needed(name: &str) -> Option<usize> {
    let spec = REGISTRY.get(index_of(name)?)?;
    let deeper = DEEPER.iter().find(|(deeper, _)| *deeper == spec.name);
    Some(deeper.map_or(1, |(_, levels)| *levels))
}

/// Features of more than the best level, and how many levels they are of.
const DEEPER: [(&str, usize); 19] = [
    ("imbalance_5", 5),
    ("imbalance_10", 10),
    ("imbalance_5_change_10s", 5),
    ("depth_slope_log_ratio", 10),
    ("depth_ratio_log", 10),
    ("depth_relative_60s", 10),
    ("depth_centre_bid", 10),
    ("depth_centre_ask", 10),
    ("depth_concentration_bid", 10),
    ("depth_concentration_ask", 10),
    ("depth_range_bid_bps", 10),
    ("depth_range_ask_bps", 10),
    ("level_gap_imbalance", 10),
    ("ofi_2_to_5_1s", 5),
    ("ofi_2_to_10_10s", 10),
    ("ofi_integrated_1s", 10),
    ("ofi_integrated_10s", 10),
    ("ofi_impact_bps", 10),
    ("ofi_impact_r2", 10),
];

/// [`features_hash`] of the whole registry.
pub fn registry_hash() -> String {
    let features: Vec<(&str, u16)> = REGISTRY.iter().map(|spec| (spec.name, spec.version)).collect();
    features_hash(&features)
}

/// Hexadecimal SHA-256 of the lines `name:version\n` in the order given: another order is another hash.
pub fn features_hash(features: &[(&str, u16)]) -> String {
    let mut hash = Sha256::new();
    for (name, version) in features {
        hash.update(format!("{name}:{version}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FEATURES_MAX;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found_at_their_place() {
        const { assert!(FEATURE_COUNT >= 80) };
        const { assert!(FEATURE_COUNT <= FEATURES_MAX) };
        let names: BTreeSet<&str> = registry().iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), FEATURE_COUNT);
        for (place, spec) in registry().iter().enumerate() {
            assert_eq!(index_of(spec.name), Some(place));
            assert!(spec.version >= 1 && !spec.formula.is_empty() && !spec.source.is_empty(), "{}", spec.name);
            assert!(spec.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
        }
        assert_eq!(index_of("no_such_feature"), None);
    }

    #[test]
    fn deeper_features_are_in_the_registry() {
        assert!(DEEPER.iter().all(|(name, levels)| levels_needed(name) == Some(*levels) && *levels > 1));
        assert_eq!((levels_needed("spread_bps"), levels_needed("no_such_feature")), (Some(1), None));
    }

    #[test]
    fn hash_is_sha256_of_ordered_lines() {
        // printf 'a:1\nb:2\n' | sha256sum
        assert_eq!(features_hash(&[("a", 1), ("b", 2)]), "6408fdc5c36df5df57957e7b230e4b48c55b06ce849303e855d52f1356f2980e");
        assert_eq!(features_hash(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ne!(features_hash(&[("a", 1), ("b", 2)]), features_hash(&[("b", 2), ("a", 1)]));
        assert_ne!(features_hash(&[("a", 1)]), features_hash(&[("a", 2)]));
        assert_eq!(registry_hash().len(), 64);
    }
}
