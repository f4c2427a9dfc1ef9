//! What is computed without training a critic: closed forms of tables and Gaussians, counts and nearest
//! neighbours, and columns that determine each other.

mod auc;
mod comparison;
mod discrete;
pub(crate) mod gaussian;
pub(crate) mod ksg;
pub(crate) mod linalg;
mod plug_in;
mod relation;

pub use auc::auc;
pub use comparison::Comparison;
pub use discrete::JointTable;
pub use gaussian::{GAUSSIAN, Gaussian};
pub use ksg::{KSG, KsgConfig, KsgOptions, NearestNeighbours, ksg, nearest_neighbours};
pub use relation::{Relation, RelationKind};
