//! Estimators of another crate, one of each kind, go the way of those that are built in.

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Tensor;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::bound::donsker_varadhan;
use tcmax_estimators::fit::FitConfig;
use tcmax_estimators::{
    Computed, Direct, Error, Estimate, EstimatorKind, EstimatorSpec, Objective, Result, Sample,
    Variable, estimate, estimate_observed, estimators,
};
use tcmax_ops::Seed;
use tcmax_registry::{Catalogue, OptionSet, Options, Table, read, require};

/// The counts of equally wide bins put into the definition of mutual information.
static BINNED: EstimatorSpec = EstimatorSpec {
    name: "binned",
    description: "plug-in value of equally wide bins",
    source: "",
    lower_bound: false,
    pairs_only: true,
    options: Options::of::<BinnedOptions>(),
    kind: EstimatorKind::Direct(Direct { compute: binned, operations: |rows, _| rows as f64 }),
};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct BinnedOptions {
    /// Bins of each variable, at least 1.
    bins: usize,
}

impl Default for BinnedOptions {
    fn default() -> Self {
        Self { bins: 12 }
    }
}

impl OptionSet for BinnedOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.bins > 0, "bins", "must be at least 1")
    }
}

fn binned(options: &Table, sample: &Sample) -> Result<Computed> {
    let BinnedOptions { bins } = read(options)?;
    let bin_of = |variable: &Variable| -> Vec<usize> {
        let values = variable.values();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bin = |x: &f64| (bins as f64 * (x - low) / (high - low)) as usize;
        values.iter().map(|x| bin(x).min(bins - 1)).collect()
    };
    let [a, b] = [0, 1].map(|v| bin_of(&sample.variables()[v]));
    let (mut joint, mut of_a, mut of_b) =
        (vec![0.0; bins * bins], vec![0.0; bins], vec![0.0; bins]);
    let share = 1.0 / sample.len() as f64;
    for (&a, &b) in a.iter().zip(&b) {
        joint[a * bins + b] += share;
        of_a[a] += share;
        of_b[b] += share;
    }
    let entropy = |p: &[f64]| p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum::<f64>();
    Ok(Computed::new(entropy(&of_a) + entropy(&of_b) - entropy(&joint)))
}

/// Donsker and Varadhan's bound less a penalty on large scores, reported without it.
static REGULARISED: EstimatorSpec = EstimatorSpec {
    name: "regularised",
    description: "Donsker-Varadhan bound less a hundredth of the mean square of joint scores",
    source: "",
    lower_bound: true,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Critic(|_| Ok(Box::new(Regularised))),
};

struct Regularised;

impl Objective for Regularised {
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        let penalty = (joint.sqr()?.mean_all()? * 0.01)?;
        Ok((donsker_varadhan(joint, product)? - penalty)?)
    }
}

/// I(x_1; x_2) + I(x_1, x_2; x_3) + ..., from the last variable on.
static BACKWARDS: EstimatorSpec = EstimatorSpec {
    name: "backwards",
    description: "total correlation as a sum along a line, from the last variable on",
    source: "",
    lower_bound: true,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Sum(|n| (1..n).map(|i| ((n - i..n).collect(), vec![n - i - 1])).collect()),
};

fn catalogue() -> Catalogue<EstimatorSpec> {
    let mut all = estimators();
    for own in [&BINNED, &REGULARISED, &BACKWARDS] {
        all.add(own).unwrap();
    }
    all
}

/// Normal variables with one correlation for all pairs.
fn sample(variables: usize, rho: f64) -> Sample {
    let mut rng = Seed::new(5).stream("data").rng();
    let mut columns = vec![Vec::new(); variables];
    for _ in 0..2000 {
        let common: f64 = StandardNormal.sample(&mut rng);
        for column in &mut columns {
            let own: f64 = StandardNormal.sample(&mut rng);
            column.push(rho.sqrt() * common + (1.0 - rho).sqrt() * own);
        }
    }
    let variable = |(i, c): (usize, Vec<f64>)| Variable::continuous(format!("x{i}"), c, 1).unwrap();
    Sample::new(columns.into_iter().enumerate().map(variable).collect()).unwrap()
}

