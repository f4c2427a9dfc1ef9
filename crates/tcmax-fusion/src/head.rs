//! What every fusion head is.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Critic;
use tcmax_ops::ParamBuilder;

use crate::{ConcatHead, Error, Result, SumHead};

/// A classifier on the features of M modalities.
///
/// It is a [`Critic`]: its logits are the scores T(z_1, ..., z_M, c), with the classes as outcomes.
/// That is the idea of TCMax, and why a head needs nothing else to have its total correlation
/// bounded.
pub trait FusionHead: Critic + Send + Sync {
    /// Logits of each modality alone, each (N, C), as they are logged and trained by unimodal
    /// objectives. For additive heads these are the additive terms.
    ///
    /// # Errors
    /// When the number or the shapes of the features do not fit.
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>>;
}

/// The heads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// [`ConcatHead`].
    Concat,
    /// [`SumHead`].
    Sum,
}

impl HeadKind {
    /// Every head, in the order to list them.
    pub const ALL: [Self; 2] = [Self::Concat, Self::Sum];

    /// The names to choose from.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::Sum => "sum",
        }
    }

    /// Builds the head for features of the given widths.
    ///
    /// # Errors
    /// When there is no modality, a width is 0, or there are fewer than two classes.
    pub fn build(
        self,
        widths: &[usize],
        classes: usize,
        builder: &ParamBuilder,
    ) -> Result<Box<dyn FusionHead>> {
        if widths.is_empty() {
            return Err(Error::NoModality);
        }
        if let Some(modality) = widths.iter().position(|&width| width == 0) {
            return Err(Error::NoFeatures { modality });
        }
        if classes < 2 {
            return Err(Error::TooFewClasses { classes });
        }
        Ok(match self {
            Self::Concat => Box::new(ConcatHead::new(widths, classes, builder)?),
            Self::Sum => Box::new(SumHead::new(widths, classes, builder)?),
        })
    }
}

impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HeadKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| Error::UnknownHead { name: name.to_owned() })
    }
}
