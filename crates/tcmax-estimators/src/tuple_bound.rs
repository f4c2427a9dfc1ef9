//! Total correlation of M variables and a label under *any* critic, over all N^M tuples, in bounded
//! memory.
//!
//! ```text
//! bound = 1/N sum_i T(x_1^i, .., x_M^i, y_i)
//!         - logsumexp over (j_1..j_M, c) of T(x_1^{j_1}, .., x_M^{j_M}, c)  +  M log N + log C   (nats)
//! ```
//!
//! is what [`BatchBound`](crate::BatchBound) computes for additive critics. Here the tuples go by in
//! chunks. A first pass finds the log-sum-exp, which is all that the value needs. A second pass
//! computes each chunk's scores again, weighs their gradients by exp(T) / sum exp T, and adds them up;
//! no more than one chunk's graph is ever held. The sums are then attached to the value as its
//! gradients, so that it can be differentiated like any other tensor.
//!
//! Time O(N^M) evaluations of the critic, twice; memory O(chunk).

use candle_core::{Device, Tensor, Var};
use tcmax_ops::{log_sum_exp, placed_like, to_scalar_f64, to_vec_f64, wide};

use crate::product::RunningLogSum;
use crate::tuples::Spans;
use crate::{Critic, Labels, Result};

/// The bound on one set of examples under any critic.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::{Labels, TupleBound};
/// # use tcmax_estimators::{Critic, Result, Tuples};
/// # /// Adds up its two variables, in favour of class 0.
/// # struct Add;
/// # impl Critic for Add {
/// #     fn num_variables(&self) -> usize { 2 }
/// #     fn num_outcomes(&self) -> usize { 2 }
/// #     fn scores(&self, x: &[Tensor]) -> Result<Tensor> {
/// #         let sum = (&x[0] + &x[1])?;
/// #         Ok(Tensor::cat(&[&sum, &sum.zeros_like()?], 1)?)
/// #     }
/// #     fn additive_terms(&self, _: &[Tensor]) -> Result<Option<Vec<Tensor>>> { Ok(None) }
/// # }
///
/// # fn main() -> Result<()> {
/// # let critic = Add;
/// let x = Tensor::new(&[[1f64], [-1.0]], &Device::Cpu)?;
/// let labels = Labels::new(&[0, 1], 2, &Device::Cpu)?;
/// // At most 3 of the 4 pairs in memory at a time.
/// let bound = TupleBound::new(&critic, &[x.clone(), x], &[], &labels, 3)?;
/// // Scores of class 0 are 2, 0, 0, -2 and those of class 1 are 0.
/// let log_sum = (2f64.exp() + 6.0 + (-2f64).exp()).ln();
/// let expected = 1.0 - log_sum + 2.0 * 2f64.ln() + 2f64.ln();
/// assert!((bound.value().to_scalar::<f64>()? - expected).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TupleBound {
    value: Tensor,
    labels: Labels,
    variable_losses: Vec<f64>,
}

impl TupleBound {
    /// The bound of `critic` on variables x_m (N, D_m) and labels, with at most `chunk` tuples in
    /// memory at a time. Gradients reach the variables and those of `parameters` that the critic
    /// uses.
    ///
    /// # Errors
    /// When the variables do not fit the critic or the labels, or `chunk` is 0.
    pub fn new(
        critic: &dyn Critic,
        variables: &[Tensor],
        parameters: &[Tensor],
        labels: &Labels,
        chunk: usize,
    ) -> Result<Self> {
        let spans = Spans::new(labels.len(), critic.num_variables(), chunk)?;
        let joint = labels.pick(&critic.scores(variables)?)?.mean_all()?;
        let parts = critic.row_parts(variables)?;
        let sums = Sums::over(critic, &parts, labels, spans)?;
        let log_sum =
            attach(sums.all, &joint, gradients(critic, &parts, parameters, &sums, spans)?)?;
        let log_n = (labels.len() as f64).ln();
        let constant = critic.num_variables() as f64 * log_n + (labels.classes() as f64).ln();
        Ok(Self {
            value: ((joint - log_sum)? + constant)?,
            labels: labels.clone(),
            variable_losses: sums.variable_losses(log_n),
        })
    }

