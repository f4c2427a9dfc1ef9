//! Scores of N rows for C classes with their labels, checked once.

use rayon::prelude::*;

use crate::error::{Error, Result, require_classes, require_rows};

/// How far the probabilities of a row may sum from 1: those of files are often rounded to a few digits.
const SUM_TOLERANCE: f64 = 1e-2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Logits,
    Probabilities,
}

/// Scores (N, C), row by row, and the labels (N,) they are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    scores: &'a [f64],
    labels: &'a [u32],
    classes: usize,
    kind: Kind,
}

impl<'a> Predictions<'a> {
    /// Of logits, whose softmax is p(class | row). A logit of -inf excludes a class.
    ///
    /// # Errors
    /// Without rows or classes, when lengths do not fit, when a logit is NaN or +inf, when all of a row are
    /// -inf, and when a label is not below `classes`.
    pub fn from_logits(logits: &'a [f64], labels: &'a [u32], classes: usize) -> Result<Self> {
        Self::new(logits, labels, classes, Kind::Logits)
    }

    /// Of probabilities p(class | row), which are used as they are: rows that sum to nearly 1 (within 0.01)
    /// are not normalised.
    ///
    /// # Errors
    /// Without rows or classes, when lengths do not fit, when a value is not in [0, 1] or the sum of a row is
    /// not 1, and when a label is not below `classes`.
    pub fn from_probabilities(
        probabilities: &'a [f64],
        labels: &'a [u32],
        classes: usize,
    ) -> Result<Self> {
        Self::new(probabilities, labels, classes, Kind::Probabilities)
    }

    fn new(scores: &'a [f64], labels: &'a [u32], classes: usize, kind: Kind) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::Empty { what: "the list of labels", unit: "row" });
        }
        if classes == 0 {
            return Err(Error::Empty { what: "the list of classes", unit: "class" });
        }
        require_rows("scores", scores.len(), labels.len(), classes)?;
        require_classes(labels, classes)?;
        let check = match kind {
            Kind::Logits => check_logits,
            Kind::Probabilities => check_probabilities,
        };
        let rows = scores.par_chunks_exact(classes).enumerate();
        let wrong = rows.filter_map(|(row, scores)| check(row, scores).err());
        match wrong.find_first(|_| true) {
            Some(error) => Err(error),
            None => Ok(Self { scores, labels, classes, kind }),
        }
    }

    /// The number of rows N, at least 1.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The number of classes C, at least 1.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The labels (N,), below C.
    pub fn labels(&self) -> &'a [u32] {
        self.labels
    }

    /// The scores (N, C) as given, row by row.
    pub fn scores(&self) -> &'a [f64] {
        self.scores
    }

    /// What makes probabilities of the scores of a row.
    pub(crate) fn normaliser(&self, row: &[f64]) -> Normaliser {
        match self.kind {
            Kind::Logits => Normaliser::softmax(row),
            Kind::Probabilities => Normaliser::Given,
        }
    }
}

fn check_logits(row: usize, logits: &[f64]) -> Result<()> {
    let is_wrong = |logit: &f64| logit.is_nan() || *logit == f64::INFINITY;
    if let Some(column) = logits.iter().position(is_wrong) {
        let (value, wanted) = (logits[column], "a finite number or -inf");
        return Err(Error::BadValue { what: "logit", row, column, value, wanted });
    }
    if logits.iter().all(|logit| logit.is_infinite()) {
        return Err(Error::NoClass { row });
    }
    Ok(())
}

fn check_probabilities(row: usize, probabilities: &[f64]) -> Result<()> {
    let is_wrong = |p: &f64| !(0.0..=1.0).contains(p);
    if let Some(column) = probabilities.iter().position(is_wrong) {
        let (value, wanted) = (probabilities[column], "from 0 to 1");
        return Err(Error::BadValue { what: "probability", row, column, value, wanted });
    }
    let sum: f64 = probabilities.iter().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(Error::NotADistribution { row, sum });
    }
    Ok(())
}

/// What turns the scores of one row into probabilities.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Normaliser {
    /// p = exp(score - largest) / sum.
    Softmax {
        largest: f64,
        sum: f64,
        /// log sum_c exp(score_c - largest).
        log_sum: f64,
    },
    /// The scores are probabilities.
    Given,
}

impl Normaliser {
    fn softmax(row: &[f64]) -> Self {
        let first = first_largest(row);
        let largest = row[first];
        let (mut sum, mut others) = (0.0, 0.0);
        for (class, score) in row.iter().enumerate() {
            let term = (score - largest).exp();
            sum += term;
            if class != first {
                others += term;
            }
        }
        // The largest term is 1; without it, what a confident row lacks to certainty is not rounded away.
        Self::Softmax { largest, sum, log_sum: f64::ln_1p(others) }
    }

    pub(crate) fn probability(self, score: f64) -> f64 {
        match self {
            Self::Softmax { largest, sum, .. } => (score - largest).exp() / sum,
            Self::Given => score,
        }
    }

    pub(crate) fn log_probability(self, score: f64) -> f64 {
        match self {
            Self::Softmax { largest, log_sum, .. } => score - largest - log_sum,
            Self::Given => score.ln(),
        }
    }
}

/// The index of the largest value, the first of equals; 0 for an empty slice.
pub(crate) fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