fn config(name: &str, options: Table) -> Result<FitConfig> {
    let estimator = catalogue().get(name)?;
    let quick = FitConfig { hidden: vec![16], steps: 40, ..FitConfig::default() };
    Ok(FitConfig { estimator, options, ..quick })
}

fn run(name: &str, sample: &Sample) -> Estimate {
    let config = config(name, Table::new()).unwrap().check().unwrap();
    estimate(sample, &config, &[0, 1]).unwrap()
}

#[test]
fn own_estimators_run_like_the_others() {
    let (pair, truth) = (sample(2, 0.8), -0.5 * (1f64 - 0.64).ln());
    // Numbers cannot be counted.
    for name in catalogue().names().into_iter().filter(|name| *name != "counts") {
        let found = run(name, &pair);
        assert!((found.value - truth).abs() < 0.12, "{name}: {} is not {truth}", found.value);
        let direct = ["ksg", "gaussian", "binned"].contains(&name);
        assert_eq!(found.interval.is_none(), direct, "{name}");
        assert_eq!(found.fits.len(), if direct { 0 } else { 2 }, "{name}");
    }
    // -1/2 log ((1 - rho)^2 (1 + 2 rho)) of three variables.
    let (three, truth) = (sample(3, 0.6), -0.5 * (0.16f64 * 2.2).ln());
    let (whole, sum) = (run("tcne", &three), run("backwards", &three));
    for found in [&whole, &sum] {
        assert!((found.value - truth).abs() < 0.15, "{} is not {truth}", found.value);
    }
    assert_eq!((whole.fits.len(), sum.fits.len()), (2, 4));
}

#[test]
fn own_options_are_documented_read_and_checked() {
    let pair = sample(2, 0.8);
    let value = |bins: i64| {
        let options = Table::from_iter([("bins".to_owned(), bins.into())]);
        estimate(&pair, &config("binned", options).unwrap().check().unwrap(), &[]).unwrap().value
    };
    assert!(value(1).abs() < 1e-9);
    assert!(value(2) < value(12));
    let none = Table::from_iter([("bins".to_owned(), 0.into())]);
    let error = config("binned", none).unwrap().check().unwrap_err().to_string();
    assert_eq!(error, "bins: must be at least 1");
    let documented = BINNED.options.documentation();
    assert_eq!(documented[0].text, "Bins of each variable, at least 1.");
    let unknown = config("bined", Table::new()).unwrap_err().to_string();
    assert!(unknown.contains("no estimator 'bined'") && unknown.contains("tcne"), "{unknown}");
    assert!(matches!(
        estimate(&sample(3, 0.5), &config("binned", Table::new()).unwrap().check().unwrap(), &[]),
        Err(Error::NeedsTwoVariables { got: 3, .. })
    ));
}

#[test]
fn observed_steps_add_up_to_those_of_all_fits_whether_or_not_one_stops_early() {
    for (name, variables, fits) in [("tcne", 2, 2), ("line", 3, 4), ("binned", 2, 0)] {
        for patience in [1, 100] {
            let config = config(name, Table::new()).unwrap();
            let config = FitConfig { steps: 60, validate_every: 5, patience, ..config };
            let seen = AtomicUsize::new(0);
            let observe = |steps: usize| {
                seen.fetch_add(steps, Ordering::Relaxed);
            };
            let config = config.check().unwrap();
            estimate_observed(&sample(variables, 0.5), &config, &[0, 1], &observe).unwrap();
            let wanted = if fits == 0 { 1 } else { 60 * fits };
            assert_eq!(seen.load(Ordering::Relaxed), wanted, "{name}, patience {patience}");
        }
    }
}
