#![doc = include_str!("../README.md")]

mod absent;
mod cross_entropy;
mod error;
mod gradients;
mod method;
pub mod methods;
mod presence;
mod scores;
mod spec;
mod state;
mod step;

pub use absent::{Stand, matching_score};
pub use cross_entropy::cross_entropy;
pub use error::{Error, Result};
pub use method::{Method, Part, Setup, Survey, Visit};
pub use methods::tcmax::tcmax;
pub use methods::unimodal::unimodal;
pub use presence::Presence;
pub use spec::{Heads, MethodSpec};
pub use step::{Clock, Owners, Step, StepOutput, Update, finite};
