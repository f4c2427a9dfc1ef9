#![doc = include_str!("../README.md")]

mod context;
mod cross_entropy;
mod error;
mod gradients;
mod likelihood;
mod marginals;
mod method;
pub mod methods;
mod plan;
mod presence;
mod reported;
mod setup;
mod spec;
mod spread;
mod state;
mod step;
mod targets;

pub use context::{EpochContext, Part, Study, Surveyed, Visit};
pub use cross_entropy::cross_entropy;
pub use error::{Error, Result};
pub use marginals::{Marginals, matching_score};
pub use method::Method;
pub use methods::tcmax::tcmax;
pub use methods::tcmax_labels::LabelBounds;
pub use methods::unimodal::unimodal;
pub use plan::{EpochPlan, Planned};
pub use presence::Presence;
pub use reported::{Reported, reported};
pub use setup::Setup;
pub use spec::{Heads, MethodSpec, Tasks};
pub use spread::{Spread, Way};
pub use step::{Clock, METHOD_PREFIX, ParameterGroups, Step, StepOutput, Taught, Update, finite};
pub use targets::{Target, Targets, binary_cross_entropy, mean_squared_error};
pub use tcmax_registry::Task;
