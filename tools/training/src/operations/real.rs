//! The two precisions of the fused operations, and the pieces of rows their kernels work on.

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use chronos_inference::elementary;
use chronos_inference::for_each_instruction_set;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// Channels worked on together: two of the widest registers in f32.
pub(super) const LANES: usize = 32;

/// f32 with the elementary functions of the native step, which vectorise; f64 with those of the standard library.
pub(super) trait Real:
    Copy
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    const ZERO: Self;
    const ONE: Self;

    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    /// For arguments not above 127.
    fn exp2(self) -> Self;
    fn softplus(self) -> Self;

    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }

    /// The values of a tensor of this precision, row after row.
    fn values(tensor: &FlexTensor) -> &[Self];
    /// A tensor of as many values as `shape` asks for.
    fn tensor(values: Vec<Self>, shape: &[usize]) -> FlexTensor;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        elementary::exp(self)
    }
    #[inline(always)]
    fn exp2(self) -> Self {
        elementary::exp2(self)
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        elementary::softplus(self)
    }

    fn values(tensor: &FlexTensor) -> &[Self] {
        values(tensor.as_slice())
    }
    fn tensor(values: Vec<Self>, shape: &[usize]) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }
    #[inline(always)]
    fn exp2(self) -> Self {
        self.exp2()
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        self.max(0.0) + (-self.abs()).exp().ln_1p()
    }

    fn values(tensor: &FlexTensor) -> &[Self] {
        values(tensor.as_slice())
    }
    fn tensor(values: Vec<Self>, shape: &[usize]) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
    }
}

fn values<T>(values: Option<&[T]>) -> &[T] {
    // A fault of this crate and of no input: precision and layout are settled in `by_precision` and `contiguous`.
    values.unwrap_or_else(|| panic!("a fused operation takes contiguous tensors of one precision"))
}

/// Runs `$body` with `$real` being the precision of a tensor.
macro_rules! by_precision {
    ($tensor:expr, $real:ident => $body:expr) => {
        match $tensor.dtype() {
            DType::F64 => {
                type $real = f64;
                $body
            }
            DType::F32 => {
                type $real = f32;
                $body
            }
            other => panic!("the fused operations take tensors of f32 or f64, not {other:?}"),
        }
    };
}
pub(super) use by_precision;

/// The tensors laid out row after row, all of the precision of the first.
///
/// # Panics
/// Where the precisions differ, as burn's own operations do.
pub(super) fn contiguous<const N: usize>(tensors: [FlexTensor; N]) -> [FlexTensor; N] {
    let precision: Option<DType> = tensors.first().map(FlexTensor::dtype);
    tensors.map(|tensor| {
        assert_eq!(Some(tensor.dtype()), precision, "tensors of two precisions in one operation");
        tensor.to_contiguous()
    })
}

/// Work that is compiled for each set of vector instructions: `run` and all that it calls have to be `#[inline(always)]`.
pub(super) trait Kernel {
    fn run(self);
}

for_each_instruction_set! {
    /// Runs a kernel with a set of vector instructions; each gives the same bits.
    pub(super) fn vectorised(kernel: impl Kernel) {
        kernel.run()
    }
}

/// [`LANES`] values of a row from `first`, with zeros past its end.
#[inline(always)]
pub(super) fn load<F: Real>(row: &[F], first: usize) -> [F; LANES] {
    let rest = &row[first..];
    match rest.first_chunk() {
        Some(whole) => *whole,
        None => {
            let mut lanes = [F::ZERO; LANES];
            lanes[..rest.len()].copy_from_slice(rest);
            lanes
        }
    }
}

/// Writes what of `lanes` the row holds from `first`.
#[inline(always)]
pub(super) fn store<F: Real>(row: &mut [F], first: usize, lanes: &[F; LANES]) {
    let rest = &mut row[first..];
    match rest.first_chunk_mut() {
        Some(whole) => *whole = *lanes,
        None => rest.copy_from_slice(&lanes[..rest.len()]),
    }
}

/// Sum of the lanes, halves upon halves; `N` is a power of 2.
#[inline(always)]
pub(super) fn sum<F: Real, const N: usize>(mut lanes: [F; N]) -> F {
    let mut width = N;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            let upper = lanes[lane + width];
            lanes[lane] += upper;
        }
    }
    lanes[0]
}

/// Scalar product of two rows of one length.
#[inline(always)]
pub(super) fn dot<F: Real>(left: &[F], right: &[F]) -> F {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    let mut sums = [F::ZERO; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let mut total = sum(sums);
    for (left, right) in left_rest.iter().zip(right_rest) {
        total += *left * *right;
    }
    total
}

/// Adds up the rows of a matrix from the first to the last.
pub(super) fn sum_rows<F: Real>(rows: &[F], width: usize) -> Vec<F> {
    let mut total = vec![F::ZERO; width];
    for row in rows.chunks_exact(width.max(1)) {
        total.iter_mut().zip(row).for_each(|(total, value)| *total += *value);
    }
    total
}
