#![doc = include_str!("../README.md")]

mod absent;
mod cross_entropy;
mod error;
mod gradients;
mod kind;
mod method;
pub mod methods;
mod presence;
mod scores;
mod state;
mod step;

pub use absent::{Stand, matching_score};
pub use cross_entropy::cross_entropy;
pub use error::{Error, Result};
pub use kind::{MethodKind, MethodOptions, Modalities};
pub use method::{Method, Part, Setup, Survey, Visit};
pub use methods::tcmax::tcmax;
pub use methods::unimodal::unimodal;
pub use presence::Presence;
pub use step::{Clock, Owners, Step, StepOutput, Update, finite};
