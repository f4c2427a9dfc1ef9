//! Estimates by any estimator: those that train critics, from several seeds; those that do not, at once.

use rayon::prelude::*;
use serde::Serialize;
use tcmax_ops::Seed;

use crate::error::{Error, Result};
use crate::fit::decomposition::decompose_observed;
use crate::fit::outcome::{Fit, Warning, interval};
use crate::fit::run::fit_observed;
use crate::fit::{CheckedConfig, Decomposition};
use crate::neighbours::{TwoColumns, of_two_columns};
use crate::sample::Sample;
use crate::spec::{Computed, EstimatorKind, EstimatorSpec};

/// What an estimator finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimate, nats. With fits, the mean of the seeds' held-out bounds, or 0 where that is negative;
    /// without, it may be negative.
    pub value: f64,
    /// Midway between the bounds on held-out and on training examples, or 0 where that is negative, nats; none without
    /// fits. A critic falls short of the best one on examples it has not seen by about as much as it exceeds it on its
    /// own, so this is nearer to the truth than the value, but no bound of it. Of two columns of numbers it is
    /// [`neighbours`](Self::neighbours), or 0.
    pub best_guess: Option<f64>,
    /// What nearest neighbours show of two columns of numbers, nats, and as much again as they still rise from half of
    /// the examples to all; none of other variables, without fits, and for estimators that are no lower bounds. It may be
    /// negative.
    pub neighbours: Option<f64>,
    /// 95% interval of the truth, nats, as [`Fit::interval`] of the means over seeds, with 1.96 standard errors of
    /// *one* seed; where there are [`neighbours`](Self::neighbours), up to the end of their own at least; none without
    /// fits. Seeds share their examples, so averaging earns less than their number; how much less is not
    /// known. With three seeds or more the interval is wider than the error by about a third.
    pub interval: Option<[f64; 2]>,
    /// The standard error of one seed's held-out bound, nats; none without fits.
    pub standard_error: Option<f64>,
    /// Standard deviation between seeds, nats; none for one seed.
    pub spread: Option<f64>,
    /// The smallest cap of the fits, nats; none for sums of several and without fits.
    pub cap: Option<f64>,
    /// The held-out bound of each seed, nats; may be negative.
    pub seed_values: Vec<f64>,
    /// The fits of the first seed, then those of the second, ...
    pub fits: Vec<Fit>,
    /// What casts doubt on the value, a sentence each.
    pub warnings: Vec<String>,
}

/// Estimates what the variables of a sample share, nats: for two their mutual information, for more their
/// total correlation.
///
/// An estimator that trains critics does so once per seed; seeds differ in split, initial weights, batches
/// and tuples, and run in parallel. Other estimators do not use the seeds.
///
/// # Errors
/// When the estimator is not defined for these variables, there are too few examples, there is no seed, or
/// training leaves the finite numbers.
pub fn estimate(sample: &Sample, config: &CheckedConfig, seeds: &[u64]) -> Result<Estimate> {
    estimate_observed(sample, config, seeds, &|_| {})
}

/// As [`estimate`], and calls `observe` with the number of steps made since the last call: of all fits
/// together [`FitConfig::steps`](crate::fit::FitConfig::steps) each, whether or not training stops early;
/// 1 without fits.
///
/// # Errors
/// As [`estimate`].
pub fn estimate_observed(
    sample: &Sample,
    config: &CheckedConfig,
    seeds: &[u64],
    observe: &(dyn Fn(usize) + Sync),
) -> Result<Estimate> {
    let estimator = config.config().estimator;
    estimator.check(sample.variables().len())?;
    match estimator.kind {
        EstimatorKind::Direct(direct) => {
            let computed = (direct.compute)(&config.config().options, sample)?;
            observe(1);
            Ok(Estimate::computed(computed))
        }
        EstimatorKind::Critic(_) => {
            let of_fit = |seed| Ok(OfSeed::of_fit(fit_observed(sample, config, seed, observe)?));
            Ok(of_seeds(seeds, of_fit)?.beside_neighbours(sample, estimator))
        }
        EstimatorKind::Sum(cuts) => of_seeds(seeds, |seed| {
            let Decomposition { held_out, standard_error, parts, .. } =
                decompose_observed(sample, cuts, config, seed, observe)?;
            let training = parts.iter().map(|part| part.fit.training).sum();
            let fits = parts.into_iter().map(|part| part.fit);
            Ok(OfSeed::of([held_out, training], standard_error, fits))
        }),
    }
}

/// What one seed shows.
pub(crate) struct OfSeed {
    held_out: f64,
    training: f64,
    standard_error: f64,
    cap: Option<f64>,
    fits: Vec<Fit>,
}

impl OfSeed {
    pub(crate) fn of_fit(fit: Fit) -> Self {
        let bounds = [fit.held_out, fit.training];
        Self { cap: Some(fit.cap), ..Self::of(bounds, fit.standard_error, [fit]) }
    }

    fn of(
        [held_out, training]: [f64; 2],
        standard_error: f64,
        fits: impl IntoIterator<Item = Fit>,
    ) -> Self {
        let fits = fits.into_iter().collect();
        Self { held_out, training, standard_error, cap: None, fits }
    }
}

/// In parallel, but collected in the order of the seeds.
fn of_seeds(seeds: &[u64], of_seed: impl Fn(Seed) -> Result<OfSeed> + Sync) -> Result<Estimate> {
    let all = seeds.par_iter().map(|&seed| of_seed(Seed::new(seed)));
    Estimate::together(all.collect::<Result<_>>()?)
}

