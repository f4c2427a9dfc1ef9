//! The methods, one per file, each with its specification; and the list of them.

pub mod agm;
pub mod dgl;
pub mod g_blend;
pub mod joint;
pub mod mla;
pub mod mm_cosine;
pub mod mm_pareto;
pub mod ogm;
pub mod opm;
pub mod padded;
mod pair;
pub mod pmr;
pub mod qmf;
pub mod tcmax;
pub mod tcmax_labels;
pub mod unimodal;

pub use agm::AGM;
pub use dgl::DGL;
pub use g_blend::G_BLEND;
pub use joint::JOINT;
pub use mla::MLA;
pub use mm_cosine::MM_COSINE;
pub use mm_pareto::MM_PARETO;
pub use ogm::{OGM, OGM_GE};
pub use opm::OPM;
pub use pmr::PMR;
pub use qmf::QMF;
pub use tcmax::TCMAX;
pub use unimodal::UNIMODAL;

use tcmax_registry::Catalogue;

use crate::MethodSpec;

/// The built-in methods, in the order to list them.
pub static METHODS: [&MethodSpec; 14] = [
    &JOINT, &UNIMODAL, &TCMAX, &OGM, &OGM_GE, &AGM, &PMR, &QMF, &MLA, &MM_PARETO, &OPM, &MM_COSINE,
    &G_BLEND, &DGL,
];

/// A catalogue of the built-in methods, to which others can be added.
pub fn methods() -> Catalogue<MethodSpec> {
    Catalogue::new("method", &METHODS)
}
