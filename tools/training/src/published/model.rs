//! The published model in f64: plain loops, and everything on the way to be looked at.

use super::weights::{Weights, WeightsError};
use crate::operations::NORM_EPSILON;

/// A matrix, one row a channel.
pub type Rows = Vec<Vec<f64>>;

/// The published CryptoMamba with its weights.
///
/// The tensor of a sample is `[channels, days]`: norms run over the days, and the convolution and the scan along the *channels*. Each block
/// adds to its input; each stage ends in a linear map over the day axis, and the last map merges the channels.
#[derive(Clone, PartialEq, Debug)]
pub struct PublishedModel {
    pub(super) stages: Vec<Stage>,
    pub(super) merge: Linear,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stage {
    pub(super) blocks: Vec<Block>,
    pub(super) map: Linear,
}

/// `weight` is `[out, in]`, `bias` `[out]` or empty.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Linear {
    pub(super) inputs: usize,
    pub(super) weight: Vec<f64>,
    pub(super) bias: Vec<f64>,
}

/// One residual block of width `d`, `E` units, `N` states, rank `R`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Block {
    pub(super) norm_weight: Vec<f64>,
    pub(super) norm_bias: Vec<f64>,
    /// `[2 E, d]`: what is filtered, then the gate.
    pub(super) in_projection: Linear,
    /// `[E, K]`, the current channel's tap last.
    pub(super) taps: Vec<f64>,
    pub(super) taps_bias: Vec<f64>,
    /// `[R + 2 N, E]`: step, B, C.
    pub(super) x_projection: Linear,
    /// `[E, R]` with the step bias.
    pub(super) step_projection: Linear,
    /// `[E, N]`.
    pub(super) a_log: Vec<f64>,
    pub(super) skip: Vec<f64>,
    /// `[d, E]`.
    pub(super) out_projection: Linear,
}

/// What came out of every block and every map of one sample.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    /// By stage: every block with its insides, and the map that ends the stage, `[channels, width of the next stage]`.
    pub stages: Vec<(Vec<BlockTrace>, Rows)>,
    /// The prediction.
    pub prediction: f64,
}

/// The insides of one block, each `[channels, ..]`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BlockTrace {
    /// Normalised input, `d` wide.
    pub norm: Rows,
    /// After the filter over channels and its silu, `E` wide.
    pub filtered: Rows,
    /// Step sizes after the softplus, `E` wide.
    pub step: Rows,
    /// What enters the state, `N` wide.
    pub b: Rows,
    /// What is read from it, `N` wide.
    pub c: Rows,
    /// Read from the state, with the path around it, `E` wide.
    pub scanned: Rows,
    /// The same after the gate.
    pub gated: Rows,
    /// What the block adds, `d` wide.
    pub added: Rows,
    /// Its input with that.
    pub output: Rows,
}

