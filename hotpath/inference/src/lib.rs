//! One step of the model: the step graph, its ONNX form, tract and the native kernel; and ensembles of decision trees.
//!
//! A [`StepModel`] is asked at each decision tick. It remembers through its state: at each tick it sees the features of that tick,
//! the time since the one before and the regime, and predicts. A [`StepSpec`] says how large a model is, [`StepWeights`] hold its
//! values, and an ONNX file ([`write_onnx`], [`read_onnx`]) is how it travels. [`load`] gives one of two engines: [`NativeModel`],
//! which computes exactly the graph that [`write_onnx`] writes and never allocates, or [`TractModel`], which runs any graph with
//! the same signature. An [`Ensemble`] asks several as one and says how far they disagree.
//!
//! ```
//! use chronos_inference::{NativeModel, Prediction, StepInput, StepModel, StepSpec, StepWeights};
//!
//! let weights = StepWeights::untrained(&StepSpec::standard(24), 7);
//! let mut model = NativeModel::new(&weights);
//! let mut prediction = Prediction::default();
//! model.step(&StepInput { features: &[0.5; 24], dt_s: 0.001, regime: &[0.0; 128] }, &mut prediction)?;
//! assert!(prediction.signal().abs() < 1.0);
//! # Ok::<(), chronos_inference::InferenceError>(())
//! ```
//!
//! [`trees`] scores ensembles of decision trees, XGBoost's, LightGBM's and our own.
//!
//! # The step graph
//!
#![doc = include_str!("step_graph.md")]

pub mod elementary;
mod ensemble;
mod graph;
pub mod instruction_set;
mod load;
mod matrix;
mod native;
mod onnx;
mod spec;
mod step;
mod tract;
pub mod trees;
mod weights;

pub use ensemble::Ensemble;
pub use graph::OPSET;
pub use load::{EngineChoice, LoadError, load};
pub use native::NativeModel;
pub use onnx::{Mismatch, OnnxStepModel, encode_onnx, encode_window_onnx, read_onnx, write_onnx};
pub use spec::{CLASSES, Head, HeadTensor, LayerTensor, NORM_EPSILON, StepSpec, TIME_SCALES, Tensor};
pub use step::{Engine, InferenceError, Prediction, StepInput, StepModel};
pub use tract::TractModel;
pub use weights::StepWeights;
