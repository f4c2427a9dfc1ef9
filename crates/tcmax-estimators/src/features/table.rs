//! Features of examples and their classes, checked once.

use ndarray::{Array2, Axis, concatenate};

use crate::error::{Error, Result};

/// Examples that a fit or a value needs at least.
const LEAST: usize = 8;

/// Features z_m (N, D_m) of several modalities, and the class of each of the N examples.
#[derive(Clone, Debug)]
pub struct Features {
    pub(super) z: Vec<Array2<f64>>,
    pub(super) labels: Vec<u32>,
    pub(super) classes: usize,
}

impl Features {
    /// Features of each modality, row by row, and labels 0 to `classes` - 1.
    ///
    /// # Errors
    /// When there are fewer than eight examples or no modality, a modality has another number of rows, a feature is not
    /// finite, or a label is not a class.
    pub fn new(z: Vec<Vec<f64>>, labels: Vec<u32>, classes: usize) -> Result<Self> {
        let rows = labels.len();
        if rows < LEAST {
            let purpose = "bounds of features";
            return Err(Error::TooFewSamples { got: rows, wanted: LEAST, purpose });
        }
        if z.is_empty() {
            return Err(Error::Empty { what: "the features", unit: "modality" });
        }
        if let Some(row) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(Error::LabelOutOfRange { row, label: labels[row], classes });
        }
        let matrix = |(m, values): (usize, Vec<f64>)| {
            let (width, what) = (values.len() / rows, format!("features {m}"));
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let (row, column) = (at / width.max(1), at % width.max(1));
                return Err(Error::NotFinite { variable: what, row, column, value: values[at] });
            }
            let got = vec![values.len()];
            let wanted = format!("{rows} rows of at least one number");
            let wrong = Error::WrongShape { what, got, wanted };
            if width == 0 {
                return Err(wrong);
            }
            Array2::from_shape_vec((rows, width), values).map_err(|_| wrong)
        };
        let z = z.into_iter().enumerate().map(matrix).collect::<Result<_>>()?;
        Ok(Self { z, labels, classes })
    }

    /// The number of examples N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none, which is never the case.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of modalities M.
    pub fn modalities(&self) -> usize {
        self.z.len()
    }

    /// Entropy of the labels' frequencies, nats.
    pub fn label_entropy(&self) -> f64 {
        let n = self.len() as f64;
        let shares = self.counts().into_iter().filter(|&count| count > 0.0).map(|c| c / n);
        shares.map(|share| -share * share.ln()).sum()
    }

    /// Two halves of the examples, each with half of every class as far as that goes.
    ///
    /// # Errors
    /// When a half would be too small.
    pub fn halves(&self) -> Result<[Self; 2]> {
        let [even, odd] = self.half_rows();
        Ok([self.rows(&even)?, self.rows(&odd)?])
    }

    /// The rows of the two halves: those of a class take turns, one class after the other.
    pub(super) fn half_rows(&self) -> [Vec<usize>; 2] {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&row| self.labels[row]);
        let mut halves = [Vec::new(), Vec::new()];
        order.into_iter().enumerate().for_each(|(n, row)| halves[n % 2].push(row));
        halves.iter_mut().for_each(|rows| rows.sort_unstable());
        halves
    }

    fn rows(&self, rows: &[usize]) -> Result<Self> {
        if rows.len() < LEAST {
            let purpose = "half of the examples";
            return Err(Error::TooFewSamples { got: rows.len(), wanted: LEAST, purpose });
        }
        let z = self.z.iter().map(|z| z.select(Axis(0), rows)).collect();
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Ok(Self { z, labels, classes: self.classes })
    }

    /// How many examples each class has.
    pub(super) fn counts(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.classes];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1.0);
        counts
    }

    /// Logarithms of the classes' shares, each class with half an example more, so that one without any is only rare.
    pub(super) fn log_prior(&self) -> Vec<f64> {
        let total = self.len() as f64 + 0.5 * self.classes as f64;
        self.counts().into_iter().map(|count| ((count + 0.5) / total).ln()).collect()
    }

    /// The features of all modalities side by side.
    pub(super) fn joined(&self) -> Option<Array2<f64>> {
        let views: Vec<_> = self.z.iter().map(Array2::view).collect();
        concatenate(Axis(1), &views).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let labels = vec![0, 1, 0, 1, 0, 1, 0, 1];
        let new = |z: Vec<Vec<f64>>, labels: &[u32]| Features::new(z, labels.to_vec(), 2);
        assert!(new(vec![vec![1.0; 16]], &labels).is_ok());
        let mut holed = vec![1.0; 16];
        holed[5] = f64::NAN;
        let error = new(vec![vec![1.0; 8], holed], &labels).unwrap_err().to_string();
        assert!(error.contains("'features 1', row 2, column 1"), "{error}");
        assert!(matches!(new(vec![], &labels), Err(Error::Empty { .. })));
        assert!(matches!(new(vec![vec![]], &labels), Err(Error::WrongShape { .. })));
        assert!(matches!(new(vec![vec![1.0; 17]], &labels), Err(Error::WrongShape { .. })));
        assert!(matches!(new(vec![vec![1.0; 3]], &labels[..3]), Err(Error::TooFewSamples { .. })));
        let bad = [0, 1, 2, 1, 0, 1, 0, 1];
        assert!(matches!(
            new(vec![vec![1.0; 8]], &bad),
            Err(Error::LabelOutOfRange { row: 2, .. })
        ));
    }

    #[test]
    fn halves_share_every_class_whatever_the_order() {
        for labels in
            [(0..40).map(|i| i % 2).collect::<Vec<u32>>(), (0..40).map(|i| i / 20).collect()]
        {
            let rows = (0..40).map(f64::from).collect();
            let halves = Features::new(vec![rows], labels, 2).unwrap().halves().unwrap();
            for half in &halves {
                assert_eq!(half.counts(), [10.0, 10.0]);
                assert!((half.label_entropy() - 2f64.ln()).abs() < 1e-15);
            }
        }
    }
}
