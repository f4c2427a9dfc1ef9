//! What is computed without training a critic: closed forms of tables and Gaussians, counts and nearest
//! neighbours, and columns that determine each other.

mod auc;
mod broja;
mod comparison;
pub(crate) mod counts;
mod discrete;
mod entropy;
pub(crate) mod gaussian;
pub(crate) mod ksg;
pub(crate) mod linalg;
mod nsb;
mod partial_information;
mod plug_in;
mod points;
mod relation;
mod tree;

pub use auc::auc;
pub use comparison::Comparison;
pub use counts::{COUNTS, CountsOptions};
pub use discrete::JointTable;
pub use entropy::{Correction, entropy_of_counts};
pub use gaussian::{GAUSSIAN, Gaussian};
pub use ksg::{KSG, KsgConfig, KsgOptions, NearestNeighbours, ksg, nearest_neighbours};
pub use partial_information::{PartialInformation, Redundancy};
pub use relation::{Relation, RelationKind};
