//! Optimisers: update rules, what they share, and how one is chosen by name.
//!
//! ```text
//! sgd  adam  adamw        the rules, each with its options and its specification; moments, behind both Adams
//! rule  kernel  running   what a rule is, how it updates values, the running values beside a parameter
//! groups                  settings of parts of the parameters
//! optimiser  saved        a rule at work on parameters, and its state
//! any  spec  list         any optimiser, chosen by name
//! ```

pub(crate) mod adam;
pub(crate) mod adamw;
pub(crate) mod any;
pub(crate) mod groups;
pub(crate) mod kernel;
pub(crate) mod list;
pub(crate) mod moments;
pub(crate) mod optimiser;
pub(crate) mod rule;
pub(crate) mod running;
pub(crate) mod saved;
pub(crate) mod sgd;
pub(crate) mod spec;