impl PublishedModel {
    /// The model that a file of weights holds; stages, blocks and widths are those of its tensors.
    ///
    /// # Errors
    /// [`WeightsError`]: a tensor that is missing, of a shape that does not fit the others, or unknown.
    pub fn new(weights: &Weights) -> Result<Self, WeightsError> {
        let mut used = 0;
        let mut stages: Vec<Stage> = Vec::new();
        let has =
            |prefix: &str| weights.tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix));
        while has(&format!("model.blocks.{}.", stages.len())) {
            let stage = stages.len();
            let mut blocks = Vec::new();
            while has(&format!("model.blocks.{stage}.{}.norm.", blocks.len())) {
                blocks.push(Block::new(weights, &format!("model.blocks.{stage}.{}", blocks.len()))?);
                used += 11;
            }
            let name = format!("model.blocks.{stage}.{}", blocks.len());
            let map = Linear::new(weights, &format!("{name}.weight"), Some(&format!("{name}.bias")))?;
            used += 2;
            let width = stages.last().map_or(map.inputs, |before| before.map.outputs());
            for (found, name) in blocks
                .iter()
                .enumerate()
                .map(|(place, block)| (block.norm_weight.len(), format!("model.blocks.{stage}.{place}.norm.weight")))
                .chain([(map.inputs, format!("{name}.weight"))])
            {
                if found != width {
                    return Err(WeightsError::Shape { name, found: vec![found], expected: format!("of width {width}") });
                }
            }
            stages.push(Stage { blocks, map });
        }
        let merge = Linear::new(weights, "model.post_process.1.weight", Some("model.post_process.1.bias"))?;
        let last = stages.last().map_or(0, |stage| stage.map.outputs());
        if (last, merge.outputs()) != (1, 1) {
            let (name, expected) = ("model.post_process.1.weight".to_owned(), "[1, channels] after a stage of width 1".to_owned());
            return Err(WeightsError::Shape { name, found: vec![merge.outputs(), merge.inputs, last], expected });
        }
        if used + 2 != weights.tensors.len() {
            return Err(unknown(weights, &stages));
        }
        Ok(Self { stages, merge })
    }

    /// Data channels of a sample.
    pub fn channels(&self) -> usize {
        self.merge.inputs
    }

    /// Days of a sample.
    pub fn window(&self) -> usize {
        self.stages.first().map_or(0, |stage| stage.map.inputs)
    }

    /// Mamba blocks in all stages.
    pub fn blocks(&self) -> usize {
        self.stages.iter().map(|stage| stage.blocks.len()).sum()
    }

    /// The prediction for a sample, `[channels, days]`, row by row; a sample of another length is `None`.
    pub fn predict(&self, sample: &[f64]) -> Option<f64> {
        self.trace(sample).map(|trace| trace.prediction)
    }

    /// The prediction as it is without the blocks, which leaves an affine map of the sample.
    pub fn predict_without_blocks(&self, sample: &[f64]) -> Option<f64> {
        self.run(sample, false).map(|trace| trace.prediction)
    }

    /// The prediction and everything on the way.
    pub fn trace(&self, sample: &[f64]) -> Option<Trace> {
        self.run(sample, true)
    }

    fn run(&self, sample: &[f64], with_blocks: bool) -> Option<Trace> {
        if sample.len() != self.channels() * self.window() || sample.is_empty() {
            return None;
        }
        let mut rows: Rows = sample.chunks_exact(self.window()).map(<[f64]>::to_vec).collect();
        let mut trace = Trace::default();
        for stage in &self.stages {
            let mut blocks = Vec::new();
            for block in stage.blocks.iter().filter(|_| with_blocks) {
                let block = block.run(&rows);
                rows.clone_from(&block.output);
                blocks.push(block);
            }
            rows = rows.iter().map(|row| stage.map.run(row)).collect();
            trace.stages.push((blocks, rows.clone()));
        }
        let merged: Vec<f64> = rows.iter().flatten().copied().collect();
        trace.prediction = self.merge.run(&merged).into_iter().sum();
        Some(trace)
    }
}

impl Block {
    fn new(weights: &Weights, prefix: &str) -> Result<Self, WeightsError> {
        let name = |tensor: &str| format!("{prefix}.{tensor}");
        let [width] = weights.extents(&name("norm.weight"))?;
        let [units, states] = weights.extents(&name("op.A_log"))?;
        let [_, rank] = weights.extents(&name("op.dt_proj.weight"))?;
        let [_, _, taps] = weights.extents(&name("op.conv1d.weight"))?;
        let linear = |tensor: &str, bias: Option<&str>, shape: [usize; 2]| {
            weights.of_shape(&name(tensor), &shape)?;
            Linear::new(weights, &name(tensor), bias.map(name).as_deref())
        };
        Ok(Self {
            norm_weight: weights.of_shape(&name("norm.weight"), &[width])?,
            norm_bias: weights.of_shape(&name("norm.bias"), &[width])?,
            in_projection: linear("op.in_proj.weight", None, [2 * units, width])?,
            taps: weights.of_shape(&name("op.conv1d.weight"), &[units, 1, taps])?,
            taps_bias: weights.of_shape(&name("op.conv1d.bias"), &[units])?,
            x_projection: linear("op.x_proj.weight", None, [rank + 2 * states, units])?,
            step_projection: linear("op.dt_proj.weight", Some("op.dt_proj.bias"), [units, rank])?,
            a_log: weights.of_shape(&name("op.A_log"), &[units, states])?,
            skip: weights.of_shape(&name("op.D"), &[units])?,
            out_projection: linear("op.out_proj.weight", None, [width, units])?,
        })
    }

