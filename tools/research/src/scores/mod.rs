//! How good predicted probabilities of down, flat and up are, beside baselines, and how sure one may be of a difference.
//!
//! A [`Predictions`] holds what one model said of some samples and what was so; [`DirectionScores`] are its scores. Two of them over the same
//! samples are told apart by [`compare`]: a [`Difference`] with a paired interval of the block bootstrap, whose blocks are longer than labels
//! overlap, and a [`Verdict`] that is undecided where the interval holds zero. [`Baselines`] are fitted on the training part and have
//! to be beaten. A [`Yardstick`] keeps labels and baselines beside a trained model.

mod baselines;
mod compare;
mod direction;
mod evaluate;
mod yardstick;

pub use baselines::{Baselines, ORDER_FLOW_FEATURES};
pub use compare::{Difference, ScoreTable, ScoredModel, Verdict, block_bootstrap, compare, score_table};
pub use direction::{DirectionScores, Predictions, PredictionsError, Probabilities, Score};
pub use evaluate::{EvaluationError, TickEvaluation, TickEvaluationOptions, evaluate_ticks};
pub use yardstick::{JudgeError, Yardstick, judge};
