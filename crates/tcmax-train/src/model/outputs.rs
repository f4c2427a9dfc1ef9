//! What a model predicts.

use tcmax_data::Dataset;
use tcmax_registry::Task;

/// What a model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// What they are.
    pub task: Task,
    /// Classes, labels or numbers.
    pub count: usize,
}

impl Outputs {
    /// Those of a data set.
    pub fn of(data: &dyn Dataset) -> Self {
        Self { task: data.task(), count: data.classes().len() }
    }
}

impl From<usize> for Outputs {
    /// So many classes.
    fn from(count: usize) -> Self {
        Self { task: Task::Classes, count }
    }
}
