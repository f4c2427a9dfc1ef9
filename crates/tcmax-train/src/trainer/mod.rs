//! The training loop: SGD with step decay, the best epoch's weights copied, one test at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{D, Device};
use tcmax_data::{Batch, Dataset, Loader, LoaderOptions, Splits};
use tcmax_estimators::Labels;
use tcmax_losses::{Clock, Marginals, Method, Step, StepOutput};
use tcmax_ops::{Seed, Sgd, SgdConfig, State, clip_grad_norm};

use crate::absence::{absence, marginals_of};
use crate::checkpoint::{
    LEARNED, MARGINALS, ModelCard, Progress, learned_tensor, save, under_prefix, with_prefix,
};
use crate::epoch_context::View;
use crate::evaluate::modality_accuracy;
use crate::identity::Identified;
use crate::observer::{Observer, RunLabel};
use crate::probe::probe;
use crate::results::{EpochRecord, Evaluation, RunResult};
use crate::resume;
use crate::run_files::{Existing, RunFiles};
use crate::stop::Stop;
use crate::warnings::Finished;
use crate::{CheckedConfig, Classifier, EncodedSplit, Error, Model, Result, evaluate};

/// Where and how a run runs; nothing here changes its results.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Where tensors live.
    pub device: &'a Device,
    /// Where checkpoints go; absent: nothing is written.
    pub folder: Option<&'a Path>,
    /// What to do with a run that is in the folder already.
    pub existing: Existing,
    /// Asked after every batch whether to end early; absent: never.
    pub stop: Option<&'a Stop>,
    /// Who listens.
    pub observer: &'a dyn Observer,
    /// The name the observer is told.
    pub label: &'a RunLabel,
}

/// Trains one model from one seed and tests it once.
///
/// The weights kept are a copy of those after the epoch with the best validation accuracy, among
/// equals the one with the lowest validation cross-entropy; later epochs do not touch them.
///
/// A run that is gone on with may have more epochs than before, see [`resume::continued`].
///
/// # Errors
/// When data cannot be read, settings do not fit the data, the loss leaves the finite numbers, a file
/// cannot be written, another process has the folder, or the run in it is of other settings or data.
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
    let RunOptions { observer, label, existing, .. } = options;
    let files = options.folder.map(|folder| RunFiles::open(folder, existing)).transpose()?;
    let before = match &files {
        Some(files) if existing == Existing::Resume => {
            resume::read(files.folder(), options.device)?
        }
        _ => None,
    };
    let continued;
    let config = match (&files, &before) {
        (Some(files), Some((_, progress))) => {
            continued = resume::continued(config, (progress, seed), files.folder())?;
            &continued
        }
        _ => config,
    };
    let data = Identified::of(splits)?;
    let mut run = Run::new(config, splits, data, seed, options.device)?;
    if let (Some(files), Some((tensors, progress))) = (&files, before) {
        let file = files.last();
        resume::check_data(&file, &progress, &run.data.data)?;
        run.restore(&tensors, progress).map_err(|error| resume::in_file(&file, error))?;
        run.seconds_before = files.load_seconds(&mut run.history);
    }
    let interrupted = |run: &Run<'_>| match options.stop.and_then(Stop::asked) {
        Some(signal) => Err(Error::Interrupted {
            signal,
            epochs: run.history.len(),
            folder: options.folder.map(Path::to_owned),
        }),
        None => Ok(()),
    };
    observer.started(label, config.config().epochs, run.train.num_batches(), run.history.len());
    if let Some(note) = run.joined_batch() {
        observer.note(label, &note);
    }
    for epoch in run.history.len()..config.config().epochs {
        let on_batch = |run: &Run<'_>| {
            observer.batch(label);
            interrupted(run)
        };
        let record = run.epoch(epoch, &on_batch)?;
        if let Some(files) = &files {
            run.save(files, start)?;
        }
        observer.epoch(label, &record);
        interrupted(&run)?;
    }
    let result = run.finish(start)?;
    if let Some(files) = &files {
        run.save_finished(files)?;
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
    method: Box<dyn Method>,
    optimiser: Sgd,
    train: Loader,
    validation: Loader,
    history: Vec<EpochRecord>,
    best: Best,
    /// The epoch whose weights `model.safetensors` holds; 0 before this process has written it.
    written: usize,
    /// Seconds that earlier processes spent on the run.
    seconds_before: f64,
    data: Identified,
    /// Once the run is finished.
    marginals: Option<Marginals>,
}

