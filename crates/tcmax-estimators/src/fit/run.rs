//! One fit, from a sample to a value.

use rayon::prelude::*;
use tcmax_ops::Seed;

use super::config::{CheckedConfig, CriticKind};
use super::outcome::Fit;
use super::prepared::Prepared;
use super::train::Trainer;
use crate::error::{Error, Result};
use crate::sample::Sample;

/// Trains a critic on some of the examples and reports its bound on others.
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

/// As [`fit`], and calls `observe` with the number of steps made since the last call: in all
/// [`FitConfig::steps`](super::FitConfig::steps), whether or not training stops early.
///
/// # Errors
/// As [`fit`].
pub fn fit_observed(
    sample: &Sample,
    config: &CheckedConfig,
    seed: Seed,
    observe: &(dyn Fn(usize) + Sync),
) -> Result<Fit> {
    Ok(fit_then(sample, config, seed, observe, &|_, _| Ok(()))?.0)
}

/// As [`fit_observed`], and what `then` makes of the trained critic of every fold.
pub(super) fn fit_then<T: Send>(
    sample: &Sample,
    config: &CheckedConfig,
    seed: Seed,
    observe: &(dyn Fn(usize) + Sync),
    then: &(dyn Fn(&Trainer<'_>, usize) -> Result<T> + Sync),
) -> Result<(Fit, Vec<T>)> {
    let checked = config;
    let config = checked.config();
    let variables = sample.variables().len();
    config.estimator.check(variables)?;
    if variables != 2 && config.critic == CriticKind::Bilinear {
        let estimator = "the bilinear critic";
        return Err(Error::NeedsTwoVariables { estimator, got: variables });
    }
    let run = |fold: usize| {
        // Whoever ends the work in `observe` does so before the next fit begins.
        observe(0);
        let objective = checked.objective()?;
        let data = Prepared::new(sample, config, seed, fold)?;
        let seed = if config.folds == 1 { seed } else { seed.stream("fold").index(fold as u64) };
        let mut trainer = Trainer::new(&data, config, objective, seed)?;
        let mut start = trainer.start()?;
        let fewer;
        if data.has_products() && !trainer.is_multiplied() {
            drop(trainer);
            fewer = data.without_products();
            trainer = Trainer::new(&fewer, config, checked.objective()?, seed)?;
            start = trainer.start()?;
        }
        let made = trainer.train(observe)?;
        observe(config.steps - made);
        let fit = trainer.report(start)?;
        let more = then(&trainer, fold)?;
        Ok((fit, more))
    };
    let alone = (0..config.folds).into_par_iter().map(|fold| on_one_thread(|| run(fold)));
    let folds = alone.collect::<Result<Vec<_>>>()?;
    let (fits, more): (Vec<Fit>, Vec<T>) = folds.into_iter().unzip();
    let fit =
        Fit::of_folds(fits).ok_or(Error::Empty { what: "the list of folds", unit: "fold" })?;
    Ok((fit, more))
}

/// Runs a fit on one thread, for which this one waits.
///
/// A step's matrices are small: threads would spend their time waiting for each other, most of all on a busy machine.
/// Several fits at a time use the cores better. But a thread of a pool that waits for another pool begins something
/// else meanwhile, here the next fit, and with a hundred seeds a hundred fits would run at once. So a thread that is in
/// no pool does the waiting.
fn on_one_thread<T: Send>(fit: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let alone = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        pool.map_err(candle_core::Error::wrap)?.install(fit)
    };
    let finished = std::thread::scope(|scope| scope.spawn(alone).join());
    // Interruptions unwind.
    finished.unwrap_or_else(|unwound| std::panic::resume_unwind(unwound))
}
