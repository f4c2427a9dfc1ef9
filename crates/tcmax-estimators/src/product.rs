//! Expectations over the product of marginals, in bounded memory.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use tcmax_ops::{Params, to_scalar_f64};

use crate::bounds::log_mean_exp;
use crate::tuples::Spans;
use crate::{Critic, Error, Result, Tuples};

/// log mean exp T over all N^M tuples (and all outcomes), a differentiable scalar.
///
/// Critics whose sum factorises take O(M N C) time and memory; any other critic is evaluated on every
/// tuple at once, which [`all_tuples_gradient`] does in pieces.
///
/// # Errors
/// When the variables do not fit the critic, or there are more than 2^28 tuples to list.
pub fn log_mean_exp_all_tuples(critic: &dyn Critic, variables: &[Tensor]) -> Result<Tensor> {
    let examples = rows(variables)?;
    if let Some(log_sum) = critic.factorised_log_sum(variables)? {
        let count = critic.num_variables() as f64 * (examples as f64).ln()
            + (critic.num_outcomes() as f64).ln();
        return Ok((log_sum - count)?);
    }
    let tuples = Tuples::all(examples, variables.len())?;
    log_mean_exp(&critic.tuple_scores(variables, &tuples)?)
}

/// log mean exp T over the given tuples (and all outcomes), by pieces of at most `chunk` tuples whose
/// scores are dropped again: any number of tuples in bounded memory, nats. Not differentiable.
///
/// # Errors
/// When the variables do not fit the critic or the tuples.
pub fn log_mean_exp_chunked(
    critic: &dyn Critic,
    variables: &[Tensor],
    tuples: &Tuples,
    chunk: usize,
) -> Result<f64> {
    let log_sum = log_sum_exp_of(critic, variables, tuples.chunks(chunk).map(Ok))?;
    Ok(log_sum - (tuples.len() as f64 * critic.num_outcomes() as f64).ln())
}

/// log sum exp T over pieces of tuples (and all outcomes), a piece at a time, nats.
fn log_sum_exp_of(
    critic: &dyn Critic,
    variables: &[Tensor],
    pieces: impl Iterator<Item = Result<Tuples>>,
) -> Result<f64> {
    let detached: Vec<Tensor> = variables.iter().map(Tensor::detach).collect();
    let parts: Vec<Tensor> = critic.row_parts(&detached)?.iter().map(Tensor::detach).collect();
    let mut sum = RunningLogSum::default();
    for piece in pieces {
        let scores = critic.part_scores(&parts, &piece?)?.detach();
        let log_mean = to_scalar_f64(&log_mean_exp(&scores)?)?;
        sum.add(log_mean + (scores.elem_count() as f64).ln());
    }
    Ok(sum.value())
}

/// The Donsker-Varadhan bound over all N^M tuples of a critic with one outcome, and its gradient with
/// respect to the parameters, with at most `chunk` tuples listed and scored at a time: memory is
/// O(chunk), whatever N^M.
///
/// Two passes: the first finds log sum exp T, the second weighs every tuple's gradient by its share
/// exp(T) / sum exp T. The value equals the plain bound's, the gradients to rounding.
///
/// # Errors
/// When the variables do not fit the critic, it has several outcomes, `chunk` is 0, or N^M is no number
/// that the machine can count to.
pub fn all_tuples_gradient(
    critic: &dyn Critic,
    variables: &[Tensor],
    params: &Params,
    chunk: usize,
) -> Result<(f64, GradStore)> {
    if critic.num_outcomes() != 1 {
        return Err(Error::WrongShape {
            what: "critic".to_owned(),
            got: vec![critic.num_outcomes()],
            wanted: "one outcome; a critic with labels as outcomes has BatchBound".to_owned(),
        });
    }
    let spans = Spans::new(rows(variables)?, variables.len(), chunk)?;
    let log_sum = log_sum_exp_of(critic, variables, spans.iter())?;
    let log_mean = log_sum - (spans.len() as f64).ln();
    let joint = critic.scores(variables)?.mean_all()?;
    let value = to_scalar_f64(&joint)? - log_mean;
    let mut total = joint.backward()?;
    for piece in spans.iter() {
        let scores = critic.tuple_scores(variables, &piece?)?;
        let shares = (scores.detach() - log_sum)?.exp()?;
        let gradients = (scores * shares)?.sum_all()?.backward()?;
        for (_, var) in params.trainable() {
            let var = var.as_tensor();
            let Some(gradient) = gradients.get(var) else { continue };
            let sum = match total.get(var) {
                Some(sum) => (sum - gradient)?,
                None => gradient.neg()?,
            };
            total.insert(var, sum);
        }
    }
    Ok((value, total))
}

