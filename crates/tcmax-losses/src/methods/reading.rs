//! Whether a method is as in its paper or as in its released code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a method is as in its paper or as in its released code, where these differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// As in the paper.
    Paper,
    /// As in the released code.
    #[default]
    Code,
}
