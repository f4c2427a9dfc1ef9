#![doc = include_str!("../README.md")]

pub mod bound;
pub mod critic;
mod detailed;
mod error;
mod estimate;
pub mod exact;
pub mod features;
pub mod fit;
mod list;
pub mod measure;
mod neighbours;
pub mod permutation;
pub mod sample;
mod spec;

pub use bound::{Bound, Objective, Reference, Sharing};
pub use critic::Critic;
pub use detailed::{DetailedEstimate, Pointwise, estimate_detailed, retrained_permutation_test};
pub use error::{Error, Result};
pub use estimate::{Estimate, estimate, estimate_observed};
pub use exact::{
    Comparison, Gaussian, JointTable, KsgConfig, NearestNeighbours, Relation, RelationKind, auc,
    ksg, nearest_neighbours,
};
pub use list::{ESTIMATORS, estimators};
pub use measure::{EstimatedTerm, Measure, Measured, Term, estimate_measure};
pub use permutation::{PermutationTest, permutation_test, permutations_needed};
pub use sample::{Labels, Sample, Scaling, Tuples, Variable, VariableKind};
pub use spec::{Computed, Cuts, Direct, EstimatorKind, EstimatorSpec, MakeObjective};
