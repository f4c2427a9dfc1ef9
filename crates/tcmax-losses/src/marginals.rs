//! What comes with a bound on the total correlation: predictions without a modality, and a score of whether
//! modalities belong together.
//!
//! At its maximum the critic is f(z)\[y\] = log p(z_1, ..., z_M, y) / (p(z_1) ... p(z_M) U(y)) + const.
//! Then a modality that is absent can be averaged out,
//!
//! ```text
//! p(y | the others) proportional to E over p(z_m) of exp f(z_1, .., z_m, .., z_M)[y]
//! ```
//!
//! which for additive heads adds one stored vector of C numbers,
//! v_m\[c\] = log mean_k exp g_m(z_m^k)\[c\] over training examples k; other heads average over stored
//! features. And summing the label out instead gives
//! logsumexp_c f(z)\[c\] = log p(z_1, ..., z_M) / prod_m p(z_m) + const, which is low for sounds and
//! pictures that do not belong together.
//!
//! Of several labels the same average is taken of the outcome yes, as if the other outcome had the score 0: a
//! heuristic. Of numbers it would mean nothing, and mean features take the place of what is absent.
//!
//! Both hold for heads trained by TCMax; for others the same formulas are a heuristic.
//!
//! Examples may lack different modalities: [`Marginals`] is made of those that training examples have, and
//! averages out those that an example lacks.

use candle_core::Tensor;
use tcmax_fusion::FusionHead;
use tcmax_ops::{Seed, State, log_sum_exp};

use rand::seq::index;

use crate::presence::{mask, select_rows};
use crate::{Error, Method, Presence, Result};

/// Features that a head which is not additive averages over.
pub const MOST_EXAMPLES: usize = 256;

/// What absent modalities are averaged out with.
#[derive(Clone, Debug)]
pub struct Marginals {
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// v_m, each (C,), for additive heads.
    ClassVectors(Vec<Tensor>),
    /// Features z_m^k of some training examples, each (K_m, D_m), for other heads.
    Examples(Vec<Tensor>),
    /// Mean features, each (1, D_m), for numbers.
    Means(Vec<Tensor>),
}

impl Marginals {
    /// From features z_m (N, D_m) of training examples, without gradients; where an example lacks a
    /// modality its row is ignored. Examples to keep are drawn from `seed`. A modality that no
    /// example has adds nothing.
    ///
    /// # Errors
    /// When the features do not fit the head or `present`.
    pub fn new(
        head: &dyn FusionHead,
        features: &[Tensor],
        present: &Presence,
        seed: Seed,
    ) -> Result<Self> {
        check(features, present)?;
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        if head.is_additive() {
            let log_mean = |(m, term): (usize, &Tensor)| -> Result<Tensor> {
                let rows = present.rows_with(m);
                if rows.is_empty() {
                    return Ok(Tensor::zeros(term.dim(1)?, term.dtype(), term.device())?);
                }
                let count = rows.len() as f64;
                Ok((log_sum_exp(&taken(&term.detach(), &rows)?, 0)? - count.ln())?)
            };
            let terms = head.parts(&features)?;
            let vectors = terms.iter().enumerate().map(log_mean).collect::<Result<_>>()?;
            return Ok(Self { kept: Kept::ClassVectors(vectors) });
        }
        let kept = |(m, z): (usize, &Tensor)| -> Result<Tensor> {
            let rows = present.rows_with(m);
            if rows.is_empty() {
                return Ok(Tensor::zeros((1, z.dim(1)?), z.dtype(), z.device())?);
            }
            // The same draw for all modalities: the same examples where none lacks one.
            let count = rows.len().min(MOST_EXAMPLES);
            let drawn = index::sample(&mut seed.rng(), rows.len(), count);
            let mut rows: Vec<u32> = drawn.iter().map(|place| rows[place]).collect();
            rows.sort_unstable();
            taken(z, &rows)
        };
        let examples = features.iter().enumerate().map(kept).collect::<Result<_>>()?;
        Ok(Self { kept: Kept::Examples(examples) })
    }

