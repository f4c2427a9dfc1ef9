//! The objectives to train by, as a closed set.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use tcmax_estimators::{BatchBound, Labels};
use tcmax_fusion::FusionHead;

use crate::{Error, Result, cross_entropy, tcmax};

/// What training minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Cross-entropy of the fused logits: the usual joint training.
    Joint,
    /// The sum of every modality's own cross-entropy; the fused logits are used in prediction only.
    Unimodal,
    /// The negative bound on the total correlation ([`tcmax`]).
    Tcmax,
}

/// The loss of a batch and the logits it came from.
#[derive(Clone, Debug)]
pub struct ObjectiveOutput {
    /// The scalar to differentiate, nats.
    pub loss: Tensor,
    /// Fused logits (B, C).
    pub logits: Tensor,
    /// The bound on the total correlation, where the objective computes it.
    pub bound: Option<BatchBound>,
}

impl Objective {
    /// Every objective, in the order to list them.
    pub const ALL: [Self; 3] = [Self::Joint, Self::Unimodal, Self::Tcmax];

    /// The names to choose from.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|objective| objective.name()).collect()
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::Unimodal => "unimodal",
            Self::Tcmax => "tcmax",
        }
    }

    /// One line on what it does.
    pub fn description(self) -> &'static str {
        match self {
            Self::Joint => "cross-entropy of the fused logits",
            Self::Unimodal => "sum of each modality's own cross-entropy",
            Self::Tcmax => "total correlation of all features and the label, maximised",
        }
    }

    /// The loss of features z_m (B, D_m) under a head.
    ///
    /// # Errors
    /// When shapes do not fit, or the head does not suit the objective.
    pub fn loss(
        self,
        head: &dyn FusionHead,
        features: &[Tensor],
        labels: &Labels,
    ) -> Result<ObjectiveOutput> {
        let logits = head.scores(features)?;
        let (loss, bound) = match self {
            Self::Joint => (cross_entropy(&logits, labels)?, None),
            Self::Unimodal => (unimodal(&head.modality_logits(features)?, labels)?, None),
            Self::Tcmax => {
                let bound = tcmax(head, features, labels)?;
                (bound.value().neg()?, Some(bound))
            }
        };
        Ok(ObjectiveOutput { loss, logits, bound })
    }
}

/// The sum of the cross-entropies of each modality's own logits (N, C): a scalar, nats.
///
/// # Errors
/// When there is no modality, or shapes do not fit.
pub fn unimodal(modality_logits: &[Tensor], labels: &Labels) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for logits in modality_logits {
        let own = cross_entropy(logits, labels)?;
        total = Some(match total {
            Some(sum) => (sum + own)?,
            None => own,
        });
    }
    total.ok_or(Error::Estimator(tcmax_estimators::Error::Empty {
        what: "the list of modality logits",
        unit: "modality",
    }))
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Objective {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|objective| objective.name() == name);
        found.ok_or_else(|| Error::UnknownMethod { name: name.to_owned() })
    }
}
