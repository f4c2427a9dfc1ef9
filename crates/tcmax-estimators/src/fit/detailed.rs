//! What else the critic of a fit shows on its test split: a value for every row, and a permutation test.
//!
//! *Values of rows* are what the test rows contribute to the bound: T(x) less the log-mean-exp of the product
//! term, an estimate of log p(x_1, ..., x_n) / (p(x_1) ... p(x_n)). Their mean is the bound.
//!
//! *The permutation test* keeps the critic. Under independence the test rows of every variable but the first
//! could as well be in any other order, and the critic, which has not seen them, is a fixed function of them.
//! So the mean score of the rows is compared with that of random pairings of the same rows; the product term
//! is the same for all of them. It tests whether the *test split* shows dependence that this critic sees, and
//! costs one evaluation of the critic per row and permutation. A dependence that the critic missed in
//! training is missed here too. Of several folds the first one's critic is tested.

use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use super::config::CheckedConfig;
use super::contrasts::{CHUNK, to_vec};
use super::held_out::HeldOut;
use super::outcome::Fit;
use super::run::fit_then;
use super::train::{Trainer, evaluation_tuples};
use crate::error::Result;
use crate::permutation::PermutationTest;
use crate::sample::Sample;
use crate::sample::tuples::Tuples;

/// What is wanted beside the fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Permutations of the test rows; 0 for no test.
    pub permutations: usize,
    /// Whether values of the test rows are wanted.
    pub pointwise: bool,
}

/// A fit and what else was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Detailed {
    /// The fit.
    pub fit: Fit,
    /// The permutation test.
    pub permutation_test: Option<PermutationTest>,
    /// The test rows by number, ascending, with their values in nats; the mean is [`Fit::held_out`].
    pub pointwise: Option<Vec<(usize, f64)>>,
}

/// As [`fit_observed`](super::fit_observed), and what else is wanted.
///
/// # Errors
/// As [`fit`](super::fit()).
pub fn fit_detailed(
    sample: &Sample,
    config: &CheckedConfig,
    seed: Seed,
    wanted: Wanted,
    observe: &(dyn Fn(usize) + Sync),
) -> Result<Detailed> {
    let more = |trainer: &Trainer<'_>, fold: usize| {
        // Critics of other folds have been trained on what this one tests.
        let permutations = if fold == 0 { wanted.permutations } else { 0 };
        if permutations == 0 && !wanted.pointwise {
            return Ok((None, Vec::new()));
        }
        trainer.on_test(|held_out, rows| {
            let test = (permutations > 0).then(|| trainer.permutation_test(held_out, permutations));
            let of_row = rows.iter().copied().zip(held_out.of_examples()).collect();
            Ok((test.transpose()?, of_row))
        })
    };
    let (fit, folds) = fit_then(sample, config, seed, observe, &more)?;
    let (tests, rows): (Vec<Option<PermutationTest>>, Vec<Vec<_>>) = folds.into_iter().unzip();
    let mut rows = rows.concat();
    rows.sort_unstable_by_key(|(row, _)| *row);
    let permutation_test = tests.into_iter().flatten().next();
    Ok(Detailed { fit, permutation_test, pointwise: wanted.pointwise.then_some(rows) })
}

impl Trainer<'_> {
    /// Calls `then` with the scores of the test split, as they are reported, and its rows.
    fn on_test<T>(&self, then: impl FnOnce(&HeldOut<'_>, &[usize]) -> Result<T>) -> Result<T> {
        let rows = &self.data.test;
        let tuples = evaluation_tuples(
            self.config.evaluation_tuples,
            rows.len(),
            self.data.widths().len(),
            self.seed.stream("test"),
        )?;
        let limits = self.on_validation()?.limits();
        let variables = self.data.rows(rows)?;
        let objective = self.objective.as_ref();
        then(&HeldOut::new(self.critic.as_ref(), &variables, &tuples, objective, limits)?, rows)
    }

    fn permutation_test(
        &self,
        held_out: &HeldOut<'_>,
        permutations: usize,
    ) -> Result<PermutationTest> {
        let parts = self.critic.parts(&self.data.rows(&self.data.test)?)?;
        let examples = self.data.test.len();
        let seed = self.seed.stream("permutation test");
        let product = held_out.product();
        let of_permutation = |permutation: usize| {
            let mut rng = seed.index(permutation as u64).rng();
            let mut order: Vec<u32> = (0..examples as u32).collect();
            let mut lists = vec![order.clone()];
            for _ in 1..parts.len() {
                order.shuffle(&mut rng);
                lists.push(order.clone());
            }
            let pairing = Tuples::from_rows(&lists, examples)?;
            let mut scores = Vec::with_capacity(examples);
            for piece in pairing.chunks(CHUNK) {
                scores.extend(to_vec(&self.critic.combine(&piece.gather(&parts)?)?)?);
            }
            Ok(held_out.value_with(&scores, product))
        };
        let permuted = (0..permutations).map(of_permutation).collect::<Result<Vec<f64>>>()?;
        PermutationTest::of(held_out.value(), &permuted)
    }
}
