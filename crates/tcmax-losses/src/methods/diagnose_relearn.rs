//! Diagnosing and re-learning (D&R): encoders that have learned their training examples by heart go back towards their
//! initial values.
//!
//! ```text
//! L = CE(f, y)                                                                        (nats)
//! after epoch e > 0 with e mod R = 0, K times at most, for each modality m:
//!   alpha_m = tanh(lambda |P_train - P_validation|)
//!   theta_m <- alpha_m theta_m(0) + (1 - alpha_m) theta_m
//! ```
//!
//! P is the purity of clusters of m's features of a split: every column is scaled to \[-1, 1\] by its own smallest and
//! largest value, k-means makes as many clusters as there are classes, and P is the part of the examples whose label is
//! the most frequent one in their cluster. theta_m are all trainable parameters of encoder m; running statistics, momentum and
//! the head stay as they are. With alpha_m = 0 not a bit changes. Any number of modalities, and any head.
//!
//! A column that is the same for all examples is 0 after scaling. The features of both splits are held in memory. The
//! k-means of the released code has one fixed seed; here it follows the run's.
//!
//! Source: Wei, Li, Feng, Hu, "Diagnosing and Re-learning for Balanced Multimodal Learning" (ECCV 2024).

use candle_core::{Device, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{Seed, State, host_f64};
use tcmax_registry::{OptionSet, Options, Task, read, require};

use super::joint::Joint;
use super::k_means::{k_means, purity};
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, Part, Result, Setup, Step, StepOutput,
    Surveyed, Tasks, Way,
};

/// The specification of D&R.
pub static DIAGNOSE_RELEARN: MethodSpec = MethodSpec {
    name: "diagnose-relearn",
    description: "takes encoders back towards their start, by how much they have overfitted",
    source: "Wei et al., ECCV 2024",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it measures how pure clusters of features are in their one class"),
    needs_stages: false,
    options: Options::of::<DiagnoseRelearnOptions>(),
    make: |options, setup| Ok(Box::new(DiagnoseRelearn::new(read(options)?, setup)?)),
};

/// Options of D&R.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiagnoseRelearnOptions {
    /// Epochs R between two diagnoses.
    pub every: usize,
    /// Diagnoses K of a run at most.
    pub most: usize,
    /// Factor lambda of the difference of purities.
    pub lambda: f64,
    /// Starts of k-means, of which the best counts.
    pub starts: usize,
}

impl Default for DiagnoseRelearnOptions {
    fn default() -> Self {
        Self { every: 20, most: 3, lambda: 3.0, starts: 10 }
    }
}

impl OptionSet for DiagnoseRelearnOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.every > 0, "every", "must be at least 1 epoch")?;
        let fits = self.lambda.is_finite() && self.lambda >= 0.0;
        require(fits, "lambda", "must be a number of at least 0")?;
        require(self.starts > 0, "starts", "must be at least 1")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct DiagnoseRelearn {
    options: DiagnoseRelearnOptions,
    classes: usize,
    /// The initial values of each encoder's parameters, while they may still be needed.
    initial: Vec<Vec<Tensor>>,
    /// Diagnoses so far.
    done: usize,
    /// alpha of each modality before this epoch, 0 without a diagnosis.
    alphas: Vec<f64>,
}

impl DiagnoseRelearn {
    /// D&R for the modalities and classes of `setup`.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: DiagnoseRelearnOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let alphas = vec![0.0; setup.widths.len()];
        let (classes, initial) = (setup.classes, Vec::new());
        Ok(Self { options, classes, initial, done: 0, alphas })
    }

    /// alpha of each modality.
    fn diagnose(&self, context: &mut dyn EpochContext) -> Result<Vec<f64>> {
        let seed = context.seed().stream("clusters");
        let (classes, starts) = (self.classes, self.options.starts);
        let mut purities = |part, stream| {
            Features::of(context, part)?.purities(classes, starts, seed.stream(stream))
        };
        let train = purities(Part::Train, "train")?;
        let validation = purities(Part::Validation, "validation")?;
        let pairs = train.into_iter().zip(validation);
        Ok(pairs.map(|(train, other)| strength(train, other, self.options.lambda)).collect())
    }
}

