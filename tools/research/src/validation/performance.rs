//! What a series of returns was worth, and what it cost to sit through.
//!
//! Returns are simple and per period. A ratio over nothing (no loss, no spread) is what the division gives: infinite or NaN.
//! Figures a year are scaled by the number of periods a year, which [`periods_per_year`] reads off the data's own clock.

use crate::error::SeriesError;
use chronos_session::format::{count, span_ns as span_text};

/// Nanoseconds in a Julian year of 365.25 days.
const NANOS_PER_YEAR: f64 = 365.25 * 86_400e9;

/// Returns that span less than this, 30 days, say next to nothing of a year.
pub const ANNUAL_SPAN_NS_MIN: u64 = 30 * 86_400 * 1_000_000_000;

/// Periods a year, from the times of rows in nanoseconds: their number over the time they took.
///
/// # Errors
/// [`SeriesError`] for fewer than two rows or times that do not grow.
pub fn periods_per_year(times_ns: &[i64]) -> Result<f64, SeriesError> {
    const WHAT: &str = "the series of bets";
    if times_ns.len() < 2 {
        return Err(SeriesError::TooShort { what: WHAT, rows: times_ns.len(), rows_min: 2 });
    }
    if let Some(row) = times_ns.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(SeriesError::NotLater { what: WHAT, row: row + 1 });
    }
    let span = times_ns[times_ns.len() - 1] as f64 - times_ns[0] as f64;
    Ok((times_ns.len() - 1) as f64 * NANOS_PER_YEAR / span)
}

/// Why figures a year mean little for returns that span so few nanoseconds; nothing where they span enough ([`ANNUAL_SPAN_NS_MIN`]).
pub fn annual_caveat(span_ns: u64, periods_per_year: f64) -> Option<String> {
    (span_ns < ANNUAL_SPAN_NS_MIN).then(|| {
        format!(
            "the bets span {}, and figures a year suppose {} more such bets that nobody has seen: go by the figures a bet",
            span_text(span_ns),
            count((periods_per_year.min(1e18)) as u64)
        )
    })
}

/// Growth a year, compounded, as a share of the start.
pub fn annual_return(returns: &[f64], periods_per_year: f64) -> f64 {
    let wealth: f64 = returns.iter().map(|value| 1.0 + value).product();
    wealth.powf(periods_per_year / returns.len() as f64) - 1.0
}

/// Standard deviation (n - 1), a year.
pub fn annual_volatility(returns: &[f64], periods_per_year: f64) -> f64 {
    standard_deviation(returns) * periods_per_year.sqrt()
}

/// Mean over standard deviation (n - 1), a year.
pub fn sharpe_ratio(returns: &[f64], periods_per_year: f64) -> f64 {
    mean(returns) / standard_deviation(returns) * periods_per_year.sqrt()
}

/// Root mean square of the losses over all periods, a year.
pub fn downside_risk(returns: &[f64], periods_per_year: f64) -> f64 {
    let squares: f64 = returns.iter().map(|value| value.min(0.0).powi(2)).sum();
    (squares / returns.len() as f64).sqrt() * periods_per_year.sqrt()
}

/// Mean a year over [`downside_risk`] (Sortino and van der Meer 1991).
pub fn sortino_ratio(returns: &[f64], periods_per_year: f64) -> f64 {
    mean(returns) * periods_per_year / downside_risk(returns, periods_per_year)
}

/// [`annual_return`] over the largest compounded drawdown (Young 1991).
pub fn calmar_ratio(returns: &[f64], periods_per_year: f64) -> f64 {
    annual_return(returns, periods_per_year) / super::maximum_drawdown(&super::drawdowns(returns, super::Wealth::Compounded))
}

/// Sum of the gains over sum of the losses (the omega ratio at 0).
pub fn profit_factor(returns: &[f64]) -> f64 {
    let gains: f64 = returns.iter().map(|value| value.max(0.0)).sum();
    let losses: f64 = returns.iter().map(|value| -value.min(0.0)).sum();
    gains / losses
}

/// Share of gains among the periods that gained or lost; periods without a position do not count.
pub fn hit_rate(returns: &[f64]) -> f64 {
    let gains = returns.iter().filter(|&&value| value > 0.0).count() as f64;
    gains / returns.iter().filter(|&&value| value != 0.0).count() as f64
}

/// Magnitude of the 95th percentile over that of the 5th.
pub fn tail_ratio(returns: &[f64]) -> f64 {
    (quantile(returns, 0.95) / quantile(returns, 0.05)).abs()
}

/// Mean over standard deviation (n - 1) of the returns above the benchmark's, a year; NaN where lengths differ.
pub fn information_ratio(returns: &[f64], benchmark: &[f64], periods_per_year: f64) -> f64 {
    if returns.len() != benchmark.len() {
        return f64::NAN;
    }
    let active: Vec<f64> = returns.iter().zip(benchmark).map(|(value, benchmark)| value - benchmark).collect();
    sharpe_ratio(&active, periods_per_year)
}

