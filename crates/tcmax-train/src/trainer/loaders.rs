//! Loaders of the splits, and what splits must be.

use std::sync::Arc;

use candle_core::Device;
use tcmax_data::{Dataset, Loader, LoaderOptions, Splits};

use crate::config::{ClassWeights, TrainingOptions, WeightRule};
use crate::{CheckedConfig, Error, Result, Task};

/// A loader that keeps order and every example, for evaluation.
///
/// # Errors
/// When the loader refuses its options.
pub fn evaluation_loader(
    config: &CheckedConfig,
    data: Arc<dyn Dataset>,
    device: &Device,
) -> Result<Loader> {
    // Without gradients to keep, larger batches only save overhead.
    let options =
        sequential(config.config().train.batch_size.max(100), config.config().train.workers);
    Ok(Loader::new(data, options, device)?)
}

/// The loader of training: a new order each epoch, and no last batch of a single example for some shard, or none.
pub(super) fn training_loader(
    config: &CheckedConfig,
    data: Arc<dyn Dataset>,
    device: &Device,
) -> Result<Loader> {
    let settings = &config.config().train;
    let options = LoaderOptions {
        shuffle: true,
        balanced: settings.balanced_sampling,
        drop_last: settings.drop_last,
        ..sequential(settings.batch_size, settings.workers)
    };
    Ok(Loader::new(data, options, device)?.joining_fewer_than(least_examples(config)))
}

/// Examples that batch statistics need: two in every shard.
pub(super) fn least_examples(config: &CheckedConfig) -> usize {
    2 * config.config().train.shards.unwrap_or(1)
}

fn sequential(batch_size: usize, workers: usize) -> LoaderOptions {
    LoaderOptions { batch_size, workers, ..LoaderOptions::in_order(batch_size) }
}

pub(super) fn check_splits(splits: &Splits, config: &CheckedConfig) -> Result<()> {
    // Without a validation split the last epoch is kept.
    let named = [("train", &splits.train), ("test", &splits.test)];
    for (name, split) in named {
        if split.is_empty() {
            let problem = format!(
                "the {name} split is empty; change the sizes or fractions of the splits in [data]"
            );
            return Err(Error::setting("data", problem));
        }
    }
    let (examples, batch) = (splits.train.len(), config.config().train.batch_size);
    if examples < 2 {
        let problem = "there is a single training example, and batch statistics need two";
        return Err(Error::setting("data", problem));
    }
    if examples < least_examples(config) {
        let problem =
            format!("there are {examples} training examples, fewer than two for each shard");
        return Err(Error::setting("train.shards", problem));
    }
    if config.config().train.drop_last && examples < batch {
        let problem = format!(
            "{batch} is more than the {examples} training examples, so that `drop-last` would leave no \
             batch"
        );
        return Err(Error::setting("train.batch-size", problem));
    }
    Ok(())
}

/// Refuses settings that are about classes where there are none.
pub(super) fn check_task(train: &TrainingOptions, task: Task) -> Result<()> {
    if task == Task::Classes {
        return Ok(());
    }
    let unweighted = ClassWeights::Rule(WeightRule::None);
    let given = [
        ("label-smoothing", train.label_smoothing != 0.0),
        ("class-weights", train.class_weights != unweighted),
        ("balanced-sampling", train.balanced_sampling),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => {
            let problem = format!("is defined for classes, and the task is '{task}'; leave it out");
            Err(Error::setting(format!("train.{option}"), problem))
        }
    }
}

/// The weight of each class in the loss; none where all examples weigh the same.
pub(super) fn class_weights(given: &ClassWeights, train: &dyn Dataset) -> Result<Option<Vec<f64>>> {
    let classes = train.classes().len();
    match given {
        ClassWeights::Rule(WeightRule::None) => Ok(None),
        ClassWeights::Rule(WeightRule::Balanced) => {
            let mut counts = vec![0usize; classes];
            (0..train.len()).for_each(|row| counts[train.label(row) as usize] += 1);
            // A class without examples has none to weigh.
            let weight = |&count: &usize| train.len() as f64 / (classes * count.max(1)) as f64;
            Ok(Some(counts.iter().map(weight).collect()))
        }
        ClassWeights::Given(weights) if weights.len() == classes => Ok(Some(weights.clone())),
        ClassWeights::Given(weights) => {
            let problem = format!("there are {} weights and {classes} classes", weights.len());
            Err(Error::setting("train.class-weights", problem))
        }
    }
}
