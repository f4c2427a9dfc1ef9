//! The registry of methods.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tcmax_fusion::HeadKind;

use crate::methods::agm::{Agm, AgmOptions};
use crate::methods::g_blend::{GBlend, GBlendOptions};
use crate::methods::joint::Joint;
use crate::methods::mla::{Mla, MlaOptions};
use crate::methods::mm_cosine::{MmCosine, MmCosineOptions};
use crate::methods::mm_pareto::{MmPareto, MmParetoOptions};
use crate::methods::ogm::{Ogm, OgmOptions};
use crate::methods::opm::{Opm, OpmOptions};
use crate::methods::pmr::{Pmr, PmrOptions};
use crate::methods::qmf::Qmf;
use crate::methods::tcmax::{Tcmax, TcmaxOptions};
use crate::methods::unimodal::Unimodal;
use crate::{Error, Method, Result, Setup};

/// The methods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// [`methods::joint`](crate::methods::joint).
    Joint,
    /// [`methods::unimodal`](crate::methods::unimodal).
    Unimodal,
    /// [`methods::tcmax`](crate::methods::tcmax).
    Tcmax,
    /// [`methods::ogm`](crate::methods::ogm) without noise.
    Ogm,
    /// [`methods::ogm`](crate::methods::ogm) with noise.
    OgmGe,
    /// [`methods::agm`](crate::methods::agm).
    Agm,
    /// [`methods::pmr`](crate::methods::pmr).
    Pmr,
    /// [`methods::qmf`](crate::methods::qmf).
    Qmf,
    /// [`methods::mla`](crate::methods::mla).
    Mla,
    /// [`methods::mm_pareto`](crate::methods::mm_pareto).
    MmPareto,
    /// [`methods::opm`](crate::methods::opm).
    Opm,
    /// [`methods::mm_cosine`](crate::methods::mm_cosine).
    MmCosine,
    /// [`methods::g_blend`](crate::methods::g_blend).
    GBlend,
}

/// Options of every method; a run uses those of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MethodOptions {
    /// Of TCMax.
    pub tcmax: TcmaxOptions,
    /// Of OGM and OGM-GE.
    pub ogm: OgmOptions,
    /// Of AGM.
    pub agm: AgmOptions,
    /// Of PMR.
    pub pmr: PmrOptions,
    /// Of MLA.
    pub mla: MlaOptions,
    /// Of MMPareto.
    pub mm_pareto: MmParetoOptions,
    /// Of OPM.
    pub opm: OpmOptions,
    /// Of MMCosine.
    pub mm_cosine: MmCosineOptions,
    /// Of G-Blend.
    pub g_blend: GBlendOptions,
}

/// How many modalities a method is defined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modalities {
    /// One or more.
    Any,
    /// Two or more.
    Several,
    /// Two.
    Two,
}

impl fmt::Display for Modalities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Several => "2 or more",
            Self::Two => "2",
        })
    }
}

impl MethodKind {
    /// Every method, in the order to list them.
    pub const ALL: [Self; 13] = [
        Self::Joint,
        Self::Unimodal,
        Self::Tcmax,
        Self::Ogm,
        Self::OgmGe,
        Self::Agm,
        Self::Pmr,
        Self::Qmf,
        Self::Mla,
        Self::MmPareto,
        Self::Opm,
        Self::MmCosine,
        Self::GBlend,
    ];