impl Estimate {
    /// The estimate before it is cut off at 0, nats: with fits the mean of the seeds' held-out bounds, as sums
    /// and differences need it.
    pub fn held_out(&self) -> f64 {
        match self.seed_values.len() {
            0 => self.value,
            count => self.seed_values.iter().sum::<f64>() / count as f64,
        }
    }

    const NOTHING: Self = Self {
        value: f64::NAN,
        best_guess: None,
        neighbours: None,
        interval: None,
        standard_error: None,
        spread: None,
        cap: None,
        seed_values: Vec::new(),
        fits: Vec::new(),
        warnings: Vec::new(),
    };

    /// The estimate by fits with what nearest neighbours show of the sample.
    pub(crate) fn beside_neighbours(self, sample: &Sample, estimator: &EstimatorSpec) -> Self {
        self.beside(if estimator.lower_bound { of_two_columns(sample) } else { None })
    }

    fn beside(mut self, neighbours: Option<TwoColumns>) -> Self {
        if let Some(TwoColumns { value, high: end }) = neighbours {
            self.neighbours = Some(value);
            self.best_guess = Some(value.max(0.0));
            self.interval = self.interval.map(|[low, high]| [low, high.max(end)]);
        }
        self
    }

    /// What an estimator without training finds.
    pub(crate) fn computed(Computed { value, warnings, .. }: Computed) -> Self {
        Self { value, warnings, ..Self::NOTHING }
    }

    pub(crate) fn together(seeds: Vec<OfSeed>) -> Result<Self> {
        if seeds.is_empty() {
            return Err(Error::Empty { what: "the list of seeds", unit: "seed" });
        }
        let count = seeds.len() as f64;
        let mean = |of: &dyn Fn(&OfSeed) -> f64| seeds.iter().map(of).sum::<f64>() / count;
        let held_out = mean(&|seed| seed.held_out);
        let training = mean(&|seed| seed.training);
        let standard_error = mean(&|seed| seed.standard_error.powi(2)).sqrt();
        let squares: f64 = seeds.iter().map(|seed| (seed.held_out - held_out).powi(2)).sum();
        let spread = (seeds.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let cap = seeds.iter().filter_map(|seed| seed.cap).reduce(f64::min);
        let seed_values = seeds.iter().map(|seed| seed.held_out).collect();
        let fits: Vec<Fit> = seeds.into_iter().flat_map(|seed| seed.fits).collect();
        Ok(Self {
            value: held_out.max(0.0),
            best_guess: Some(((held_out + training) / 2.0).max(0.0)),
            neighbours: None,
            interval: Some(interval([held_out, training], standard_error)),
            standard_error: Some(standard_error),
            spread,
            cap,
            seed_values,
            warnings: warnings(&fits),
            fits,
        })
    }
}

/// Every warning of any fit, each kind once, with how many of several fits gave it.
fn warnings(fits: &[Fit]) -> Vec<String> {
    let mut found: Vec<(&Warning, usize)> = Vec::new();
    for warning in fits.iter().flat_map(|fit| &fit.warnings) {
        let kind = std::mem::discriminant(warning);
        match found.iter_mut().find(|(other, _)| std::mem::discriminant(*other) == kind) {
            Some((_, count)) => *count += 1,
            None => found.push((warning, 1)),
        }
    }
    let all = fits.len();
    let message = |(warning, count): (&Warning, usize)| match all {
        1 => warning.message(),
        _ => format!("{} ({count} of {all} fits)", warning.message()),
    };
    found.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_cut_off_at_zero_once_and_lie_within_their_intervals() {
        let estimate = |held_out: &[f64]| {
            let seeds = held_out.iter().map(|&h| OfSeed::of([h, h + 0.1], 0.02, []));
            Estimate::together(seeds.collect()).unwrap()
        };
        // Seeds that scatter about 0: a mean of values cut off one by one would be 0.04.
        let scattered = estimate(&[-0.08, 0.08]);
        assert!(scattered.value.abs() < 1e-15, "{}", scattered.value);
        for held_out in [[-0.5, 0.4, 0.1], [-0.5, -0.4, 0.3], [1.0, 2.0, -0.1]] {
            let estimate = estimate(&held_out);
            let [low, high] = estimate.interval.unwrap();
            assert!(low <= estimate.value && estimate.value <= high, "{estimate:?}");
            // As far below the one bound as above the other.
            let guess = (held_out.iter().sum::<f64>() / 3.0 + 0.05).max(0.0);
            assert!((estimate.best_guess.unwrap() - guess).abs() < 1e-12, "{estimate:?}");
            assert!((high - (guess + 0.05 + 1.96 * 0.02).max(0.0)).abs() < 1e-12 || guess == 0.0);
            assert!((estimate.value - (held_out.iter().sum::<f64>() / 3.0).max(0.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn neighbours_raise_the_interval_and_never_lower_it() {
        let neighbours = |value| TwoColumns { value, high: value + 0.02 };
        let estimate = Estimate::together(vec![OfSeed::of([1.0, 1.1], 0.02, [])]).unwrap();
        let above = estimate.clone().beside(Some(neighbours(1.5)));
        let ends = [1.0 - 1.96 * 0.02, 1.5 + 0.02];
        assert_eq!((above.interval, above.best_guess), (Some(ends), Some(1.5)));
        assert_eq!(above.value, estimate.value, "the bound is what it was");
        let below = estimate.clone().beside(Some(neighbours(-0.01)));
        assert_eq!((below.interval, below.best_guess), (estimate.interval, Some(0.0)));
    }
}
