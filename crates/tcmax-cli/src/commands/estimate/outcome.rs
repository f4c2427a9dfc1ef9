//! One estimate of the command, before it is printed.

use clap::ValueEnum;
use serde::Serialize;
use tcmax_estimators::fit::Fit;
use tcmax_estimators::{
    Comparison, DetailedEstimate, PermutationTest, Pointwise, Relation, Sample, Variable,
    VariableKind,
};

/// Units of information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Unit {
    /// Natural logarithms
    Nats,
    /// Logarithms to base 2
    Bits,
}

impl Unit {
    /// Nats in this unit.
    pub(super) fn of(self, nats: f64) -> f64 {
        match self {
            Self::Nats => nats,
            Self::Bits => nats / std::f64::consts::LN_2,
        }
    }

    /// The name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Bits => "bits",
        }
    }
}

/// One variable, as it was understood.
#[derive(Clone, Serialize)]
pub(super) struct Seen {
    pub(super) name: String,
    /// None of a variable that could not be understood.
    #[serde(flatten)]
    pub(super) shape: Option<Shape>,
}

#[derive(Clone, Serialize)]
pub(super) struct Shape {
    pub(super) columns: usize,
    pub(super) kind: VariableKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) classes: Option<usize>,
}

/// One estimate, in nats.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) variables: Vec<Seen>,
    pub(super) rows: usize,
    /// Rows that lack a value of some variable.
    pub(super) left_out: usize,
    pub(super) estimator: String,
    /// Infinite where one variable determines another, NaN where the estimate was refused.
    pub(super) value: f64,
    /// Whether the truth is at least the value.
    pub(super) is_lower_bound: bool,
    pub(super) interval: Option<[f64; 2]>,
    /// What neighbours show of two columns of numbers, else midway between the bounds on held-out and on training data.
    pub(super) best_guess: Option<f64>,
    pub(super) neighbours: Option<f64>,
    pub(super) relation: Option<Relation>,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) refusal: Option<String>,
    pub(super) cap: Option<f64>,
    pub(super) spread: Option<f64>,
    pub(super) seed_values: Vec<f64>,
    pub(super) warnings: Vec<String>,
    pub(super) fits: Vec<Fit>,
    pub(super) test: Option<PermutationTest>,
    /// The p value corrected for the number of pairs, as Holm does it and as Benjamini and Hochberg do.
    pub(super) corrected: Option<[f64; 2]>,
    pub(super) pointwise: Option<Vec<Pointwise>>,
    pub(super) seconds: f64,
}

impl Outcome {
    /// An outcome without a value yet.
    pub(super) fn new(sample: &Sample, estimator: &str) -> Self {
        let seen = |v: &Variable| Seen {
            name: v.name().to_owned(),
            shape: Some(Shape { columns: v.width(), kind: v.kind(), classes: v.classes() }),
        };
        let variables = sample.variables().iter().map(seen).collect();
        Self { rows: sample.len(), ..Self::of(variables, estimator) }
    }

    /// An outcome of variables that could not be estimated, and why.
    pub(super) fn refused(names: &[&str], estimator: &str, reason: String) -> Self {
        let seen = |name: &&str| Seen { name: (*name).to_owned(), shape: None };
        let variables = names.iter().map(seen).collect();
        Self { refusal: Some(reason), ..Self::of(variables, estimator) }
    }

    fn of(variables: Vec<Seen>, estimator: &str) -> Self {
        Self {
            variables,
            rows: 0,
            left_out: 0,
            estimator: estimator.to_owned(),
            value: f64::NAN,
            is_lower_bound: false,
            interval: None,
            best_guess: None,
            neighbours: None,
            relation: None,
            comparisons: Vec::new(),
            refusal: None,
            cap: None,
            spread: None,
            seed_values: Vec::new(),
            warnings: Vec::new(),
            fits: Vec::new(),
            test: None,
            corrected: None,
            pointwise: None,
            seconds: 0.0,
        }
    }

    /// Why there is no estimate.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// The outcome without its fits and their curves.
    pub(super) fn without_fits(self) -> Self {
        Self { fits: Vec::new(), ..self }
    }

    /// Sets how one variable determines another; the value is infinite if their information is.
    pub(super) fn set_relation(&mut self, relation: Option<Relation>) {
        if relation.as_ref().is_some_and(Relation::is_infinite) {
            self.value = f64::INFINITY;
        }
        self.relation = relation;
    }

    /// Sets what the estimator found.
    pub(super) fn set_estimate(&mut self, found: DetailedEstimate, is_lower_bound: bool) {
        let estimate = found.estimate;
        self.test = found.permutation_test;
        self.pointwise = found.pointwise;
        self.value = estimate.value;
        self.is_lower_bound = is_lower_bound;
        self.interval = estimate.interval;
        self.best_guess = estimate.best_guess;
        self.neighbours = estimate.neighbours;
        self.cap = estimate.cap;
        self.spread = estimate.spread;
        self.seed_values = estimate.seed_values;
        self.warnings = estimate.warnings;
        self.fits = estimate.fits;
    }

    /// Sets what other estimators find, and warns where one is above the interval of a bound.
    pub(super) fn compare(&mut self, comparisons: Vec<Comparison>) {
        if let Some(interval) = self.interval.filter(|_| self.is_lower_bound) {
            let above = comparisons.iter().filter(|comparison| comparison.is_above(interval));
            self.warnings.extend(above.map(|comparison| {
                format!(
                    "{} shows {:.3} nats, which is above the interval: the critic falls short, and the \
                     truth is probably nearer to that",
                    comparison.estimator, comparison.value
                )
            }));
        }
        self.comparisons = comparisons;
    }

    /// What is estimated: `TC(a, b, y)` or `I(a; b)`.
    pub(super) fn quantity(&self) -> String {
        let names: Vec<&str> = self.variables.iter().map(|seen| seen.name.as_str()).collect();
        match names.as_slice() {
            [a, b] => format!("I({a}; {b})"),
            [a, b, c, .., last] if names.len() > 30 => {
                format!("TC({a}, {b}, {c}, ..., {last}: {} variables)", names.len())
            }
            names => format!("TC({})", names.join(", ")),
        }
    }
}
