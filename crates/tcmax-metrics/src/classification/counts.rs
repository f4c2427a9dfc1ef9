//! Right and wrong decisions about one class, and averages over classes.

use serde::{Deserialize, Serialize};

/// Decisions about one class or label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Rows that have it.
    pub(crate) support: u64,
    /// Rows predicted to have it.
    pub(crate) predicted: u64,
    /// Both.
    pub(crate) right: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, has: bool, predicted: bool) {
        self.support += u64::from(has);
        self.predicted += u64::from(predicted);
        self.right += u64::from(has && predicted);
    }

    /// NaN when nothing is predicted.
    pub(crate) fn precision(&self) -> f64 {
        self.right as f64 / self.predicted as f64
    }

    /// NaN without support.
    pub(crate) fn recall(&self) -> f64 {
        self.right as f64 / self.support as f64
    }

    /// NaN when it neither occurs nor is predicted.
    pub(crate) fn f1(&self) -> f64 {
        2.0 * self.right as f64 / (self.support + self.predicted) as f64
    }

    pub(crate) fn is_present(&self) -> bool {
        self.support + self.predicted > 0
    }

    fn averages(&self) -> Averages {
        Averages { precision: self.precision(), recall: self.recall(), f1: self.f1() }
    }
}

/// Precision, recall and F1, averaged over classes. Undefined values count 0 (scikit-learn's
/// `zero_division=0`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Of precisions.
    pub precision: f64,
    /// Of recalls.
    pub recall: f64,
    /// Of F1 (which is not F1 of the averages).
    pub f1: f64,
}

impl Averages {
    /// Every class counts the same.
    pub(crate) fn unweighted(classes: &[Counts]) -> Self {
        Self::weighted(classes, |_| 1.0)
    }

    /// Every class counts as many times as it has rows.
    pub(crate) fn by_support(classes: &[Counts]) -> Self {
        Self::weighted(classes, |class| class.support as f64)
    }

    /// Every decision counts the same.
    pub(crate) fn of_decisions(classes: &[Counts]) -> Self {
        let mut all = Counts::default();
        for class in classes {
            all.support += class.support;
            all.predicted += class.predicted;
            all.right += class.right;
        }
        all.averages().map(zero_if_undefined)
    }

    fn weighted(classes: &[Counts], weight: impl Fn(&Counts) -> f64) -> Self {
        let total: f64 = classes.iter().map(&weight).sum();
        let mean = |value: fn(&Counts) -> f64| {
            let terms = classes.iter().map(|class| weight(class) * zero_if_undefined(value(class)));
            zero_if_undefined(terms.sum::<f64>() / total)
        };
        Self {
            precision: mean(Counts::precision),
            recall: mean(Counts::recall),
            f1: mean(Counts::f1),
        }
    }

    fn map(self, f: fn(f64) -> f64) -> Self {
        Self { precision: f(self.precision), recall: f(self.recall), f1: f(self.f1) }
    }
}

fn zero_if_undefined(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

/// The weighted mean of the values that are defined (not NaN); NaN when there is none.
pub(crate) fn defined_mean(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (value, weight) in pairs.filter(|(value, _)| !value.is_nan()) {
        sum += value * weight;
        total += weight;
    }
    sum / total
}
