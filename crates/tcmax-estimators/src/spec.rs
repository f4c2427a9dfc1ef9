//! What an estimator is chosen by: its specification.

use std::fmt;

use tcmax_registry::{Options, Spec, Table};

use crate::bound::objective::Objective;
use crate::error::{Error, Result};
use crate::sample::Sample;

/// The specification of an estimator: a constant in the estimator's file.
///
/// ```
/// use tcmax_estimators::{Computed, Direct, EstimatorKind, EstimatorSpec, estimators};
/// use tcmax_registry::Options;
///
/// /// Of two variables that are both 0 or 1: how often they agree.
/// static AGREEMENT: EstimatorSpec = EstimatorSpec {
///     name: "agreement",
///     description: "how often two variables have the same value",
///     source: "",
///     lower_bound: false,
///     pairs_only: true,
///     options: Options::NONE,
///     kind: EstimatorKind::Direct(Direct {
///         compute: |_, sample| {
///             let [a, b] = [0, 1].map(|v| sample.variables()[v].values());
///             let equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
///             Ok(Computed::new(equal as f64 / sample.len() as f64))
///         },
///         operations: |rows, _| rows as f64,
///     }),
/// };
///
/// let mut all = estimators();
/// all.add(&AGREEMENT).unwrap();
/// assert_eq!(all.names().last(), Some(&"agreement"));
/// ```
pub struct EstimatorSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it is.
    pub description: &'static str,
    /// Where it comes from; empty where there is no one source.
    pub source: &'static str,
    /// Whether expected values cannot exceed the truth.
    pub lower_bound: bool,
    /// Whether it is defined for two variables alone, and not for any number.
    pub pairs_only: bool,
    /// Its options.
    pub options: Options,
    /// How it estimates.
    pub kind: EstimatorKind,
}

/// How an estimator estimates.
#[derive(Clone, Copy)]
pub enum EstimatorKind {
    /// It trains a critic, once per seed.
    Critic(MakeObjective),
    /// It adds up the mutual informations of pairs of groups of variables; each has a critic of its own,
    /// trained on Donsker and Varadhan's bound.
    Sum(Cuts),
    /// It computes its value at once.
    Direct(Direct),
}

/// Makes the objective of one fit from the options.
pub type MakeObjective = fn(&Table) -> Result<Box<dyn Objective>>;

/// Of n variables, numbered from 0, the pairs of groups whose mutual informations add up to the total
/// correlation of all.
pub type Cuts = fn(usize) -> Vec<(Vec<usize>, Vec<usize>)>;

/// An estimator without training.
#[derive(Clone, Copy)]
pub struct Direct {
    /// The estimate, from the options and a sample.
    pub compute: fn(&Table, &Sample) -> Result<Computed>,
    /// About how many multiplications and additions that takes, from the number of rows and the number of
    /// columns of each variable.
    pub operations: fn(usize, &[usize]) -> f64,
}

/// What an estimator without training finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// The estimate, nats; may be negative.
    pub value: f64,
    /// What casts doubt on it, a sentence each.
    pub warnings: Vec<String>,
    /// What every row contributes, nats, if the estimator has such a thing: the mean of those that are there
    /// is the value.
    pub pointwise: Option<Vec<Option<f64>>>,
}

impl Computed {
    /// A value without warnings.
    pub fn new(value: f64) -> Self {
        Self { value, warnings: Vec::new(), pointwise: None }
    }

    /// The same with what every row contributes, up to a constant: all are moved by the same amount, so that
    /// their mean is the value.
    #[must_use]
    pub fn with_rows(self, mut pointwise: Vec<Option<f64>>) -> Self {
        let count = pointwise.iter().flatten().count() as f64;
        let shift = self.value - pointwise.iter().flatten().sum::<f64>() / count;
        pointwise.iter_mut().flatten().for_each(|value| *value += shift);
        Self { pointwise: Some(pointwise), ..self }
    }
}

impl EstimatorSpec {
    /// Checks that the estimator is defined for a number of variables.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, variables: usize) -> Result<()> {
        if self.pairs_only && variables != 2 {
            return Err(Error::NeedsTwoVariables { estimator: self.name, got: variables });
        }
        Ok(())
    }
}

impl Spec for EstimatorSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl PartialEq for EstimatorSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for EstimatorSpec {}

impl fmt::Debug for EstimatorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for EstimatorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
