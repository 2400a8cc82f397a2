//! Weights of the published model: read from safetensors files, or the first ones of a training.

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file that is read; the published models have 0.6 MB.
pub const FILE_BYTES_MAX: u64 = 1 << 26;

/// One tensor, row by row.
#[derive(Clone, PartialEq, Debug)]
pub struct Weight {
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f64>,
}

/// Named tensors.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Weights {
    /// By name.
    pub tensors: BTreeMap<String, Weight>,
}

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any model this is for.
    #[error("{path}: {bytes} bytes, at most {FILE_BYTES_MAX} are read; is this the right file?", path = path.display())]
    Large {
        /// Which.
        path: PathBuf,
        /// How large it is.
        bytes: u64,
    },
    /// It is no safetensors file.
    #[error("{path} is no whole safetensors file: {source}; fetch it again", path = path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// A precision that is not read.
    #[error("tensor {name} is {dtype:?}; weights are F32 or F64: convert the file")]
    Precision {
        /// Which tensor.
        name: String,
        /// What it is.
        dtype: Dtype,
    },
    /// A value that is no number.
    #[error("tensor {name} holds {value} at place {place}; the file is damaged, or its training failed")]
    NotFinite {
        /// Which tensor.
        name: String,
        /// Where, row by row.
        place: usize,
        /// The value.
        value: f64,
    },
    /// A tensor is missing.
    #[error("there is no tensor {name}; the file holds another model, or a part of one")]
    Missing {
        /// Which.
        name: String,
    },
    /// A tensor of another shape.
    #[error("tensor {name} is {found:?} and has to be {expected}; the file holds another model")]
    Shape {
        /// Which.
        name: String,
        /// Its extents.
        found: Vec<usize>,
        /// What they have to be.
        expected: String,
    },
    /// A tensor that the model does not have.
    #[error("tensor {name} is none of the model's; the file holds another one")]
    Unknown {
        /// Which.
        name: String,
    },
}

impl Weights {
    /// Reads a safetensors file. Offsets, lengths and the header are checked before anything is taken.
    ///
    /// # Errors
    /// [`WeightsError`]: a file that cannot be read, is larger than [`FILE_BYTES_MAX`] or damaged; tensors that are neither f32 nor f64, or
    /// not finite.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read { path: path.to_owned(), source };
        let bytes = fs::metadata(path).map_err(read)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(WeightsError::Large { path: path.to_owned(), bytes });
        }
        let file = fs::read(path).map_err(read)?;
        let format = |source| WeightsError::Format { path: path.to_owned(), source };
        let mut tensors = BTreeMap::new();
        for (name, tensor) in SafeTensors::deserialize(&file).map_err(format)?.tensors() {
            let values: Vec<f64> = match tensor.dtype() {
                Dtype::F32 => tensor.data().as_chunks::<4>().0.iter().map(|raw| f64::from(f32::from_le_bytes(*raw))).collect(),
                Dtype::F64 => tensor.data().as_chunks::<8>().0.iter().map(|raw| f64::from_le_bytes(*raw)).collect(),
                dtype => return Err(WeightsError::Precision { name, dtype }),
            };
            if let Some((place, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(WeightsError::NotFinite { name, place, value: *value });
            }
            tensors.insert(name, Weight { shape: tensor.shape().to_vec(), values });
        }
        Ok(Self { tensors })
    }

    /// How many values there are in all tensors.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|weight| weight.values.len()).sum()
    }

    /// A tensor by its name.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn get(&self, name: &str) -> Result<&Weight, WeightsError> {
        self.tensors.get(name).ok_or_else(|| WeightsError::Missing { name: name.to_owned() })
    }

    /// The values of a tensor of this shape.
    pub(super) fn of_shape(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, WeightsError> {
        let weight = self.get(name)?;
        if weight.shape != shape {
            let expected = format!("{shape:?}");
            return Err(WeightsError::Shape { name: name.to_owned(), found: weight.shape.clone(), expected });
        }
        Ok(weight.values.clone())
    }

    /// The extents of a tensor of so many dimensions, none of them 0.
    pub(super) fn extents<const D: usize>(&self, name: &str) -> Result<[usize; D], WeightsError> {
        let shape = &self.get(name)?.shape;
        let extents: Option<[usize; D]> = shape.as_slice().try_into().ok();
        extents.filter(|extents| !extents.contains(&0)).ok_or_else(|| WeightsError::Shape {
            name: name.to_owned(),
            found: shape.clone(),
            expected: format!("of {D} dimensions without zeros"),
        })
    }
}

/// Extents of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Architecture {
    /// Data channels.
    pub channels: usize,
    /// Width of each stage, the first being the days of the window, and of what comes out.
    pub widths: Vec<usize>,
    /// Residual blocks of a stage.
    pub blocks: usize,
    /// Values of state a unit.
    pub states: usize,
    /// Units of a block over its width.
    pub expand: usize,
    /// Taps of the filter over channels.
    pub taps: usize,
}

impl Architecture {
    /// The published one, for five channels (without volume) or six.
    pub fn published(channels: usize) -> Self {
        Self { channels, widths: vec![14, 16, 32, 1], blocks: 4, states: 64, expand: 2, taps: 4 }
    }

