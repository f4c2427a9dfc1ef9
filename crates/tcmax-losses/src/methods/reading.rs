//! Which reading of a method to follow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to follow where a paper and its released code differ: the option `as` of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// The code, with which published numbers were made.
    #[default]
    Code,
    /// The equations of the paper.
    Paper,
}
