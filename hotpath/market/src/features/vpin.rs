//! Volume-synchronised probability of informed trading, with the sign of each trade known.

use super::registry::{FeatureSpec, FeatureWindow, Unit};
use crate::event::Side;
use crate::fixed::Qty;
use std::num::NonZeroUsize;

pub(super) const DEFAULT_BUCKETS: NonZeroUsize = NonZeroUsize::new(50).unwrap();

pub(super) const SPECS: [FeatureSpec; 1] = [FeatureSpec {
    name: "vpin",
    version: 1,
    unit: Unit::Ratio,
    window: Some(FeatureWindow::VolumeBuckets(DEFAULT_BUCKETS.get() as u32)),
    formula: "sum over the last n full buckets of |buy - sell| / (n * V), volumes by aggressor, a trade across an edge split; V as \
              configured, or 1/8 of the volume of the first 128 trades, which fill no bucket; 0 before n full buckets",
    source: "Easley, Lopez de Prado and O'Hara 2012",
}];

/// Trades that set the bucket volume where none is configured.
pub const CALIBRATION_TRADES: u32 = 128;

/// Trades whose mean volume a bucket then holds.
pub const TRADES_PER_BUCKET: u32 = 16;

/// VPIN over a rolling window of full volume buckets: `sum |buy - sell| / (n * V)`, from 0 (balanced) to 1 (one-sided)
/// (Easley, Lopez de Prado and O'Hara 2012). Volumes are whole units of [`Qty`]: nothing is lost to rounding.
#[derive(Clone, Debug)]
pub struct Vpin {
    configured: Option<Qty>,
    /// Bucket volume, positive once known.
    bucket: Option<i64>,
    /// Trades and volume seen while the bucket volume is not known.
    calibration: (u32, i64),
    /// Volume and bought volume of the bucket under way.
    filled: i64,
    bought: i64,
    /// The latest full buckets, a ring; places not yet filled are zero.
    full: Vec<FullBucket>,
    /// Buckets filled so far.
    completed: u64,
    /// Sum of `|buy - sell|` over the ring.
    imbalance: i128,
}

#[derive(Clone, Copy, Default, Debug)]
struct FullBucket {
    bought: i64,
    /// `|buy - sell|`.
    one_sided: u64,
}

impl Vpin {
    /// Rolls over `buckets` full buckets of volume `bucket`; where that is `None` (or not positive) a bucket holds the mean volume of
    /// [`TRADES_PER_BUCKET`] trades among the first [`CALIBRATION_TRADES`], which themselves fill none.
    pub fn new(bucket: Option<Qty>, buckets: NonZeroUsize) -> Vpin {
        let configured = bucket.filter(|volume| volume.0 > 0);
        Vpin {
            configured,
            bucket: configured.map(|volume| volume.0),
            calibration: (0, 0),
            filled: 0,
            bought: 0,
            full: vec![FullBucket::default(); buckets.get()],
            completed: 0,
            imbalance: 0,
        }
    }

    /// Takes a trade; one without quantity is passed over. The cost is bounded by the number of buckets, however large the trade.
    #[inline]
    pub fn on_trade(&mut self, qty: Qty, aggressor: Side) {
        if qty.0 <= 0 {
            return;
        }
        let Some(bucket) = self.bucket else {
            self.calibrate(qty);
            return;
        };
        let room = bucket - self.filled;
        if qty.0 < room {
            self.fill(qty.0, aggressor);
            return;
        }
        self.fill(room, aggressor);
        self.complete(bucket);
        let (whole, rest) = ((qty.0 - room) / bucket, (qty.0 - room) % bucket);
        // Full buckets beyond the ring's length would only overwrite their likes.
        let kept = whole.min(self.full.len() as i64);
        self.completed += (whole - kept) as u64;
        for _ in 0..kept {
            self.fill(bucket, aggressor);
            self.complete(bucket);
        }
        self.fill(rest, aggressor);
    }

    /// VPIN; `None` before the first `n` full buckets.
    #[inline]
    pub fn value(&self) -> Option<f64> {
        let bucket = self.bucket?;
        (self.completed >= self.full.len() as u64).then(|| self.imbalance as f64 / (self.full.len() as f64 * bucket as f64))
    }

