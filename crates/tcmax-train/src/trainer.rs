//! The training loop: SGD with step decay, the best epoch's weights copied, one test at the end.

use std::path::Path;
use std::time::Instant;

use candle_core::{D, DType, Device, Tensor};
use tcmax_data::{Batch, Dataset, Loader, LoaderOptions, Splits};
use tcmax_estimators::{BatchBound, Labels};
use tcmax_ops::{Seed, Sgd, SgdConfig, State, clip_grad_norm};

use crate::checkpoint::{ModelCard, Progress, RunFiles, load, save, under_prefix, with_prefix};
use crate::observer::{Observer, RunLabel};
use crate::results::{EpochRecord, RunResult};
use crate::{CheckedConfig, Error, Model, Result, evaluate};

/// Where and how a run runs; nothing here changes its results.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Where tensors live.
    pub device: &'a Device,
    /// Where checkpoints go; absent: nothing is written.
    pub folder: Option<&'a Path>,
    /// Go on from the folder's `last.safetensors` if there is one.
    pub resume: bool,
    /// Who listens.
    pub observer: &'a dyn Observer,
    /// The name the observer is told.
    pub label: &'a RunLabel,
}

/// Trains one model from one seed and tests it once.
///
/// The weights kept are a copy of those after the epoch with the best validation accuracy (the
/// first of equals); later epochs do not touch them.
///
/// # Errors
/// When data cannot be read, settings do not fit the data, the loss leaves the finite numbers, or a
/// file cannot be written.
pub fn train(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    let mut result = None;
    // On a thread of the pool that the operations share out their work to: from outside, every
    // single one of them would be handed over and waited for.
    rayon::scope(|_| result = Some(train_here(config, splits, seed, options)));
    result.unwrap_or_else(|| unreachable!("the scope has run its body"))
}

fn train_here(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    let start = Instant::now();
    let files = options.folder.map(RunFiles::create).transpose()?;
    let mut run = Run::new(config, splits, seed, options.device)?;
    if let Some(files) = files.as_ref().filter(|files| options.resume && files.last().exists()) {
        run.restore(&files.last())?;
    }
    let RunOptions { observer, label, .. } = options;
    observer.started(label, config.config().epochs, run.train.num_batches(), run.history.len());
    for epoch in run.history.len()..config.config().epochs {
        let record = run.epoch(epoch, &|| observer.batch(label))?;
        if let Some(files) = &files {
            run.save(files)?;
        }
        observer.epoch(label, &record);
    }
    let result = run.finish(start)?;
    if let Some(files) = &files {
        let text = serde_json::to_string_pretty(&result)
            .map_err(|e| Error::bad_file(&files.result(), e.to_string()))?;
        crate::checkpoint::write_whole(&files.result(), text.as_bytes())?;
    }
    observer.finished(label, &result);
    Ok(result)
}

/// A run between two epochs.
struct Run<'a> {
    config: &'a CheckedConfig,
    splits: &'a Splits,
    seed: u64,
    device: &'a Device,
    model: Model,
    optimiser: Sgd,
    train: Loader,
    validation: Loader,
    history: Vec<EpochRecord>,
    best: Best,
}

