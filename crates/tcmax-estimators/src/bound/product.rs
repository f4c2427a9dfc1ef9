//! Sums of exp T over the product of marginals: by factors, together, or piece by piece.

use candle_core::{Device, Tensor, Var};
use tcmax_ops::{
    log_sum_exp, log_sum_exp_all, log_sum_exp_over, placed_like, to_scalar_f64, to_vec_f64, wide,
};

use super::reference::Reference;
use super::running::RunningLogSum;
use super::sharing::Sharing;
use crate::critic::Critic;
use crate::error::{Error, Result};
use crate::sample::spans::Spans;
use crate::sample::{Labels, Tuples};

/// The tuples of a [`Reference`], in pieces of at most its chunk.
pub(super) struct Pieces<'a> {
    source: Source<'a>,
    chunk: usize,
    /// Every so many pieces are summed here, from this one on.
    rank: usize,
    members: usize,
}

enum Source<'a> {
    All(Spans),
    Given(&'a Tuples),
}

impl<'a> Pieces<'a> {
    /// The pieces of which member `rank` of `members` sums its part.
    pub(super) fn new(
        reference: &'a Reference,
        (examples, variables): (usize, usize),
        (rank, members): (usize, usize),
    ) -> Result<Self> {
        let mut chunk = reference.chunk;
        if chunk == 0 {
            let problem = "must be at least 1 tuple".to_owned();
            return Err(Error::Setting { field: "chunk", problem });
        }
        if members > 1 {
            // So many that each member has some.
            let all = match &reference.tuples {
                None => Spans::new(examples, variables, chunk)?.len(),
                Some(tuples) => tuples.len(),
            };
            chunk = chunk.min(all.div_ceil(members)).max(1);
        }
        let source = match &reference.tuples {
            None => Source::All(Spans::new(examples, variables, chunk)?),
            Some(tuples) => Source::Given(tuples),
        };
        Ok(Self { source, chunk, rank, members })
    }

    fn len(&self) -> usize {
        match self.source {
            Source::All(spans) => spans.len(),
            Source::Given(tuples) => tuples.len(),
        }
    }

