//! Whether a trained model is alive, over windows of captures.

use crate::fit::{WindowError, Windows};
use crate::inspect::{InspectError, Inspection, LabelledWindows, inspect};
use crate::network::{Network, NetworkConfig, NetworkError, WindowInput};
use burn::Tensor;
use burn::tensor::{Device, TensorData};
use chronos_inference::StepWeights;
use chronos_market::REGIME_EMBEDDING;
use chronos_research::ticks::{Scaler, Target, TickData, TicksError};
use chronos_session::model::{Manifest, ModelError};

/// Windows a batch.
const BATCH: usize = 32;

/// Why a model of ticks was not inspected.
#[derive(Debug, thiserror::Error)]
pub enum TickInspectError {
    /// The ticks.
    #[error(transparent)]
    Ticks(#[from] TicksError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its sizes.
    #[error(transparent)]
    Network(Box<NetworkError>),
    /// Windows.
    #[error(transparent)]
    Windows(#[from] WindowError),
    /// What is looked at.
    #[error(transparent)]
    Inspect(#[from] InspectError),
}

/// Inspects each member of a model over at most `count` windows of `steps` ticks, spread evenly over the labelled ticks, each from a state of
/// zeros. `target` says what the labels are. The ticks must not be scaled.
///
/// # Errors
/// [`TickInspectError`], with the remedy.
pub fn inspect_ticks(
    manifest: &Manifest,
    members: &[StepWeights],
    data: TickData,
    target: &Target,
    steps: usize,
    count: usize,
) -> Result<Vec<Inspection>, TickInspectError> {
    let TickData { mut ticks, samples, .. } = data;
    ticks.keep_features(&manifest.features.names)?;
    let scaler = &manifest.scaler;
    Scaler { mean: scaler.mean.clone(), std: scaler.std.clone(), clip: scaler.clip }.apply(&mut ticks);
    let windows = Windows::new(&ticks.values, ticks.columns(), steps, &ticks.starts)?;
    let fit: Vec<usize> = (0..samples.len()).filter(|sample| windows.check(samples.rows[*sample]).is_ok()).collect();
    let chosen: Vec<usize> = fit.iter().copied().step_by(fit.len().div_ceil(count.max(1)).max(1)).collect();
    let directions = target.directions(&samples);
    let device = Device::flex();
    let batch = |batch: &[usize]| {
        let ends: Vec<usize> = batch.iter().map(|sample| samples.rows[*sample]).collect();
        let rows = || ends.iter().flat_map(|end| end + 1 - steps..=*end);
        let elapsed_s: Vec<f32> = rows().map(|row| ticks.elapsed_s[row]).collect();
        let shape = [batch.len(), steps, ticks.columns()];
        let mut input = WindowInput::from_rows(shape, windows.gather(&ends), elapsed_s, &device);
        let regime: Vec<f32> = rows().flat_map(|row| *ticks.regime(row)).collect();
        input.regime = Some(Tensor::from_data(TensorData::new(regime, [batch.len(), steps, REGIME_EMBEDDING]), &device));
        LabelledWindows {
            input,
            classes: batch.iter().map(|sample| directions[*sample].index()).collect(),
            targets: batch.iter().map(|sample| target.forecast(samples.returns[*sample]) as f32).collect(),
        }
    };
    let batches: Vec<LabelledWindows> = chosen.chunks(BATCH).map(batch).collect();
    let inspected = |weights: &StepWeights| {
        // Auxiliary heads stayed behind in training.
        let config = NetworkConfig { auxiliary_after: Some(Vec::new()), ..NetworkConfig::of(weights.spec()) };
        let network =
            Network::from_weights(weights, &config, 0, &device).map_err(|error| TickInspectError::Network(Box::new(error)))?;
        Ok(inspect(&network, &manifest.features.names, &batches)?)
    };
    members.iter().map(inspected).collect()
}
