//! The methods, one a file.

pub mod agm;
pub mod g_blend;
pub mod joint;
pub mod mla;
pub mod mm_cosine;
pub mod mm_pareto;
pub mod ogm;
pub mod opm;
pub mod pmr;
pub mod qmf;
pub mod tcmax;
pub mod unimodal;
