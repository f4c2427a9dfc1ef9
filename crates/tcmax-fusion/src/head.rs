//! The trait of fusion heads.

use std::ops::Range;

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::only_reading;

use crate::{Error, Result};

/// A classifier on the features of M modalities.
///
/// It is a [`Critic`]: its logits are the scores T(z_1, ..., z_M, c), with the classes as outcomes.
/// This is the idea of TCMax, and why a bound on the total correlation needs nothing else of a head.
pub trait FusionHead: Critic + Send + Sync {
    /// Logits of each modality alone, each (N, C), as they are logged and trained by unimodal
    /// objectives. For additive heads these are the additive terms, except for
    /// [`SpecificHead`](crate::SpecificHead), which has layers for them.
    ///
    /// # Errors
    /// When the number or the shapes of the features do not fit.
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>>;

    /// Fused logits (N, C) as cross-entropy trains them: the critic's scores, except for
    /// [`SharedHead`](crate::SharedHead), whose logits are a mean and whose scores are a sum.
    ///
    /// # Errors
    /// As [`FusionHead::modality_logits`].
    fn logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        self.scores(features)
    }

    /// [`Self::logits`] (N, C) and [`Self::modality_logits`], (N, C) each, of the same features (N, D_m). Heads whose logits are made of those of the
    /// modalities compute them once.
    ///
    /// # Errors
    /// As [`FusionHead::modality_logits`].
    fn all_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<(Tensor, Vec<Tensor>)> {
        Ok((self.logits(features)?, self.modality_logits(features)?))
    }

    /// [`Self::logits`] (N, C), and the logits (N, C) of each modality as something to look at: where a head computes
    /// them by themselves, they have no gradients and nothing is kept for any.
    ///
    /// # Errors
    /// As [`FusionHead::modality_logits`].
    fn logits_and_readings(
        &self,
        features: &[Tensor],
    ) -> tcmax_estimators::Result<(Tensor, Vec<Tensor>)> {
        if self.is_additive() {
            return self.all_logits(features);
        }
        let detached: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        Ok((self.logits(features)?, only_reading(|| self.modality_logits(&detached))?))
    }

    /// Adds to an ONNX graph what [`Critic::scores`] does: scores (N, C) of features z_m (N, D_m). Weights
    /// have the names that the head was made with.
    ///
    /// # Errors
    /// When the head has no graph, as by default.
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let _ = (graph, z);
        Err(tcmax_onnx::Error::no_graph("the head", "it does not say how"))
    }

    /// As [`FusionHead::scores_to_onnx`], of [`FusionHead::logits`].
    ///
    /// # Errors
    /// As [`FusionHead::scores_to_onnx`].
    fn logits_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        self.scores_to_onnx(graph, z)
    }

    /// The vectors (C, D_m) of each modality whose products with the features make the logits, for
    /// heads of that form.
    ///
    /// # Errors
    /// Only if the device fails.
    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    /// The parameters, or columns of them, that only modality m has to do with: what methods that slow down a
    /// modality slow down in the head. None, as by default, where all share all.
    fn owned_by(&self, m: usize) -> Vec<Owned> {
        let _ = m;
        Vec::new()
    }
}

/// A parameter of a head, or some of its columns, that one modality owns.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The parameter.
    pub parameter: Tensor,
    /// Which columns of it, where it is a matrix that modalities share; `None`: all of it.
    pub columns: Option<Range<usize>>,
}

/// Which of two modalities conditions the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditioning {
    /// The first conditions the second.
    ByFirst,
    /// The second conditions the first.
    BySecond,
}

impl Conditioning {
    /// The one that conditions, then the one that is conditioned. Its own inverse.
    pub(crate) fn order<T>(self, [first, second]: [T; 2]) -> [T; 2] {
        match self {
            Self::ByFirst => [first, second],
            Self::BySecond => [second, first],
        }
    }
}

/// The two widths a head for two modalities needs.
pub(crate) fn two_widths(widths: &[usize], head: &'static str) -> Result<[usize; 2]> {
    <[usize; 2]>::try_from(widths)
        .map_err(|_| Error::NeedsTwoModalities { head, got: widths.len() })
}
