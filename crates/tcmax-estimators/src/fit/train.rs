//! The training loop of a critic.

use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;
use tcmax_ops::{AverageOptions, ParamBuilder, Params, Seed, State, WeightAverage, backward};

use super::config::{CriticKind, FitConfig};
use super::contrasts::cap_of_pairs;
use super::critic::build;
use super::held_out::HeldOut;
use super::outcome::{CurvePoint, Fit, Start, Warning, warnings};
use super::prepared::Prepared;
use super::schedule::{WARM_UP, optimisers, set_rates};
use super::score_limits::{ceiling, floor};
use super::start::gaussian_critics;
use crate::bound::objective::Objective;
use crate::critic::Critic;
use crate::error::{Error, Result};
use crate::sample::tuples::Tuples;

/// How much of the old average stays at each step.
const AVERAGE_DECAY: f64 = 0.99;

/// Examples in a batch of objectives of all pairs, which score the square of them.
const MOST_PAIRED: usize = 96;

/// A critic in training.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a FitConfig,
    pub(super) objective: Box<dyn Objective>,
    pub(super) data: &'a Prepared,
    pub(super) seed: Seed,
    pub(super) critic: Box<dyn Critic>,
    params: Params,
    validation: (Vec<Tensor>, Tuples),
    average: WeightAverage,
    best: State,
    best_step: usize,
    curve: Vec<CurvePoint>,
    stopped_early: bool,
    /// Whether products of columns and norms are of use to the critic that training starts from.
    multiplied: bool,
}

/// What products of columns and norms must add to the bound on the validation split to be kept, nats: chance adds some.
const WORTH: f64 = 0.01;

impl<'a> Trainer<'a> {
    pub(super) fn new(
        data: &'a Prepared,
        config: &'a FitConfig,
        objective: Box<dyn Objective>,
        seed: Seed,
    ) -> Result<Self> {
        let widths = data.widths();
        let builder = ParamBuilder::new(seed.stream("critic"), DType::F32, &Device::Cpu);
        let critic = build(config, &widths, &builder)?;
        let params = builder.params();
        let tuples = evaluation_tuples(
            config.evaluation_tuples / 5,
            data.validation.len(),
            widths.len(),
            seed.stream("validation"),
        )?;
        let validation = (data.rows(&data.validation)?, tuples);
        let average = WeightAverage::new(&params, AverageOptions::default())?;
        Ok(Self {
            config,
            objective,
            data,
            seed,
            critic,
            validation,
            best: params.snapshot()?,
            average,
            params,
            best_step: 0,
            curve: Vec::new(),
            stopped_early: false,
            multiplied: false,
        })
    }

    /// Sets the critic to where training starts from, and validates it.
    pub(super) fn start(&mut self) -> Result<Start> {
        let mut start = Start::Random;
        if self.config.critic == CriticKind::Concat {
            let last = self.config.hidden.len() + 1;
            self.fill(&format!("fc{last}.weight"), |_| 0.0)?;
            self.fill(&format!("fc{last}.bias"), |_| self.objective.offset())?;
            start = Start::Constant;
            let mut best = self.validate()?;
            let critics = match self.config.gaussian_start {
                true => gaussian_critics(self.data),
                false => Vec::new(),
            };
            let mut kept = self.params.snapshot()?;
            // Those without products come first.
            for gaussian in critics {
                let offset = gaussian.constant + self.objective.offset();
                self.fill("quadratic", |place| gaussian.form[place])?;
                self.fill(&format!("fc{last}.bias"), |_| offset)?;
                let value = self.validate()?;
                let least = if gaussian.multiplied && !self.multiplied { WORTH } else { 0.0 };
                if value > best + least {
                    (best, kept) = (value, self.params.snapshot()?);
                    (start, self.multiplied) = (Start::GaussianCopula, gaussian.multiplied);
                }
            }
            self.params.load(&kept)?;
        }
        self.average = WeightAverage::new(&self.params, AverageOptions::default())?;
        self.best = self.params.snapshot()?;
        let validation = self.validate()?;
        self.curve.push(CurvePoint { step: 0, training: None, validation });
        Ok(start)
    }

    /// Whether products of columns and norms are of use to the critic that training starts from.
    pub(super) fn is_multiplied(&self) -> bool {
        self.multiplied
    }

    /// Trains until the steps are made or the bound no longer rises, and returns the number of steps made.
    pub(super) fn train(&mut self, observe: &(dyn Fn(usize) + Sync)) -> Result<usize> {
        let config = self.config;
        let most = if self.objective.all_pairs() { MOST_PAIRED } else { usize::MAX };
        let batch = config.batch_size.min(most).min(self.data.training.len());
        let mut optimisers = optimisers(&self.params, config.learning_rate)?;
        let mut order = self.data.training.clone();
        let (mut used, mut epoch) = (order.len(), 0);
        let (mut objective_sum, mut since) = (0.0, 0);
        for step in 1..=config.steps {
            if used + batch > order.len() {
                order.shuffle(&mut self.seed.stream("order").index(epoch).rng());
                (used, epoch) = (0, epoch + 1);
            }
            let rows = self.data.rows(&order[used..used + batch])?;
            used += batch;
            set_rates(&mut optimisers, config, step);
            let objective = self.of_batch(&rows, step)?;
            let value = f64::from(objective.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(Error::NotFiniteObjective { step, value });
            }
            let gradients = backward(&objective.neg()?)?;
            for (optimiser, _) in &mut optimisers {
                optimiser.step(&gradients)?;
            }
            self.update_average(step)?;
            observe(1);
            objective_sum += value;
            since += 1;
            if step % config.validate_every == 0 || step == config.steps {
                let live = self.params.snapshot()?;
                let average = self.average.weights()?;
                self.params.load(&average)?;
                let validation = self.validate()?;
                self.params.load(&live)?;
                let training = Some(objective_sum / f64::from(since));
                self.curve.push(CurvePoint { step, training, validation });
                (objective_sum, since) = (0.0, 0);
                if validation > self.best_validation() {
                    self.best = average;
                    self.best_step = step;
                } else if step >= self.best_step + config.patience * config.validate_every {
                    self.stopped_early = true;
                    return Ok(step);
                }
            }
        }
        Ok(config.steps)
    }