impl Method for DiagnoseRelearn {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let epoch = context.clock().epoch;
        let DiagnoseRelearnOptions { every, most, .. } = self.options;
        self.alphas.iter_mut().for_each(|alpha| *alpha = 0.0);
        if epoch == 0 {
            let copied = |vars: &Vec<Var>| {
                vars.iter().map(|var| Ok(var.as_detached_tensor().copy()?)).collect()
            };
            self.initial = context.groups().encoders.iter().map(copied).collect::<Result<_>>()?;
        } else if is_due(epoch - 1, every, most, self.done) {
            self.alphas = self.diagnose(context)?;
            let encoders = context.groups().encoders.iter().zip(&self.alphas);
            for (m, (vars, &alpha)) in encoders.enumerate() {
                let missing = || Error::MissingState { name: format!("initial.{m}") };
                relearn(vars, self.initial.get(m).ok_or_else(missing)?, alpha)?;
            }
            self.done += 1;
        }
        if self.done >= most {
            self.initial.clear();
        }
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        Ok(Joint.step(step)?.with_metrics("relearned", &self.alphas))
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }

    fn state(&self) -> Result<State> {
        let count = Tensor::new(&[self.done as f64], &Device::Cpu)?;
        let mut state = State::from([("done".to_owned(), count)]);
        for (m, encoder) in self.initial.iter().enumerate() {
            for (number, value) in encoder.iter().enumerate() {
                state.insert(format!("initial.{m}.{number:06}"), value.clone());
            }
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.done = crate::state::vector(state, "done", 1)?[0] as usize;
        self.initial = Vec::new();
        for (name, value) in state.iter().filter(|(name, _)| *name != "done") {
            let unknown = || Error::UnknownState { name: name.clone() };
            let place = name.strip_prefix("initial.").and_then(|rest| rest.split_once('.'));
            let m: usize = place.and_then(|(m, _)| m.parse().ok()).ok_or_else(unknown)?;
            if m >= self.alphas.len() {
                return Err(unknown());
            }
            self.initial.resize(self.alphas.len(), Vec::new());
            // In the order of the names.
            self.initial[m].push(value.clone());
        }
        Ok(())
    }
}

/// Whether encoders are diagnosed after an epoch (from 0), where that was `done` so often.
///
/// ```
/// use tcmax_losses::methods::diagnose_relearn::is_due;
///
/// let mut done = 0;
/// let due = (0..90).filter(|&epoch| {
///     let due = is_due(epoch, 20, 3, done);
///     done += usize::from(due);
///     due
/// });
/// assert_eq!(due.collect::<Vec<_>>(), [20, 40, 60]);
/// ```
pub fn is_due(epoch: usize, every: usize, most: usize, done: usize) -> bool {
    epoch > 0 && epoch.is_multiple_of(every) && done < most
}

/// alpha = tanh(lambda |P_train - P_validation|).
pub fn strength(train: f64, validation: f64, lambda: f64) -> f64 {
    (lambda * (train - validation).abs()).tanh()
}

/// theta <- alpha theta(0) + (1 - alpha) theta; not a bit changes where alpha is 0.
///
/// # Errors
/// When there are other numbers of tensors, or shapes differ.
pub fn relearn(vars: &[Var], initial: &[Tensor], alpha: f64) -> Result<()> {
    if vars.len() != initial.len() {
        let (got, wanted) = (initial.len(), vars.len());
        return Err(Error::WrongLength { what: "initial values of an encoder", got, wanted });
    }
    if alpha == 0.0 {
        return Ok(());
    }
    for (var, initial) in vars.iter().zip(initial) {
        let initial = initial.to_dtype(var.dtype())?.to_device(var.device())?;
        var.set(&((initial * alpha)? + (var.as_tensor() * (1.0 - alpha))?)?.detach())?;
    }
    Ok(())
}

/// Features (N, D) with every column scaled to \[-1, 1\] by its smallest and largest value, in f64 on the CPU.
///
/// # Errors
/// When there is no example.
pub fn scaled(features: &Tensor) -> Result<Tensor> {
    let features = host_f64(features)?;
    let (least, most) = (features.min_keepdim(0)?, features.max_keepdim(0)?);
    let range = (most - &least)?;
    let constant = range.eq(0.0)?.to_dtype(range.dtype())?;
    let unit = features.broadcast_sub(&least)?.broadcast_div(&(range + &constant)?)?;
    // From [0, 1] to [-1, 1], but constant columns stay 0.
    Ok((unit * 2.0)?.broadcast_sub(&(1.0 - constant)?)?)
}

/// Features of a split, one entry per modality, and the labels, in the order of the split.
struct Features {
    modalities: Vec<Tensor>,
    labels: Vec<u32>,
}

impl Features {
    fn of(context: &mut dyn EpochContext, part: Part) -> Result<Self> {
        let mut batches: Vec<Vec<Tensor>> = Vec::new();
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        context.each(part, &mut |surveyed: Surveyed<'_>| {
            let features = surveyed.features.iter().map(host_f64);
            batches.push(features.collect::<candle_core::Result<_>>()?);
            rows.extend(surveyed.rows.iter().map(|&row| row as u32));
            labels.extend(surveyed.labels.tensor()?.to_vec1::<u32>()?);
            Ok(true)
        })?;
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by_key(|&position| rows[position as usize]);
        let labels = order.iter().map(|&position| labels[position as usize]).collect();
        let order = Tensor::new(order, &Device::Cpu)?;
        let modality = |m: usize| {
            let parts: Vec<&Tensor> = batches.iter().map(|batch| &batch[m]).collect();
            Ok(Tensor::cat(&parts, 0)?.index_select(&order, 0)?)
        };
        let count = batches.first().map_or(0, Vec::len);
        Ok(Self { modalities: (0..count).map(modality).collect::<Result<_>>()?, labels })
    }

    fn purities(&self, classes: usize, starts: usize, seed: Seed) -> Result<Vec<f64>> {
        let of = |(m, features): (usize, &Tensor)| {
            let clusters = k_means(&scaled(features)?, classes, starts, seed.index(m as u64))?;
            Ok(purity(&clusters, &self.labels))
        };
        self.modalities.iter().enumerate().map(of).collect()
    }
}