/// The weights kept so far.
struct Best {
    /// From 1; 0 before the first epoch.
    epoch: usize,
    accuracy: f64,
    state: State,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a CheckedConfig,
        splits: &'a Splits,
        seed: u64,
        device: &'a Device,
    ) -> Result<Self> {
        check_splits(splits, config)?;
        let data = splits.train.as_ref();
        let classes = data.classes().len();
        let model = Model::new(config, data.modalities(), classes, Seed::new(seed), device)?;
        let settings = config.config();
        let optimiser = Sgd::new(
            model.params(),
            SgdConfig {
                learning_rate: settings.learning_rate,
                momentum: settings.momentum,
                weight_decay: settings.weight_decay,
            },
        )?;
        let train = Loader::new(
            splits.train.clone(),
            LoaderOptions {
                shuffle: true,
                drop_last: settings.drop_last,
                ..sequential(settings.batch_size, settings.workers)
            },
            device,
        )?;
        let validation = evaluation_loader(config, splits.validation.clone(), device)?;
        let best = Best { epoch: 0, accuracy: f64::NEG_INFINITY, state: State::new() };
        let history = Vec::new();
        Ok(Self {
            config,
            splits,
            seed,
            device,
            model,
            optimiser,
            train,
            validation,
            history,
            best,
        })
    }

    /// Trains and validates epoch `epoch` (from 0).
    fn epoch(&mut self, epoch: usize, on_batch: &dyn Fn()) -> Result<EpochRecord> {
        let start = Instant::now();
        let settings = self.config.config();
        let rate = self.config.decay().learning_rate(settings.learning_rate, epoch);
        self.optimiser.set_learning_rate(rate);
        let mut sums = EpochSums::default();
        let seed = Seed::new(self.seed).stream("epoch").index(epoch as u64);
        for (number, batch) in self.train.epoch(seed).enumerate() {
            let loss = self.step(&batch?, &mut sums)?;
            if !loss.is_finite() {
                return Err(Error::NotFinite { epoch: epoch + 1, batch: number + 1, value: loss });
            }
            on_batch();
        }
        let modalities = self.splits.train.modalities().len();
        let validation = evaluate(&self.model, &self.validation, modalities)?;
        if validation.accuracy > self.best.accuracy {
            let state = self.model.params().snapshot()?;
            self.best = Best { epoch: epoch + 1, accuracy: validation.accuracy, state };
        }
        let record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: rate,
            train_loss: sums.loss / sums.examples as f64,
            train_accuracy: sums.right as f64 / sums.examples as f64,
            train_total_correlation: sums.bounded.then(|| sums.bound / sums.examples as f64),
            validation,
            seconds: start.elapsed().as_secs_f64(),
        };
        self.history.push(record.clone());
        Ok(record)
    }

    /// One step on one batch; returns the loss.
    fn step(&mut self, batch: &Batch, sums: &mut EpochSums) -> Result<f64> {
        let labels = Labels::from_tensor(&batch.labels, self.model.classes())?;
        let features = self.model.features(&batch.inputs, true)?;
        let output = self.config.objective().loss(self.model.head(), &features, &labels)?;
        let loss = output.loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !loss.is_finite() {
            return Ok(loss);
        }
        let mut gradients = tcmax_ops::backward(&output.loss)?;
        if let Some(largest) = self.config.config().clip_norm {
            clip_grad_norm(self.model.params(), &mut gradients, largest)?;
        }
        let bound = match output.bound {
            Some(bound) => Some(bound),
            None => self.bound(&features, &labels)?,
        };
        sums.add(loss, &output.logits, bound.as_ref(), &labels)?;
        self.optimiser.step(&gradients)?;
        Ok(loss)
    }

    /// The bound on the total correlation of a batch that was trained by something else.
    fn bound(&self, features: &[Tensor], labels: &Labels) -> Result<Option<BatchBound>> {
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        let terms = self.model.head().additive_terms(&features)?;
        Ok(terms.map(|terms| BatchBound::new(&terms, labels)).transpose()?)
    }

    fn save(&self, files: &RunFiles) -> Result<()> {
        let data = &self.splits.train;
        let card = ModelCard {
            config: self.config.config().clone(),
            seed: self.seed,
            epoch: self.best.epoch,
            modalities: data.modalities().to_vec(),
            classes: data.classes().to_vec(),
        };
        let progress = Progress {
            config: self.config.config().clone(),
            seed: self.seed,
            best_epoch: self.best.epoch,
            history: self.history.clone(),
        };
        let live = self.model.params().snapshot()?;
        let optimiser = self.optimiser.state()?;
        let all = with_prefix("model", &live)
            .chain(with_prefix("optimiser", &optimiser))
            .chain(with_prefix("best", &self.best.state));
        save(&files.model(), &self.best.state, &card)?;
        save(&files.last(), &all.collect(), &progress)
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        let (tensors, progress): (State, Progress) = load(path, self.device)?;
        if progress.config != *self.config.config() || progress.seed != self.seed {
            let problem = "was made with other settings or another seed; go on with the same, or \
                           choose another --out";
            return Err(Error::bad_file(path, problem));
        }
        self.model.params().load(&under_prefix("model", &tensors))?;
        self.optimiser.load_state(&under_prefix("optimiser", &tensors))?;
        let best = progress.history.get(progress.best_epoch.wrapping_sub(1));
        let accuracy = best.map_or(f64::NEG_INFINITY, |record| record.validation.accuracy);
        let state = under_prefix("best", &tensors);
        self.best = Best { epoch: progress.best_epoch, accuracy, state };
        self.history = progress.history;
        Ok(())
    }

    fn finish(self, start: Instant) -> Result<RunResult> {
        self.model.params().load(&self.best.state)?;
        let test = evaluation_loader(self.config, self.splits.test.clone(), self.device)?;
        let modalities = self.splits.test.modalities().len();
        Ok(RunResult {
            seed: self.seed,
            best_epoch: self.best.epoch,
            test: evaluate(&self.model, &test, modalities)?,
            history: self.history,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// Sums over the batches of an epoch, weighted by their examples.
#[derive(Default)]
struct EpochSums {
    examples: usize,
    loss: f64,
    right: usize,
    bound: f64,
    bounded: bool,
}

impl EpochSums {
    fn add(
        &mut self,
        loss: f64,
        logits: &Tensor,
        bound: Option<&BatchBound>,
        labels: &Labels,
    ) -> Result<()> {
        let examples = labels.len();
        let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let truth = labels.tensor()?.to_vec1::<u32>()?;
        self.right += predicted.iter().zip(&truth).filter(|(guess, y)| guess == y).count();
        self.loss += loss * examples as f64;
        if let Some(bound) = bound {
            self.bound += bound.total_correlation()? * examples as f64;
            self.bounded = true;
        }
        self.examples += examples;
        Ok(())
    }
}

/// A loader that keeps order and every example, for evaluation.
///
/// # Errors
/// When the loader refuses its options.
pub fn evaluation_loader(
    config: &CheckedConfig,
    data: std::sync::Arc<dyn Dataset>,
    device: &Device,
) -> Result<Loader> {
    // Without gradients to keep, larger batches only save overhead.
    let options = sequential(config.config().batch_size.max(100), config.config().workers);
    Ok(Loader::new(data, options, device)?)
}

fn sequential(batch_size: usize, workers: usize) -> LoaderOptions {
    LoaderOptions { batch_size, shuffle: false, drop_last: false, workers, prefetch: 2 }
}

fn check_splits(splits: &Splits, config: &CheckedConfig) -> Result<()> {
    let named =
        [("train", &splits.train), ("validation", &splits.validation), ("test", &splits.test)];
    for (name, split) in named {
        if split.is_empty() {
            let problem = format!("the {name} split is empty; change --train-size or --val-size");
            return Err(Error::setting("dataset", problem));
        }
    }
    let (examples, batch) = (splits.train.len(), config.config().batch_size);
    if examples < 2 || (config.config().drop_last && examples < batch) {
        let problem = format!("{batch} is more than the {examples} training examples");
        return Err(Error::setting("--batch-size", problem));
    }
    if !config.config().drop_last && examples % batch == 1 {
        let problem = format!(
            "{examples} training examples leave a last batch of one, too few for batch statistics; \
             choose another size or --drop-last"
        );
        return Err(Error::setting("--batch-size", problem));
    }
    Ok(())
}
