//! The training loop of a critic.

use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;
use tcmax_ops::{AdamW, AdamWConfig, ParamBuilder, Params, Seed, State, backward, log_sum_exp_all};

use super::average::Average;
use super::held_out::{HeldOut, cap};
use super::outcome::warnings;
use super::prepared::Prepared;
use super::start::gaussian_critics;
use super::{CheckedConfig, CriticKind, CurvePoint, Estimator, Fit, FitConfig, Start, Warning};
use crate::bound::MovingAverage;
use crate::critic::Critic;
use crate::critic::{
    Activation, AdditiveCritic, BilinearCritic, ConcatCritic, LatentCritic, SeparableCritic,
};
use crate::error::{Error, Result};
use crate::sample::{Sample, Tuples};

/// The activation of fitted critics.
const ACTIVATION: Activation = Activation::Squareplus;

/// How much of the old average stays at each step.
const AVERAGE_DECAY: f64 = 0.99;

/// Trains a critic on one part of the examples and reports its bound on another.
///
/// ```
/// use tcmax_estimators::fit::{FitConfig, fit};
/// use tcmax_estimators::{Sample, Variable};
/// use tcmax_ops::Seed;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // b is a with noise of a quarter of its range: a uniform on [0, 1), I = log 4 + 1/8 nats.
/// let unit = |i: u32, step: f64| (f64::from(i) * step).fract();
/// let a: Vec<f64> = (0..2000).map(|i| unit(i, 0.618_033_988_7)).collect();
/// let b = (0..2000).map(|i| a[i as usize] + 0.25 * unit(i, 0.414_213_562_4)).collect();
/// let variables =
///     vec![Variable::continuous("a", a, 1)?, Variable::continuous("b", b, 1)?];
/// let config = FitConfig { hidden: vec![32], steps: 50, ..FitConfig::default() };
/// let fit = fit(&Sample::new(variables)?, &config.check()?, Seed::new(0))?;
/// assert!(fit.value > 0.9 && fit.value < 4f64.ln() + 0.125 + 0.1, "{}", fit.value);
/// # Ok(())
/// # }
/// ```
///
/// Runs on one thread; several fits may run at a time.
///
/// # Errors
/// When there are too few examples, the estimator or the critic is for another number of variables, or
/// training leaves the finite numbers.
pub fn fit(sample: &Sample, config: &CheckedConfig, seed: Seed) -> Result<Fit> {
    fit_observed(sample, config, seed, &|_| {})
}

/// As [`fit`], and calls `observe` with the number of steps made after each of them, up to
/// [`FitConfig::steps`], which comes last even where training stops early.
///
/// # Errors
/// As [`fit`].
pub fn fit_observed(
    sample: &Sample,
    config: &CheckedConfig,
    seed: Seed,
    observe: &(dyn Fn(usize) + Sync),
) -> Result<Fit> {
    let config = config.config();
    let variables = sample.variables().len();
    if variables != 2 {
        let pairs_only = match config.critic {
            CriticKind::Bilinear => Some("the bilinear critic"),
            _ => config.estimator.needs_two_variables().then(|| config.estimator.name()),
        };
        if let Some(estimator) = pairs_only {
            return Err(Error::NeedsTwoVariables { estimator, got: variables });
        }
    }
    let run = || {
        let data = Prepared::new(sample, config, seed)?;
        let mut trainer = Trainer::new(&data, config, seed)?;
        let start = trainer.start()?;
        trainer.train(observe)?;
        observe(config.steps);
        trainer.report(start)
    };
    // A step's matrices are small: threads would spend their time waiting for each other, most of all
    // on a busy machine. Several fits at a time use the cores better.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.map_err(candle_core::Error::wrap)?.install(run)
}

