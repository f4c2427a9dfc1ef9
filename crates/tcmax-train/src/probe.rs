//! Linear probes: how much of the label a modality's features show, whatever the head makes of them.
//!
//! A logistic regression on standardised, frozen features of the training split,
//!
//! ```text
//! min over W, b of  CE(W x + b, y) + ||W||^2 / (2 N)      (nats)
//! ```
//!
//! fitted from zero by full-batch AdamW with a falling rate; the penalty is that of scikit-learn's
//! default (C = 1).

use candle_core::{D, DType, Tensor};
use tcmax_estimators::Labels;
use tcmax_losses::cross_entropy;
use tcmax_ops::{AdamW, AdamWOptions, Init, ParamBuilder, Seed};

use crate::encoded::EncodedSplit;
use crate::evaluate::accuracy;
use crate::{Model, Result, Truth};

const STEPS: usize = 300;
const RATE: f64 = 0.05;

/// Test accuracy of a probe of each modality, fitted and tested on the examples that have it; `None` for
/// those that the model does not use, or that no example of either split has, and for other tasks than
/// classes.
///
/// # Errors
/// When the splits do not fit the model.
pub fn probe(
    model: &Model,
    train: &EncodedSplit,
    test: &EncodedSplit,
    modalities: usize,
) -> Result<Vec<Option<f64>>> {
    let mut found = vec![None; modalities];
    if train.truth.other().is_some() {
        return Ok(found);
    }
    for (position, &m) in model.used_modalities().iter().enumerate() {
        let rows = [train, test].map(|split| split.present.rows_with(position));
        if rows.iter().any(Vec::is_empty) {
            continue;
        }
        let (seen, unseen) = (train.rows(&rows[0])?, test.rows(&rows[1])?);
        let Truth::Classes(labels) = &seen.truth else { continue };
        let logits = fitted(&seen.features[position], labels, &unseen.features[position])?;
        let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
        found[m] = Some(accuracy(&predicted, &unseen.truth.classes()?));
    }
    Ok(found)
}

/// Logits of `unseen` features under the regression fitted to `seen` ones.
fn fitted(seen: &Tensor, labels: &Labels, unseen: &Tensor) -> Result<Tensor> {
    let examples = labels.len() as f64;
    let mean = seen.mean_keepdim(0)?;
    let centred = seen.broadcast_sub(&mean)?;
    let spread = (centred.sqr()?.mean_keepdim(0)? + 1e-12)?.sqrt()?;
    let seen = centred.broadcast_div(&spread)?;
    let unseen = unseen.broadcast_sub(&mean)?.broadcast_div(&spread)?;
    // Nothing is drawn: the regression is convex and starts at zero.
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, seen.device());
    let weight = builder.param("weight", (seen.dim(1)?, labels.classes()), Init::Const(0.0))?;
    let bias = builder.param("bias", labels.classes(), Init::Const(0.0))?;
    let options =
        AdamWOptions { learning_rate: RATE, weight_decay: 0.0, ..AdamWOptions::default() };
    let mut optimiser = AdamW::new(&builder.params(), options)?;
    for step in 0..STEPS {
        let logits = seen.matmul(&weight)?.broadcast_add(&bias)?;
        let penalty = (weight.sqr()?.sum_all()? / (2.0 * examples))?;
        let loss = (cross_entropy(&logits, labels)? + penalty)?;
        let left = 1.0 - step as f64 / STEPS as f64;
        optimiser.set_learning_rate(RATE * left);
        optimiser.step(&tcmax_ops::backward(&loss)?)?;
    }
    Ok(unseen.matmul(&weight)?.broadcast_add(&bias)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_probe_reads_what_is_linear_and_only_that() {
        // Class 1 where the first feature is large; the second feature is noise without meaning.
        let row = |i: usize| [i as f32 % 8.0, ((i * 37) % 11) as f32];
        let rows: Vec<f32> = (0..64).flat_map(row).collect();
        let x = Tensor::from_vec(rows, (64, 2), &Device::Cpu).unwrap();
        let linear: Vec<u32> = (0..64).map(|i| u32::from(i % 8 >= 4)).collect();
        let labels = Labels::new(&linear, 2, &Device::Cpu).unwrap();
        let guess = fitted(&x, &labels, &x).unwrap().argmax(D::Minus1).unwrap();
        assert_eq!(guess.to_vec1::<u32>().unwrap(), linear);
        // Odd against even is not linear in the feature.
        let parity: Vec<u32> = (0..64).map(|i| i % 2).collect();
        let labels = Labels::new(&parity, 2, &Device::Cpu).unwrap();
        let guess = fitted(&x, &labels, &x).unwrap().argmax(D::Minus1).unwrap();
        let guess = guess.to_vec1::<u32>().unwrap();
        let right = guess.iter().zip(&parity).filter(|(g, y)| g == y).count();
        assert!(right < 48, "{right} of 64");
    }
}