/// The weights kept so far.
struct Best {
    /// From 1; 0 before the first epoch.
    epoch: usize,
    standing: Standing,
    state: State,
}

/// What epochs are compared by on the validation split. Small splits often tie in accuracy, and
/// the first of equals may be far from trained.
#[derive(Clone, Copy)]
struct Standing {
    accuracy: f64,
    cross_entropy: f64,
}

impl Standing {
    /// Below every epoch's.
    const NONE: Self = Self { accuracy: f64::NEG_INFINITY, cross_entropy: f64::INFINITY };

    fn of(validation: &Evaluation) -> Self {
        Self { accuracy: validation.accuracy, cross_entropy: validation.cross_entropy }
    }

    fn better_than(self, other: Self) -> bool {
        self.accuracy > other.accuracy
            || (self.accuracy == other.accuracy && self.cross_entropy < other.cross_entropy)
    }
}

impl<'a> Run<'a> {
    fn new(
        config: &'a CheckedConfig,
        splits: &'a Splits,
        identified: Identified,
        seed: u64,
        device: &'a Device,
    ) -> Result<Self> {
        check_splits(splits, config)?;
        let data = splits.train.as_ref();
        let classes = data.classes().len();
        let model = Model::new(config, data.modalities(), classes, Seed::new(seed), device)?;
        model.standardise(data)?;
        let method = model.method(config, data.len())?;
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
        )?
        .joining_single();
        let validation = evaluation_loader(config, splits.validation.clone(), device)?;
        let best = Best { epoch: 0, standing: Standing::NONE, state: State::new() };
        let history = Vec::new();
        Ok(Self {
            config,
            splits,
            seed,
            device,
            model,
            method,
            optimiser,
            train,
            validation,
            history,
            best,
            written: 0,
            seconds_before: 0.0,
            data: identified,
            marginals: None,
        })
    }

    /// What to say when a single example is left over.
    fn joined_batch(&self) -> Option<String> {
        let (examples, size) = (self.splits.train.len(), self.config.config().batch_size);
        self.train.ends_with_single().then(|| {
            format!(
                "{examples} training examples in batches of {size} leave one over, too few for batch \
                 statistics: the last batch has {}",
                size + 1
            )
        })
    }

    /// Trains and validates epoch `epoch` (from 0).
    fn epoch(
        &mut self,
        epoch: usize,
        on_batch: &dyn Fn(&Self) -> Result<()>,
    ) -> Result<EpochRecord> {
        let start = Instant::now();
        let settings = self.config.config();
        let rate = self.config.decay().learning_rate(settings.learning_rate, epoch);
        self.optimiser.set_learning_rate(rate);
        self.context(epoch)?;
        let mut sums = EpochSums::default();
        let seed = Seed::new(self.seed).stream("epoch").index(epoch as u64);
        for (number, batch) in self.train.epoch(seed).enumerate() {
            let clock = self.clock(epoch, number);
            let noise = seed.stream("step").index(number as u64);
            self.step(&batch?, clock, noise, &mut sums).map_err(|error| match error {
                Error::Loss(tcmax_losses::Error::NotFinite { value }) => {
                    Error::NotFinite { epoch: epoch + 1, batch: number + 1, value }
                }
                other => other,
            })?;
            on_batch(self)?;
        }
        let modalities = self.splits.train.modalities().len();
        let mut validation = self.validate(modalities)?;
        // A thousand classes would be a million counts an epoch in every checkpoint.
        validation.confusion = Vec::new();
        let standing = Standing::of(&validation);
        if standing.better_than(self.best.standing) {
            let state = self.model.params().snapshot()?;
            self.best = Best { epoch: epoch + 1, standing, state };
        }
        let record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: rate,
            train_loss: sums.loss / sums.examples as f64,
            train_accuracy: sums.right as f64 / sums.examples as f64,
            train_total_correlation: sums.bounded.then(|| sums.bound / sums.examples as f64),
            validation,
            seconds: start.elapsed().as_secs_f64(),
            metrics: sums.mean_metrics(),
        };
        self.history.push(record.clone());
        Ok(record)
    }

    /// Evaluates the validation split. Where it lacks modalities these are averaged out over the
    /// training split, as in the test.
    fn validate(&self, modalities: usize) -> Result<Evaluation> {
        let split = EncodedSplit::of(&self.model, &self.validation)?;
        let marginals = match split.present.is_complete() {
            true => None,
            false => {
                let train = self.loader_of(&self.splits.train)?;
                let train = EncodedSplit::of(&self.model, &train)?;
                Some(marginals_of(&self.model, &train, Seed::new(self.seed))?)
            }
        };
        evaluate(&self.classifier(marginals.as_ref()), &split, modalities)
    }

    /// What to be wary of in the result.
    fn warnings(&self, train: &EncodedSplit, test: &Evaluation) -> Result<Vec<String>> {
        let Some(kept) = self.history.get(self.best.epoch.wrapping_sub(1)) else {
            return Ok(Vec::new());
        };
        let data = &self.splits.train;
        let names: Vec<String> = data.modalities().iter().map(|m| m.name.clone()).collect();
        let finished = Finished {
            validation: &kept.validation,
            test,
            train_modality_accuracy: &modality_accuracy(&self.model, train, names.len())?,
            modalities: &names,
            classes: data.classes(),
        };
        Ok(finished.warnings())
    }

    fn loader_of(&self, split: &Arc<dyn Dataset>) -> Result<Loader> {
        evaluation_loader(self.config, split.clone(), self.device)
    }

    fn classifier<'b>(&'b self, marginals: Option<&'b Marginals>) -> Classifier<'b> {
        Classifier { model: &self.model, method: self.method.as_ref(), marginals }
    }

    /// Lets the method look at the data before an epoch.
    fn context(&mut self, epoch: usize) -> Result<()> {
        let mut view = View {
            clock: self.clock(epoch, 0),
            model: &self.model,
            train: &self.train,
            validation: &self.validation,
            // A name fixes the bits: this one is as old as the recorded results.
            seed: Seed::new(self.seed).stream("survey").index(epoch as u64),
        };
        Ok(self.method.begin_epoch(&mut view)?)
    }

    fn clock(&self, epoch: usize, batch: usize) -> Clock {
        let epochs = self.config.config().epochs;
        Clock { epoch, epochs, batch, batches: self.train.num_batches() }
    }

    /// One step on one batch.
    fn step(
        &mut self,
        batch: &Batch,
        clock: Clock,
        seed: Seed,
        sums: &mut EpochSums,
    ) -> Result<()> {
        let labels = Labels::from_tensor(&batch.labels, self.model.classes())?;
        let features = self.model.features(batch, true)?;
        let clip = self.config.config().clip_norm;
        let (optimiser, params) = (&mut self.optimiser, self.model.params());
        let mut update = |gradients: &mut GradStore| {
            if let Some(largest) = clip {
                clip_grad_norm(params, gradients, largest)?;
            }
            optimiser.step(gradients)
        };
        let output = self.method.step(&mut Step {
            head: self.model.head(),
            features: &features,
            labels: &labels,
            rows: &batch.indices,
            groups: self.model.groups(),
            clock,
            seed,
            update: &mut update,
        })?;
        sums.add(&output, &labels)
    }

    /// Saves everything after an epoch; the kept weights only where they are others than before.
    fn save(&mut self, files: &RunFiles, start: Instant) -> Result<()> {
        if self.written != self.best.epoch {
            save(&files.model(), &self.kept()?, &self.card())?;
            self.written = self.best.epoch;
        }
        // Times would make the bytes differ from run to run.
        let timeless = |record: &EpochRecord| EpochRecord { seconds: 0.0, ..record.clone() };
        let progress = Progress {
            config: self.config.config().clone(),
            seed: self.seed,
            data: self.data.data.clone(),
            best_epoch: self.best.epoch,
            history: self.history.iter().map(timeless).collect(),
        };
        let live = self.model.params().snapshot()?;
        let optimiser = self.optimiser.state()?;
        let method = self.method.state()?;
        let all = with_prefix("model", &live)
            .chain(with_prefix("optimiser", &optimiser))
            .chain(with_prefix("method", &method))
            .chain(with_prefix("best", &self.best.state));
        save(&files.last(), &all.collect(), &progress)?;
        files.save_seconds(&self.history, self.seconds(start))
    }

    /// Seconds spent on the run by this process and those before.
    fn seconds(&self, start: Instant) -> f64 {
        self.seconds_before + start.elapsed().as_secs_f64()
    }

    fn card(&self) -> ModelCard {
        let data = &self.splits.train;
        ModelCard {
            config: self.config.config().clone(),
            seed: self.seed,
            epoch: self.best.epoch,
            modalities: data.modalities().to_vec(),
            classes: data.classes().to_vec(),
            data: self.data.data.clone(),
        }
    }

    /// The kept weights with what they were learned from.
    fn kept(&self) -> Result<State> {
        let mut state = self.best.state.clone();
        let [train, validation, _] = &self.data.examples;
        let learned: Vec<u64> = train.iter().chain(validation).copied().collect();
        state.insert(LEARNED.to_owned(), learned_tensor(&learned)?);
        Ok(state)
    }

    /// Saves the kept weights with what takes the place of absent modalities.
    fn save_finished(&self, files: &RunFiles) -> Result<()> {
        let mut state = self.kept()?;
        if let Some(marginals) = &self.marginals {
            let of_marginals =
                marginals.state(&self.model.used_names(self.splits.train.modalities()));
            state.extend(with_prefix(MARGINALS, &of_marginals));
        }
        save(&files.model(), &state, &self.card())
    }

    /// Goes on where `progress` was.
    fn restore(&mut self, tensors: &State, progress: Progress) -> Result<()> {
        // Into the model first, only to find out whether they fit.
        let kept = under_prefix("best", tensors);
        self.model.params().load(&kept)?;
        self.model.params().load(&under_prefix("model", tensors))?;
        self.optimiser.load_state(&under_prefix("optimiser", tensors))?;
        self.method.load_state(&under_prefix("method", tensors))?;
        let mut standing = Standing::NONE;
        let mut best = 0;
        for record in &progress.history {
            let own = Standing::of(&record.validation);
            if own.better_than(standing) {
                (standing, best) = (own, record.epoch);
            }
        }
        if best != progress.best_epoch {
            let problem = format!(
                "it says that epoch {} is the best, and by its own records epoch {best} is",
                progress.best_epoch
            );
            return Err(Error::setting("--resume", problem));
        }
        self.best = Best { epoch: best, standing, state: kept };
        self.history = progress.history;
        Ok(())
    }

    /// Tests the kept weights.
    fn finish(&mut self, start: Instant) -> Result<RunResult> {
        self.model.params().load(&self.best.state)?;
        let test = EncodedSplit::of(&self.model, &self.loader_of(&self.splits.test)?)?;
        let train = EncodedSplit::of(&self.model, &self.loader_of(&self.splits.train)?)?;
        let modalities = self.splits.test.modalities().len();
        self.marginals = Some(marginals_of(&self.model, &train, Seed::new(self.seed))?);
        let classifier = self.classifier(self.marginals.as_ref());
        let tested = evaluate(&classifier, &test, modalities)?;
        Ok(RunResult {
            absence: absence(&classifier, &test, modalities)?,
            seed: self.seed,
            best_epoch: self.best.epoch,
            probe_accuracy: probe(&self.model, &train, &test, modalities)?,
            warnings: self.warnings(&train, &tested)?,
            test: tested,
            history: self.history.clone(),
            seconds: self.seconds(start),
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
    metrics: BTreeMap<String, f64>,
}

impl EpochSums {
    fn add(&mut self, output: &StepOutput, labels: &Labels) -> Result<()> {
        let examples = labels.len();
        let predicted = output.logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let truth = labels.tensor()?.to_vec1::<u32>()?;
        self.right += predicted.iter().zip(&truth).filter(|(guess, y)| guess == y).count();
        self.loss += output.loss * examples as f64;
        if let Some(bound) = output.total_correlation {
            self.bound += bound * examples as f64;
            self.bounded = true;
        }
        for (name, value) in &output.metrics {
            *self.metrics.entry(name.clone()).or_default() += value * examples as f64;
        }
        self.examples += examples;
        Ok(())
    }

    fn mean_metrics(self) -> BTreeMap<String, f64> {
        let examples = self.examples as f64;
        self.metrics.into_iter().map(|(name, sum)| (name, sum / examples)).collect()
    }
}

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
    if examples < 2 {
        let problem = "there is a single training example, and batch statistics need two";
        return Err(Error::setting("dataset", problem));
    }
    if config.config().drop_last && examples < batch {
        let problem = format!(
            "{batch} is more than the {examples} training examples, so that --drop-last would leave no \
             batch"
        );
        return Err(Error::setting("--batch-size", problem));
    }
    Ok(())
}
