//! A model on the test split without one of its modalities, and with modalities that do not match.

use candle_core::{D, DType, Tensor};
use tcmax_data::Loader;
use tcmax_estimators::auc;
use tcmax_losses::{Stand, matching_score};
use tcmax_ops::Seed;

use crate::evaluate::{accuracy, features};
use crate::results::Absence;
use crate::{Model, Result};

/// What takes the place of absent modalities, from the training split.
///
/// # Errors
/// When the data cannot be read or do not fit the model.
pub fn stand_ins(model: &Model, train: &Loader, seed: Seed) -> Result<Stand> {
    let (features, _) = features(model, train)?;
    Ok(Stand::new(model.head(), &features, seed.stream("stand-ins"))?)
}

/// Accuracy with each modality absent, and how well matched examples are told from shuffled ones;
/// `None` for a model of one modality.
///
/// # Errors
/// When the data cannot be read or do not fit the model.
pub fn absence(
    model: &Model,
    stand: &Stand,
    test: &Loader,
    modalities: usize,
) -> Result<Option<Absence>> {
    let (features, labels) = features(model, test)?;
    if features.len() < 2 {
        return Ok(None);
    }
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    let of = |scores: Tensor| -> Result<Option<f64>> {
        Ok(Some(accuracy(&scores.argmax(D::Minus1)?.to_vec1::<u32>()?, &truth)))
    };
    let mut without = vec![None; modalities];
    let mut with_zeros = vec![None; modalities];
    for (position, &m) in model.used_modalities().iter().enumerate() {
        let mut there: Vec<Option<Tensor>> = features.iter().cloned().map(Some).collect();
        there[position] = None;
        without[m] = of(stand.scores(model.head(), &there)?)?;
        let mut zeroed = features.clone();
        zeroed[position] = features[position].zeros_like()?;
        with_zeros[m] = of(model.head().scores(&zeroed)?)?;
    }
    Ok(Some(Absence {
        accuracy_without: without,
        accuracy_with_zeros: with_zeros,
        matching_auc: matching_auc(model, &features)?,
    }))
}

/// Matched examples against those whose m-th modality comes from m examples further on.
fn matching_auc(model: &Model, features: &[Tensor]) -> Result<f64> {
    let rows = features[0].dim(0)?;
    let shifted = |(m, z): (usize, &Tensor)| -> candle_core::Result<Tensor> {
        // Splits are often sorted by class: neighbours would match. These shifts go far.
        let shift = m * rows / features.len() + m;
        let order: Vec<u32> = (0..rows).map(|row| ((row + shift) % rows) as u32).collect();
        z.index_select(&Tensor::new(&order[..], z.device())?, 0)
    };
    let shuffled = features.iter().enumerate().map(shifted);
    let shuffled = shuffled.collect::<candle_core::Result<Vec<_>>>()?;
    let weighed = |features: &[Tensor]| -> Result<Vec<(f64, f64)>> {
        let scores = model.head().scores(features)?.detach().to_dtype(DType::F64)?;
        let scores = matching_score(&scores)?.to_vec1::<f64>()?;
        Ok(scores.into_iter().map(|score| (score, 1.0)).collect())
    };
    Ok(auc(&weighed(features)?, &weighed(&shuffled)?).unwrap_or(f64::NAN))
}