/// Builds the critic a configuration asks for.
fn build(config: &FitConfig, widths: &[usize], builder: &ParamBuilder) -> Result<Box<dyn Critic>> {
    let (hidden, embedding) = (config.hidden.as_slice(), config.embedding);
    Ok(match config.critic {
        CriticKind::Concat => {
            Box::new(ConcatCritic::new(widths, hidden, ACTIVATION, true, builder)?)
        }
        CriticKind::Separable => {
            Box::new(SeparableCritic::new(widths, hidden, embedding, ACTIVATION, builder)?)
        }
        CriticKind::Bilinear => Box::new(BilinearCritic::new([widths[0], widths[1]], builder)?),
        CriticKind::Latent => {
            let inner = AdditiveCritic::new(widths, hidden, embedding, ACTIVATION, builder)?;
            Box::new(LatentCritic(Box::new(inner)))
        }
    })
}

struct Trainer<'a> {
    config: &'a FitConfig,
    data: &'a Prepared,
    seed: Seed,
    critic: Box<dyn Critic>,
    params: Params,
    validation: (Vec<Tensor>, Tuples),
    average: Average,
    best: State,
    best_step: usize,
    curve: Vec<CurvePoint>,
    stopped_early: bool,
}

impl<'a> Trainer<'a> {
    fn new(data: &'a Prepared, config: &'a FitConfig, seed: Seed) -> Result<Self> {
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
        let average = Average::new(&params)?;
        Ok(Self {
            config,
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
        })
    }

    /// Sets the critic to where training starts from, and validates it.
    fn start(&mut self) -> Result<Start> {
        let mut start = Start::Random;
        if self.config.critic == CriticKind::Concat {
            let last = self.config.hidden.len() + 1;
            self.fill(&format!("fc{last}.weight"), |_| 0.0)?;
            self.fill(&format!("fc{last}.bias"), |_| self.config.estimator.offset())?;
            start = Start::Constant;
            let mut best = self.validate()?;
            let critics = match self.config.gaussian_start {
                true => gaussian_critics(self.data),
                false => Vec::new(),
            };
            let mut kept = self.params.snapshot()?;
            for gaussian in critics {
                let offset = gaussian.constant + self.config.estimator.offset();
                self.fill("quadratic", |place| gaussian.form[place])?;
                self.fill(&format!("fc{last}.bias"), |_| offset)?;
                let value = self.validate()?;
                if value > best {
                    (best, kept) = (value, self.params.snapshot()?);
                    start = Start::GaussianCopula;
                }
            }
            self.params.load(&kept)?;
        }
        self.average = Average::new(&self.params)?;
        self.best = self.params.snapshot()?;
        let validation = self.validate()?;
        self.curve.push(CurvePoint { step: 0, training: None, validation });
        Ok(start)
    }

    fn train(&mut self, observe: &(dyn Fn(usize) + Sync)) -> Result<()> {
        let config = self.config;
        let batch = batch_size(config).min(self.data.training.len());
        let mut optimisers = optimisers(&self.params, config.learning_rate)?;
        let mine = (config.estimator == Estimator::Mine).then_some(FitConfig::MINE_RATE);
        let mut moving = config.moving_average.or(mine).map(MovingAverage::new).transpose()?;
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
            let objective = self.objective(&rows, step, moving.as_mut())?;
            let value = f64::from(objective.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(Error::NotFiniteObjective { step, value });
            }
            let gradients = backward(&objective.neg()?)?;
            for (optimiser, _) in &mut optimisers {
                optimiser.step(&gradients)?;
            }
            self.take_into_average(step)?;
            observe(step);
            objective_sum += value;
            since += 1;
            if step % config.validate_every == 0 || step == config.steps {
                let live = self.params.snapshot()?;
                let average = self.average.state(&self.params)?;
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
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn report(&mut self, start: Start) -> Result<Fit> {
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
                config.estimator,
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
        let cap = cap(config.estimator, data.test.len(), variables, self.validation.1.len());
        let mut warnings =
            warnings(config.estimator, held_out, standard_error, training, cap, effective);
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
            cap,
            start,
            best_step: self.best_step,
            curve: std::mem::take(&mut self.curve),
            examples: [data.training.len(), data.validation.len(), data.test.len()],
            warnings,
        })
    }

