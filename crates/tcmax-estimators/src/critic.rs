//! Critics: the functions T whose Donsker-Varadhan bound is maximised.

use candle_core::Tensor;

use crate::Result;

/// A function T(x_1, ..., x_M, c) of M variables and one of C outcomes.
///
/// With the label as the outcome, a classifier *is* a critic: T(x_1, ..., x_M, c) is its logit of
/// class c (TCMax, section 3). A critic of the variables alone, as in MINE and TCNE, has C = 1.
pub trait Critic {
    /// The number of variables M.
    fn num_variables(&self) -> usize;

    /// The number of outcomes C; 1 for a critic of the variables alone.
    fn num_outcomes(&self) -> usize;

    /// Scores of paired examples: `variables[m]` is (N, D_m), row i of every variable belongs
    /// together; the result is (N, C).
    ///
    /// # Errors
    /// When the number or the shapes of the variables do not fit.
    fn scores(&self, variables: &[Tensor]) -> Result<Tensor>;

    /// The terms g_m(x_m), each (N, C), of a critic of the form
    /// T(x_1, ..., x_M, c) = sum_m g_m(x_m)\[c\]; `None` for any other critic.
    ///
    /// Additive critics have their bound over all N^M tuples at O(M N C), exactly.
    ///
    /// # Errors
    /// As [`Critic::scores`].
    fn additive_terms(&self, variables: &[Tensor]) -> Result<Option<Vec<Tensor>>>;
}
