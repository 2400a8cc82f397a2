//! Ensembles of decision trees, scored without allocation.
//!
//! A [`Forest`] is read from an XGBoost model in JSON or a LightGBM model in text ([`read_forest`]), or made by our own trainer, and
//! answers as the library it came from does: XGBoost's float32 comparisons and sums, LightGBM's double ones, missing values to the
//! side each split learnt. [`write_xgboost`] gives a forest of ours to other tools. A [`Calibration`] turns its probabilities into
//! ones that happen as often as they say.
//!
//! ```
//! use chronos_inference::trees::{Forest, ForestParts, Link, Node, Precision, Split, Tree, below};
//!
//! // One tree: below 0.5, or missing, -1; else 1.
//! let split = Split { feature: 0, threshold: below(0.5), missing_left: true, zero_is_missing: false, left: 1, right: 2, gain: 1.0 };
//! let nodes = vec![Node::split(split, 2.0), Node::leaf(-1.0, 1.0), Node::leaf(1.0, 1.0)];
//! let forest = Forest::new(ForestParts {
//!     link: Link::Logistic { slope: 1.0 },
//!     precision: Precision::Single,
//!     features: 1,
//!     feature_names: Vec::new(),
//!     base_margins: vec![0.0],
//!     trees: vec![Tree { output: 0, root: 0, nodes }],
//! })?;
//! assert!(forest.predict(&[0.7])? > 0.7);
//! assert!(forest.predict(&[f64::NAN])? < 0.3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calibration;
mod forest;
mod lightgbm;
mod read;
mod threshold;
mod tree;
mod xgboost;
mod xgboost_file;

pub use calibration::{Calibration, CalibrationError, IsotonicMap};
pub use forest::{Flaw, Forest, ForestParts, Link, Precision, ScoreError};
pub use lightgbm::parse_lightgbm;
pub use read::{ForestError, read_forest};
pub use threshold::below;
pub use tree::{DEPTH_MAX, FEATURES_MAX, Node, Split, Tree, TreeFlaw};
pub use xgboost::{Iterations, log_odds, parse_xgboost, write_xgboost};