    /// The differentiable bound on KL(p(x, y) || prod_m p(x_m) U(y)), a scalar, nats.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The bound on the total correlation TC(x_1, ..., x_M, y), nats; see
    /// [`BatchBound::total_correlation`](crate::BatchBound::total_correlation).
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn total_correlation(&self) -> Result<f64> {
        let value = to_scalar_f64(&self.value)?;
        Ok(value - (self.labels.classes() as f64).ln() + self.labels.entropy())
    }

    /// The loss of each variable alone under the normalised product, nats; see
    /// [`BatchBound::variable_losses`](crate::BatchBound::variable_losses).
    pub fn variable_losses(&self) -> &[f64] {
        &self.variable_losses
    }
}

/// Logs of sums of exponentials of scores.
struct Sums {
    /// Over all tuples and outcomes.
    all: f64,
    /// For every variable m and example i: over all tuples with j_m = i, of the outcome y_i.
    own: Vec<Vec<f64>>,
}

impl Sums {
    fn over(critic: &dyn Critic, parts: &[Tensor], labels: &Labels, spans: Spans) -> Result<Self> {
        let parts: Vec<Tensor> = parts.iter().map(Tensor::detach).collect();
        let truth = labels.tensor()?.to_vec1::<u32>()?;
        let mut all = RunningLogSum::default();
        let mut own = vec![vec![RunningLogSum::default(); labels.len()]; spans.variables()];
        for tuples in spans.iter() {
            let tuples = tuples?;
            let scores = wide(&critic.part_scores(&parts, &tuples)?.detach())?;
            for row_sum in to_vec_f64(&log_sum_exp(&scores, 1)?)? {
                all.add(row_sum);
            }
            for (m, sums) in own.iter_mut().enumerate() {
                let rows: Vec<u32> = tuples.iter().map(|tuple| tuple[m]).collect();
                let classes: Vec<u32> = rows.iter().map(|&row| truth[row as usize]).collect();
                let classes = Tensor::from_vec(classes, (rows.len(), 1), scores.device())?;
                let picked = to_vec_f64(&scores.gather(&classes, 1)?)?;
                rows.iter().zip(picked).for_each(|(&row, score)| sums[row as usize].add(score));
            }
        }
        let values = |sums: Vec<RunningLogSum>| sums.iter().map(RunningLogSum::value).collect();
        Ok(Self { all: all.value(), own: own.into_iter().map(values).collect() })
    }

    fn variable_losses(&self, log_n: f64) -> Vec<f64> {
        let mean = |sums: &Vec<f64>| sums.iter().sum::<f64>() / sums.len() as f64;
        self.own.iter().map(|sums| self.all - mean(sums) - log_n).collect()
    }
}

/// Tensors and the gradients of the log-sum-exp with respect to them.
type Gradients = Vec<(Tensor, Tensor)>;

fn gradients(
    critic: &dyn Critic,
    parts: &[Tensor],
    parameters: &[Tensor],
    sums: &Sums,
    spans: Spans,
) -> Result<Gradients> {
    let leaves = parts
        .iter()
        .map(|part| Var::from_tensor(&part.detach().contiguous()?))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let inputs: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
    let watched: Vec<&Tensor> = inputs.iter().chain(parameters).collect();
    let mut totals: Vec<Option<Tensor>> = vec![None; watched.len()];
    for tuples in spans.iter() {
        let scores = critic.part_scores(&inputs, &tuples?)?;
        let shares = (scores.detach() - sums.all)?.exp()?;
        let found = (scores * shares)?.sum_all()?.backward()?;
        for (total, tensor) in totals.iter_mut().zip(&watched) {
            let Some(gradient) = found.get(tensor) else { continue };
            *total = Some(match total.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient.clone(),
            });
        }
    }
    let receivers = parts.iter().chain(parameters).cloned();
    Ok(receivers.zip(totals).filter_map(|(tensor, total)| Some((tensor, total?))).collect())
}

/// A scalar of the given value, of the type and device of `like`, with the given gradients.
fn attach(value: f64, like: &Tensor, gradients: Gradients) -> Result<Tensor> {
    let mut sum = placed_like(&Tensor::new(value, &Device::Cpu)?, like)?;
    for (tensor, gradient) in gradients {
        // x - x is 0, and d/dx of (x - constant) g is g.
        let nothing = (&tensor - tensor.detach())?;
        sum = (sum + (nothing * gradient)?.sum_all()?)?;
    }
    Ok(sum)
}
