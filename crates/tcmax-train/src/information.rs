//! What the features of a moment share with the class and with each other.
//!
//! The bounds are those of [`tcmax_estimators::features`], with critics fitted to features of training examples and
//! measured on others. Beside each stands the same bound with a critic fitted to one half of the training examples and
//! measured on the other half: a network that memorises has features that tell more of the examples that it was trained
//! on, whatever critic looks at them.

use tcmax_estimators::features::{FeatureBounds, Features, feature_bounds};
use tcmax_ops::to_vec_f64;

use crate::encoded::EncodedSplit;
use crate::results::{FeatureInformation, InformationBound, PairInformation};
use crate::{Model, Result, Truth};

/// Examples of each split at most: more hardly change a bound, and cost what should be small.
pub const MOST_MEASURED: usize = 4_096;

/// Bounds on the information in the features of `held_out`, the critics fitted to those of `train`, for a data set of
/// so many modalities; `None` for other tasks than classes, where fewer than sixteen examples have every modality, and
/// where a feature is not finite. `head_bound` is what the head itself shows of the held-out split.
///
/// # Errors
/// When the splits do not fit the model.
pub fn feature_information(
    model: &Model,
    (train, held_out): (&EncodedSplit, &EncodedSplit),
    modalities: usize,
    head_bound: Option<f64>,
) -> Result<Option<FeatureInformation>> {
    let (Some(train), Some(held_out)) = (features(train)?, features(held_out)?) else {
        return Ok(None);
    };
    let Some(unseen) = measured(feature_bounds(&train, &held_out))? else { return Ok(None) };
    let seen = match measured(train.halves())? {
        Some([fitted, others]) => measured(feature_bounds(&fitted, &others))?,
        None => None,
    };
    let bound = |of: &dyn Fn(&FeatureBounds) -> f64| InformationBound {
        held_out: of(&unseen).max(0.0),
        train: seen.as_ref().map(|seen| of(seen).max(0.0)),
    };
    let used = model.used_modalities();
    let mut label = vec![None; modalities];
    for (position, &m) in used.iter().enumerate() {
        label[m] = Some(bound(&|bounds| bounds.label[position]));
    }
    let pair = |(n, pair): (usize, &tcmax_estimators::features::PairBounds)| PairInformation {
        modalities: pair.modalities.map(|position| used[position]),
        shared: bound(&|bounds| bounds.pairs[n].shared),
        given_label: bound(&|bounds| bounds.pairs[n].given_label),
    };
    Ok(Some(FeatureInformation {
        train_examples: train.len(),
        held_out_examples: held_out.len(),
        label_entropy: held_out.label_entropy(),
        label,
        joint_label: bound(&|bounds| bounds.joint_label),
        pairs: unseen.pairs.iter().enumerate().map(pair).collect(),
        shared: (used.len() > 1).then(|| bound(&|bounds| bounds.shared)),
        total_correlation: bound(&FeatureBounds::total_correlation),
        head_bound,
        head_is_additive: model.head().is_additive(),
    }))
}

/// The features and classes of a split's examples that have every modality; `None` where there is nothing to measure.
fn features(split: &EncodedSplit) -> Result<Option<Features>> {
    let Some(complete) = split.complete(1)? else { return Ok(None) };
    let rows: Vec<u32> = evenly(complete.len(), MOST_MEASURED).map(|row| row as u32).collect();
    let chosen = complete.rows(&rows)?;
    let Truth::Classes(labels) = &chosen.truth else { return Ok(None) };
    let z = chosen.features.iter().map(to_vec_f64).collect::<candle_core::Result<_>>()?;
    measured(Features::new(z, chosen.truth.classes()?, labels.classes()))
}

/// At most so many of some examples, at even distances: data often lie in the order of their classes.
pub(crate) fn evenly(examples: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = examples.min(most);
    (0..count).map(move |n| n * examples / count)
}

/// What was measured; nothing where examples are too few or features are not finite, for which a run need not end.
fn measured<T>(found: tcmax_estimators::Result<T>) -> Result<Option<T>> {
    use tcmax_estimators::Error::{NotFinite, TooFewSamples};
    match found {
        Ok(value) => Ok(Some(value)),
        Err(TooFewSamples { .. } | NotFinite { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_taken_at_even_distances() {
        assert_eq!(evenly(3, 5).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(evenly(10, 4).collect::<Vec<_>>(), [0, 2, 5, 7]);
        assert_eq!(evenly(0, 4).count(), 0);
    }
}