/// The quantile of a share from 0 to 1, linear between order statistics; the value at risk, as a return, of a small share.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    quantile_of_sorted(&sorted(values), share)
}

/// Mean of the `int((n - 1) * share) + 1` lowest returns.
pub fn tail_mean(returns: &[f64], share: f64) -> f64 {
    let sorted = sorted(returns);
    let count = (((sorted.len() as f64 - 1.0) * share) as usize + 1).min(sorted.len());
    mean(&sorted[..count])
}

/// Historical value at risk as a loss: the order statistic at the share.
pub fn value_at_risk(returns: &[f64], share: f64) -> f64 {
    let sorted = sorted(returns);
    order_at(&sorted, share).map_or(f64::NAN, |index| -sorted[index])
}

/// Conditional value at risk as a loss: the mean of the worst share, its last return counted in part (Rockafellar and Uryasev
/// 2000).
pub fn conditional_value_at_risk(returns: &[f64], share: f64) -> f64 {
    let sorted = sorted(returns);
    let Some(index) = order_at(&sorted, share) else { return f64::NAN };
    let beyond: f64 = sorted[..=index].iter().map(|value| value - sorted[index]).sum();
    -sorted[index] - beyond / (share * sorted.len() as f64)
}

/// Quantile of values in ascending order; NaN of none.
pub(crate) fn quantile_of_sorted(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let low = place.floor() as usize;
    let (one, two) = (sorted[low], sorted[(low + 1).min(last)]);
    one + (two - one) * (place - low as f64)
}

/// Values in ascending order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Mean; NaN of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation (n - 1); NaN of fewer than two.
pub(crate) fn standard_deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if values.len() < 2 { f64::NAN } else { (squares / (values.len() as f64 - 1.0)).sqrt() }
}

/// The place `ceil(share * n) - 1`.
fn order_at(sorted: &[f64], share: f64) -> Option<usize> {
    let last = sorted.len().checked_sub(1)?;
    Some(((share * sorted.len() as f64).ceil() as usize).saturating_sub(1).min(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_datas_own() {
        const HOUR: i64 = 3_600_000_000_000;
        let hourly: Vec<i64> = (0..100).map(|hour| hour * HOUR).collect();
        assert!((periods_per_year(&hourly).unwrap() - 8_766.0).abs() < 1e-9);
        // The same number of rows in twice the time: half as many a year, whatever the gaps between them.
        let gaps: Vec<i64> = (0..100).map(|row| if row < 99 { row * HOUR } else { 198 * HOUR }).collect();
        assert!((periods_per_year(&gaps).unwrap() - 4_383.0).abs() < 1e-9);
        assert!(periods_per_year(&[5]).is_err());
        assert!(matches!(periods_per_year(&[1, 2, 2]), Err(SeriesError::NotLater { row: 2, .. })));
    }

    #[test]
    fn ratios_of_four_returns_by_hand() {
        let returns = [0.1, -0.05, 0.0, 0.05];
        assert!((annual_return(&returns, 4.0) - (1.1 * 0.95 * 1.05 - 1.0)).abs() < 1e-15);
        assert!((profit_factor(&returns) - 3.0).abs() < 1e-12);
        assert!((hit_rate(&returns) - 2.0 / 3.0).abs() < 1e-15);
        assert!((downside_risk(&returns, 1.0) - 0.025).abs() < 1e-15);
        assert!((sortino_ratio(&returns, 1.0) - 1.0).abs() < 1e-12);
        assert!((quantile(&returns, 0.5) - 0.025).abs() < 1e-15);
        assert!((value_at_risk(&returns, 0.25) - 0.05).abs() < 1e-15);
        // Half of the worst 37.5 %: the loss of 5 % and half of a return of 0.
        assert!((conditional_value_at_risk(&returns, 0.375) - 0.05 / 1.5).abs() < 1e-15);
        assert!((tail_mean(&returns, 0.34) + 0.025).abs() < 1e-15);
        let benchmark = [0.05, -0.05, -0.05, 0.0];
        assert!((information_ratio(&returns, &benchmark, 1.0) - 0.0375 / 0.025).abs() < 1e-12);
        assert!(information_ratio(&returns, &benchmark[..3], 1.0).is_nan());
    }

    #[test]
    fn nothing_gives_nan_and_never_panics() {
        for value in [quantile(&[], 0.5), value_at_risk(&[], 0.05), conditional_value_at_risk(&[], 0.05), sharpe_ratio(&[], 1.0)] {
            assert!(value.is_nan());
        }
        assert!(tail_mean(&[], 0.05).is_nan() && calmar_ratio(&[], 365.0).is_nan());
    }
}
