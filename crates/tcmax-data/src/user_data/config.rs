//! Which data, and how they are split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Task};

use crate::labels::ColumnNames;
use crate::partition::{Partition, SplitRule};

/// Which data, and how they are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserDataConfig {
    /// A feature file, a folder of feature tables, a manifest of media or prepared clips.
    pub path: PathBuf,
    /// Name of the label column or array; absent: `label` and its like.
    pub label: Option<String>,
    /// What the labels are: `classes`; `labels`, any number of which an example has (`;` between them in a cell,
    /// or a matrix of 0 and 1); or `regression`, numbers to predict. Absent: what a feature file shows, else
    /// classes.
    pub task: Option<Task>,
    /// Text columns of a manifest that are cut into tokens, each with its tokenizer: a tokenizer.json, its
    /// folder, or a repository of the hub. Encoders with weights set it; other text is counted by words.
    pub tokenizers: BTreeMap<String, String>,
    /// Most tokens of a text, by column; absent: 64.
    pub tokens: BTreeMap<String, usize>,
    /// Name of the column or array of groups; absent: `group` and its like.
    pub group: Option<String>,
    /// How splits are made; absent: the data's own split, or a random one where they have none.
    pub split: Option<SplitRule>,
    /// Folds of a cross-validation.
    pub folds: Option<usize>,
    /// The fold to test on, from 0.
    pub fold: usize,
    /// Fraction for testing, where it is drawn.
    pub test_fraction: f64,
    /// Fraction of the rest for validation, where it is drawn; 0: there is none, and the weights of the last epoch
    /// are kept.
    pub val_fraction: f64,
}

impl Default for UserDataConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            label: None,
            task: None,
            tokenizers: BTreeMap::new(),
            tokens: BTreeMap::new(),
            group: None,
            split: None,
            folds: None,
            fold: 0,
            test_fraction: 0.2,
            val_fraction: 0.2,
        }
    }
}

impl OptionSet for UserDataConfig {}

impl UserDataConfig {
    /// The defaults for the data at `path`.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    pub(super) fn names(&self) -> ColumnNames<'_> {
        ColumnNames {
            label: self.label.as_deref(),
            group: self.group.as_deref(),
            task: self.task,
            ..ColumnNames::default()
        }
    }

    pub(super) fn partition(&self) -> Partition {
        Partition {
            rule: self.split,
            folds: self.folds.map(|folds| (folds, self.fold)),
            test: self.test_fraction,
            validation: self.val_fraction,
        }
    }
}
