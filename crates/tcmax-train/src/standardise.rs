//! Feature vectors brought to mean 0 and standard deviation 1 by the training split.
//!
//! ```text
//! x' = (x - mean) * scale,      scale = 1 / standard deviation
//! ```
//!
//! for every entry of the vector by itself, over the training examples that have the modality. An entry
//! that is the same in all of them, but for rounding, has a scale of 0: whatever it is elsewhere, nothing
//! was learned of it. Batch norm alone, which follows, loses features of small numbers in its epsilon.

use candle_core::{Device, Tensor, Var};
use tcmax_data::Dataset;
use tcmax_ops::{ParamBuilder, Seed, placed_like};

use crate::Result;

/// Mean and scale of each entry of one modality's vectors, kept with the model.
pub(crate) struct Standardise {
    mean: Var,
    scale: Var,
}

impl Standardise {
    /// Buffers `mean` and `scale`, which leave inputs as they are until [`Standardise::fit`].
    pub(crate) fn new(builder: &ParamBuilder, inputs: usize) -> Result<Self> {
        let mean = builder.buffer("mean", inputs, 0.0)?;
        Ok(Self { mean, scale: builder.buffer("scale", inputs, 1.0)? })
    }

    /// Takes mean and scale from all examples of `data` that have modality `modality`.
    pub(crate) fn fit(&self, data: &dyn Dataset, modality: usize) -> Result<()> {
        let mut moments = Moments::new(self.mean.elem_count());
        let mut values = vec![0f32; self.mean.elem_count()];
        // Nothing is drawn from this seed: vectors are not augmented.
        let seed = Seed::new(0).stream("standardise");
        for row in (0..data.len()).filter(|&row| data.present(row, modality)) {
            data.read(row, modality, seed, &mut values)?;
            if !values.iter().all(|value| value.is_finite()) {
                let modality = data.modalities()[modality].name.clone();
                return Err(tcmax_data::Error::NotFinite { row, modality }.into());
            }
            moments.add(&values);
        }
        set(&self.mean, &moments.mean)?;
        set(&self.scale, &moments.scales())
    }

    /// Standardised inputs (B, N) of inputs (B, ...).
    pub(crate) fn apply(&self, input: &Tensor) -> Result<Tensor> {
        let rows = input.reshape((input.dim(0)?, self.mean.elem_count()))?;
        let centred = rows.broadcast_sub(&self.mean.as_detached_tensor())?;
        Ok(centred.broadcast_mul(&self.scale.as_detached_tensor())?)
    }
}

/// Mean and standard deviation of each number to predict, kept with the model: it is trained on
/// (y - mean) / deviation, and its outputs are brought back.
pub(crate) struct TargetScale {
    mean: Var,
    deviation: Var,
}

impl TargetScale {
    /// Buffers `mean` and `deviation`, which leave numbers as they are until [`TargetScale::fit`].
    pub(crate) fn new(builder: &ParamBuilder, numbers: usize) -> Result<Self> {
        let mean = builder.buffer("mean", numbers, 0.0)?;
        Ok(Self { mean, deviation: builder.buffer("deviation", numbers, 1.0)? })
    }

    /// Takes them from all examples of `data`; a number that never changes has a deviation of 1.
    pub(crate) fn fit(&self, data: &dyn Dataset) -> Result<()> {
        let mut moments = Moments::new(self.mean.elem_count());
        let mut values = vec![0f32; self.mean.elem_count()];
        for row in 0..data.len() {
            data.target(row, &mut values);
            moments.add(&values);
        }
        let deviation = |scale: f64| if scale == 0.0 { 1.0 } else { 1.0 / scale };
        let deviations: Vec<f64> = moments.scales().into_iter().map(deviation).collect();
        set(&self.mean, &moments.mean)?;
        set(&self.deviation, &deviations)
    }

    /// Standardised numbers.
    pub(crate) fn apply(&self, numbers: &Tensor) -> Result<Tensor> {
        let centred = numbers.broadcast_sub(&self.mean.as_detached_tensor())?;
        Ok(centred.broadcast_div(&self.deviation.as_detached_tensor())?)
    }

    /// Numbers of standardised ones.
    pub(crate) fn undo(&self, outputs: &Tensor) -> Result<Tensor> {
        let scaled =
            outputs.broadcast_mul(&placed_like(&self.deviation.as_detached_tensor(), outputs)?)?;
        Ok(scaled.broadcast_add(&placed_like(&self.mean.as_detached_tensor(), outputs)?)?)
    }
}

fn set(var: &Var, values: &[f64]) -> Result<()> {
    Ok(var.set(&placed_like(&Tensor::new(values, &Device::Cpu)?, var)?)?)
}

/// Means and sums of squared deviations, updated value by value (Welford 1962): values that are all the
/// same have deviations of exactly zero.
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn new(entries: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; entries], squares: vec![0.0; entries] }
    }

    fn add(&mut self, values: &[f32]) {
        self.count += 1.0;
        let entries = self.mean.iter_mut().zip(&mut self.squares).zip(values);
        for ((mean, squares), &value) in entries {
            let gap = f64::from(value) - *mean;
            *mean += gap / self.count;
            *squares += gap * (f64::from(value) - *mean);
        }
    }

    fn scales(&self) -> Vec<f64> {
        let scale = |(mean, squares): (&f64, &f64)| {
            let deviation = (squares / self.count.max(1.0)).sqrt();
            let scale = 1.0 / deviation;
            // The last bit of f32 is no information.
            let constant = deviation <= 2.0 * f64::from(f32::EPSILON) * mean.abs();
            if constant || scale > f64::from(f32::MAX) { 0.0 } else { scale }
        };
        self.mean.iter().zip(&self.squares).map(scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(columns: &[&[f32]]) -> Vec<f64> {
        let mut moments = Moments::new(columns.len());
        for row in 0..columns[0].len() {
            let values: Vec<f32> = columns.iter().map(|column| column[row]).collect();
            moments.add(&values);
        }
        moments.scales()
    }

    #[test]
    fn scales_are_those_of_the_numbers_and_constants_vanish() {
        let rounding = 1000.0 + f32::EPSILON * 512.0;
        let found = scales(&[
            &[1.0, 3.0, 1.0, 3.0],
            &[1e-20, -1e-20, 1e-20, -1e-20],
            &[0.1, 0.1, 0.1, 0.1],
            &[1000.0, rounding, 1000.0, 1000.0],
            &[1e30, 3e30, 1e30, 3e30],
            &[1e-45, 0.0, 0.0, 0.0],
        ]);
        let wanted = [1.0, 1e20, 0.0, 0.0, 1e-30, 0.0];
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-6 * wanted, "{found:e} is not {wanted:e}");
        }
        assert_eq!(Moments::new(2).scales(), [0.0; 2], "no example at all");
    }
}
