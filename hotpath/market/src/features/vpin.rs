//! Volume-synchronised probability of informed trading: with the sign of each trade known, and with it guessed from bars.

use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::RollingSums;
use crate::bars::Bar;
use crate::event::Side;
use crate::fixed::Qty;
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::num::NonZeroUsize;

pub(super) const DEFAULT_BUCKETS: NonZeroUsize = NonZeroUsize::new(10).unwrap();

pub(super) const SPECS: [FeatureSpec; 3] = [
    vpin_spec(
        "vpin",
        3,
        DEFAULT_BUCKETS.get() as u32,
        "sum over the last n full buckets of |buy - sell| / (n * V), volumes by sign as in trade_count_imbalance_10s (half each \
         without one), a trade across an edge split; V as configured, or 256 times the mean volume of the first 512 trades, which \
         fill no bucket; 0 before n full buckets",
        EASLEY,
    ),
    vpin_spec(
        "vpin_bvc",
        1,
        DEFAULT_BUCKETS.get() as u32,
        "as vpin with the same V, from bars of 25 trades that close once it is known: of a bar's volume Phi(d / sd) is bought, d \
         = change of the close, sd = sample standard deviation of the last 50 d, this one included; half where it is 0 or not \
         defined",
        "Easley, Lopez de Prado and O'Hara 2012 (bulk volume classification)",
    ),
    vpin_spec("volume_bucket_imbalance", 2, 1, "(buy - sell) / V of the last full bucket of vpin; 0 before one", EASLEY),
];

const EASLEY: &str = "Easley, Lopez de Prado and O'Hara 2012";

const fn vpin_spec(name: &'static str, version: u16, buckets: u32, formula: &'static str, source: &'static str) -> FeatureSpec {
    spec(name, version, Unit::Ratio, Some(FeatureWindow::VolumeBuckets(buckets)), formula, source)
}

/// Trades that set the bucket volume where none is configured.
pub const CALIBRATION_TRADES: u32 = 512;

/// Trades whose mean volume a bucket then holds. Takers come in runs of one side and a few trades are most of the volume, so that
/// buckets of fewer trades are one-sided in any market: with 16 VPIN had a median of 0.8 in Bitcoin and Ether captures, with 256 of
/// 0.5 to 0.7.
pub const TRADES_PER_BUCKET: u32 = 256;

/// Changes of the close whose standard deviation bulk classification goes by.
const BULK_BARS: usize = 50;

/// VPIN over a rolling window of full volume buckets: `sum |buy - sell| / (n * V)`, from 0 (balanced) to 1 (one-sided)
/// (Easley, Lopez de Prado and O'Hara 2012).
#[derive(Clone, Debug)]
pub struct Vpin {
    /// Bucket volume in units of [`Qty`], positive.
    bucket: i64,
    /// Volume and bought volume of the bucket under way; whole units are exact up to 2^53 of them.
    filled: i64,
    bought: f64,
    /// Bought volumes of the latest full buckets, each at its number modulo their count.
    full: Box<[f64]>,
    /// `|buy - sell|` of the latest full buckets.
    one_sided: RollingSums<1>,
    /// Buckets filled so far.
    completed: u64,
}

impl Vpin {
    /// Rolls over `buckets` full buckets of volume `bucket` (at least the smallest there is).
    pub fn new(bucket: Qty, buckets: NonZeroUsize) -> Vpin {
        Vpin {
            bucket: bucket.0.max(1),
            filled: 0,
            bought: 0.0,
            full: vec![0.0; buckets.get()].into(),
            one_sided: RollingSums::new(buckets.get()),
            completed: 0,
        }
    }

    /// Takes a trade; one without quantity is passed over, and one of which nobody knows who took is half bought, half sold. The cost
    /// is bounded by the number of buckets, however large the trade.
    #[inline]
    pub fn on_trade(&mut self, qty: Qty, aggressor: Option<Side>) {
        let bought = match aggressor {
            Some(Side::Buy) => 1.0,
            Some(Side::Sell) => 0.0,
            None => 0.5,
        };
        self.on_volume(qty, bought);
    }