    /// For numbers, which are no logarithms of densities: the mean features of the training examples that have
    /// a modality take its place, which is the expectation of outputs that are linear in them.
    ///
    /// # Errors
    /// When the features do not fit `present`.
    pub fn of_means(features: &[Tensor], present: &Presence) -> Result<Self> {
        check(features, present)?;
        let mean = |(m, z): (usize, &Tensor)| -> Result<Tensor> {
            let rows = present.rows_with(m);
            if rows.is_empty() {
                return Ok(Tensor::zeros((1, z.dim(1)?), z.dtype(), z.device())?);
            }
            Ok(taken(&z.detach(), &rows)?.mean_keepdim(0)?)
        };
        let means = features.iter().enumerate().map(mean).collect::<Result<_>>()?;
        Ok(Self { kept: Kept::Means(means) })
    }

    /// Scores (N, C) of features z_m (N, D_m), with what is not `present` averaged out, whatever is in
    /// its rows; softmax of them is p(y | what is there). An example without any modality gets the
    /// average over all.
    ///
    /// # Errors
    /// When the features do not fit the head or `present`.
    pub fn scores(
        &self,
        head: &dyn FusionHead,
        features: &[Tensor],
        present: &Presence,
    ) -> Result<Tensor> {
        check(features, present)?;
        match &self.kept {
            Kept::ClassVectors(vectors) => {
                let terms = head.parts(features)?;
                check_length("stored class vectors", vectors.len(), terms.len())?;
                let own = |(m, term): (usize, &Tensor)| -> Result<Tensor> {
                    let instead = vectors[m].to_dtype(term.dtype())?.unsqueeze(0)?;
                    let instead = instead.broadcast_as(term.shape())?;
                    select_rows(&present.mask(m, term.device())?, term, &instead)
                };
                Ok(head.combine(&terms.iter().enumerate().map(own).collect::<Result<Vec<_>>>()?)?)
            }
            Kept::Examples(examples) => {
                check_length("stored features", examples.len(), features.len())?;
                averaged(head, features, present, examples)
            }
            Kept::Means(means) => Ok(head.scores(&imputed(features, present, means)?)?),
        }
    }

    /// Logits (N, C) as `method` predicts for examples that have every modality, and
    /// [`Marginals::scores`] for those that lack one.
    ///
    /// # Errors
    /// As [`Marginals::scores`].
    pub fn predict(
        &self,
        method: &dyn Method,
        head: &dyn FusionHead,
        features: &[Tensor],
        present: &Presence,
    ) -> Result<Tensor> {
        if let Kept::Means(means) = &self.kept {
            return method.predict_numbers(head, &imputed(features, present, means)?);
        }
        let whole = method.predict(head, features)?;
        if present.is_complete() {
            return Ok(whole);
        }
        let scores = self.scores(head, features, present)?;
        let complete = |row: usize| (0..present.modalities()).all(|m| present.of(m)[row]);
        let complete = mask((0..present.examples()).map(complete), whole.device())?;
        select_rows(&complete, &whole, &scores)
    }

    /// Tensors to save, with the names of the modalities.
    pub fn state(&self, modalities: &[String]) -> State {
        let (kind, tensors) = match &self.kept {
            Kept::ClassVectors(tensors) => ("class-vector", tensors),
            Kept::Examples(tensors) => ("examples", tensors),
            Kept::Means(tensors) => ("mean", tensors),
        };
        let named = modalities.iter().zip(tensors);
        named.map(|(name, tensor)| (format!("{kind}.{name}"), tensor.clone())).collect()
    }

