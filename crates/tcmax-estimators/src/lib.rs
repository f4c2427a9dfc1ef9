#![doc = include_str!("../README.md")]

pub mod bound;
pub mod critic;
mod error;
pub mod exact;
pub mod fit;
pub mod sample;

pub use bound::{Bound, Reference};
pub use critic::Critic;
pub use error::{Error, Result};
pub use exact::{
    Comparison, Gaussian, JointTable, KsgConfig, NearestNeighbours, Relation, RelationKind, auc,
    ksg, nearest_neighbours,
};
pub use sample::{Labels, Sample, Scaling, Tuples, Variable, VariableKind};