    /// Takes volume of which the share `bought`, 0 to 1, was bought; split pro rata where it crosses the edge of a bucket.
    #[inline]
    pub fn on_volume(&mut self, qty: Qty, bought: f64) {
        if qty.0 <= 0 {
            return;
        }
        let room = self.bucket - self.filled;
        if qty.0 < room {
            self.fill(qty.0, bought);
            return;
        }
        self.fill(room, bought);
        self.complete();
        let (whole, rest) = ((qty.0 - room) / self.bucket, (qty.0 - room) % self.bucket);
        // Full buckets beyond the ring's length would only overwrite their likes.
        let kept = whole.min(self.full.len() as i64);
        self.completed += (whole - kept) as u64;
        for _ in 0..kept {
            self.fill(self.bucket, bought);
            self.complete();
        }
        self.fill(rest, bought);
    }

    /// VPIN; `None` before the first `n` full buckets.
    #[inline]
    pub fn value(&self) -> Option<f64> {
        let [one_sided] = self.one_sided.sums();
        self.one_sided.is_full().then(|| one_sided / (self.full.len() as f64 * self.bucket as f64))
    }

    /// Number of buckets filled so far.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Bought and sold volume of a full bucket, 0 for the latest, 1 for the one before; `None` beyond what is kept.
    pub fn bucket_buy_sell(&self, age: usize) -> Option<(f64, f64)> {
        let number = self.completed.checked_sub(age as u64 + 1).filter(|_| age < self.full.len())?;
        let bought = self.full[self.slot(number)];
        let coins = |units: f64| units / crate::fixed::QTY_SCALE as f64;
        Some((coins(bought), coins(self.bucket as f64 - bought)))
    }

    /// Forgets everything and goes on with buckets of another volume.
    pub fn restart(&mut self, bucket: Qty) {
        self.bucket = bucket.0.max(1);
        (self.filled, self.bought, self.completed) = (0, 0.0, 0);
        self.full.fill(0.0);
        self.one_sided.clear();
    }

    #[inline]
    fn fill(&mut self, volume: i64, bought: f64) {
        self.filled += volume;
        self.bought += volume as f64 * bought;
    }

    fn complete(&mut self) {
        let slot = self.slot(self.completed);
        self.full[slot] = self.bought;
        self.one_sided.push([(2.0 * self.bought - self.bucket as f64).abs()]);
        self.completed += 1;
        (self.filled, self.bought) = (0, 0.0);
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.full.len() as u64) as usize
    }
}

/// Share of a bar's volume that was bought, `Phi(change / sd)` of the change of its close; half where `sd` is not positive (Easley,
/// Lopez de Prado and O'Hara 2012).
pub fn bulk_buy_share(change: f64, sd: f64) -> f64 {
    if sd > 0.0 { normal_cdf(change / sd) } else { 0.5 }
}

/// The standard normal distribution function.
fn normal_cdf(x: f64) -> f64 {
    let size = x.abs();
    let density = (-0.5 * size * size).exp() * FRAC_1_SQRT_2 / PI.sqrt();
    if size < 4.0 {
        // Phi = 1/2 + density * (x + x^3 / 3 + x^5 / (3 * 5) + ...), Abramowitz and Stegun 26.2.11.
        let (mut term, mut sum, mut odd) = (size, 0.0, 1.0);
        while sum + term != sum {
            sum += term;
            odd += 2.0;
            term *= size * size / odd;
        }
        0.5 + (density * sum).copysign(x)
    } else {
        // 1 - Phi = density / (x + 1 / (x + 2 / (x + ...))), 26.2.14.
        let fraction = (1..=60).rev().fold(size, |below, place| size + f64::from(place) / below);
        let tail = density / fraction;
        if x < 0.0 { tail } else { 1.0 - tail }
    }
}

