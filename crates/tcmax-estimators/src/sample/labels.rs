//! Class labels, checked once.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Labels of N examples, every one known to be below the number of classes.
///
/// candle's `gather` reads out of bounds labels as an opaque error (or, on a GPU, not at all), so
/// they are checked here, and nothing behind this type checks again.
///
/// ```
/// use candle_core::Device;
/// use tcmax_estimators::Labels;
///
/// assert_eq!(Labels::new(&[0, 2, 1], 3, &Device::Cpu).unwrap().len(), 3);
/// let error = Labels::new(&[0, 3], 3, &Device::Cpu).unwrap_err();
/// assert_eq!(error.to_string(), "row 1: label 3 is out of range; with 3 classes labels are 0 to 2");
/// ```
#[derive(Clone, Debug)]
pub struct Labels {
    column: Tensor,
    counts: Vec<usize>,
    /// The part of each target that all classes share.
    smoothing: f64,
    /// The weight of each example, (N,) in f64, with the mean 1; none where all weigh the same.
    weights: Option<Tensor>,
}

impl Labels {
    /// Checks `labels` (N entries) against the number of classes.
    ///
    /// # Errors
    /// When there is no label or no class, or a label is not below `classes`.
    pub fn new(labels: &[u32], classes: usize, device: &Device) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::Empty { what: "the list of labels", unit: "label" });
        }
        if classes == 0 {
            return Err(Error::Empty { what: "the list of classes", unit: "class" });
        }
        let mut counts = vec![0; classes];
        for (row, &label) in labels.iter().enumerate() {
            let count = counts.get_mut(label as usize);
            *count.ok_or(Error::LabelOutOfRange { row, label, classes })? += 1;
        }
        let column = Tensor::from_slice(labels, (labels.len(), 1), device)?;
        Ok(Self { column, counts, smoothing: 0.0, weights: None })
    }

    /// No labels: N examples of one class, for critics of the variables alone.
    ///
    /// # Errors
    /// When there is no example.
    pub fn none(examples: usize, device: &Device) -> Result<Self> {
        Self::new(&vec![0; examples], 1, device)
    }

    /// Checks a tensor of shape (N,) of any type of numbers.
    ///
    /// # Errors
    /// As [`Labels::new`], and when the tensor is not of rank 1 or holds a number that is no class: one
    /// with a fraction, below 0, or not finite.
    pub fn from_tensor(labels: &Tensor, classes: usize) -> Result<Self> {
        let values = match labels.dtype() {
            DType::U8 | DType::U32 => labels.to_dtype(DType::U32)?.to_vec1::<u32>()?,
            DType::I64 => {
                let label = |(row, label): (usize, i64)| {
                    let value = label.to_string();
                    u32::try_from(label).map_err(|_| Error::NotALabel { row, value, classes })
                };
                let values = labels.to_vec1::<i64>()?;
                values.into_iter().enumerate().map(label).collect::<Result<_>>()?
            }
            _ => {
                let label = |(row, label): (usize, f64)| {
                    let whole =
                        label.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&label);
                    let value = label.to_string();
                    whole.then_some(label as u32).ok_or(Error::NotALabel { row, value, classes })
                };
                let values = tcmax_ops::host_f64(labels)?.to_vec1::<f64>()?;
                values.into_iter().enumerate().map(label).collect::<Result<_>>()?
            }
        };
        Self::new(&values, classes, labels.device())
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Never true: labels are checked to be there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The number of classes C.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// The labels, shape (N,), u32.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn tensor(&self) -> Result<Tensor> {
        Ok(self.column.squeeze(1)?)
    }

    /// For each example the entry of `scores` (N, C) at its label: shape (N,).
    ///
    /// # Errors
    /// When `scores` has another shape.
    pub fn pick(&self, scores: &Tensor) -> Result<Tensor> {
        self.check(scores)?;
        // candle's gather wants contiguous scores.
        Ok(scores.contiguous()?.gather(&self.column, 1)?.squeeze(1)?)
    }

    /// The labels, where every example counts alike and has its own class alone as its target.
    pub(crate) fn plain(&self) -> Result<Option<Vec<u32>>> {
        if self.smoothing != 0.0 || self.weights.is_some() {
            return Ok(None);
        }
        Ok(Some(self.tensor()?.to_vec1()?))
    }

    /// Checks that scores are of the shape (examples, classes).
    pub(crate) fn check(&self, scores: &Tensor) -> Result<()> {
        if scores.dims() != [self.len(), self.classes()] {
            return Err(Error::WrongShape {
                what: "scores".to_owned(),
                got: scores.dims().to_vec(),
                wanted: format!("[{}, {}] (examples, classes)", self.len(), self.classes()),
            });
        }
        Ok(())
    }

    /// The same labels as smoothed targets: q_i\[c\] = (1 - s) \[c = y_i\] + s / C.
    ///
    /// Source: Szegedy et al. 2016, "Rethinking the Inception Architecture".
    ///
    /// # Errors
    /// When the smoothing s is not at least 0 and below 1.
    pub fn smoothed(self, smoothing: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&smoothing) {
            let problem = format!("must be at least 0 and below 1; got {smoothing}");
            return Err(Error::Setting { field: "label smoothing", problem });
        }
        Ok(Self { smoothing, ..self })
    }

    /// The same labels, each example weighing as much as its class says, relative to the others.
    ///
    /// # Errors
    /// When there is not one weight per class, or one is not a number of at least 0.
    pub fn weighted(self, classes: &[f64]) -> Result<Self> {
        let refuse = |problem: String| Err(Error::Setting { field: "class weights", problem });
        if classes.len() != self.classes() {
            return refuse(format!("{} are needed; got {}", self.classes(), classes.len()));
        }
        if let Some(wrong) = classes.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
        {
            return refuse(format!("must be numbers of at least 0; got {wrong}"));
        }
        let sum: f64 = classes.iter().zip(&self.counts).map(|(w, &count)| w * count as f64).sum();
        let scale = if sum == 0.0 { 0.0 } else { self.len() as f64 / sum };
        let labels = self.column.flatten_all()?.to_vec1::<u32>()?;
        let weights: Vec<f64> =
            labels.iter().map(|&label| classes[label as usize] * scale).collect();
        let weights = Some(Tensor::new(weights, &Device::Cpu)?);
        Ok(Self { weights, ..self })
    }

    /// Each example's score under its target, sum_c q_i\[c\] `scores`\[i, c\]: shape (N,). That is its own
    /// entry ([`Labels::pick`]) where targets are not smoothed.
    ///
    /// # Errors
    /// When `scores` has another shape than (N, C).
    pub fn expected(&self, scores: &Tensor) -> Result<Tensor> {
        let own = self.pick(scores)?;
        if self.smoothing == 0.0 {
            return Ok(own);
        }
        Ok(((own * (1.0 - self.smoothing))? + (scores.mean(1)? * self.smoothing)?)?)
    }

    /// The mean of one value per example (N,), by the weights of their classes: a scalar.
    ///
    /// # Errors
    /// When there is not one value per example.
    pub fn mean(&self, values: &Tensor) -> Result<Tensor> {
        let Some(weights) = &self.weights else { return Ok(values.mean_all()?) };
        Ok((values * tcmax_ops::placed_like(weights, values)?)?.mean_all()?)
    }

    /// Labels of other examples with the same smoothing, none of which weighs more than another.
    pub(crate) fn like(&self, labels: &[u32], device: &Device) -> Result<Self> {
        let others = Self::new(labels, self.classes(), device)?;
        Ok(Self { smoothing: self.smoothing, ..others })
    }

    /// The share of each class in means over the examples ([`Labels::mean`]); they add up to 1, or to 0 where no
    /// class here has any weight.
    pub(crate) fn shares(&self) -> Result<Vec<f64>> {
        let mut shares = vec![0.0; self.classes()];
        let labels = self.tensor()?.to_vec1::<u32>()?;
        let weights = self.weights.as_ref().map(Tensor::to_vec1::<f64>).transpose()?;
        let count = labels.len() as f64;
        for (row, &label) in labels.iter().enumerate() {
            let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
            shares[label as usize] += weight / count;
        }
        Ok(shares)
    }

    /// Plug-in entropy H(y) of the labels, nats.
    pub fn entropy(&self) -> f64 {
        let total = self.len() as f64;
        let present = self.counts.iter().filter(|&&count| count > 0);
        present.map(|&count| -(count as f64 / total) * (count as f64 / total).ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_counts() {
        let balanced = Labels::new(&[0, 1, 2, 3], 4, &Device::Cpu).unwrap();
        assert!((balanced.entropy() - 4f64.ln()).abs() < 1e-15);
        let constant = Labels::new(&[1, 1], 4, &Device::Cpu).unwrap();
        assert_eq!(constant.entropy(), 0.0);
    }

    #[test]
    fn smoothed_and_weighted_means_are_their_definition() {
        let device = &Device::Cpu;
        let scores = Tensor::new(&[[1f64, 2.0, 6.0], [0.0, 3.0, 3.0]], device).unwrap();
        let labels = Labels::new(&[2, 0], 3, device).unwrap();
        let of = |labels: &Labels| labels.expected(&scores).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(of(&labels), [6.0, 0.0]);
        let labels = labels.smoothed(0.3).unwrap();
        let wanted = [0.7 * 6.0 + 0.3 * 3.0, 0.3 * 2.0];
        assert!(of(&labels).iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-14));
        let labels = labels.weighted(&[1.0, 5.0, 3.0]).unwrap();
        let mean = labels.mean(&Tensor::new(&[8f64, 4.0], device).unwrap()).unwrap();
        // (3 * 8 + 1 * 4) / (3 + 1)
        assert!((mean.to_scalar::<f64>().unwrap() - 7.0).abs() < 1e-14);
        for weights in [&[1.0, 2.0][..], &[1.0, -1.0, 1.0], &[f64::NAN; 3]] {
            assert!(labels.clone().weighted(weights).is_err(), "{weights:?}");
        }
        for smoothing in [-0.1, 1.0, f64::NAN] {
            assert!(labels.clone().smoothed(smoothing).is_err(), "{smoothing}");
        }
    }

    #[test]
    fn numbers_that_are_no_class_are_refused_with_their_row() {
        let refusal = |labels: Tensor| Labels::from_tensor(&labels, 3).unwrap_err().to_string();
        let floats = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let numbers = floats(&[0.0, 2.0]);
        assert_eq!(Labels::from_tensor(&numbers, 3).unwrap().len(), 2);
        for (bad, value) in
            [(1.5, "1.5"), (f32::NAN, "NaN"), (-1.0, "-1"), (f32::INFINITY, "inf"), (1e20, "1000")]
        {
            let message = refusal(floats(&[0.0, bad]));
            assert!(
                message.starts_with("row 1: the label ") && message.contains(value),
                "{message}"
            );
        }
        let whole = |values: &[i64]| Tensor::new(values, &Device::Cpu).unwrap();
        assert!(refusal(whole(&[0, 1, -1])).starts_with("row 2: the label -1"));
        // 2^32 + 1 would be class 1 if only its low bits counted.
        assert!(refusal(whole(&[4_294_967_297])).starts_with("row 0: the label 4294967297"));
        assert!(refusal(whole(&[0, 3])).starts_with("row 1: label 3 is out of range"));
        assert!(Labels::from_tensor(&Tensor::new(&[[0u32]], &Device::Cpu).unwrap(), 3).is_err());
    }

    #[test]
    fn empty_and_misshapen_input_is_an_error() {
        assert!(matches!(Labels::new(&[], 3, &Device::Cpu), Err(Error::Empty { .. })));
        assert!(matches!(Labels::new(&[0], 0, &Device::Cpu), Err(Error::Empty { .. })));
        let labels = Labels::new(&[0, 1], 3, &Device::Cpu).unwrap();
        let scores = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(labels.pick(&scores), Err(Error::WrongShape { .. })));
    }
}
