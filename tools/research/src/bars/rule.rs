//! Rules of bars as they are written: `time:60s`, `imbalance:volume`.

use chronos_market::bars::{BarRule, Expectation, Measure};
use chronos_market::{NANOS_PER_MILLI, NANOS_PER_SECOND, Qty};

/// How rules are written.
pub const RULES_TEXT: &str = "time:60s (ms, s, m, h, d), trades:100, volume:12.5, notional:1e6, imbalance:trades|volume|notional[:FIRST], runs:trades|volume|notional[:FIRST]";

/// A text that is no rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no rule of bars; write one of {RULES_TEXT}")]
pub struct RuleError {
    /// The text.
    pub text: String,
}

/// Reads a rule. `imbalance` and `runs` take the number of trades of the first bar, 100 where it is left out; later ones have a tenth
/// to a hundred times that many, so that a rule that feeds on itself neither shrinks to single trades nor grows without end.
///
/// # Errors
/// [`RuleError`], which lists the rules.
pub fn parse_rule(text: &str) -> Result<BarRule, RuleError> {
    rule(text).ok_or_else(|| RuleError { text: text.to_owned() })
}

fn rule(text: &str) -> Option<BarRule> {
    let (kind, size) = text.split_once(':')?;
    let positive = |text: &str| text.parse::<f64>().ok().filter(|value| *value > 0.0 && value.is_finite());
    let count = |text: &str| text.parse::<u64>().ok().filter(|value| *value > 0);
    Some(match kind {
        "time" => BarRule::Time(parse_duration(size)?),
        "trades" => BarRule::Trades(count(size)?),
        "volume" => BarRule::Volume(Qty::from_f64(positive(size)?).filter(|volume| volume.0 > 0)?),
        "notional" => BarRule::Notional(positive(size)?),
        "imbalance" | "runs" => {
            let (measure, first) = size.split_once(':').map_or((size, None), |(measure, first)| (measure, Some(first)));
            let measure = match measure {
                "trades" => Measure::Trades,
                "volume" => Measure::Volume,
                "notional" => Measure::Notional,
                _ => return None,
            };
            let first_trades = first.map_or(Some(Expectation::default().first_trades), count)?;
            let trades_max = first_trades.saturating_mul(100);
            let expectation =
                Expectation { first_trades, trades_min: (first_trades / 10).max(1), trades_max, ..Expectation::default() };
            if kind == "runs" { BarRule::Runs(measure, expectation) } else { BarRule::Imbalance(measure, expectation) }
        }
        _ => return None,
    })
}

/// Nanoseconds of `250ms`, `60s`, `5m`, `4h`, `1d`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let unit = match &text[digits..] {
        "ms" => NANOS_PER_MILLI,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        "d" => 86_400 * NANOS_PER_SECOND,
        _ => return None,
    };
    text[..digits].parse::<i64>().ok()?.checked_mul(unit).filter(|nanos| *nanos > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_they_are_written() {
        assert_eq!(parse_rule("time:250ms"), Ok(BarRule::Time(250_000_000)));
        assert_eq!(parse_rule("time:1d"), Ok(BarRule::Time(86_400_000_000_000)));
        assert_eq!(parse_rule("trades:100"), Ok(BarRule::Trades(100)));
        assert_eq!(parse_rule("volume:12.5"), Ok(BarRule::Volume(Qty(1_250_000_000))));
        assert_eq!(parse_rule("notional:1e6"), Ok(BarRule::Notional(1e6)));
        assert_eq!(parse_rule("imbalance:volume"), Ok(BarRule::Imbalance(Measure::Volume, Expectation::default())));
        let Ok(BarRule::Runs(Measure::Trades, expectation)) = parse_rule("runs:trades:30") else { panic!("a runs rule") };
        assert_eq!((expectation.first_trades, expectation.trades_min, expectation.trades_max), (30, 3, 3_000));
        for text in [
            "",
            "time",
            "time:60",
            "time:0s",
            "trades:0",
            "volume:-1",
            "volume:nan",
            "notional:inf",
            "runs:price",
            "imbalance:trades:x",
        ] {
            assert!(parse_rule(text).unwrap_err().to_string().contains("time:60s"), "{text}");
        }
    }
}
