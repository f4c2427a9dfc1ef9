//! What training needs around the operations: parameters, their first values, seeds, optimisers, averages of
//! weights, clipped gradients and the check of gradients.

pub(crate) mod average;
pub(crate) mod clip;
pub(crate) mod device_sums;
pub(crate) mod gradcheck;
pub(crate) mod init;
pub(crate) mod members;
pub(crate) mod optimise;
pub(crate) mod params;
pub(crate) mod seed;