/// Both kinds of VPIN over buckets of one volume, learnt from the first trades where none is configured.
#[derive(Clone, Debug)]
pub(super) struct VolumeBuckets {
    configured: Option<Qty>,
    /// Trades and volume seen while the bucket volume is not known.
    learnt: (u32, i64),
    is_known: bool,
    signed: Vpin,
    bulk: Vpin,
    last_close: Option<f64>,
    /// Changes of the close and their squares.
    changes: RollingSums<2>,
}

impl VolumeBuckets {
    pub(super) fn new(configured: Option<Qty>, buckets: NonZeroUsize) -> Self {
        let configured = configured.filter(|volume| volume.0 > 0);
        let vpin = Vpin::new(configured.unwrap_or(Qty(1)), buckets);
        VolumeBuckets {
            configured,
            learnt: (0, 0),
            is_known: configured.is_some(),
            signed: vpin.clone(),
            bulk: vpin,
            last_close: None,
            changes: RollingSums::new(BULK_BARS),
        }
    }

    #[inline]
    pub(super) fn on_trade(&mut self, qty: Qty, side: Option<Side>) {
        if self.is_known {
            self.signed.on_trade(qty, side);
        } else {
            self.learn(qty);
        }
    }

    /// To be told of a bar after the trade that closed it.
    pub(super) fn on_bar(&mut self, bar: &Bar) {
        let close = bar.close.to_f64();
        let before = self.last_close.replace(close);
        let bought = before.map_or(0.5, |before| {
            let change = close - before;
            self.changes.push([change, change * change]);
            bulk_buy_share(change, self.change_sd())
        });
        if self.is_known {
            self.bulk.on_volume(bar.volume, bought);
        }
    }

    pub(super) fn clear(&mut self) {
        self.learnt = (0, 0);
        self.is_known = self.configured.is_some();
        let bucket = self.configured.unwrap_or(Qty(1));
        self.signed.restart(bucket);
        self.bulk.restart(bucket);
        self.last_close = None;
        self.changes.clear();
    }

    #[inline(always)]
    pub(super) fn values(&self) -> [f64; SPECS.len()] {
        let last = self.signed.bucket_buy_sell(0).map_or(0.0, |(bought, sold)| (bought - sold) / (bought + sold));
        [self.signed.value().unwrap_or(0.0), self.bulk.value().unwrap_or(0.0), last]
    }

    fn learn(&mut self, qty: Qty) {
        let (trades, volume) = (self.learnt.0 + 1, self.learnt.1.saturating_add(qty.0));
        self.learnt = (trades, volume);
        if trades == CALIBRATION_TRADES {
            let bucket = Qty((volume / i64::from(CALIBRATION_TRADES / TRADES_PER_BUCKET)).max(1));
            self.is_known = true;
            self.signed.restart(bucket);
            self.bulk.restart(bucket);
        }
    }

