//! What a validation says of each configuration, in the figures people know.

use super::bootstrap::{Bootstrap, Interval, shuffle_trades};
use super::drawdown::{Wealth, conditional_drawdown_at_risk, drawdowns, maximum_drawdown, ulcer_index};
use super::performance::{
    annual_return, annual_volatility, calmar_ratio, conditional_value_at_risk, hit_rate, information_ratio, mean, profit_factor,
    sharpe_ratio, sortino_ratio, tail_ratio,
};
use super::record::{Configuration, Validation};
use super::sharpe::Moments;
use crate::error::SeriesError;
use serde::Serialize;
use serde_json::Value;

/// Share of the worst that tail figures look at.
const TAIL: f64 = 0.05;
/// Orders of the trades that are drawn.
const SHUFFLES: usize = 1_000;
/// Probability that the minimum track record is for, and of the shuffled drawdown.
const CONFIDENCE: f64 = 0.95;

/// One configuration's figures: Sharpe ratios of all paths, the rest of the median one, a bet and then a year by the data's own clock
/// (see [`annual_caveat`](super::performance::annual_caveat)). A figure that cannot be computed is NaN or none.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// The model, as it describes itself.
    pub model: Value,
    /// Sharpe ratio a bet of each path, 0 of one that never traded.
    pub path_sharpes: Vec<f64>,
    /// Sharpe ratio a bet of the median path, with its 95 % bootstrap interval; none where that path hardly traded.
    pub sharpe: Option<Interval>,
    /// Mean return of a bet.
    pub mean_return: f64,
    /// Standard deviation of the return of a bet.
    pub volatility: f64,
    /// Units of notional traded for a bet.
    pub turnover: f64,
    /// Probability that the true Sharpe ratio is above 0, before any deflation, bets counted as independent.
    pub probabilistic_sharpe: Option<f64>,
    /// Bets after which that probability would reach 95 %.
    pub minimum_track_record: Option<f64>,
    /// Sharpe ratio a year.
    pub annual_sharpe: f64,
    /// Compounded return a year.
    pub annual_return: f64,
    /// Standard deviation a year.
    pub annual_volatility: f64,
    /// Sortino ratio a year.
    pub sortino: f64,
    /// Return a year over the largest drawdown.
    pub calmar: f64,
    /// Information ratio a year, against a position of 1 in every bet.
    pub information_ratio: f64,
    /// Largest drawdown, as a share.
    pub maximum_drawdown: f64,
    /// The largest drawdown that 95 % of the orders of the same bets stay below.
    pub shuffled_drawdown: f64,
    /// Ulcer index.
    pub ulcer_index: f64,
    /// Mean loss of the worst 5 % of bets.
    pub conditional_value_at_risk: f64,
    /// Mean of the worst 5 % of drawdowns.
    pub conditional_drawdown_at_risk: f64,
    /// 95th over 5th percentile of the bets' returns.
    pub tail_ratio: f64,
    /// Share of bets that gained.
    pub hit_rate: f64,
    /// Gains over losses.
    pub profit_factor: f64,
    /// Units of notional traded a year.
    pub annual_turnover: f64,
    /// Share of bets that took a position.
    pub exposure: f64,
}

impl Validation {
    /// The figures of every configuration.
    ///
    /// # Errors
    /// [`SeriesError`] for fewer than two bets.
    pub fn summaries(&self) -> Result<Vec<Summary>, SeriesError> {
        self.configurations.iter().map(|configuration| self.summary(configuration)).collect()
    }

    fn summary(&self, configuration: &Configuration) -> Result<Summary, SeriesError> {
        let (returns, periods) = (configuration.median_path(), self.periods_per_year);
        let drawdowns = drawdowns(returns, Wealth::Compounded);
        let estimate = Moments::of(returns).ok().map(|moments| moments.sharpe());
        let bootstrap = Bootstrap::standard(returns.len(), self.seed);
        Ok(Summary {
            model: configuration.model.clone(),
            path_sharpes: configuration.path_sharpes(),
            sharpe: bootstrap.interval(returns, |returns| sharpe_ratio(returns, 1.0)).ok(),
            mean_return: mean(returns),
            volatility: annual_volatility(returns, 1.0),
            turnover: configuration.turnover,
            annual_sharpe: sharpe_ratio(returns, periods),
            probabilistic_sharpe: estimate.map(|estimate| estimate.probability_above(0.0)),
            minimum_track_record: estimate.map(|estimate| estimate.minimum_track_record(0.0, CONFIDENCE)),
            annual_return: annual_return(returns, periods),
            annual_volatility: annual_volatility(returns, periods),
            sortino: sortino_ratio(returns, periods),
            calmar: calmar_ratio(returns, periods),
            information_ratio: information_ratio(returns, &self.benchmark, periods),
            maximum_drawdown: maximum_drawdown(&drawdowns),
            shuffled_drawdown: shuffle_trades(returns, Wealth::Compounded, SHUFFLES, self.seed)?.quantile(CONFIDENCE),
            ulcer_index: ulcer_index(&drawdowns),
            conditional_value_at_risk: conditional_value_at_risk(returns, TAIL),
            conditional_drawdown_at_risk: conditional_drawdown_at_risk(&drawdowns, TAIL),
            tail_ratio: tail_ratio(returns),
            hit_rate: hit_rate(returns),
            profit_factor: profit_factor(returns),
            annual_turnover: configuration.turnover * periods,
            exposure: configuration.exposure,
        })
    }
}
