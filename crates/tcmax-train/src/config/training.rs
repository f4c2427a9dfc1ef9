//! The section `[train]`: the loop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Table, require};

use super::checked::in_section;
use crate::{Error, Result};

/// The section `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainingOptions {
    /// Modalities to use, by name; empty for all.
    pub modalities: Vec<String>,
    /// Epochs, at least 1.
    pub epochs: usize,
    /// Examples in a batch, at least 2 (batch statistics need two).
    pub batch_size: usize,
    /// Leave out the last batch of an epoch when it is not full.
    pub drop_last: bool,
    /// Bring feature vectors to mean 0 and standard deviation 1 by the training split, entry by entry;
    /// batch norm alone loses features of small numbers. Numbers to predict too: the model is trained on them in
    /// this scale, and its predictions and errors are in theirs.
    pub standardise: bool,
    /// Share of every target that all classes have in equal parts (label smoothing), at least 0 and below 1. This
    /// and the next two are for classes alone, and refused for other tasks.
    pub label_smoothing: f64,
    /// What examples weigh in the loss by their class: `none` (all the same), `balanced` (all classes the same),
    /// or a list of numbers in the order of the classes.
    pub class_weights: ClassWeights,
    /// Draw as many examples of each class as of every other, those of small classes more than once an
    /// epoch, instead of each example once.
    pub balanced_sampling: bool,
    /// Shards that every batch is split into, each for a member with its own thread and copy of the model; absent: one
    /// for each process. Results depend on the number of shards, and not on the processes among which they
    /// are dealt out, of which it must be a multiple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<usize>,
    /// What batch statistics are of where there are several shards: `synchronised` (of the whole batch) or `local`
    /// (of the shard; the running statistics that are kept are those of the first).
    pub batch_norm: BatchNorm,
    /// What encoders multiply: `f32`, or `bf16` for speed and memory on devices that have it. Parameters, their
    /// gradients and steps, statistics, the head and the loss are f32 either way. On a CPU bf16 is slower than f32, and
    /// shows what it would do to the results.
    #[serde(skip_serializing_if = "Precision::is_usual")]
    pub precision: Precision,
    /// Batches whose mean gradient makes one step.
    pub accumulate: usize,
    /// Largest norm of all gradients together; 0: no clipping; absent: what the method usually has, which is none for
    /// most.
    pub clip_norm: Option<f64>,
    /// Keep an exponential moving average of the weights with this decay, such as 0.999, and validate, test and
    /// save it in place of the last weights; absent: none.
    pub average: Option<f64>,
    /// Epochs without a better validation accuracy (mAP of labels, RMSE of numbers) before training stops; absent:
    /// it goes on to the end.
    pub patience: Option<usize>,
    /// The epoch whose weights are kept: `best` on the validation split, or `last`.
    pub keep: Keep,
    /// Epochs from one measurement of the information in the features to the next, 0 for none; absent: after epochs 3,
    /// 6, 9, 13, 19, 28, 42 and so on, half as many again each time, and of the kept weights at the end. Measured are
    /// lower bounds, in nats, on what each modality's features tell of the class and what modalities share, in the
    /// report and the logs; of classes alone, and after epochs only with a validation split. It never changes the weights, and is not saved with
    /// them.
    #[serde(skip_serializing)]
    pub information_every: Option<usize>,
    /// Loader threads; they never change results, and are no part of what is saved with them.
    #[serde(skip_serializing)]
    pub workers: usize,
    /// Keep the features of encoders that stay frozen in every epoch in the user's cache for other runs. They are
    /// computed once a run anyway, where inputs are the same in every epoch. It never changes results, and is not
    /// saved with them.
    #[serde(skip_serializing)]
    pub cache_features: bool,
    /// Steps from one line of `log.jsonl` in the run's folder to the next, and from one point of TensorBoard's
    /// curves to the next; 0 logs epochs alone. It never changes results, and is not saved with them.
    #[serde(skip_serializing)]
    pub log_steps: usize,
    /// Write event files for TensorBoard into the run's folder too (`tensorboard --logdir DIR` shows them). It
    /// never changes results, and is not saved with them.
    #[serde(skip_serializing)]
    pub tensorboard: bool,
}

/// Which epoch's weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those of the epoch with the best validation accuracy (the highest mAP of labels, the lowest RMSE of
    /// numbers), among equals the lowest cross-entropy.
    #[default]
    Best,
    /// Those of the last epoch.
    Last,
}

/// What encoders multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Numbers of 32 bits.
    #[default]
    F32,
    /// Numbers of 16 bits, with the range of f32 and 8 binary digits.
    Bf16,
}

