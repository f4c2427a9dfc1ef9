//! Options of the data set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_data::{Error, Result, check_memory};
use tcmax_registry::OptionSet;

/// How the modalities and the label hang together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Regime {
    /// Two modalities that tell the class: one at once, the other by products of its entries alone.
    #[default]
    Competition,
    /// Two modalities with a common nuisance that is stronger than the class: only their difference tells.
    SharedNuisance,
    /// Six modalities, of which five tell next to nothing.
    OneGoodFiveEmpty,
    /// Three modalities with noise of their own.
    ThreeNoisy,
    /// Six modalities: five that show the same with the same noise, and an independent one.
    FiveCopies,
}

impl Regime {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Competition,
        Self::SharedNuisance,
        Self::OneGoodFiveEmpty,
        Self::ThreeNoisy,
        Self::FiveCopies,
    ];

    /// Training examples, where nothing else is asked for.
    pub fn train_size(self) -> usize {
        match self {
            Self::Competition | Self::SharedNuisance => 600,
            Self::OneGoodFiveEmpty | Self::ThreeNoisy | Self::FiveCopies => 300,
        }
    }
}

/// Options of the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegimesConfig {
    /// How the modalities and the label hang together.
    pub regime: Regime,
    /// Training examples; absent: 600 of the regimes with two modalities, 300 of the others.
    pub train_size: Option<usize>,
    /// Validation examples.
    pub val_size: usize,
    /// Test examples.
    pub test_size: usize,
    /// Standard deviation of the noise on what a random map shows; absent: 0.5, and 0.3 in `shared-nuisance`.
    pub noise: Option<f64>,
    /// Share of the examples of every split that lack one of their modalities, each as often.
    pub missing: f64,
}

impl Default for RegimesConfig {
    fn default() -> Self {
        Self {
            regime: Regime::default(),
            train_size: None,
            val_size: 300,
            test_size: 2_000,
            noise: None,
            missing: 0.0,
        }
    }
}

impl OptionSet for RegimesConfig {}

/// Examples of a split.
const LARGEST_SPLIT: usize = 200_000;

impl RegimesConfig {
    /// Training examples.
    pub fn training_examples(&self) -> usize {
        self.train_size.unwrap_or_else(|| self.regime.train_size())
    }

    /// Checks every field; an example has `numbers` numbers.
    pub(super) fn check(&self, numbers: usize) -> Result<()> {
        if self.noise.is_some_and(|noise| !(noise.is_finite() && noise >= 0.0)) {
            return Err(Error::option("noise", "must be at least 0"));
        }
        if !(0.0..=1.0).contains(&self.missing) {
            return Err(Error::option("missing", "must be a share, 0 to 1"));
        }
        let sizes = [
            ("train-size", self.training_examples()),
            ("val-size", self.val_size),
            ("test-size", self.test_size),
        ];
        for (field, size) in sizes {
            if !(1..=LARGEST_SPLIT).contains(&size) {
                let problem = format!("a split has 1 to {LARGEST_SPLIT} examples");
                return Err(Error::option(field, problem));
            }
        }
        let examples: usize = sizes.iter().map(|(_, size)| size).sum();
        // While they are concatenated there are two copies of them.
        check_memory(8 * (examples * numbers) as u64).map_err(|problem| {
            let problem = format!("{examples} examples of {numbers} numbers {problem}");
            Error::option("train-size", problem)
        })
    }
}
