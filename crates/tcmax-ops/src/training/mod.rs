//! What training needs around the operations: parameters, their first values, seeds, optimisers, clipped
//! gradients and the check of gradients.

pub(crate) mod adamw;
pub(crate) mod clip;
pub(crate) mod gradcheck;
pub(crate) mod init;
pub(crate) mod optimiser;
pub(crate) mod params;
pub(crate) mod seed;
pub(crate) mod sgd;