impl Precision {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What batch statistics are of where there are several shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNorm {
    /// Of the whole batch, as with one shard.
    #[default]
    Synchronised,
    /// Of the shard alone.
    Local,
}

/// What examples weigh in the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassWeights {
    /// By a rule.
    Rule(WeightRule),
    /// One weight per class.
    Given(Vec<f64>),
}

/// What the weights of classes follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightRule {
    /// All examples weigh the same.
    None,
    /// All classes weigh the same: an example weighs N / (C N_y).
    Balanced,
}

impl Default for ClassWeights {
    fn default() -> Self {
        Self::Rule(WeightRule::None)
    }
}

/// Most epochs: every one of them is in the checkpoint's header, which may have 100 MB.
const MOST_EPOCHS: usize = 100_000;
/// Most batches of one step.
const MOST_ACCUMULATED: usize = 100_000;
/// Most shards of a batch.
const MOST_SHARDS: usize = 65_536;
/// Most measurements of information, which are in the checkpoint's header too.
const MOST_MEASUREMENTS: usize = 10_000;
/// Most loader threads.
const MOST_WORKERS: usize = 256;

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            modalities: Vec::new(),
            epochs: 40,
            batch_size: 32,
            drop_last: false,
            standardise: true,
            label_smoothing: 0.0,
            class_weights: ClassWeights::default(),
            balanced_sampling: false,
            shards: None,
            batch_norm: BatchNorm::default(),
            precision: Precision::default(),
            accumulate: 1,
            clip_norm: None,
            average: None,
            patience: None,
            keep: Keep::Best,
            information_every: None,
            workers: 1,
            cache_features: true,
            log_steps: 50,
            tensorboard: false,
        }
    }
}

impl TrainingOptions {
    /// The same with one option set.
    pub(super) fn with(&self, option: &str, value: toml::Value) -> Result<Self> {
        let wrong = |error| in_section("train", error);
        let mut table =
            Table::try_from(self).map_err(|error| Error::setting("train", error.to_string()))?;
        table.extend(self.unsaved());
        table.insert(option.to_owned(), value);
        tcmax_registry::read(&table).map_err(wrong)
    }
}

impl OptionSet for TrainingOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let within = |value: usize, most: usize, option: &'static str, least: usize| {
            require((least..=most).contains(&value), option, &format!("must be {least} to {most}"))
        };
        within(self.epochs, MOST_EPOCHS, "epochs", 1)?;
        within(self.workers, MOST_WORKERS, "workers", 0)?;
        within(self.accumulate, MOST_ACCUMULATED, "accumulate", 1)?;
        let shards = self.shards.unwrap_or(1);
        within(shards, MOST_SHARDS, "shards", 1)?;
        let smoothing = (0.0..1.0).contains(&self.label_smoothing);
        require(smoothing, "label-smoothing", "must be at least 0 and below 1")?;
        if let ClassWeights::Given(weights) = &self.class_weights {
            let fit = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
            let problem = "must be numbers of at least 0, one of them above 0";
            require(fit && weights.iter().any(|weight| *weight > 0.0), "class-weights", problem)?;
        }
        require(self.patience != Some(0), "patience", "must be at least 1 epoch")?;
        let every = self.information_every.unwrap_or(self.epochs);
        let sparse = every == 0 || self.epochs / every <= MOST_MEASUREMENTS;
        require(sparse, "information-every", "must be 0, or measure 10000 times at most")?;
        let decay = self.average.is_none_or(|decay| (0.0..1.0).contains(&decay));
        require(decay, "average", "must be a decay of at least 0 and below 1")?;
        require(self.batch_size >= 2, "batch-size", "must be at least 2")?;
        let fits = self.batch_size >= 2 * shards;
        require(fits, "batch-size", "must be at least 2 for each of the shards")?;
        let clip = self.clip_norm.is_none_or(|norm| norm.is_finite() && norm >= 0.0);
        require(clip, "clip-norm", "must be a number of at least 0")
    }

    fn unsaved(&self) -> Table {
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX).into();
        let mut table = Table::from_iter([
            ("workers".to_owned(), number(self.workers)),
            ("cache-features".to_owned(), self.cache_features.into()),
            ("log-steps".to_owned(), number(self.log_steps)),
            ("tensorboard".to_owned(), self.tensorboard.into()),
        ]);
        let every =
            self.information_every.map(|every| ("information-every".to_owned(), number(every)));
        table.extend(every);
        table
    }
}
