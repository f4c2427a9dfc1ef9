#![doc = include_str!("../README.md")]

mod additive;
mod auc;
pub mod bounds;
mod comparison;
mod critic;
pub mod critics;
mod discrete;
mod error;
pub mod fit;
mod gaussian;
mod ksg;
mod labels;
mod linalg;
mod plug_in;
mod product;
mod relation;
mod sample;
mod scaling;
mod tuple_bound;
mod tuples;

pub use additive::BatchBound;
pub use auc::auc;
pub use comparison::Comparison;
pub use critic::Critic;
pub use discrete::JointTable;
pub use error::{Error, Result};
pub use gaussian::Gaussian;
pub use ksg::{KsgConfig, NearestNeighbours, ksg, nearest_neighbours};
pub use labels::Labels;
pub use product::{all_tuples_gradient, log_mean_exp_all_tuples, log_mean_exp_chunked};
pub use relation::{Relation, RelationKind};
pub use sample::{Sample, Variable, VariableKind};
pub use scaling::Scaling;
pub use tuple_bound::TupleBound;
pub use tuples::{Product, Tuples};
