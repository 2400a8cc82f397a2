//! The published trading rules: one decision a day at yesterday's close, without fees.

/// Cash at the first decision.
const START: f64 = 100.0;
/// Relative change below which the vanilla rule does nothing.
const VANILLA_THRESHOLD: f64 = 0.01;
/// What the rule with shorts sells short, in coins.
const SHORT: f64 = 0.002;

/// A rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TradingRule {
    /// All in when the prediction is at least 1 % above yesterday's close, all out when it is as far below.
    Vanilla,
    /// In and out by the part of the risk band that the prediction is away.
    Smart,
    /// The same with a short of 0.002 coins above the band.
    SmartWithShort,
    /// All in at the first decision.
    BuyAndHold,
}

/// What came of a rule.
#[derive(Clone, PartialEq, Debug)]
pub struct TradingResult {
    /// Net worth at the last target's close.
    pub final_net_worth: f64,
    /// Largest fall of the curve from its highest value so far, as a share of that.
    pub max_drawdown: f64,
    /// 100, then the net worth after each decision, at its price.
    pub net_worth: Vec<f64>,
}

impl TradingRule {
    /// Plays a rule over days in their order: `yesterday` the closes at which orders fill, `predictions` of the closes to come, the `last`
    /// close of all, and the band of the smart rules in percent of the prediction (published: 2).
    pub fn play(self, yesterday: &[f64], predictions: &[f64], last: f64, risk_percent: f64) -> TradingResult {
        let mut account = Account { cash: START, coins: 0.0 };
        let mut net_worth = vec![START];
        let (mut peak, mut max_drawdown) = (START, 0.0_f64);
        for (place, (price, prediction)) in yesterday.iter().zip(predictions).enumerate() {
            match self {
                Self::Vanilla => account.vanilla(*price, *prediction),
                Self::Smart => account.smart(*price, *prediction, prediction * risk_percent / 100.0),
                Self::SmartWithShort => account.smart_with_short(*price, *prediction, prediction * risk_percent / 100.0),
                Self::BuyAndHold if place == 0 => account.buy(1.0, *price),
                Self::BuyAndHold => {}
            }
            let worth = account.cash + account.coins * price;
            net_worth.push(worth);
            peak = peak.max(worth);
            max_drawdown = max_drawdown.max((peak - worth) / peak);
        }
        TradingResult { final_net_worth: account.cash + account.coins * last, max_drawdown, net_worth }
    }
}

struct Account {
    cash: f64,
    coins: f64,
}

impl Account {
    /// Spends a share of the cash.
    fn buy(&mut self, share: f64, price: f64) {
        self.coins += self.cash * share / price;
        self.cash -= self.cash * share;
    }

    /// Sells a share of the coins.
    fn sell(&mut self, share: f64, price: f64) {
        self.cash += self.coins * share * price;
        self.coins -= self.coins * share;
    }

    fn vanilla(&mut self, price: f64, prediction: f64) {
        if (prediction - price).abs() / price < VANILLA_THRESHOLD {
        } else if prediction > price {
            self.buy(1.0, price);
        } else {
            self.sell(1.0, price);
        }
    }

    fn smart(&mut self, price: f64, prediction: f64, band: f64) {
        if price > prediction + band {
            self.sell(1.0, price);
        } else if price > prediction {
            self.sell((price - prediction) / band, price);
        } else if price > prediction - band {
            self.buy((prediction - price) / band, price);
        } else {
            self.buy(1.0, price);
        }
    }

    fn smart_with_short(&mut self, price: f64, prediction: f64, band: f64) {
        if price < prediction - band {
            self.buy(1.0, price);
        } else if price < prediction {
            self.buy((prediction - price) / band, price);
        } else if price < prediction + band {
            if self.coins > 0.0 {
                self.sell((price - prediction) / band, price);
            }
        } else {
            self.cash += (self.coins + SHORT) * price;
            self.coins = -SHORT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: &TradingResult, final_net_worth: f64, curve: &[f64]) {
        assert!((got.final_net_worth - final_net_worth).abs() < 1e-12, "{got:?}");
        assert!(
            got.net_worth.len() == curve.len() && got.net_worth.iter().zip(curve).all(|(got, value)| (got - value).abs() < 1e-12),
            "{got:?}"
        );
    }

    #[test]
    fn rules_by_hand() {
        let (prices, up) = ([100.0, 80.0, 90.0], [102.0, 80.4, 70.0]);
        // All in at 100, nothing at half a percent, all out at 90.
        let vanilla = TradingRule::Vanilla.play(&prices, &up, 200.0, 2.0);
        close(&vanilla, 90.0, &[100.0, 100.0, 80.0, 90.0]);
        assert!((vanilla.max_drawdown - 0.2).abs() < 1e-12);
        close(&TradingRule::BuyAndHold.play(&prices, &up, 200.0, 2.0), 200.0, &[100.0, 100.0, 80.0, 90.0]);
        // Half of the band below: half of the cash; then above it: everything sold, and 0.002 short.
        let short = TradingRule::SmartWithShort.play(&[99.0, 110.0], &[100.0, 100.0], 50.0, 2.0);
        let cash = 50.0 + 50.0 / 99.0 * 110.0;
        close(&short, cash + 0.22 - 0.1, &[100.0, 100.0, cash]);
        close(&TradingRule::Smart.play(&[99.0, 110.0], &[100.0, 100.0], 50.0, 2.0), cash, &[100.0, 100.0, cash]);
    }
}
