//! What an estimate is going to cost, and how far it has got.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tcmax_estimators::fit::FitConfig;
use tcmax_estimators::{EstimatorKind, Variable};

use crate::progress::say;

/// What one estimate is going to cost: rough numbers, right within a factor of two or three.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Fits of a critic; 0 for estimators that train nothing.
    pub(super) fits: u64,
    /// Steps of [`Progress`]: training steps of all fits, or 1.
    pub(super) steps: u64,
    /// Seconds on one thread, at most.
    pub(super) seconds: f64,
}

/// Multiplications and additions in a second on one thread.
const SPEED: f64 = 8e9;

impl Cost {
    /// What an estimate of all of some variables costs.
    pub(super) fn of(variables: &[&Variable], config: &FitConfig, seeds: u64) -> Self {
        let rows = variables.first().map_or(0, |variable| variable.len());
        let columns: Vec<usize> =
            variables.iter().map(|variable| config.columns_of(variable)).collect();
        // What no estimator is asked for: whether columns follow from each other.
        let relations = 2e-7 * (rows * variables.iter().map(|v| v.width()).sum::<usize>()) as f64;
        match config.estimator.kind {
            EstimatorKind::Direct(direct) => {
                let seconds = relations + (direct.operations)(rows, &columns) / SPEED;
                Self { fits: 0, steps: 1, seconds }
            }
            EstimatorKind::Critic(_) => Self::of_fits(&[columns.iter().sum()], rows, config, seeds),
            EstimatorKind::Sum(cuts) => {
                let both = |(a, b): &(Vec<usize>, Vec<usize>)| {
                    a.iter().chain(b).map(|&variable| columns[variable]).sum()
                };
                let of_cuts: Vec<usize> = cuts(columns.len()).iter().map(both).collect();
                Self::of_fits(&of_cuts, rows, config, seeds)
            }
        }
    }

    /// Fits of critics on so many columns each.
    fn of_fits(columns: &[usize], rows: usize, config: &FitConfig, seeds: u64) -> Self {
        let steps = config.steps as f64;
        let batch = (config.batch_size as f64).min(0.55 * rows as f64);
        let trained = 3.0 * batch * (1.0 + config.permutations as f64);
        // Validations score a fifth of the tuples forward only.
        let validated = 0.2 * config.evaluation_tuples as f64 / config.validate_every as f64;
        let of_fit = |&columns: &usize| {
            steps * ((trained + validated) * evaluation(columns, config) / SPEED + 2e-4)
        };
        let fits = seeds * columns.len() as u64;
        let seconds = seeds as f64 * columns.iter().map(of_fit).sum::<f64>();
        Self { fits, steps: fits.saturating_mul(config.steps as u64), seconds }
    }

    /// The same with a permutation test: of estimators that train critics, one evaluation of a critic per
    /// test row and permutation; of others, one estimate per permutation.
    pub(super) fn and_permutations(
        self,
        variables: &[&Variable],
        config: &FitConfig,
        permutations: u64,
    ) -> Self {
        let times = permutations as f64;
        if self.fits == 0 {
            let steps = self.steps.saturating_add(permutations);
            return Self { steps, seconds: self.seconds * (1.0 + times), ..self };
        }
        let rows = variables.first().map_or(0, |variable| variable.len()) as f64;
        let columns = variables.iter().map(|variable| config.columns_of(variable)).sum();
        let of_one = config.held_out[1] * rows * evaluation(columns, config) / SPEED;
        Self { seconds: self.seconds + times * of_one, ..self }
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            fits: self.fits.saturating_add(other.fits),
            steps: self.steps.saturating_add(other.steps),
            seconds: self.seconds + other.seconds,
        }
    }
}

/// What a critic of so many columns costs on one tuple.
fn evaluation(columns: usize, config: &FitConfig) -> f64 {
    let columns = columns as f64;
    let layers: Vec<f64> = config.hidden.iter().map(|&width| width as f64).collect();
    let inputs = std::iter::once(columns).chain(layers.iter().copied());
    let network: f64 = inputs.zip(&layers).map(|(a, b)| a * b).sum();
    // Activations cost as much as some dozens of multiplications each.
    2.0 * (network + columns * columns + 40.0 * layers.iter().sum::<f64>())
}

/// A duration as people say it.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} seconds"),
        s if s < 90.0 * 60.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.0} hours", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// Before a bar appears, and between lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(2);
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// How far the estimates have got: a bar on a terminal, a line every half minute elsewhere; nothing where
/// all is done in two seconds.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    done: AtomicU64,
    start: Instant,
    last: Mutex<Instant>,
}

impl Progress {
    /// Of so many steps.
    pub(super) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
            if let Ok(style) =
                ProgressStyle::with_template("estimating {wide_bar} {percent:>3}% {eta:>4}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        let start = Instant::now();
        Self { bar, total: total.max(1), done: AtomicU64::new(0), start, last: Mutex::new(start) }
    }

    /// So many more steps are done.
    pub(super) fn add(&self, steps: u64) {
        let done = self.done.fetch_add(steps, Ordering::Relaxed) + steps;
        let elapsed = self.start.elapsed();
        if elapsed < QUIET {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &self.bar {
            if bar.is_hidden() {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.set_position(done);
        } else if last.elapsed() >= BETWEEN_LINES {
            *last = Instant::now();
            let part = done as f64 / self.total as f64;
            let left = elapsed.as_secs_f64() * (1.0 - part).max(0.0) / part.max(1e-9);
            say(&format!("estimating: {:.0} % done, about {} left", 100.0 * part, duration(left)));
        }
    }

    /// All is done.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use tcmax_estimators::EstimatorSpec;
    use tcmax_estimators::bound::TCNE;
    use tcmax_estimators::exact::KSG;
    use tcmax_estimators::fit::LINE;

    use super::*;

    #[test]
    fn costs_grow_with_columns_and_those_of_parts_add_up() {
        let variable = |columns: usize| {
            let values = (0..200 * columns).map(|i| (i * 7 % 101) as f64).collect();
            Variable::continuous("x", values, columns).unwrap()
        };
        let of = |variable: &Variable, estimator: &'static EstimatorSpec| {
            let config = FitConfig { estimator, ..FitConfig::default() };
            Cost::of(&[variable; 3], &config, 3)
        };
        let (few, many) = (variable(1), variable(300));
        assert!(of(&many, &TCNE).seconds > 20.0 * of(&few, &TCNE).seconds);
        assert_eq!((of(&few, &TCNE).fits, of(&few, &TCNE).steps), (3, 6000));
        assert_eq!((of(&few, &LINE).fits, of(&few, &LINE).steps), (6, 12_000));
        assert!(of(&few, &KSG).seconds < 0.1);
    }

    #[test]
    fn durations_are_said_in_the_unit_that_fits() {
        let said = [5.0, 300.0, 7200.0, 864_000.0].map(duration);
        assert_eq!(said, ["5 seconds", "5 minutes", "2 hours", "10 days"]);
    }
}
