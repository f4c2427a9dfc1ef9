//! How often which class was taken for which, and what follows from that alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::classification::counts::{Averages, Counts, defined_mean};
use crate::error::{Error, Result, require_classes, require_length};

/// A confusion matrix. Only cells that are not 0 are stored, of which there are at most as many as rows: with
/// 1,000 classes the whole matrix has a million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Confusion {
    classes: usize,
    cells: BTreeMap<(u32, u32), u64>,
}

/// One cell of a confusion matrix that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfusionCell {
    /// The true class.
    pub label: u32,
    /// The class it was taken for.
    pub predicted: u32,
    /// How often, at least once.
    pub count: u64,
}

impl Confusion {
    /// Of predicted classes and labels (N,), both below `classes`.
    ///
    /// # Errors
    /// Without rows, when the lengths differ, or when a class is out of range.
    pub fn of(predicted: &[u32], labels: &[u32], classes: usize) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::Empty { what: "the list of labels", unit: "row" });
        }
        require_length("predicted classes", predicted.len(), labels.len(), || {
            "one per label".to_owned()
        })?;
        require_classes(labels, classes)?;
        require_classes(predicted, classes)?;
        let mut cells = BTreeMap::new();
        for (&label, &predicted) in labels.iter().zip(predicted) {
            *cells.entry((label, predicted)).or_insert(0) += 1;
        }
        Ok(Self { classes, cells })
    }

    /// The number of classes C.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.cells.values().sum()
    }

    /// How often `label` was taken for `predicted`.
    pub fn count(&self, label: u32, predicted: u32) -> u64 {
        self.cells.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// The cells that are not 0, by label, then by predicted class.
    pub fn cells(&self) -> impl Iterator<Item = ConfusionCell> {
        let cells = self.cells.iter();
        cells.map(|(&(label, predicted), &count)| ConfusionCell { label, predicted, count })
    }

    /// The matrix (C, C): one row per label, one column per predicted class.
    pub fn dense(&self) -> Vec<Vec<u64>> {
        let mut dense = vec![vec![0; self.classes]; self.classes];
        for cell in self.cells() {
            dense[cell.label as usize][cell.predicted as usize] = cell.count;
        }
        dense
    }

    /// The fraction of rows predicted right.
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.rows() as f64
    }

    /// Mean recall over the classes that occur among the labels.
    pub fn balanced_accuracy(&self) -> f64 {
        defined_mean(self.counts().iter().map(|class| (class.recall(), 1.0)))
    }

    /// Means over all C classes.
    pub fn macro_average(&self) -> Averages {
        Averages::unweighted(&self.counts())
    }

    /// Of all decisions together: each is the accuracy.
    pub fn micro_average(&self) -> Averages {
        Averages::of_decisions(&self.counts())
    }

    /// Means weighted by the classes' numbers of rows.
    pub fn weighted_average(&self) -> Averages {
        Averages::by_support(&self.counts())
    }

    /// Mean F1 over the classes that occur among labels or predictions.
    pub fn f1_macro_present(&self) -> f64 {
        let counts = self.counts();
        let present = counts.iter().filter(|class| class.is_present());
        defined_mean(present.map(|class| (class.f1(), 1.0)))
    }

    /// Cohen's kappa, (p_o - p_e) / (1 - p_e) with the agreement p_o and that expected by chance, p_e; NaN
    /// where labels and predictions are all one and the same class.
    pub fn kappa(&self) -> f64 {
        let (rows, right, chance) = (self.rows() as f64, self.right() as f64, self.chance());
        (rows * right - chance) / (rows * rows - chance)
    }

    /// Matthews' correlation of labels and predictions for several classes (Gorodkin 2004, R_K), from -1 to
    /// 1; 0 where either is constant.
    pub fn matthews(&self) -> f64 {
        let rows = self.rows() as f64;
        // Rows squared times the probability that two rows drawn at random differ.
        let spread = |of: fn(&Counts) -> u64| {
            let squares = self.counts().iter().map(|class| (of(class) as f64).powi(2)).sum::<f64>();
            rows * rows - squares
        };
        let scale = spread(|class| class.support).sqrt() * spread(|class| class.predicted).sqrt();
        if scale == 0.0 {
            return 0.0;
        }
        (rows * self.right() as f64 - self.chance()) / scale
    }

    /// Support, predictions and right predictions of every class.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.classes];
        for ConfusionCell { label, predicted, count } in self.cells() {
            counts[label as usize].support += count;
            counts[predicted as usize].predicted += count;
            if label == predicted {
                counts[label as usize].right += count;
            }
        }
        counts
    }

    fn right(&self) -> u64 {
        self.cells().filter(|cell| cell.label == cell.predicted).map(|cell| cell.count).sum()
    }

    /// sum_c support_c predicted_c: rows squared times the agreement expected by chance.
    fn chance(&self) -> f64 {
        let products = self.counts().into_iter().map(|c| c.support as f64 * c.predicted as f64);
        products.sum()
    }
}

/// The form in files: cells as [label, predicted, count].
#[derive(Serialize, Deserialize)]
struct Stored {
    classes: usize,
    cells: Vec<(u32, u32, u64)>,
}

impl From<Confusion> for Stored {
    fn from(confusion: Confusion) -> Self {
        let cells = confusion.cells().map(|cell| (cell.label, cell.predicted, cell.count));
        Self { classes: confusion.classes, cells: cells.collect() }
    }
}

impl TryFrom<Stored> for Confusion {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let of =
            |part: fn(&(u32, u32, u64)) -> u32| stored.cells.iter().map(part).collect::<Vec<_>>();
        // Checks the classes; the counts follow.
        let mut confusion = Self::of(&of(|cell| cell.1), &of(|cell| cell.0), stored.classes)?;
        for (label, predicted, count) in stored.cells {
            confusion.cells.insert((label, predicted), count);
        }
        Ok(confusion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_labels_and_predictions() {
        let same = Confusion::of(&[1, 1], &[1, 1], 2).unwrap();
        assert!(same.kappa().is_nan());
        assert_eq!((same.accuracy(), same.matthews(), same.balanced_accuracy()), (1.0, 0.0, 1.0));
        let constant = Confusion::of(&[1, 1], &[0, 1], 2).unwrap();
        assert_eq!((constant.kappa(), constant.matthews()), (0.0, 0.0));
        // scikit-learn 1.9.1: f1_score([0, 1], [1, 1], average="macro") is 1/3.
        assert_eq!(constant.macro_average().f1, 1.0 / 3.0);
    }

    #[test]
    fn what_is_stored_is_checked_when_read() {
        let confusion = Confusion::of(&[1, 0, 1], &[1, 1, 1], 3).unwrap();
        let text = serde_json::to_string(&confusion).unwrap();
        assert_eq!(text, r#"{"classes":3,"cells":[[1,0,1],[1,1,2]]}"#);
        assert_eq!(serde_json::from_str::<Confusion>(&text).unwrap(), confusion);
        let wrong = text.replace("[1,0,1]", "[1,7,1]");
        let error = serde_json::from_str::<Confusion>(&wrong).unwrap_err().to_string();
        assert!(error.contains("label 7 is out of range"), "{error}");
        assert_eq!(confusion.dense(), [[0, 0, 0], [1, 2, 0], [0, 0, 0]]);
    }
}
