//! Options of the data set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::OptionSet;

/// Which recordings are for testing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AvDigitsSplit {
    /// The data set's own: of each speaker and digit, recordings 0 to 4 are for testing.
    #[default]
    Standard,
    /// Two of the six speakers are for testing, another pair for each seed (seed modulo 3).
    Speaker,
}

/// Options of the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AvDigitsConfig {
    /// Training pairs, as balanced over the classes as the number allows; absent: all that the
    /// validation split leaves.
    pub train_size: Option<usize>,
    /// Validation pairs, likewise.
    pub val_size: usize,
    /// Which recordings are for testing.
    pub split: AvDigitsSplit,
    /// Blank a square of this many pixels a side at a seeded position of every image.
    pub occlusion: Option<usize>,
    /// Mix another talker, saying another digit, into every recording at this signal-to-noise
    /// ratio in dB.
    pub talker_snr_db: Option<f64>,
}

impl Default for AvDigitsConfig {
    fn default() -> Self {
        Self {
            train_size: None,
            val_size: 200,
            split: AvDigitsSplit::Standard,
            occlusion: None,
            talker_snr_db: None,
        }
    }
}

impl OptionSet for AvDigitsConfig {}