    /// The first weights of a training, the same for one seed: torch's defaults, with Mamba's step bias (log-uniform steps between 0.001
    /// and 0.1), `A = -1, -2, ..` and `D = 1`.
    pub fn first_weights(&self, seed: u64) -> Weights {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut weights = Weights::default();
        let mut put = |name: String, shape: &[usize], value: &mut dyn FnMut(usize) -> f64| {
            // In f32, as the network is trained.
            let values = (0..shape.iter().product()).map(|place| f64::from(value(place) as f32)).collect();
            weights.tensors.insert(name, Weight { shape: shape.to_vec(), values });
        };
        let uniform = |bound: f64, random: &mut fastrand::Rng| bound * (2.0 * random.f64() - 1.0);
        for (stage, pair) in self.widths.windows(2).enumerate() {
            let (width, width_out) = (pair[0], pair[1]);
            let (inner, rank) = (self.expand * width, width.div_ceil(16));
            for block in 0..self.blocks {
                let name = |tensor: &str| format!("model.blocks.{stage}.{block}.{tensor}");
                let (by_width, by_inner) = ((width as f64).powf(-0.5), (inner as f64).powf(-0.5));
                let by_rank = (rank as f64).powf(-0.5);
                put(name("norm.weight"), &[width], &mut |_| 1.0);
                put(name("norm.bias"), &[width], &mut |_| 0.0);
                put(name("op.in_proj.weight"), &[2 * inner, width], &mut |_| uniform(by_width, &mut random));
                let by_taps = (self.taps as f64).powf(-0.5);
                put(name("op.conv1d.weight"), &[inner, 1, self.taps], &mut |_| uniform(by_taps, &mut random));
                put(name("op.conv1d.bias"), &[inner], &mut |_| uniform(by_taps, &mut random));
                put(name("op.x_proj.weight"), &[rank + 2 * self.states, inner], &mut |_| uniform(by_inner, &mut random));
                put(name("op.dt_proj.weight"), &[inner, rank], &mut |_| uniform(by_rank, &mut random));
                put(name("op.dt_proj.bias"), &[inner], &mut |_| {
                    let step = (0.001_f64.ln() + random.f64() * (0.1_f64 / 0.001).ln()).exp().max(1e-4);
                    step + (-(-step).exp_m1()).ln()
                });
                put(name("op.A_log"), &[inner, self.states], &mut |place| ((place % self.states + 1) as f64).ln());
                put(name("op.D"), &[inner], &mut |_| 1.0);
                put(name("op.out_proj.weight"), &[width, inner], &mut |_| uniform(by_inner, &mut random));
            }
            let (name, bound) =
                (|tensor: &str| format!("model.blocks.{stage}.{}.{tensor}", self.blocks), (width as f64).powf(-0.5));
            put(name("weight"), &[width_out, width], &mut |_| uniform(bound, &mut random));
            put(name("bias"), &[width_out], &mut |_| uniform(bound, &mut random));
        }
        let bound = (self.channels as f64).powf(-0.5);
        put("model.post_process.1.weight".to_owned(), &[1, self.channels], &mut |_| uniform(bound, &mut random));
        put("model.post_process.1.bias".to_owned(), &[1], &mut |_| uniform(bound, &mut random));
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let told = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Weights::read(&path).unwrap_err().to_string()
        };
        let file = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
        assert!(told(b"").contains("no whole safetensors"));
        assert!(told(&[0xff; 64]).contains("no whole safetensors"));
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(told(&file(header, &[0; 7])).contains("fetch it again"));
        let nan = [1.0_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        assert!(told(&file(header, &nan)).contains("a holds NaN at place 1"));
        let half = r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
        assert!(told(&file(half, &[0; 4])).contains("a is F16"));
        let far = r#"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]}}"#;
        assert!(told(&file(far, &[0; 8])).contains("no whole safetensors"));
        fs::write(&path, file(header, &[0; 8])).unwrap();
        assert_eq!(Weights::read(&path).unwrap().get("a").unwrap(), &Weight { shape: vec![2], values: vec![0.0; 2] });
    }

    #[test]
    fn first_weights_are_those_of_their_seed() {
        let architecture = Architecture::published(6);
        let weights = architecture.first_weights(3);
        assert_eq!(weights, architecture.first_weights(3));
        assert!(weights != architecture.first_weights(4));
        assert_eq!((weights.parameters(), weights.tensors.len()), (136_952, 140));
        assert_eq!(Architecture::published(5).first_weights(3).parameters(), 136_951);
        // softplus of the step bias is the step: between 0.001 and 0.1.
        for bias in &weights.get("model.blocks.1.2.op.dt_proj.bias").unwrap().values {
            assert!((0.000_999..0.100_1).contains(&bias.exp().ln_1p()), "{bias}");
        }
        let rates = &weights.get("model.blocks.0.0.op.A_log").unwrap().values;
        assert!((rates[64 + 9].exp() - 10.0).abs() < 1e-5);
    }
}