fn rows(variables: &[Tensor]) -> Result<usize> {
    let first = variables.first().and_then(|variable| variable.dims().first());
    first.copied().ok_or(Error::Empty { what: "the list of variables", unit: "variable" })
}

/// log sum exp of numbers that come one by one.
#[derive(Clone, Default)]
pub(crate) struct RunningLogSum {
    /// The largest so far, and the sum of exponentials relative to it.
    state: Option<(f64, f64)>,
}

impl RunningLogSum {
    pub(crate) fn add(&mut self, x: f64) {
        self.state = Some(match self.state {
            None => (x, 1.0),
            // Equal numbers first: of two infinite ones the difference is NaN.
            Some((top, sum)) if x == top => (top, sum + 1.0),
            Some((top, sum)) if x > top => (x, sum * (top - x).exp() + 1.0),
            Some((top, sum)) => (top, sum + (x - top).exp()),
        });
    }

    pub(crate) fn value(&self) -> f64 {
        self.state.map_or(f64::NEG_INFINITY, |(top, sum)| top + sum.ln())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use candle_core::{DType, Device};
    use tcmax_ops::{ParamBuilder, Seed};

    use super::*;
    use crate::critics::BilinearCritic;

    #[test]
    fn running_sums_take_infinite_numbers() {
        let of = |numbers: &[f64]| {
            let mut sum = RunningLogSum::default();
            numbers.iter().for_each(|&x| sum.add(x));
            sum.value()
        };
        let (minus, plus) = (f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(of(&[]), minus);
        assert_eq!(of(&[minus, minus]), minus);
        assert_eq!(of(&[minus, minus, 0.0, minus]), 0.0);
        assert_eq!(of(&[plus, 3.0, plus]), plus);
        assert!((of(&[1.0, 1.0, minus]) - (1.0 + 2f64.ln())).abs() < 1e-15);
        assert!(of(&[0.0, f64::NAN, 1.0]).is_nan());
    }

    /// Remembers the most tuples it was given at a time, and refuses beyond a number of them in all.
    struct Counting<'a>(BilinearCritic, Cell<usize>, &'a Cell<usize>);

    impl Critic for Counting<'_> {
        fn num_variables(&self) -> usize {
            2
        }

        fn num_outcomes(&self) -> usize {
            1
        }

        fn scores(&self, variables: &[Tensor]) -> Result<Tensor> {
            self.0.scores(variables)
        }

        fn additive_terms(&self, _: &[Tensor]) -> Result<Option<Vec<Tensor>>> {
            Ok(None)
        }

        fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
            self.1.set(self.1.get() + 1);
            self.2.set(self.2.get().max(tuples.len()));
            if self.1.get() > 3 {
                return Err(Error::NotAdditive);
            }
            self.0.scores(&tuples.gather(parts)?)
        }
    }

    #[test]
    fn more_tuples_than_could_be_listed_go_by_in_chunks() {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let (calls, most) = (Cell::new(0), Cell::new(0));
        let critic = Counting(BilinearCritic::new([1, 1], &builder).unwrap(), calls, &most);
        // 20,000^2 tuples are more than `Tuples::all` lists.
        let x = Tensor::zeros((20_000, 1), DType::F32, &Device::Cpu).unwrap();
        let result = all_tuples_gradient(&critic, &[x.clone(), x], &builder.params(), 100);
        // It got as far as the critic lets it.
        assert!(matches!(result, Err(Error::NotAdditive)));
        assert_eq!((critic.1.get(), most.get()), (4, 100));
        let zero = Tensor::zeros((2, 1), DType::F32, &Device::Cpu).unwrap();
        let result = all_tuples_gradient(&critic, &[zero.clone(), zero], &builder.params(), 0);
        assert!(matches!(result, Err(Error::Setting { field: "chunk", .. })));
    }
}
