#![doc = include_str!("../README.md")]

pub mod bound;
pub mod critic;
mod error;
mod estimate;
pub mod exact;
pub mod features;
pub mod fit;
mod list;
pub mod sample;
mod spec;

pub use bound::{Bound, Objective, Reference, Sharing};
pub use critic::Critic;
pub use error::{Error, Result};
pub use estimate::{Estimate, estimate, estimate_observed};
pub use exact::{
    Comparison, Gaussian, JointTable, KsgConfig, NearestNeighbours, Relation, RelationKind, auc,
    ksg, nearest_neighbours,
};
pub use list::{ESTIMATORS, estimators};
pub use sample::{Labels, Sample, Scaling, Tuples, Variable, VariableKind};
pub use spec::{Computed, Cuts, Direct, EstimatorKind, EstimatorSpec, MakeObjective};