    /// Units.
    pub(super) fn units(&self) -> usize {
        self.skip.len()
    }

    fn run(&self, input: &Rows) -> BlockTrace {
        let (units, states) = (self.units(), self.a_log.len() / self.units());
        let rank = self.step_projection.inputs;
        let mut trace = BlockTrace { norm: input.iter().map(|row| self.normalise(row)).collect(), ..BlockTrace::default() };
        let projected: Rows = trace.norm.iter().map(|row| self.in_projection.run(row)).collect();
        let mut state = vec![0.0; units * states];
        for channel in 0..input.len() {
            let filtered = self.filter(&projected[..=channel]);
            let from_x = self.x_projection.run(&filtered);
            let (raw_step, b_and_c) = from_x.split_at(rank);
            let (b, c) = b_and_c.split_at(states);
            let step: Vec<f64> = self.step_projection.run(raw_step).into_iter().map(softplus).collect();
            let mut scanned = vec![0.0; units];
            for unit in 0..units {
                let mut read = 0.0;
                for place in 0..states {
                    let rate = -self.a_log[unit * states + place].exp();
                    let value = &mut state[unit * states + place];
                    *value = (step[unit] * rate).exp() * *value + step[unit] * b[place] * filtered[unit];
                    read += c[place] * *value;
                }
                scanned[unit] = read + self.skip[unit] * filtered[unit];
            }
            let gate = &projected[channel][units..];
            let gated: Vec<f64> = scanned.iter().zip(gate).map(|(value, gate)| value * silu(*gate)).collect();
            let added = self.out_projection.run(&gated);
            trace.output.push(input[channel].iter().zip(&added).map(|(before, added)| before + added).collect());
            trace.b.push(b.to_vec());
            trace.c.push(c.to_vec());
            trace.filtered.push(filtered);
            trace.step.push(step);
            trace.scanned.push(scanned);
            trace.gated.push(gated);
            trace.added.push(added);
        }
        trace
    }

    fn normalise(&self, row: &[f64]) -> Vec<f64> {
        let count = row.len() as f64;
        let mean = row.iter().sum::<f64>() / count;
        let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (variance + NORM_EPSILON).sqrt();
        let parameters = self.norm_weight.iter().zip(&self.norm_bias);
        row.iter().zip(parameters).map(|(value, (weight, bias))| (value - mean) * scale * weight + bias).collect()
    }

    /// The causal filter and its silu for the last of the channels so far.
    fn filter(&self, projected: &[Vec<f64>]) -> Vec<f64> {
        let units = self.units();
        let count = self.taps.len() / units;
        (0..units)
            .map(|unit| {
                let taps = self.taps[unit * count..][..count].iter().rev();
                let sum: f64 = projected.iter().rev().zip(taps).map(|(row, tap)| row[unit] * tap).sum();
                silu(sum + self.taps_bias[unit])
            })
            .collect()
    }
}

impl Linear {
    fn new(weights: &Weights, name: &str, bias: Option<&str>) -> Result<Self, WeightsError> {
        let [outputs, inputs] = weights.extents(name)?;
        let bias = bias.map_or(Ok(Vec::new()), |bias| weights.of_shape(bias, &[outputs]))?;
        Ok(Self { inputs, weight: weights.of_shape(name, &[outputs, inputs])?, bias })
    }

    pub(super) fn outputs(&self) -> usize {
        self.weight.len() / self.inputs
    }

    fn run(&self, input: &[f64]) -> Vec<f64> {
        let product = |row: &[f64]| row.iter().zip(input).map(|(weight, value)| weight * value).sum::<f64>();
        let mut outputs: Vec<f64> = self.weight.chunks_exact(self.inputs).map(product).collect();
        outputs.iter_mut().zip(&self.bias).for_each(|(output, bias)| *output += bias);
        outputs
    }
}

