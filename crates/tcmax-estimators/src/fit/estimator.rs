//! The estimators that fit a critic, as a closed set.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;

use crate::bound::{MovingAverage, donsker_varadhan, jensen_shannon, nwj, symmetric_info_nce};
use crate::error::{Error, Result};

/// What a fit maximises on batches, and what it reports of held-out data.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// Donsker-Varadhan for two variables with the moving average of MINE (Belghazi et al. 2018) in its
    /// gradient: the bound of [`Estimator::Tcne`], trained as published.
    Mine,
    /// Donsker-Varadhan for any number of variables: total correlation.
    Tcne,
    /// Nguyen, Wainwright and Jordan's bound (f-GAN, MINE-f).
    Nwj,
    /// InfoNCE for two variables, over held-out blocks of [`Estimator::INFO_NCE_BLOCK`] examples.
    InfoNce,
    /// Trained by the Jensen-Shannon objective, reported with product scores clipped at +-tau. Not a
    /// lower bound.
    Smile {
        /// Where scores are clipped.
        tau: f64,
    },
    /// Trained by the Jensen-Shannon objective, reported as Donsker-Varadhan's bound.
    JensenShannon,
}

impl Estimator {
    /// The names to choose from.
    pub const NAMES: [&'static str; 6] = ["mine", "tcne", "nwj", "infonce", "smile", "js"];

    /// Held-out examples that are told apart at once by InfoNCE; its cap is the logarithm.
    pub const INFO_NCE_BLOCK: usize = 256;

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Tcne => "tcne",
            Self::Nwj => "nwj",
            Self::InfoNce => "infonce",
            Self::Smile { .. } => "smile",
            Self::JensenShannon => "js",
        }
    }

    /// One line on what it is.
    pub fn description(self) -> &'static str {
        match self {
            Self::Mine => "tcne's bound on two variables, trained with the moving average of MINE",
            Self::Tcne => "Donsker-Varadhan bound on the total correlation of all variables",
            Self::Nwj => "bound of Nguyen, Wainwright and Jordan; unbiased, large variance",
            Self::InfoNce => "InfoNCE; small variance, cannot exceed the log of the block size",
            Self::Smile { .. } => "SMILE; clipped, not a lower bound",
            Self::JensenShannon => {
                "critic of the Jensen-Shannon objective in Donsker-Varadhan's bound"
            }
        }
    }

    /// Whether expected held-out values cannot exceed the truth.
    pub fn is_lower_bound(self) -> bool {
        !matches!(self, Self::Smile { .. })
    }

    /// Whether only pairs will do.
    pub fn needs_two_variables(self) -> bool {
        matches!(self, Self::Mine | Self::InfoNce)
    }

    /// What the best critic adds to the log density ratio.
    pub(super) fn offset(self) -> f64 {
        if self == Self::Nwj { 1.0 } else { 0.0 }
    }

    /// What training maximises: of joint scores (N,) and product scores (K,), for InfoNCE those of
    /// all pairs (N^2,).
    pub(super) fn objective(
        self,
        joint: &Tensor,
        product: &Tensor,
        average: Option<&mut MovingAverage>,
    ) -> Result<Tensor> {
        match self {
            Self::Mine | Self::Tcne => match average {
                Some(average) => average.bound(joint, product),
                None => donsker_varadhan(joint, product),
            },
            Self::Nwj => nwj(joint, product),
            Self::InfoNce => {
                let n = joint.elem_count();
                symmetric_info_nce(&product.reshape((n, n))?)
            }
            Self::Smile { .. } | Self::JensenShannon => jensen_shannon(joint, product),
        }
    }
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Estimator {
    type Err = Error;

    /// The estimator of that name; SMILE with tau = 5.
    fn from_str(name: &str) -> Result<Self> {
        let known = [Self::Mine, Self::Tcne, Self::Nwj, Self::InfoNce, Self::JensenShannon];
        let known = known.into_iter().chain([Self::Smile { tau: 5.0 }]);
        let found = known.into_iter().find(|estimator| estimator.name() == name);
        found.ok_or_else(|| Error::UnknownEstimator { name: name.to_owned() })
    }
}