    /// The inverse of [`Marginals::state`], for the modalities of `head`.
    ///
    /// # Errors
    /// When a modality has neither a vector nor examples, or one that does not fit the head's classes.
    pub fn from_state(head: &dyn FusionHead, state: &State, modalities: &[String]) -> Result<Self> {
        let of_kind = |kind: &str, rank: usize| {
            let of = |name: &String| {
                let full_name = format!("{kind}.{name}");
                let tensor = crate::state::tensor(state, &full_name)?;
                // Vectors have an entry per class, examples at least one row.
                let wanted = if rank == 1 { head.outcomes() } else { tensor.elem_count().max(1) };
                if tensor.rank() != rank || tensor.elem_count() != wanted {
                    let got = tensor.elem_count();
                    return Err(Error::WrongState { name: full_name, got, wanted });
                }
                Ok(tensor.clone())
            };
            modalities.iter().map(of).collect::<Result<Vec<_>>>()
        };
        let is_missing = |found: &Result<_>| matches!(found, Err(Error::MissingState { .. }));
        let (vectors, means) = (of_kind("class-vector", 1), of_kind("mean", 2));
        let kept = match (is_missing(&vectors), is_missing(&means)) {
            (false, _) => Kept::ClassVectors(vectors?),
            (_, false) => Kept::Means(means?),
            _ => Kept::Examples(of_kind("examples", 2)?),
        };
        Ok(Self { kept })
    }
}

/// Checks that there is a tensor per modality and a row per example.
fn check(features: &[Tensor], present: &Presence) -> Result<()> {
    check_length("modalities", present.modalities(), features.len())?;
    for z in features {
        check_length("flags of a modality", present.examples(), z.dim(0)?)?;
    }
    Ok(())
}

fn check_length(what: &'static str, got: usize, wanted: usize) -> Result<()> {
    if got == wanted { Ok(()) } else { Err(Error::WrongLength { what, got, wanted }) }
}

fn taken(tensor: &Tensor, rows: &[u32]) -> Result<Tensor> {
    Ok(tensor.index_select(&Tensor::new(rows, tensor.device())?, 0)?)
}

/// Features with the means in the rows that lack a modality.
fn imputed(features: &[Tensor], present: &Presence, means: &[Tensor]) -> Result<Vec<Tensor>> {
    check(features, present)?;
    check_length("stored means", means.len(), features.len())?;
    let of = |(m, z): (usize, &Tensor)| -> Result<Tensor> {
        let mean = means[m].to_dtype(z.dtype())?.broadcast_as(z.shape())?;
        select_rows(&present.mask(m, z.device())?, z, &mean)
    };
    features.iter().enumerate().map(of).collect()
}

/// log mean_k exp f with the absent modalities of each row taken from example k.
fn averaged(
    head: &dyn FusionHead,
    features: &[Tensor],
    present: &Presence,
    examples: &[Tensor],
) -> Result<Tensor> {
    let whole = head.scores(features)?.detach();
    let mut rows = Vec::with_capacity(present.examples());
    for row in 0..present.examples() {
        let absent: Vec<usize> = (0..features.len()).filter(|&m| !present.of(m)[row]).collect();
        if absent.is_empty() {
            rows.push(whole.get(row)?);
            continue;
        }
        let mut count = 1;
        for &m in &absent {
            count = count.max(examples[m].dim(0)?);
        }
        let of_row = |(m, z): (usize, &Tensor)| -> Result<Tensor> {
            let Some(position) = absent.iter().position(|&a| a == m) else {
                return Ok(z.narrow(0, row, 1)?.broadcast_as((count, z.dim(1)?))?.contiguous()?);
            };
            // Absent modalities are independent of each other: not from the same example.
            let (kept, shift) = (examples[m].dim(0)?, position * count / absent.len());
            let order: Vec<u32> = (0..count).map(|k| ((k + shift) % kept) as u32).collect();
            taken(&examples[m], &order)
        };
        let features = features.iter().enumerate().map(of_row).collect::<Result<Vec<_>>>()?;
        let scores = head.scores(&features)?.detach();
        rows.push((log_sum_exp(&scores, 0)? - (count as f64).ln())?);
    }
    Ok(Tensor::stack(&rows, 0)?)
}

/// log sum_c exp f(z)\[c\] - log C of scores (N, C), nats: shape (N,). High where the modalities belong
/// together.
///
/// # Errors
/// When the scores are not of rank 2.
pub fn matching_score(scores: &Tensor) -> Result<Tensor> {
    Ok((log_sum_exp(scores, 1)? - (scores.dim(1)? as f64).ln())?)
}
