//! What the total correlation gives for free: predictions without a modality, and a score of whether
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
//! Both hold for heads trained by TCMax; for others the same formulas are a heuristic.

use candle_core::Tensor;
use tcmax_estimators::Error as EstimatorError;
use tcmax_fusion::FusionHead;
use tcmax_ops::{Seed, State, log_sum_exp, sum_of};

use rand::seq::index;

use crate::{Error, Result};

/// Features that a head which is not additive averages over.
pub const MOST_EXAMPLES: usize = 256;

/// What takes the place of absent modalities.
#[derive(Clone, Debug)]
pub enum Stand {
    /// v_m, each (C,), for additive heads.
    ClassVectors(Vec<Tensor>),
    /// Features z_m^k of some training examples, each (K, D_m), for other heads.
    Examples(Vec<Tensor>),
}

impl Stand {
    /// From features z_m (N, D_m) of training examples, without gradients. Examples to keep are drawn
    /// from `seed`.
    ///
    /// # Errors
    /// When the features do not fit the head.
    pub fn new(head: &dyn FusionHead, features: &[Tensor], seed: Seed) -> Result<Self> {
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        if let Some(terms) = head.additive_terms(&features)? {
            let log_mean = |term: &Tensor| -> Result<Tensor> {
                Ok((log_sum_exp(&term.detach(), 0)? - (term.dim(0)? as f64).ln())?)
            };
            return Ok(Self::ClassVectors(terms.iter().map(log_mean).collect::<Result<_>>()?));
        }
        let count = features.first().map_or(Ok(0), |first| first.dim(0))?;
        let mut rows: Vec<u32> = index::sample(&mut seed.rng(), count, count.min(MOST_EXAMPLES))
            .iter()
            .map(|row| row as u32)
            .collect();
        rows.sort_unstable();
        let kept = |z: &Tensor| z.index_select(&Tensor::new(&rows[..], z.device())?, 0);
        Ok(Self::Examples(features.iter().map(kept).collect::<candle_core::Result<_>>()?))
    }

    /// Scores (N, C) from the features that are there, each (N, D_m); softmax of them is p(y | those).
    ///
    /// # Errors
    /// When every modality is absent, or the features do not fit the head.
    pub fn scores(&self, head: &dyn FusionHead, features: &[Option<Tensor>]) -> Result<Tensor> {
        let first = features.iter().flatten().next();
        let first = first.ok_or(Error::Estimator(EstimatorError::Empty {
            what: "the list of modalities that are there",
            unit: "modality",
        }))?;
        let rows = first.dim(0)?;
        match self {
            Self::ClassVectors(vectors) => {
                // Whatever fills an absent modality, its term is replaced.
                let filled = filled(features, |m| {
                    let width = head_width(head, m, features)?;
                    Ok(Tensor::zeros((rows, width), first.dtype(), first.device())?)
                })?;
                let terms = head.additive_terms(&filled)?.ok_or(EstimatorError::NotAdditive)?;
                let own = |(m, term): (usize, Tensor)| match features.get(m) {
                    Some(Some(_)) => Ok(term),
                    _ => {
                        vectors[m].to_dtype(term.dtype())?.unsqueeze(0)?.broadcast_as(term.shape())
                    }
                };
                let terms = terms.into_iter().enumerate().map(own);
                Ok(sum_of(&terms.collect::<candle_core::Result<Vec<_>>>()?)?)
            }
            Self::Examples(examples) => averaged(head, features, examples, rows),
        }
    }

    /// Tensors to save, with the names of the modalities.
    pub fn state(&self, modalities: &[String]) -> State {
        let (kind, tensors) = match self {
            Self::ClassVectors(tensors) => ("class-vector", tensors),
            Self::Examples(tensors) => ("examples", tensors),
        };
        let named = modalities.iter().zip(tensors);
        named.map(|(name, tensor)| (format!("{kind}.{name}"), tensor.clone())).collect()
    }

    /// The inverse of [`Stand::state`].
    ///
    /// # Errors
    /// When a modality has neither.
    pub fn from_state(state: &State, modalities: &[String]) -> Result<Self> {
        let of_kind = |kind: &str| {
            let of =
                |name: &String| crate::state::tensor(state, &format!("{kind}.{name}")).cloned();
            modalities.iter().map(of).collect::<Result<Vec<_>>>()
        };
        of_kind("class-vector")
            .map(Self::ClassVectors)
            .or_else(|_| of_kind("examples").map(Self::Examples))
    }
}

/// The width of modality m's features, from the vectors of a linear head.
fn head_width(head: &dyn FusionHead, m: usize, features: &[Option<Tensor>]) -> Result<usize> {
    let vectors = head.class_vectors()?.unwrap_or_default();
    match vectors.get(m) {
        Some(vectors) => Ok(vectors.dim(1)?),
        None => Err(Error::Estimator(EstimatorError::NoSuchVariable {
            index: m,
            count: features.len(),
        })),
    }
}

fn filled(
    features: &[Option<Tensor>],
    instead: impl Fn(usize) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let fill = |(m, z): (usize, &Option<Tensor>)| match z {
        Some(z) => Ok(z.clone()),
        None => instead(m),
    };
    features.iter().enumerate().map(fill).collect()
}

/// log mean_k exp f with the absent modalities taken from example k.
fn averaged(
    head: &dyn FusionHead,
    features: &[Option<Tensor>],
    examples: &[Tensor],
    rows: usize,
) -> Result<Tensor> {
    let count = examples.first().map_or(Ok(0), |first| first.dim(0))?;
    let mut parts = Vec::with_capacity(rows);
    for row in 0..rows {
        let of_row = |(m, z): (usize, &Option<Tensor>)| -> Result<Tensor> {
            Ok(match z {
                Some(z) => z.narrow(0, row, 1)?.broadcast_as((count, z.dim(1)?))?.contiguous()?,
                None => examples[m].clone(),
            })
        };
        let features = features.iter().enumerate().map(of_row).collect::<Result<Vec<_>>>()?;
        let scores = head.scores(&features)?.detach();
        parts.push((log_sum_exp(&scores, 0)? - (count as f64).ln())?);
    }
    Ok(Tensor::stack(&parts, 0)?)
}

/// log sum_c exp f(z)\[c\] - log C of scores (N, C), nats: shape (N,). High where the modalities belong
/// together.
///
/// # Errors
/// When the scores are not of rank 2.
pub fn matching_score(scores: &Tensor) -> Result<Tensor> {
    Ok((log_sum_exp(scores, 1)? - (scores.dim(1)? as f64).ln())?)
}
