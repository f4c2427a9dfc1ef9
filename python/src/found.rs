//! What is found, as dictionaries.

use pyo3::IntoPyObject;
use tcmax_estimators::exact::PartialInformation;
use tcmax_estimators::fit::{Fit, Start};
use tcmax_estimators::{
    Comparison, DetailedEstimate, Estimate, EstimatedTerm, Measured, PermutationTest, Relation,
    Sample, Variable,
};

use crate::variable::kind;

/// One variable, as it was understood.
#[derive(IntoPyObject)]
pub(crate) struct SeenFound {
    name: String,
    columns: usize,
    kind: &'static str,
    classes: Option<usize>,
}

/// An estimate, in nats.
#[derive(IntoPyObject)]
pub(crate) struct EstimateFound {
    quantity: String,
    estimator: &'static str,
    variables: Vec<SeenFound>,
    rows: usize,
    value: f64,
    is_lower_bound: bool,
    interval: Option<(f64, f64)>,
    best_guess: Option<f64>,
    neighbours: Option<f64>,
    standard_error: Option<f64>,
    spread: Option<f64>,
    cap: Option<f64>,
    seed_values: Vec<f64>,
    fits: Vec<FitFound>,
    warnings: Vec<String>,
    relation: Option<String>,
    comparisons: Vec<ComparisonFound>,
    test: Option<TestFound>,
    pointwise: Option<Vec<Option<f64>>>,
    pointwise_seeds: Option<Vec<usize>>,
}

/// One fit of a critic.
#[derive(IntoPyObject)]
pub(crate) struct FitFound {
    value: f64,
    held_out: f64,
    standard_error: f64,
    cap: f64,
    start: &'static str,
    best_step: usize,
    steps: Vec<usize>,
    training: Vec<Option<f64>>,
    validation: Vec<f64>,
    examples: (usize, usize, usize),
    warnings: Vec<String>,
}

/// The estimate of another estimator.
#[derive(IntoPyObject)]
pub(crate) struct ComparisonFound {
    estimator: &'static str,
    value: f64,
    standard_error: f64,
}

/// A permutation test.
#[derive(IntoPyObject)]
pub(crate) struct TestFound {
    statistic: f64,
    permutations: usize,
    at_least: usize,
    p_value: f64,
    null_mean: f64,
    null_standard_deviation: f64,
}

/// A measure of several variables.
#[derive(IntoPyObject)]
pub(crate) struct MeasuredFound {
    quantity: String,
    measure: String,
    estimator: &'static str,
    variables: Vec<SeenFound>,
    rows: usize,
    value: f64,
    is_lower_bound: bool,
    interval: Option<(f64, f64)>,
    standard_error: Option<f64>,
    spread: Option<f64>,
    seed_values: Vec<f64>,
    terms: Vec<TermFound>,
    warnings: Vec<String>,
}

/// One mutual information of a measure.
#[derive(IntoPyObject)]
pub(crate) struct TermFound {
    weight: f64,
    groups: Vec<String>,
    value: f64,
}

/// What two sources tell of a target.
#[derive(IntoPyObject)]
pub(crate) struct PartsFound {
    quantity: String,
    redundant: f64,
    unique: (f64, f64),
    synergistic: f64,
    gap: f64,
}

/// The variables of a sample.
pub(crate) fn seen(sample: &Sample) -> Vec<SeenFound> {
    let of = |v: &Variable| SeenFound {
        name: v.name().to_owned(),
        columns: v.width(),
        kind: kind(v),
        classes: v.classes(),
    };
    sample.variables().iter().map(of).collect()
}

impl EstimateFound {
    /// Of a sample without a value yet.
    pub(crate) fn of_nothing(
        sample: &Sample,
        estimator: &'static str,
        relation: Option<&Relation>,
    ) -> Self {
        let names: Vec<&str> = sample.variables().iter().map(Variable::name).collect();
        let quantity = match names.as_slice() {
            [a, b] => format!("I({a}; {b})"),
            names => format!("TC({})", names.join(", ")),
        };
        Self {
            quantity,
            estimator,
            variables: seen(sample),
            rows: sample.len(),
            value: f64::INFINITY,
            is_lower_bound: false,
            interval: None,
            best_guess: None,
            neighbours: None,
            standard_error: None,
            spread: None,
            cap: None,
            seed_values: Vec::new(),
            fits: Vec::new(),
            warnings: Vec::new(),
            relation: relation.map(ToString::to_string),
            comparisons: Vec::new(),
            test: None,
            pointwise: None,
            pointwise_seeds: None,
        }
    }

