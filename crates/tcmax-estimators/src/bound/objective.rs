//! What training a critic needs to know of a bound.

use candle_core::Tensor;

use crate::error::Result;

/// What a fit maximises on batches, and what it reports of held-out examples. One is made for every fit,
/// so that it may remember batches.
pub trait Objective {
    /// What training maximises: a scalar, from the scores of the N joint examples of a batch, (N,), and of
    /// K product tuples, (K,).
    ///
    /// # Errors
    /// When the device fails.
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor>;

    /// What is reported, nats, from the mean score of held-out examples and log-mean-exp T over product
    /// tuples; with [`Objective::all_pairs`], the second is the mean over examples of log-mean-exp T over
    /// the pairs of each with all others of its block.
    fn reported(&self, mean: f64, log_mean_exp: f64) -> f64 {
        mean - log_mean_exp
    }

    /// What the best critic adds to the log density ratio log p / prod p.
    fn offset(&self) -> f64 {
        0.0
    }

    /// The scores of held-out product tuples are clipped to plus or minus this.
    fn clip(&self) -> f64 {
        f64::INFINITY
    }

    /// Whether the product tuples are all N^2 pairs of two variables, the second running fastest, instead
    /// of permutations.
    fn all_pairs(&self) -> bool {
        false
    }
}