    /// The kept critic on the test split.
    pub(super) fn report(&mut self, start: Start) -> Result<Fit> {
        let (config, data) = (self.config, self.data);
        self.params.load(&self.best)?;
        let limits = self.on_validation()?.limits();
        let variables = data.widths().len();
        let value_of = |rows: &[usize], part: &str, tuples: usize| -> Result<_> {
            let tuples = evaluation_tuples(tuples, rows.len(), variables, self.seed.stream(part))?;
            let held_out = HeldOut::new(
                self.critic.as_ref(),
                &data.rows(rows)?,
                &tuples,
                self.objective.as_ref(),
                limits,
            )?;
            let error = held_out.bootstrap(config.bootstrap, self.seed.stream(part).stream("boot"));
            Ok((held_out.value(), error, held_out.effective_examples()))
        };
        let (held_out, standard_error, effective) =
            value_of(&data.test, "test", config.evaluation_tuples)?;
        // As many training examples as test examples, so that both have the same cap.
        let training = &data.training[..data.training.len().min(data.test.len())];
        let (training, ..) = value_of(training, "training", config.evaluation_tuples / 5)?;
        let cap = self.cap();
        let lower_bound = config.estimator.lower_bound;
        let mut warnings =
            warnings(lower_bound, held_out, standard_error, training, cap, effective);
        if !self.stopped_early && self.was_still_rising() {
            warnings.push(Warning::NotConverged);
        }
        let merged = data.merged.iter().cloned();
        warnings.extend(merged.map(|(variable, classes, share)| Warning::MergedClasses {
            variable,
            classes,
            share,
        }));
        Ok(Fit {
            value: held_out.max(0.0),
            held_out,
            standard_error,
            training,
            cap,
            start,
            best_step: self.best_step,
            curve: std::mem::take(&mut self.curve),
            examples: [data.training.len(), data.validation.len(), data.test.len()],
            warnings,
        })
    }

    /// About the most that the test split can show, nats; see [`Fit::cap`].
    fn cap(&self) -> f64 {
        let examples = self.data.test.len();
        if self.objective.all_pairs() {
            return cap_of_pairs(examples);
        }
        let (variables, tuples) = &self.validation;
        let of_examples = (variables.len() as f64 - 1.0) * (examples as f64).ln();
        of_examples.min((tuples.len() as f64).ln())
    }

    /// The objective of the rows of a batch, a scalar to maximise.
    fn of_batch(&mut self, rows: &[Tensor], step: usize) -> Result<Tensor> {
        let (config, seed) = (self.config, self.seed.stream("tuples").index(step as u64));
        let batch = rows[0].dim(0)?;
        let pairs = self.objective.all_pairs();
        let tuples = if pairs {
            Tuples::all(batch, rows.len())?
        } else {
            Tuples::permutations(config.permutations, batch, rows.len(), seed)?
        };
        let parts = self.critic.parts(rows)?;
        let joint = self.critic.combine(&parts)?.squeeze(1)?;
        let product = self.critic.combine(&tuples.gather(&parts)?)?.squeeze(1)?;
        let joint = if pairs { joint } else { ceiling(&joint, &product)? };
        self.objective.of_batch(&joint, &floor(&product)?)
    }

    /// The reported quantity on the validation split with the current weights.
    fn validate(&self) -> Result<f64> {
        Ok(self.on_validation()?.value())
    }

    pub(super) fn on_validation(&self) -> Result<HeldOut<'_>> {
        let (variables, tuples) = &self.validation;
        HeldOut::new(self.critic.as_ref(), variables, tuples, self.objective.as_ref(), None)
    }

    /// Whether the validation bound rose over the last three validations, or there was no time to see: in
    /// fewer than [`WARM_UP`] steps the learning rate does not even reach its largest.
    fn was_still_rising(&self) -> bool {
        let then = self.curve.iter().rev().nth(3).or(self.curve.first());
        let gained = then.map(|then| self.best_validation() - then.validation);
        self.config.steps <= WARM_UP || gained.is_some_and(|gained| gained > 0.05)
    }

    fn best_validation(&self) -> f64 {
        self.curve
            .iter()
            .find(|point| point.step == self.best_step)
            .map_or(f64::NEG_INFINITY, |point| point.validation)
    }

    fn update_average(&mut self, step: usize) -> Result<()> {
        // A plain mean at first, so that the start is forgotten soon.
        let decay = AVERAGE_DECAY.min(step as f64 / (step as f64 + 10.0));
        Ok(self.average.update_with(decay)?)
    }

    /// Sets every entry of a parameter.
    fn fill(&self, name: &str, value: impl Fn(usize) -> f64) -> Result<()> {
        for (_, var) in self.params.trainable().filter(|(own, _)| *own == name) {
            let values: Vec<f32> = (0..var.elem_count()).map(|i| value(i) as f32).collect();
            var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
        }
        Ok(())
    }
}

/// Permutations that make at least `count` tuples.
pub(super) fn evaluation_tuples(
    count: usize,
    examples: usize,
    variables: usize,
    seed: Seed,
) -> Result<Tuples> {
    Tuples::permutations(count.div_ceil(examples), examples, variables, seed)
}
