//! Loss and gradients of a step's samples, in pieces that are computed at the same time.
//!
//! Within a piece everything runs on one thread: what a step does beside its large products is short, and cutting each of those works
//! among threads costs more than it saves. Pieces are the same for any number of threads, and are added up in their order. A graphics card
//! gets whole batches, one after the other.

use super::error::FitError;
use super::{Objective, Samples};
use crate::device::is_processor;
use crate::losses::scalar;
use crate::parameters::{ModuleGradients, update_parameters};
use burn::module::Module;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Samples of a piece at most, where a batch may be cut: fewer make the products of a step too small to be fast.
const PIECE: usize = 16;

/// A piece that was computed.
pub(super) struct Computed {
    pub(super) loss: f64,
    pub(super) parts: Vec<(&'static str, f64)>,
    pub(super) gradients: ModuleGradients,
}

/// What computes pieces: pools of a thread each, or the caller's pool where one would be all there is.
pub(super) struct Threads {
    pools: Vec<ThreadPool>,
    /// Samples of a piece at most.
    piece: usize,
}

impl Threads {
    /// As many as the caller's pool has, but not more than there are pieces in a step of so many batches.
    pub(super) fn new<M: Module>(module: &M, batch: usize, batches: usize) -> Result<Self, FitError> {
        let (piece, count) = if module.devices().iter().all(is_processor) {
            (PIECE, batch.div_ceil(PIECE).saturating_mul(batches).min(rayon::current_num_threads()))
        } else {
            (batch, 1)
        };
        let pools = if count < 2 { 0 } else { count };
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
        Ok(Self { pools: (0..pools).map(pool).collect::<Result<_, _>>().map_err(FitError::Threads)?, piece })
    }

    /// Cuts a step's samples into batches, and those whose loss is a mean into pieces; with each its share of the step's loss. Pieces that
    /// weigh nothing are left out where others do.
    pub(super) fn cut<'s, S: Samples>(&self, of: &S, samples: &'s [usize], batch: usize) -> Vec<(&'s [usize], f64)> {
        let pieces: Vec<&[usize]> = samples
            .chunks(batch)
            .flat_map(|batch| batch.chunks(if of.weight(batch).is_some() { self.piece } else { batch.len() }))
            .collect();
        let weights: Option<Vec<f64>> = pieces.iter().map(|piece| of.weight(piece)).collect();
        let weights = weights.filter(|weights| weights.iter().sum::<f64>() > 0.0);
        let weights = weights.unwrap_or_else(|| pieces.iter().map(|piece| piece.len() as f64).collect());
        let sum: f64 = weights.iter().sum();
        pieces.into_iter().zip(weights).filter(|(_, weight)| *weight > 0.0).map(|(piece, weight)| (piece, weight / sum)).collect()
    }

    /// Computes every piece, each with its own generator, and gives them in their order.
    pub(super) fn compute<M: Objective, S: Samples<Batch = M::Batch>>(
        &self,
        module: &M,
        samples: &S,
        epoch: u64,
        pieces: &[&[usize]],
        seed: impl Fn(usize) -> u64 + Sync,
    ) -> Vec<Result<Computed, FitError>> {
        let compute = |module: &M, place: usize, piece: &[usize]| -> Result<Computed, FitError> {
            let batch = samples.batch(piece, Some(epoch));
            let loss = module.loss(&batch, Some(&mut fastrand::Rng::with_seed(seed(place))));
            if !loss.total.is_tracked() {
                return Err(FitError::NoGradients);
            }
            let scale = module.loss_scale();
            let scaled = if scale == 1.0 { loss.total.clone() } else { loss.total.clone().mul_scalar(scale) };
            let mut gradients = ModuleGradients::take(module, &mut scaled.backward())?;
            if scale != 1.0 {
                gradients.scale(1.0 / scale);
            }
            Ok(Computed { loss: scalar(&loss.total), parts: loss.parts, gradients })
        };
        if self.pools.is_empty() || pieces.len() == 1 {
            return pieces.iter().enumerate().map(|(place, piece)| compute(module, place, piece)).collect();
        }
        let next = AtomicUsize::new(0);
        let (next, compute) = (&next, &compute);
        let mut computed = std::thread::scope(|scope| {
            let work = |pool| {
                let module = module.clone();
                let work = move || {
                    // The parameters of a graph of its own: burn locks the graph that holds a parameter.
                    let module = update_parameters(module, |_, _| {});
                    let taken = std::iter::from_fn(|| {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        pieces.get(place).map(|piece| (place, piece))
                    });
                    taken.map(|(place, piece)| (place, compute(&module, place, piece))).collect::<Vec<_>>()
                };
                scope.spawn(move || ThreadPool::install(pool, work))
            };
            let workers: Vec<_> = self.pools.iter().map(work).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().flat_map(join).collect::<Vec<_>>()
        });
        computed.sort_by_key(|(place, _)| *place);
        computed.into_iter().map(|(_, piece)| piece).collect()
    }
}
