//! The methods, one per file, each with its specification; and the list of them.

pub mod agm;
pub mod amco;
pub mod arl;
pub mod aug;
mod boosted_head;
pub mod boosting;
pub mod cggm;
pub mod cggm_direction;
pub mod cml;
pub mod contrast;
pub mod curated_gates;
pub mod curvature;
pub mod dgl;
pub mod di_mml;
pub mod diagnose_relearn;
pub mod dimensions;
pub mod divergence;
pub mod g2d;
pub mod g_blend;
pub mod greedy;
pub mod influence;
pub mod info_reg;
pub mod iprm;
pub mod joint;
pub mod k_means;
pub mod lfm;
pub mod mbsd;
pub mod mcr;
pub mod mla;
pub mod mlb;
pub mod mm_cosine;
pub mod mm_pareto;
pub mod modality_valuation;
pub mod mslr;
pub mod ogm;
pub mod opm;
pub mod padded;
mod pair;
pub mod pdf;
pub mod pmr;
pub mod qmf;
pub mod reading;
pub mod reconboost;
pub mod remix;
pub mod sample_valuation;
pub mod tcmax;
pub mod tcmax_labels;
pub mod teachers;
pub mod umt;
pub mod unimodal;
pub mod valuation;

pub use agm::AGM;
pub use amco::AMCO;
pub use arl::ARL;
pub use aug::AUG;
pub use cggm::CGGM;
pub use cml::CML;
pub use dgl::DGL;
pub use di_mml::DI_MML;
pub use diagnose_relearn::DIAGNOSE_RELEARN;
pub use g_blend::G_BLEND;
pub use g2d::G2D;
pub use greedy::GREEDY;
pub use info_reg::INFO_REG;
pub use iprm::IPRM;
pub use joint::JOINT;
pub use lfm::LFM;
pub use mbsd::MBSD;
pub use mcr::MCR;
pub use mla::MLA;
pub use mlb::MLB;
pub use mm_cosine::MM_COSINE;
pub use mm_pareto::MM_PARETO;
pub use modality_valuation::MODALITY_VALUATION;
pub use mslr::MSLR;
pub use ogm::{OGM, OGM_GE};
pub use opm::OPM;
pub use pdf::PDF;
pub use pmr::PMR;
pub use qmf::QMF;
pub use reading::Reading;
pub use reconboost::RECONBOOST;
pub use remix::REMIX;
pub use sample_valuation::SAMPLE_VALUATION;
pub use tcmax::TCMAX;
pub use umt::UMT;
pub use unimodal::UNIMODAL;

use tcmax_registry::Catalogue;

use crate::MethodSpec;

/// The built-in methods, in the order to list them.
pub static METHODS: [&MethodSpec; 36] = [
    &JOINT,
    &UNIMODAL,
    &TCMAX,
    &OGM,
    &OGM_GE,
    &AGM,
    &PMR,
    &QMF,
    &MLA,
    &MM_PARETO,
    &OPM,
    &MM_COSINE,
    &G_BLEND,
    &DGL,
    &CML,
    &MBSD,
    &MLB,
    &ARL,
    &MSLR,
    &INFO_REG,
    &UMT,
    &G2D,
    &LFM,
    &DIAGNOSE_RELEARN,
    &DI_MML,
    &MCR,
    &SAMPLE_VALUATION,
    &MODALITY_VALUATION,
    &REMIX,
    &RECONBOOST,
    &AMCO,
    &PDF,
    &IPRM,
    &CGGM,
    &AUG,
    &GREEDY,
];

/// A catalogue of the built-in methods, to which others can be added.
pub fn methods() -> Catalogue<MethodSpec> {
    Catalogue::new("method", &METHODS)
}
