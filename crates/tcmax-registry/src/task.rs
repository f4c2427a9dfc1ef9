//! What is to be predicted: a setting that data, methods and reports share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a model predicts of an example.
///
/// ```
/// use tcmax_registry::Task;
///
/// assert_eq!("labels".parse(), Ok(Task::Labels));
/// assert!("label".parse::<Task>().unwrap_err().contains("classes, labels or regression"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Which of several classes it is.
    #[default]
    Classes,
    /// Which of several labels it has: any number of them (multi-label classification).
    Labels,
    /// One or more numbers.
    Regression,
}

impl Task {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Labels => "labels",
            Self::Regression => "regression",
        }
    }

    /// Whether it is the usual one, which files of results and models do not name.
    pub fn is_classes(&self) -> bool {
        *self == Self::Classes
    }

    /// What its outputs are called, one or several.
    pub fn outputs(self, count: usize) -> &'static str {
        match (self, count) {
            (Self::Classes, 1) => "class",
            (Self::Classes, _) => "classes",
            (Self::Labels, 1) => "label",
            (Self::Labels, _) => "labels",
            (Self::Regression, 1) => "number",
            (Self::Regression, _) => "numbers",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Task {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Classes, Self::Labels, Self::Regression];
        let found = all.into_iter().find(|task| task.name() == name);
        found.ok_or_else(|| format!("'{name}' is not classes, labels or regression"))
    }
}
