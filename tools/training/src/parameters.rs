//! A module's parameters and gradients as flat lists, in the order the module visits them.
//!
//! What is trained, saved and compared is the same list: names joined by points (`blocks.0.norm.gain`), shapes and values. The order
//! is that of the fields, so it is fixed by the code. Parameters are f32 or f64; lower precisions are refused with their name.

use crate::device::is_processor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Tensor, TensorData, Transaction};
use std::collections::VecDeque;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Sub};

/// Values of one tensor, row by row.
#[derive(Clone, PartialEq, Debug)]
pub enum Values {
    /// In single precision.
    F32(Vec<f32>),
    /// In double precision.
    F64(Vec<f64>),
}

/// One parameter of a module.
#[derive(Clone, PartialEq, Debug)]
pub struct Parameter {
    /// Names of the fields on the way to it, joined by points.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Values,
}

/// The gradient of each parameter of a module; `None` where the loss does not depend on it, or it is frozen.
#[derive(Clone, PartialEq, Debug)]
pub struct ModuleGradients {
    /// In the module's order.
    pub values: Vec<Option<Values>>,
}

/// Why parameters cannot be read or written.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ParameterError {
    /// A precision that is not trained.
    #[error("parameter {name} is {dtype}; parameters are trained in f32 or f64: build the module on a device of that precision")]
    Precision {
        /// Which parameter.
        name: String,
        /// What it is.
        dtype: String,
    },
    /// Values that belong to another module.
    #[error("parameter {place} is {found} and {expected} was expected; the values belong to a module of another form")]
    Other {
        /// Its place in the module's order.
        place: usize,
        /// Name, shape and precision there.
        found: String,
        /// Name, shape and precision that were expected.
        expected: String,
    },
}

/// Reads every parameter.
///
/// # Errors
/// [`ParameterError::Precision`].
pub fn read_parameters<M: Module>(module: &M) -> Result<Vec<Parameter>, ParameterError> {
    struct Reader {
        path: Vec<String>,
        read: Result<Vec<Parameter>, ParameterError>,
    }
    impl ModuleVisitor for Reader {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Ok(read) = &mut self.read else { return };
            let (name, tensor) = (self.path.join("."), param.base());
            let shape = tensor.dims().to_vec();
            match Values::of(tensor.into_data(), &name) {
                Ok(values) => read.push(Parameter { name, shape, values }),
                Err(error) => self.read = Err(error),
            }
        }
    }
    let mut reader = Reader { path: Vec::new(), read: Ok(Vec::new()) };
    module.visit(&mut reader);
    reader.read
}

/// Replaces every parameter by the one at its place; which are trained stays as it is.
///
/// # Errors
/// [`ParameterError::Other`] where names, shapes, precisions or their number differ; [`ParameterError::Precision`].
pub fn write_parameters<M: Module>(module: M, parameters: &[Parameter]) -> Result<M, ParameterError> {
    let now = read_parameters(&module)?;
    let none = || "nothing".to_owned();
    for place in 0..now.len().max(parameters.len()) {
        let (expected, found) = (now.get(place).map(Parameter::form), parameters.get(place).map(Parameter::form));
        if expected != found {
            let (expected, found) = (expected.unwrap_or_else(none), found.unwrap_or_else(none));
            return Err(ParameterError::Other { place, found, expected });
        }
    }
    Ok(update_parameters(module, |place, slice| match (slice, &parameters[place].values) {
        (SliceMut::F32(to), Values::F32(from)) => to.copy_from_slice(from),
        (SliceMut::F64(to), Values::F64(from)) => to.copy_from_slice(from),
        // Their forms, precision included, were compared above.
        _ => {}
    }))
}

impl ModuleGradients {
    /// Takes the module's gradients out of those of a backward pass.
    ///
    /// # Errors
    /// [`ParameterError::Precision`].
    pub fn take<M: Module>(module: &M, gradients: &mut Gradients) -> Result<Self, ParameterError> {
        struct Taker<'a> {
            gradients: &'a mut Gradients,
            names: Vec<Option<String>>,
            taken: Vec<Tensor<1>>,
        }
        impl ModuleVisitor for Taker<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = if param.is_require_grad() { param.base().grad_remove(self.gradients) } else { None };
                self.names.push(gradient.is_some().then(|| param.id.to_string()));
                self.taken.extend(gradient.map(|gradient| gradient.reshape([param.shape().num_elements()])));
            }
        }
        let mut taker = Taker { gradients, names: Vec::new(), taken: Vec::new() };
        module.visit(&mut taker);
        let mut read = read_together(taker.taken).into_iter();
        let mut next = |name: String| read.next().map(|data| Values::of(data, &name));
        let values = |name: Option<String>| name.and_then(&mut next).transpose();
        Ok(Self { values: taker.names.into_iter().map(values).collect::<Result<_, _>>()? })
    }

    /// Adds the gradients of another batch of the same module, to accumulate them.
    pub fn add(&mut self, other: Self) {
        for (to, from) in self.values.iter_mut().zip(other.values) {
            match (to, from) {
                (Some(Values::F32(to)), Some(Values::F32(from))) => add(to, &from),
                (Some(Values::F64(to)), Some(Values::F64(from))) => add(to, &from),
                (to @ None, from) => *to = from,
                _ => {}
            }
        }
    }

    /// Multiplies every gradient.
    pub fn scale(&mut self, factor: f64) {
        for values in self.values.iter_mut().flatten() {
            match values {
                Values::F32(values) => scale(values, factor),
                Values::F64(values) => scale(values, factor),
            }
        }
    }

    /// Euclidean norm over all gradients together.
    pub fn norm(&self) -> f64 {
        self.values.iter().flatten().map(Values::sum_of_squares).sum::<f64>().sqrt()
    }

    /// Scales all gradients together so that their norm is at most `norm_max`, and tells what it was: by
    /// `min(1, norm_max / (norm + 1e-6))`, as torch's `clip_grad_norm_` does (Pascanu, Mikolov and Bengio, 2013).
    pub fn clip(&mut self, norm_max: f64) -> f64 {
        let norm = self.norm();
        let factor = norm_max / (norm + 1e-6);
        if factor < 1.0 {
            self.scale(factor);
        }
        norm
    }
}