    /// With what an estimator found.
    pub(crate) fn with(self, found: DetailedEstimate, is_lower_bound: bool) -> Self {
        let Estimate {
            value,
            best_guess,
            neighbours,
            interval,
            standard_error,
            spread,
            cap,
            seed_values,
            fits,
            warnings,
        } = found.estimate;
        let rows = found.pointwise.as_deref();
        let pointwise = rows.map(|rows| rows.iter().map(|row| row.value).collect());
        let pointwise_seeds = rows.map(|rows| rows.iter().map(|row| row.seeds).collect());
        Self {
            value,
            is_lower_bound,
            interval: interval.map(<(f64, f64)>::from),
            best_guess,
            neighbours,
            standard_error,
            spread,
            cap,
            seed_values,
            fits: fits.into_iter().map(FitFound::of).collect(),
            warnings,
            test: found.permutation_test.map(TestFound::of),
            pointwise,
            pointwise_seeds,
            ..self
        }
    }

    /// The p value of its permutation test.
    pub(crate) fn p_value(&self) -> Option<f64> {
        self.test.as_ref().map(|test| test.p_value)
    }

    /// With what other estimators find, and a warning where one is above the interval of a bound.
    pub(crate) fn compared(mut self, comparisons: Vec<Comparison>) -> Self {
        if let Some((low, high)) = self.interval.filter(|_| self.is_lower_bound) {
            let above = comparisons.iter().filter(|other| other.is_above([low, high]));
            self.warnings.extend(above.map(|other| {
                format!(
                    "{} shows {:.3} nats, which is above the interval: the critic falls short, and the truth is \
                     probably nearer to that",
                    other.estimator, other.value
                )
            }));
        }
        let of = |Comparison { estimator, value, standard_error }| ComparisonFound {
            estimator,
            value,
            standard_error,
        };
        self.comparisons = comparisons.into_iter().map(of).collect();
        self
    }
}

impl FitFound {
    fn of(fit: Fit) -> Self {
        let [train, validation, test] = fit.examples;
        Self {
            value: fit.value,
            held_out: fit.held_out,
            standard_error: fit.standard_error,
            cap: fit.cap,
            start: match fit.start {
                Start::Constant => "constant",
                Start::GaussianCopula => "gaussian-copula",
                Start::Random => "random",
            },
            best_step: fit.best_step,
            steps: fit.curve.iter().map(|point| point.step).collect(),
            training: fit.curve.iter().map(|point| point.training).collect(),
            validation: fit.curve.iter().map(|point| point.validation).collect(),
            examples: (train, validation, test),
            warnings: fit.warnings.iter().map(tcmax_estimators::fit::Warning::message).collect(),
        }
    }
}

impl TestFound {
    fn of(test: PermutationTest) -> Self {
        Self {
            statistic: test.statistic,
            permutations: test.permutations,
            at_least: test.at_least,
            p_value: test.p_value,
            null_mean: test.null_mean,
            null_standard_deviation: test.null_deviation,
        }
    }
}

impl MeasuredFound {
    pub(crate) fn of(
        found: Measured,
        sample: &Sample,
        quantity: String,
        estimator: &'static str,
    ) -> Self {
        let term = |EstimatedTerm { weight, groups, estimate }| TermFound {
            weight,
            groups,
            value: Estimate::held_out(&estimate),
        };
        Self {
            quantity,
            measure: found.measure.to_string(),
            estimator,
            variables: seen(sample),
            rows: sample.len(),
            value: found.value,
            is_lower_bound: found.is_lower_bound,
            interval: found.interval.map(<(f64, f64)>::from),
            standard_error: found.standard_error,
            spread: found.spread,
            seed_values: found.seed_values,
            terms: found.terms.into_iter().map(term).collect(),
            warnings: found.warnings,
        }
    }
}

impl PartsFound {
    pub(crate) fn of(found: PartialInformation, sample: &Sample) -> Self {
        let names: Vec<&str> = sample.variables().iter().map(Variable::name).collect();
        let PartialInformation { redundant, unique, synergistic, gap } = found;
        let quantity = format!("I({}; ({}, {}))", names[2], names[0], names[1]);
        Self { quantity, redundant, unique: unique.into(), synergistic, gap }
    }
}