    /// All tuples, where they are one piece that is summed here.
    pub(super) fn single(&self) -> Result<Option<Tuples>> {
        if self.members > 1 || self.len() > self.chunk {
            Ok(None)
        } else {
            self.iter().next().transpose()
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Result<Tuples>> + '_> {
        match self.source {
            Source::All(spans) => Box::new(spans.every(self.rank, self.members)),
            Source::Given(tuples) => {
                let pieces = tuples.chunks(self.chunk).skip(self.rank).step_by(self.members);
                Box::new(pieces.map(Ok))
            }
        }
    }
}

/// log sum exp T over all tuples and outcomes of an additive critic, a scalar: every variable's rows are
/// summed out by themselves.
pub(super) fn factorised_log_sum(
    critic: &dyn Critic,
    parts: &[Tensor],
    sharing: &Sharing<'_>,
) -> Result<Tensor> {
    Ok(log_sum_exp_all(&critic.combine(&summed_out(parts, sharing)?)?)?)
}

/// The log-sum-exp over the rows of each part, those of other members included, (1, C).
fn summed_out(parts: &[Tensor], sharing: &Sharing<'_>) -> Result<Vec<Tensor>> {
    let sums = parts.iter().map(|part| match sharing {
        Sharing::Rows { group, .. } => log_sum_exp_over(part, group)?.unsqueeze(0),
        Sharing::Alone | Sharing::Tuples { .. } => log_sum_exp(part, 0)?.unsqueeze(0),
    });
    Ok(sums.collect::<candle_core::Result<_>>()?)
}

/// For each variable of an additive critic, the mean over examples i of the log-sum-exp of T over all
/// tuples with that variable of i, and the outcome of i.
pub(super) fn factorised_marginals(
    critic: &dyn Critic,
    parts: &[Tensor],
    labels: &Labels,
) -> Result<Vec<f64>> {
    let parts: Vec<Tensor> = parts.iter().map(Tensor::detach).collect();
    let sums = summed_out(&parts, &Sharing::Alone)?;
    let marginal = |m: usize| {
        let others = sums.iter().enumerate().map(|(other, sum)| {
            if other == m {
                Ok(parts[m].clone())
            } else {
                sum.broadcast_as(parts[m].shape())?.contiguous()
            }
        });
        let rows = others.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(to_scalar_f64(&labels.pick(&critic.combine(&rows)?)?.mean_all()?)?)
    };
    (0..parts.len()).map(marginal).collect()
}

/// log sum exp T over the pieces that are summed here, and the outcomes.
pub(super) fn log_sum_of_pieces(
    critic: &dyn Critic,
    parts: &[Tensor],
    pieces: &Pieces<'_>,
) -> Result<RunningLogSum> {
    let parts: Vec<Tensor> = parts.iter().map(Tensor::detach).collect();
    let mut sum = RunningLogSum::default();
    for tuples in pieces.iter() {
        let scores = wide(&critic.combine(&tuples?.gather(&parts)?)?.detach())?;
        for of_tuple in to_vec_f64(&log_sum_exp(&scores, 1)?)? {
            sum.add(of_tuple);
        }
    }
    Ok(sum)
}

/// As [`factorised_marginals`], for any critic.
pub(super) fn marginals_of_pieces(
    critic: &dyn Critic,
    parts: &[Tensor],
    labels: &Labels,
    pieces: &Pieces<'_>,
) -> Result<Vec<f64>> {
    let parts: Vec<Tensor> = parts.iter().map(Tensor::detach).collect();
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    let mut sums = vec![vec![RunningLogSum::default(); labels.len()]; parts.len()];
    for tuples in pieces.iter() {
        let tuples = tuples?;
        let scores = wide(&critic.combine(&tuples.gather(&parts)?)?.detach())?;
        for (m, sums) in sums.iter_mut().enumerate() {
            let rows: Vec<u32> = tuples.iter().map(|tuple| tuple[m]).collect();
            let classes: Vec<u32> = rows.iter().map(|&row| truth[row as usize]).collect();
            let classes = Tensor::from_vec(classes, (rows.len(), 1), scores.device())?;
            let picked = to_vec_f64(&scores.gather(&classes, 1)?)?;
            rows.iter().zip(picked).for_each(|(&row, score)| sums[row as usize].add(score));
        }
    }
    let mean = |sums: &Vec<RunningLogSum>| {
        sums.iter().map(RunningLogSum::value).sum::<f64>() / sums.len() as f64
    };
    Ok(sums.iter().map(mean).collect())
}

/// `log_sum` as a scalar with gradients, of the type and device of `like`.
///
/// Each piece's scores are computed again and their gradients weighed by exp(T) / sum exp T and added
/// up; no more than one piece's graph is ever held. The sums are attached to the value, so that it can
/// be differentiated like any other tensor. Of several members each has the gradients of its own pieces, and an equal
/// part of the value.
pub(super) fn attached(
    critic: &dyn Critic,
    parts: &[Tensor],
    pieces: &Pieces<'_>,
    log_sum: f64,
    like: &Tensor,
) -> Result<Tensor> {
    let parameters = critic.parameters();
    let leaves = parts
        .iter()
        .map(|part| Var::from_tensor(&part.detach().contiguous()?))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let inputs: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
    let watched: Vec<&Tensor> = inputs.iter().chain(&parameters).collect();
    let mut totals: Vec<Option<Tensor>> = vec![None; watched.len()];
    for tuples in pieces.iter() {
        let scores = critic.combine(&tuples?.gather(&inputs)?)?;
        let shares = (scores.detach() - log_sum)?.exp()?;
        let found = (scores * shares)?.sum_all()?.backward()?;
        for (total, tensor) in totals.iter_mut().zip(&watched) {
            let Some(gradient) = found.get(tensor) else { continue };
            *total = Some(match total.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient.clone(),
            });
        }
    }
    let own = if pieces.members == 1 { log_sum } else { log_sum / pieces.members as f64 };
    let mut value = placed_like(&Tensor::new(own, &Device::Cpu)?, like)?;
    for (tensor, gradient) in parts.iter().chain(&parameters).zip(totals) {
        let Some(gradient) = gradient else { continue };
        // x - x is 0, and d/dx of (x - constant) g is g.
        let nothing = (tensor - tensor.detach())?;
        value = (value + (nothing * gradient)?.sum_all()?)?;
    }
    Ok(value)
}