impl Parameter {
    /// Name, shape and precision in words.
    fn form(&self) -> String {
        let precision = match self.values {
            Values::F32(_) => "f32",
            Values::F64(_) => "f64",
        };
        format!("{} {:?} {precision}", self.name, self.shape)
    }
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each value in double precision.
    pub fn iter_f64(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::F32(values) => Box::new(values.iter().map(|value| f64::from(*value))),
            Self::F64(values) => Box::new(values.iter().copied()),
        }
    }

    /// As many zeros of the same precision.
    pub(crate) fn zeros_like(&self) -> Self {
        match self {
            Self::F32(values) => Self::F32(vec![0.0; values.len()]),
            Self::F64(values) => Self::F64(vec![0.0; values.len()]),
        }
    }

    fn of(data: TensorData, name: &str) -> Result<Self, ParameterError> {
        let dtype = data.dtype();
        let read = match dtype {
            DType::F32 => data.try_into_vec().ok().map(Self::F32),
            DType::F64 => data.try_into_vec().ok().map(Self::F64),
            _ => None,
        };
        read.ok_or_else(|| ParameterError::Precision { name: name.to_owned(), dtype: format!("{dtype:?}").to_lowercase() })
    }

    fn sum_of_squares(&self) -> f64 {
        match self {
            Self::F32(values) => sum_of_squares(values),
            Self::F64(values) => sum_of_squares(values),
        }
    }
}

/// One parameter's values, to be changed in place.
pub(crate) enum SliceMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
}

/// Gives each parameter's values, with its place in the module's order, to be changed; which are trained stays as it is.
/// Parameters of another precision are left alone.
pub(crate) fn update_parameters<M: Module>(module: M, update: impl FnMut(usize, SliceMut<'_>)) -> M {
    struct Updater<F> {
        place: usize,
        read: VecDeque<TensorData>,
        update: F,
    }
    impl<F: FnMut(usize, SliceMut<'_>)> ModuleMapper for Updater<F> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let place = self.place;
            self.place += 1;
            // What a parameter knows beside its values: autodiff with its strategy is that of the device, and must not be lost.
            let (device, dtype, is_trained) = (tensor.device(), tensor.dtype(), tensor.is_require_grad());
            let checkpointing = tensor.gradient_checkpointing_strategy();
            let mut data = self.read.pop_front().unwrap_or_else(|| tensor.inner().into_data());
            match dtype {
                DType::F32 => data.as_mut_slice().map(|values| (self.update)(place, SliceMut::F32(values))).unwrap_or(()),
                DType::F64 => data.as_mut_slice().map(|values| (self.update)(place, SliceMut::F64(values))).unwrap_or(()),
                _ => {}
            }
            let mut updated = Tensor::from_data(data, (&device, dtype));
            if let Some(strategy) = checkpointing {
                updated = updated.with_gradient_checkpointing_strategy(strategy);
            }
            Param::from_mapped_value(id, if is_trained { updated.require_grad() } else { updated }, mapper)
        }
    }
    // What the processor has is taken out of each parameter, without a copy.
    let is_on_card = !module.devices().iter().all(is_processor);
    let read = if is_on_card { read_all(&module) } else { VecDeque::new() };
    module.map(&mut Updater { place: 0, read, update })
}

/// The values of every parameter, in order and in one transfer.
fn read_all<M: Module>(module: &M) -> VecDeque<TensorData> {
    struct Reader(Transaction);
    impl ModuleVisitor for Reader {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 = std::mem::take(&mut self.0).register(param.base().inner());
        }
    }
    let mut reader = Reader(Transaction::default());
    module.visit(&mut reader);
    reader.0.execute().into()
}

/// The values of tensors of one device. From a graphics card they come in one transfer: for each by itself one would wait anew.
fn read_together(tensors: Vec<Tensor<1>>) -> Vec<TensorData> {
    if tensors.iter().all(|tensor| is_processor(&tensor.device())) {
        return tensors.into_iter().map(Tensor::into_data).collect();
    }
    tensors.into_iter().fold(Transaction::default(), Transaction::register).execute()
}

/// Numbers that parameters are made of.
pub(crate) trait Real:
    Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + AddAssign + MulAssign
{
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn sqrt(self) -> Self;
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

fn add<T: Real>(to: &mut [T], from: &[T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += *from;
    }
}

fn scale<T: Real>(values: &mut [T], factor: f64) {
    let factor = T::from_f64(factor);
    for value in values {
        *value *= factor;
    }
}

/// In eight sums, so that it vectorises, always the same.
fn sum_of_squares<T: Real>(values: &[T]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, value) in sums.iter_mut().zip(eight) {
            let value = value.to_f64();
            *sum += value * value;
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| value.to_f64() * value.to_f64()).sum::<f64>()
}
