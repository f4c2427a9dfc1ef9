//! What every fusion head is.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Critic;
use tcmax_ops::ParamBuilder;

use crate::{
    BiGatedHead, ClipHead, ConcatHead, Error, FilmHead, GatedHead, Result, SharedHead,
    SpecificHead, SumHead,
};

/// A classifier on the features of M modalities.
///
/// It is a [`Critic`]: its logits are the scores T(z_1, ..., z_M, c), with the classes as outcomes.
/// That is the idea of TCMax, and why a head needs nothing else to have its total correlation
/// bounded.
pub trait FusionHead: Critic + Send + Sync {
    /// Logits of each modality alone, each (N, C), as they are logged and trained by unimodal
    /// objectives. For additive heads these are the additive terms, but for
    /// [`SpecificHead`], which has layers for them.
    ///
    /// # Errors
    /// When the number or the shapes of the features do not fit.
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>>;

    /// Fused logits (N, C) as cross-entropy trains them: the critic's scores, but for
    /// [`SharedHead`], whose logits are a mean and whose scores are a sum.
    ///
    /// # Errors
    /// As [`FusionHead::modality_logits`].
    fn logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        self.scores(features)
    }

    /// The vectors (C, D_m) of each modality whose products with the features make the logits, for
    /// heads of that form.
    ///
    /// # Errors
    /// Only if the device fails.
    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    /// Everything a loss of this head can have a gradient with respect to, besides the features.
    fn parameters(&self) -> Vec<Tensor>;
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

/// Sizes and temperatures that some heads have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HeadOptions {
    /// Hidden units of the gated heads; absent: the width of the widest modality.
    pub hidden: Option<usize>,
    /// Temperature of the CLIP-style head.
    pub temperature: f64,
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self { hidden: None, temperature: 0.07 }
    }
}

/// The heads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// [`ConcatHead`].
    Concat,
    /// [`SumHead`].
    Sum,
    /// [`SharedHead`].
    Shared,
    /// [`ClipHead`].
    Clip,
    /// [`SpecificHead`].
    Specific,
    /// [`FilmHead`] in which the first modality conditions the second.
    Film,
    /// [`FilmHead`] in which the second modality conditions the first.
    FilmReversed,
    /// [`GatedHead`] in which the first modality gates the second.
    Gated,
    /// [`GatedHead`] in which the second modality gates the first.
    GatedReversed,
    /// [`BiGatedHead`].
    BiGated,
}

impl HeadKind {
    /// Every head, in the order to list them.
    pub const ALL: [Self; 10] = [
        Self::Concat,
        Self::Sum,
        Self::Shared,
        Self::Clip,
        Self::Specific,
        Self::Film,
        Self::FilmReversed,
        Self::Gated,
        Self::GatedReversed,
        Self::BiGated,
    ];

    /// The names to choose from.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::Sum => "sum",
            Self::Shared => "shared",
            Self::Clip => "clip",
            Self::Specific => "specific",
            Self::Film => "film",
            Self::FilmReversed => "film-reversed",
            Self::Gated => "gated",
            Self::GatedReversed => "gated-reversed",
            Self::BiGated => "bi-gated",
        }
    }

    /// One line on what it does.
    pub fn description(self) -> &'static str {
        match self {
            Self::Concat => "one linear layer on all features side by side",
            Self::Sum => "one linear layer a modality, logits added",
            Self::Shared => "one linear layer for every modality, logits averaged",
            Self::Clip => "cosines with learned class vectors, over a temperature",
            Self::Specific => "concat, with a layer of its own for each modality's logits",
            Self::Film => "the first modality scales and shifts the second's features",
            Self::FilmReversed => "the second modality scales and shifts the first's features",
            Self::Gated => "a sigmoid of the first modality gates the second",
            Self::GatedReversed => "a sigmoid of the second modality gates the first",
            Self::BiGated => "the sum of both gated heads",
        }
    }

    /// Whether the logits are a sum of one term a modality.
    pub fn is_additive(self) -> bool {
        match self {
            Self::Concat | Self::Sum | Self::Shared | Self::Clip | Self::Specific => true,
            Self::Film | Self::FilmReversed | Self::Gated | Self::GatedReversed | Self::BiGated => {
                false
            }
        }
    }

    /// Builds the head for features of the given widths.
    ///
    /// # Errors
    /// When there is no modality, a width is 0, there are fewer than two classes, or the head is not
    /// defined for these widths.
    pub fn build(
        self,
        widths: &[usize],
        classes: usize,
        options: HeadOptions,
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
        if options.hidden == Some(0) {
            return Err(Error::NoHiddenUnits);
        }
        let widest = widths.iter().copied().max().unwrap_or(0);
        let hidden = options.hidden.unwrap_or(widest);
        let film = |by| FilmHead::new(widths, classes, by, builder);
        let gated = |by| GatedHead::new(widths, hidden, classes, by, builder);
        Ok(match self {
            Self::Concat => Box::new(ConcatHead::new(widths, classes, builder)?),
            Self::Sum => Box::new(SumHead::new(widths, classes, builder)?),
            Self::Shared => Box::new(SharedHead::new(widths, classes, builder)?),
            Self::Clip => Box::new(ClipHead::new(widths, classes, options.temperature, builder)?),
            Self::Specific => Box::new(SpecificHead::new(widths, classes, builder)?),
            Self::Film => Box::new(film(Conditioning::ByFirst)?),
            Self::FilmReversed => Box::new(film(Conditioning::BySecond)?),
            Self::Gated => Box::new(gated(Conditioning::ByFirst)?),
            Self::GatedReversed => Box::new(gated(Conditioning::BySecond)?),
            Self::BiGated => Box::new(BiGatedHead::new(widths, hidden, classes, builder)?),
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