    /// The names to choose from.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::Unimodal => "unimodal",
            Self::Tcmax => "tcmax",
            Self::Ogm => "ogm",
            Self::OgmGe => "ogm-ge",
            Self::Agm => "agm",
            Self::Pmr => "pmr",
            Self::Qmf => "qmf",
            Self::Mla => "mla",
            Self::MmPareto => "mm-pareto",
            Self::Opm => "opm",
            Self::MmCosine => "mm-cosine",
            Self::GBlend => "g-blend",
        }
    }

    /// One line on what it does.
    pub fn description(self) -> &'static str {
        match self {
            Self::Joint => "cross-entropy of the fused logits",
            Self::Unimodal => "sum of each modality's own cross-entropy",
            Self::Tcmax => "total correlation of all features and the label, maximised",
            Self::Ogm => "slows down the convolutions of the leading encoder",
            Self::OgmGe => "OGM, with noise in the gradients of the encoders",
            Self::Agm => "slows down encoders that are further ahead than they usually are",
            Self::Pmr => "pulls the lagging modality towards its class prototypes",
            Self::Qmf => "mixes modalities by confidence, ranked by their history of losses",
            Self::Mla => "trains one shared head on the modalities in turn, without forgetting",
            Self::MmPareto => "joins fused and unimodal gradients without conflict",
            Self::Opm => "drops features of the leading modality",
            Self::MmCosine => "cross-entropy of cosines instead of products",
            Self::GBlend => "weighs branches by how well they generalise",
        }
    }

    /// Where it comes from.
    pub fn source(self) -> &'static str {
        match self {
            Self::Joint | Self::Unimodal => "",
            Self::Tcmax => "ICLR 2026",
            Self::Ogm | Self::OgmGe => "Peng et al., CVPR 2022",
            Self::Agm => "Li et al., ICCV 2023",
            Self::Pmr => "Fan et al., CVPR 2023",
            Self::Qmf => "Zhang et al., ICML 2023",
            Self::Mla => "Zhang et al., CVPR 2024",
            Self::MmPareto => "Wei and Hu, ICML 2024",
            Self::Opm => "Wei et al., TPAMI 2024",
            Self::MmCosine => "Xu et al., ICASSP 2023",
            Self::GBlend => "Wang et al., CVPR 2020",
        }
    }

    /// How many modalities it is defined for.
    pub fn modalities(self) -> Modalities {
        match self {
            Self::Joint | Self::Unimodal | Self::Tcmax | Self::MmCosine => Modalities::Any,
            Self::Agm | Self::Qmf | Self::Mla | Self::MmPareto | Self::GBlend => {
                Modalities::Several
            }
            Self::Ogm | Self::OgmGe | Self::Pmr | Self::Opm => Modalities::Two,
        }
    }

    /// The head it comes with.
    pub fn usual_head(self) -> HeadKind {
        match self {
            Self::Mla => HeadKind::Shared,
            Self::MmPareto | Self::GBlend => HeadKind::Specific,
            _ => HeadKind::Concat,
        }
    }

    /// Checks that the method is defined for a head and a number of modalities.
    ///
    /// # Errors
    /// When it is not, with what would be right.
    pub fn check(self, head: HeadKind, modalities: usize) -> Result<()> {
        let method = self.name();
        match self.modalities() {
            Modalities::Two if modalities != 2 => {
                return Err(Error::NeedsTwoModalities { method, got: modalities });
            }
            Modalities::Several if modalities < 2 => {
                return Err(Error::NeedsSeveralModalities { method, got: modalities });
            }
            _ => {}
        }
        match self {
            Self::Mla if head != HeadKind::Shared => Err(Error::NeedsSharedHead { method, head }),
            Self::MmCosine if !head.is_additive() => Err(Error::NotLinear { method }),
            _ => Ok(()),
        }
    }

    /// Makes the method ready for a run.
    ///
    /// # Errors
    /// As [`MethodKind::check`], and when one of its options is out of range.
    pub fn build(self, options: &MethodOptions, setup: &Setup) -> Result<Box<dyn Method>> {
        self.check(setup.head, setup.widths.len())?;
        Ok(match self {
            Self::Joint => Box::new(Joint),
            Self::Unimodal => Box::new(Unimodal),
            Self::Tcmax => Box::new(Tcmax::new(options.tcmax)?),
            Self::Ogm => Box::new(Ogm::new(options.ogm, false, setup)?),
            Self::OgmGe => Box::new(Ogm::new(options.ogm, true, setup)?),
            Self::Agm => Box::new(Agm::new(options.agm, setup)?),
            Self::Pmr => Box::new(Pmr::new(options.pmr, setup)?),
            Self::Qmf => Box::new(Qmf::new(setup)),
            Self::Mla => Box::new(Mla::new(options.mla, setup)?),
            Self::MmPareto => Box::new(MmPareto::new(options.mm_pareto)?),
            Self::Opm => Box::new(Opm::new(options.opm, setup)?),
            Self::MmCosine => Box::new(MmCosine::new(options.mm_cosine)?),
            Self::GBlend => Box::new(GBlend::new(options.g_blend, setup)?),
        })
    }
}

impl fmt::Display for MethodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MethodKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| Error::UnknownMethod { name: name.to_owned() })
    }
}