    /// What the batch's rows are worth, a scalar to maximise.
    fn objective(
        &self,
        rows: &[Tensor],
        step: usize,
        moving: Option<&mut MovingAverage>,
    ) -> Result<Tensor> {
        let (config, seed) = (self.config, self.seed.stream("tuples").index(step as u64));
        let batch = rows[0].dim(0)?;
        let tuples = if config.estimator == Estimator::InfoNce {
            Tuples::all(batch, 2)?
        } else {
            Tuples::permutations(config.permutations, batch, rows.len(), seed)?
        };
        let parts = self.critic.parts(rows)?;
        let joint = self.critic.combine(&parts)?.squeeze(1)?;
        let product = self.critic.combine(&tuples.gather(&parts)?)?.squeeze(1)?;
        let (joint, product) = match config.estimator {
            Estimator::InfoNce => (joint, floor(&product)?),
            _ => (ceiling(&joint, &product)?, floor(&product)?),
        };
        config.estimator.objective(&joint, &product, moving)
    }

    /// The reported quantity on the validation part with the weights as they are.
    fn validate(&self) -> Result<f64> {
        Ok(self.on_validation()?.value())
    }

    fn on_validation(&self) -> Result<HeldOut<'_>> {
        let (variables, tuples) = &self.validation;
        HeldOut::new(self.critic.as_ref(), variables, tuples, self.config.estimator, None)
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

    fn take_into_average(&mut self, step: usize) -> Result<()> {
        // A plain mean at first, so that the start is forgotten soon.
        let decay = AVERAGE_DECAY.min(step as f64 / (step as f64 + 10.0));
        self.average.take(&self.params, decay)
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

/// Scores with those far below the largest raised to a floor. Their share of a sum of exponentials is
/// below f32's resolution either way, but as gradients they are subnormal numbers, on which processors
/// are slow.
fn floor(scores: &Tensor) -> Result<Tensor> {
    let top = scores.max_all()?.to_scalar::<f32>()?;
    Ok(scores.maximum(f64::from(top) - 50.0)?)
}

/// Joint scores, no higher than K product tuples can answer for: log K above their log-mean-exp. Beyond
/// it, joint scores could be raised at no cost, and a critic that does so is worthless on other tuples.
fn ceiling(joint: &Tensor, product: &Tensor) -> Result<Tensor> {
    let log_sum = log_sum_exp_all(&product.detach())?.to_scalar::<f32>()?;
    Ok(joint.minimum(f64::from(log_sum))?)
}

/// InfoNCE scores all pairs of a batch, so its batches are small.
fn batch_size(config: &FitConfig) -> usize {
    match config.estimator {
        Estimator::InfoNce => config.batch_size.min(96),
        _ => config.batch_size,
    }
}

/// Adam for the networks, and a slower one for the quadratic form, whose start is good.
fn optimisers(params: &Params, rate: f64) -> Result<Vec<(AdamW, f64)>> {
    let adam = |params: Params, scale: f64| -> Result<_> {
        let learning_rate = rate * scale;
        let config = AdamWConfig { learning_rate, weight_decay: 0.0, ..AdamWConfig::default() };
        Ok((AdamW::new(&params, config)?, scale))
    };
    let is_form = |name: &str| name == "quadratic";
    Ok(vec![adam(params.only(|name| !is_form(name)), 1.0)?, adam(params.only(is_form), 0.2)?])
}

/// Steps in which the learning rate rises, for Adam's averages to settle.
const WARM_UP: usize = 100;

/// [`WARM_UP`] rising steps; then the cosine from the largest rate to a tenth of it.
fn set_rates(optimisers: &mut [(AdamW, f64)], config: &FitConfig, step: usize) {
    let done = step as f64 / config.steps as f64;
    let warm = (step as f64 / WARM_UP as f64).min(1.0);
    let rate = warm * config.learning_rate * (0.55 + 0.45 * (std::f64::consts::PI * done).cos());
    optimisers.iter_mut().for_each(|(optimiser, scale)| optimiser.set_learning_rate(rate * *scale));
}

/// Permutations that make at least `count` tuples.
fn evaluation_tuples(
    count: usize,
    examples: usize,
    variables: usize,
    seed: Seed,
) -> Result<Tuples> {
    Tuples::permutations(count.div_ceil(examples), examples, variables, seed)
}