    /// Number of buckets filled so far.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Bought and sold volume of a full bucket, 0 for the latest, 1 for the one before; `None` beyond what is kept.
    pub fn bucket_buy_sell(&self, age: usize) -> Option<(Qty, Qty)> {
        let number = self.completed.checked_sub(age as u64 + 1).filter(|_| age < self.full.len())?;
        let bought = self.full.get(self.slot(number))?.bought;
        Some((Qty(bought), Qty(self.bucket? - bought)))
    }

    /// Forgets everything, a bucket volume learnt from trades too.
    pub fn reset(&mut self) {
        self.bucket = self.configured.map(|volume| volume.0);
        self.calibration = (0, 0);
        (self.filled, self.bought) = (0, 0);
        self.full.fill(FullBucket::default());
        (self.completed, self.imbalance) = (0, 0);
    }

    pub(super) fn values(&self) -> [f64; SPECS.len()] {
        [self.value().unwrap_or(0.0)]
    }

    fn calibrate(&mut self, qty: Qty) {
        let (trades, volume) = (self.calibration.0 + 1, self.calibration.1.saturating_add(qty.0));
        self.calibration = (trades, volume);
        if trades == CALIBRATION_TRADES {
            self.bucket = Some((volume / i64::from(CALIBRATION_TRADES / TRADES_PER_BUCKET)).max(1));
        }
    }

    #[inline]
    fn fill(&mut self, volume: i64, aggressor: Side) {
        self.filled += volume;
        if aggressor == Side::Buy {
            self.bought += volume;
        }
    }

    fn complete(&mut self, bucket: i64) {
        let slot = self.slot(self.completed);
        if let Some(place) = self.full.get_mut(slot) {
            let bucket = FullBucket { bought: self.bought, one_sided: self.bought.abs_diff(bucket - self.bought) };
            self.imbalance += i128::from(bucket.one_sided) - i128::from(place.one_sided);
            *place = bucket;
        }
        self.completed += 1;
        (self.filled, self.bought) = (0, 0);
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.full.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_across_an_edge_is_split() {
        let mut vpin = Vpin::new(Some(Qty(10)), NonZeroUsize::new(2).unwrap());
        vpin.on_trade(Qty(6), Side::Buy);
        vpin.on_trade(Qty(9), Side::Sell);
        assert_eq!((vpin.completed(), vpin.bucket_buy_sell(0), vpin.value()), (1, Some((Qty(6), Qty(4))), None));
        vpin.on_trade(Qty(5), Side::Buy);
        assert_eq!((vpin.bucket_buy_sell(0), vpin.bucket_buy_sell(1)), (Some((Qty(5), Qty(5))), Some((Qty(6), Qty(4)))));
        assert_eq!((vpin.bucket_buy_sell(2), vpin.value()), (None, Some(2.0 / 20.0)));
    }

    #[test]
    fn a_huge_trade_costs_no_more_than_the_ring() {
        let mut vpin = Vpin::new(Some(Qty(1)), NonZeroUsize::new(3).unwrap());
        vpin.on_trade(Qty(i64::MAX), Side::Sell);
        assert_eq!((vpin.completed(), vpin.value()), (i64::MAX as u64, Some(1.0)));
        vpin.on_trade(Qty(2), Side::Buy);
        assert_eq!(vpin.bucket_buy_sell(1), Some((Qty(1), Qty(0))));
        assert_eq!(vpin.bucket_buy_sell(2), Some((Qty(0), Qty(1))));
        assert_eq!(vpin.value(), Some(1.0));
    }

    #[test]
    fn the_bucket_is_learnt_from_the_first_trades_alone_and_again_after_a_reset() {
        let mut vpin = Vpin::new(None, NonZeroUsize::MIN);
        // A reset while the bucket is learnt, then one while it is known.
        vpin.on_trade(Qty(1_000), Side::Buy);
        for _ in 0..2 {
            vpin.reset();
            for trade in 0..i64::from(CALIBRATION_TRADES) {
                vpin.on_trade(Qty(1 + trade % 3), Side::Buy);
            }
            assert_eq!((vpin.completed(), vpin.value()), (0, None));
            // 42 times 1 + 2 + 3, and 1 + 2, is 255 in all; an eighth is 31.
            vpin.on_trade(Qty(30), Side::Buy);
            assert_eq!(vpin.completed(), 0);
            vpin.on_trade(Qty(1), Side::Sell);
            assert_eq!((vpin.bucket_buy_sell(0), vpin.value()), (Some((Qty(30), Qty(1))), Some(29.0 / 31.0)));
        }
    }
}
