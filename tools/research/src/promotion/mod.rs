//! The gate a model passes before it may trade.
//!
//! It trusts no figure that was written down: from the stored returns of every path and the trial ledger it computes the
//! probability of overfitting (PBO) over all configurations of the validation, and the deflated Sharpe ratio (DSR) of the best of
//! them in the light of every trial in the ledger. A model passes where PBO is below 0.5 and the DSR's probability above 0.95
//! (`[promotion]` of the configuration), and where the stored paths are bound to this model and to their configurations.
//!
//! # Which returns
//! Cross-validation gives each configuration several paths. The best configuration is the one with the highest median Sharpe ratio
//! over its paths; its DSR is that of its median path, the lower of two in the middle. PBO is the mean over paths.
//!
//! # How many observations
//! The returns of a path are not independent even where bets do not overlap: what one fold is tested on, the others were trained
//! on, so a direction that the whole history happens to have is found and confirmed in every fold. The Sharpe ratio of a path
//! scatters more than its number of bets says (see [`Splitter::dependence`](crate::validation::Splitter::dependence)). The gate
//! therefore divides the number of observations by that factor, and shows the plain figure beside it.

pub mod study;
mod verdict;

pub use verdict::{Candidate, Evidence, Gate, PromotionError, Verdict, judge, path_overfitting};
