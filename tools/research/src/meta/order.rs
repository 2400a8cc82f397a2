//! Why one order of a replay was sent, and in that size.

use crate::trees::{ExplainRowError, Explanation, explain_row};
use chronos_market::features::index_of;
use chronos_pipeline::decision::SentOrder;
use chronos_session::meta::MetaDirectory;
use serde::Serialize;

/// What a meta model said of an order that would open a position.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct OrderExplanation {
    /// The margin and what each feature, side and strength contribute to it.
    pub explanation: Explanation,
    /// Calibrated probability, computed anew from the tick's features.
    pub probability: f64,
    /// The probability that the hot path sized the order by.
    pub hot_path_probability: f64,
    /// Whether the two are the same to the last bit.
    pub is_same: bool,
    /// The difference between the margin and the sum of the expected one and all contributions.
    pub additivity_error: f64,
    /// Probability below which it would not have been sent.
    pub threshold: f64,
}

/// Explains what a meta model said of an order. `None` where it was not asked: the order only makes a position smaller.
///
/// # Errors
/// [`ExplainRowError`] where the forest has no training weights.
pub fn explain_order(meta: &MetaDirectory, sent: &SentOrder) -> Result<Option<OrderExplanation>, ExplainRowError> {
    let (Some(frame), Some(hot_path_probability)) = (sent.frame, sent.probability) else { return Ok(None) };
    // By name from the manifest, not by the places the hot path works with.
    let value = |name: &String| index_of(name).map_or(f64::NAN, |place| frame.features[place]);
    let mut row: Vec<f64> = meta.manifest.features.names.iter().map(value).collect();
    row.extend([sent.order.side.sign() as f64, sent.order.signal.abs()]);
    let explanation = explain_row(meta.model.forest(), &row, 0)?;
    let probability = meta.model.calibration().apply(explanation.prediction);
    let sum = explanation.expected + explanation.features.iter().map(|feature| feature.contribution).sum::<f64>();
    Ok(Some(OrderExplanation {
        additivity_error: (sum - explanation.margin).abs(),
        probability,
        hot_path_probability,
        is_same: probability.to_bits() == hot_path_probability.to_bits(),
        threshold: meta.model.threshold(),
        explanation,
    }))
}
