//! What the examples of a split are to be predicted as.

use candle_core::Tensor;
use tcmax_data::Batch;
use tcmax_estimators::Labels;
use tcmax_losses::{Target, Targets};
use tcmax_registry::Task;

use crate::{Error, Model, Result};

/// Classes, or other targets.
#[derive(Clone, Debug)]
pub enum Truth {
    /// The class of each example.
    Classes(Labels),
    /// Labels, or numbers in their own units.
    Other(Targets),
}

impl Truth {
    /// What the examples of a batch are, for a model of the same task.
    ///
    /// # Errors
    /// When the batch is of another task, or targets are out of range.
    pub(crate) fn of_batch(batch: &Batch, model: &Model) -> Result<Self> {
        match (&batch.targets, model.task()) {
            (None, Task::Classes) => {
                let labels = batch.labels.to_vec1::<u32>()?;
                Ok(Self::Classes(Labels::new(&labels, model.outputs(), model.device())?))
            }
            (Some(targets), task) if task != Task::Classes => Self::of(task, targets.clone()),
            _ => Err(Error::setting("data.task", "the data are of another task than the model")),
        }
    }

    fn of(task: Task, values: Tensor) -> Result<Self> {
        Ok(Self::Other(match task {
            Task::Regression => Targets::numbers(values)?,
            Task::Classes | Task::Labels => Targets::labels(values)?,
        }))
    }

    /// The class of every example; none of other tasks.
    pub(crate) fn classes(&self) -> Result<Vec<u32>> {
        match self {
            Self::Classes(labels) => Ok(labels.tensor()?.to_vec1::<u32>()?),
            Self::Other(_) => Ok(Vec::new()),
        }
    }

    /// The targets, where they are not classes.
    pub(crate) fn other(&self) -> Option<&Targets> {
        match self {
            Self::Classes(_) => None,
            Self::Other(targets) => Some(targets),
        }
    }

    /// Some of the examples.
    pub(crate) fn rows(&self, rows: &[u32]) -> Result<Self> {
        match self {
            Self::Classes(labels) => {
                let all = self.classes()?;
                let chosen: Vec<u32> = rows.iter().map(|&row| all[row as usize]).collect();
                let device = labels.tensor()?.device().clone();
                Ok(Self::Classes(Labels::new(&chosen, labels.classes(), &device)?))
            }
            Self::Other(targets) => {
                let values = targets.values();
                let chosen = values.index_select(&Tensor::new(rows, values.device())?, 0)?;
                Self::of(targets.task(), chosen)
            }
        }
    }
}

impl Target for Truth {
    fn loss(&self, outputs: &Tensor) -> tcmax_losses::Result<Tensor> {
        match self {
            Self::Classes(labels) => labels.loss(outputs),
            Self::Other(targets) => targets.loss(outputs),
        }
    }

    fn examples(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Other(targets) => targets.examples(),
        }
    }
}
