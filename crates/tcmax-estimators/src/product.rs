//! Expectations over the product of marginals, in bounded memory.

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use tcmax_ops::Params;

use crate::bounds::log_mean_exp;
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
    let detached: Vec<Tensor> = variables.iter().map(Tensor::detach).collect();
    let parts: Vec<Tensor> = critic.row_parts(&detached)?.iter().map(Tensor::detach).collect();
    let mut sum = RunningLogSum::default();
    for piece in tuples.chunks(chunk) {
        let scores = critic.part_scores(&parts, &piece)?.detach();
        let log_mean = log_mean_exp(&scores)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        sum.add(log_mean + (scores.elem_count() as f64).ln());
    }
    Ok(sum.value() - (tuples.len() as f64 * critic.num_outcomes() as f64).ln())
}

/// The Donsker-Varadhan bound over all N^M tuples of a critic with one outcome, and its gradient with
/// respect to the parameters, with at most `chunk` tuples in memory at a time.
///
/// Two passes: the first finds log sum exp T, the second weighs every tuple's gradient by its share
/// exp(T) / sum exp T. The value equals the plain bound's, the gradients to rounding.
///
/// # Errors
/// When the variables do not fit the critic, it has several outcomes, or there are more than 2^28
/// tuples.
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
    let examples = rows(variables)?;
    let tuples = Tuples::all(examples, variables.len())?;
    let log_mean = log_mean_exp_chunked(critic, variables, &tuples, chunk)?;
    let log_sum = log_mean + (tuples.len() as f64).ln();
    let joint = critic.scores(variables)?.mean_all()?;
    let value = joint.to_dtype(DType::F64)?.to_scalar::<f64>()? - log_mean;
    let mut total = joint.backward()?;
    for piece in tuples.chunks(chunk) {
        let scores = critic.tuple_scores(variables, &piece)?;
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
            Some((top, sum)) if x > top => (x, sum * (top - x).exp() + 1.0),
            Some((top, sum)) => (top, sum + (x - top).exp()),
        });
    }

    pub(crate) fn value(&self) -> f64 {
        self.state.map_or(f64::NEG_INFINITY, |(top, sum)| top + sum.ln())
    }
}