    /// 0 where it is not defined or no more than rounding.
    fn change_sd(&self) -> f64 {
        let ([sum, squares], count) = (self.changes.sums(), self.changes.len() as f64);
        let deviations = squares - sum * sum / count;
        if count > 1.0 && deviations > 1e-12 * squares { (deviations / (count - 1.0)).sqrt() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::QTY_SCALE;

    fn two_buckets() -> NonZeroUsize {
        NonZeroUsize::new(2).unwrap()
    }

    #[test]
    fn a_trade_across_an_edge_is_split() {
        let mut vpin = Vpin::new(Qty(10 * QTY_SCALE), two_buckets());
        vpin.on_trade(Qty(6 * QTY_SCALE), Some(Side::Buy));
        vpin.on_trade(Qty(9 * QTY_SCALE), Some(Side::Sell));
        assert_eq!((vpin.completed(), vpin.bucket_buy_sell(0), vpin.value()), (1, Some((6.0, 4.0)), None));
        vpin.on_trade(Qty(5 * QTY_SCALE), Some(Side::Buy));
        assert_eq!((vpin.bucket_buy_sell(0), vpin.bucket_buy_sell(1)), (Some((5.0, 5.0)), Some((6.0, 4.0))));
        assert_eq!((vpin.bucket_buy_sell(2), vpin.value()), (None, Some(2.0 / 20.0)));
    }

    #[test]
    fn volume_bought_in_part_is_split_pro_rata() {
        let mut vpin = Vpin::new(Qty(10 * QTY_SCALE), two_buckets());
        vpin.on_volume(Qty(16 * QTY_SCALE), 0.25);
        vpin.on_volume(Qty(4 * QTY_SCALE), 1.0);
        assert_eq!((vpin.bucket_buy_sell(1), vpin.bucket_buy_sell(0)), (Some((2.5, 7.5)), Some((5.5, 4.5))));
        assert_eq!(vpin.value(), Some((5.0 + 1.0) / 20.0));
    }

    #[test]
    fn a_huge_trade_costs_no_more_than_the_ring() {
        let mut vpin = Vpin::new(Qty(1), NonZeroUsize::new(3).unwrap());
        vpin.on_trade(Qty(i64::MAX), Some(Side::Sell));
        assert_eq!((vpin.completed(), vpin.value()), (i64::MAX as u64, Some(1.0)));
        vpin.on_trade(Qty(2), Some(Side::Buy));
        assert_eq!((vpin.bucket_buy_sell(1), vpin.bucket_buy_sell(2)), (Some((1e-8, 0.0)), Some((0.0, 1e-8))));
        assert_eq!(vpin.value(), Some(1.0));
    }

    #[test]
    fn the_bucket_is_learnt_from_the_first_trades_alone_and_again_after_a_clear() {
        let mut buckets = VolumeBuckets::new(None, NonZeroUsize::MIN);
        // Cleared while the bucket is learnt, then while it is known.
        buckets.on_trade(Qty(1_000), Some(Side::Buy));
        for _ in 0..2 {
            buckets.clear();
            for _ in 0..CALIBRATION_TRADES {
                buckets.on_trade(Qty(2), Some(Side::Buy));
            }
            assert_eq!((buckets.signed.completed(), buckets.signed.value()), (0, None));
            let bucket = 2 * i64::from(TRADES_PER_BUCKET);
            buckets.on_trade(Qty(bucket - 1), Some(Side::Buy));
            assert_eq!(buckets.signed.completed(), 0);
            buckets.on_trade(Qty(1), Some(Side::Sell));
            assert_eq!(buckets.signed.value(), Some((bucket - 2) as f64 / bucket as f64));
        }
    }

    #[test]
    fn the_normal_distribution_from_its_table() {
        assert_eq!(normal_cdf(0.0), 0.5);
        for (x, below) in [(1.0, 0.841_344_746_068_542_9), (1.96, 0.975_002_104_851_779_5), (-3.0, 1.349_898_031_630_094_5e-3)] {
            assert!((normal_cdf(x) / below - 1.0).abs() < 1e-12, "{x}");
        }
        // Where one form takes over from the other they agree; far out nothing breaks.
        assert!((normal_cdf(-4.0 + 1e-12) / normal_cdf(-4.0) - 1.0).abs() < 1e-10);
        assert!((normal_cdf(-8.0) / 6.220_960_574_271_785e-16 - 1.0).abs() < 1e-9);
        assert_eq!((normal_cdf(60.0), normal_cdf(-60.0), normal_cdf(f64::INFINITY)), (1.0, 0.0, 1.0));
        assert_eq!((bulk_buy_share(0.0, 1.0), bulk_buy_share(5.0, 0.0)), (0.5, 0.5));
    }
}