/// The first tensor that no part of the model reads.
fn unknown(weights: &Weights, stages: &[Stage]) -> WeightsError {
    let is_known = |name: &str| {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["model", "post_process", "1", "weight" | "bias"] => true,
            ["model", "blocks", stage, block, rest @ ..] => {
                let stage = stage.parse().ok().and_then(|stage: usize| stages.get(stage));
                match (stage, block.parse::<usize>().ok(), rest) {
                    (Some(stage), Some(block), ["weight" | "bias"]) => block == stage.blocks.len(),
                    (Some(stage), Some(block), ["norm", "weight" | "bias"]) => block < stage.blocks.len(),
                    (Some(stage), Some(block), ["op", "A_log" | "D"]) => block < stage.blocks.len(),
                    (Some(stage), Some(block), ["op", "conv1d" | "dt_proj", "weight" | "bias"]) => block < stage.blocks.len(),
                    (Some(stage), Some(block), ["op", "in_proj" | "x_proj" | "out_proj", "weight"]) => block < stage.blocks.len(),
                    _ => false,
                }
            }
            _ => false,
        }
    };
    let name = weights.tensors.keys().find(|name| !is_known(name)).cloned().unwrap_or_default();
    WeightsError::Unknown { name }
}

fn silu(value: f64) -> f64 {
    value / (1.0 + (-value).exp())
}

/// As torch has it: the line itself above 20.
fn softplus(value: f64) -> f64 {
    if value > 20.0 { value } else { value.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::super::weights::Architecture;
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        let architecture = Architecture { channels: 2, widths: vec![3, 5, 1], blocks: 1, states: 4, expand: 2, taps: 2 };
        let weights = architecture.first_weights(1);
        let model = PublishedModel::new(&weights).unwrap();
        assert_eq!((model.channels(), model.window(), model.blocks()), (2, 3, 2));
        assert_eq!(model.predict(&[0.0; 5]), None);
        let told = |change: &dyn Fn(&mut Weights)| {
            let mut weights = weights.clone();
            change(&mut weights);
            PublishedModel::new(&weights).unwrap_err().to_string()
        };
        let drop = |name: &'static str| told(&|weights| drop(weights.tensors.remove(name)));
        assert!(drop("model.blocks.1.0.op.D").contains("no tensor model.blocks.1.0.op.D"));
        assert!(drop("model.post_process.1.bias").contains("post_process"));
        assert!(drop("model.blocks.0.1.weight").contains("no tensor model.blocks.0.1.weight"));
        let add = told(&|weights| {
            let more = weights.tensors["model.blocks.0.0.op.D"].clone();
            weights.tensors.insert("model.extra".to_owned(), more);
        });
        assert!(add.contains("tensor model.extra is none"), "{add}");
        let shape = told(&|weights| {
            let tensor = weights.tensors.get_mut("model.blocks.0.0.op.x_proj.weight").unwrap();
            tensor.shape = vec![tensor.values.len(), 1];
        });
        assert!(shape.contains("op.x_proj.weight is ["), "{shape}");
        assert!(told(&|weights| weights.tensors.clear()).contains("post_process"));
    }

    #[test]
    fn the_scan_runs_along_channels_and_never_back() {
        let architecture = Architecture { channels: 4, widths: vec![3, 1], blocks: 1, states: 2, expand: 2, taps: 4 };
        let model = PublishedModel::new(&architecture.first_weights(5)).unwrap();
        let sample: Vec<f64> = (0..12).map(|place| f64::from(place * place % 7)).collect();
        let mut changed = sample.clone();
        changed[7] += 1.0;
        let (before, after) = (model.trace(&sample).unwrap(), model.trace(&changed).unwrap());
        let output = |trace: &Trace| trace.stages[0].0[0].output.clone();
        assert_eq!(output(&before)[..2], output(&after)[..2]);
        assert!(output(&before)[2] != output(&after)[2] && output(&before)[3] != output(&after)[3]);
    }
}
