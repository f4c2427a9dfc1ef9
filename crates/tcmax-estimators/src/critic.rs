//! Critics: the functions T whose Donsker-Varadhan bound is maximised.

use candle_core::Tensor;
use tcmax_ops::{log_sum_exp, log_sum_exp_all, sum_of};

use crate::{Result, Tuples};

/// A function T(x_1, ..., x_M, c) of M variables and one of C outcomes.
///
/// With the label as the outcome, a classifier *is* a critic: T(x_1, ..., x_M, c) is its logit of
/// class c (TCMax, section 3). A critic of the variables alone, as in MINE and TCNE, has C = 1.
///
/// Implementors write the first four methods; the others follow from them, and are replaced only
/// where there is a faster way to the same values. A critic that looks at each variable alone first
/// replaces [`Critic::row_parts`] and [`Critic::part_scores`], both together; what these two give,
/// [`Critic::tuple_scores`] puts together, so neither may call it.
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

    /// Scores of tuples whose members come from different rows, (K, C): [`Critic::part_scores`] of
    /// [`Critic::row_parts`], so that what looks at one variable alone runs once per row instead of
    /// once per tuple.
    ///
    /// # Errors
    /// As [`Critic::scores`], and when the tuples do not fit the variables.
    fn tuple_scores(&self, variables: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
        self.part_scores(&self.row_parts(variables)?, tuples)
    }

    /// What the critic makes of each variable alone, one tensor of N rows a variable: the part of
    /// [`Critic::tuple_scores`] that every chunk of tuples shares. By default the variables.
    ///
    /// # Errors
    /// As [`Critic::scores`].
    fn row_parts(&self, variables: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(variables.to_vec())
    }

    /// The rest of [`Critic::tuple_scores`], from [`Critic::row_parts`]; by default the scores of the
    /// gathered variables, which is right where the parts are the variables.
    ///
    /// # Errors
    /// As [`Critic::tuple_scores`].
    fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
        self.scores(&tuples.gather(parts)?)
    }

    /// log sum exp T over all N^M tuples and all outcomes, a scalar, where the critic's form lets the
    /// sum factorise: O(M N C); `None` for any other critic.
    ///
    /// # Errors
    /// As [`Critic::scores`].
    fn factorised_log_sum(&self, variables: &[Tensor]) -> Result<Option<Tensor>> {
        self.additive_terms(variables)?.map(|terms| additive_log_sum(&terms)).transpose()
    }
}

/// A reference to a critic, owned or borrowed, is one: so are `Box<dyn Critic>` and `&dyn Critic`.
macro_rules! critic_behind_pointer {
    ($pointer:ty) => {
        impl<C: Critic + ?Sized> Critic for $pointer {
            fn num_variables(&self) -> usize {
                (**self).num_variables()
            }

            fn num_outcomes(&self) -> usize {
                (**self).num_outcomes()
            }

            fn scores(&self, variables: &[Tensor]) -> Result<Tensor> {
                (**self).scores(variables)
            }

            fn additive_terms(&self, variables: &[Tensor]) -> Result<Option<Vec<Tensor>>> {
                (**self).additive_terms(variables)
            }

            fn tuple_scores(&self, variables: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
                (**self).tuple_scores(variables, tuples)
            }

            fn row_parts(&self, variables: &[Tensor]) -> Result<Vec<Tensor>> {
                (**self).row_parts(variables)
            }

            fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
                (**self).part_scores(parts, tuples)
            }

            fn factorised_log_sum(&self, variables: &[Tensor]) -> Result<Option<Tensor>> {
                (**self).factorised_log_sum(variables)
            }
        }
    };
}

critic_behind_pointer!(&C);
critic_behind_pointer!(Box<C>);

/// logsumexp_c sum_m logsumexp_j g_m(x_m^j)\[c\] of terms (N, C).
pub(crate) fn additive_log_sum(terms: &[Tensor]) -> Result<Tensor> {
    let class_sums =
        terms.iter().map(|term| log_sum_exp(term, 0)).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(log_sum_exp_all(&sum_of(&class_sums)?)?)
}
