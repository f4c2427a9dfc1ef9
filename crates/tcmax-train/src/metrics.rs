//! Every metric of the test split, and what each modality contributes to its accuracy.

use candle_core::D;
use tcmax_metrics::{Classification, coalitions, shapley_of_values};
use tcmax_ops::{to_vec_f64, wide};

use crate::encoded::{Classifier, EncodedSplit};
use crate::evaluate::accuracy;
use crate::results::TestMetrics;
use crate::{Error, Result};

/// Modalities of which every subset is tried at most.
const MOST_MODALITIES: usize = 6;

/// Metrics of the fused prediction on a split; none of other tasks than classes.
///
/// # Errors
/// When the split does not fit the model, or a logit is not finite.
pub fn test_metrics(
    classifier: &Classifier<'_>,
    split: &EncodedSplit,
) -> Result<Option<TestMetrics>> {
    if split.truth.other().is_some() {
        return Ok(None);
    }
    let logits = to_vec_f64(&wide(&classifier.logits(&split.features, &split.present)?)?)?;
    let classes = classifier.model.outputs();
    let all = Classification::of(&logits, &split.truth.classes()?, classes)
        .map_err(|error| Error::setting("metrics", error.to_string()))?;
    let Classification { summary, top_k, classes, .. } = all;
    Ok(Some(TestMetrics { summary, top_k, classes }))
}

/// The Shapley value of each modality: its mean gain in accuracy over all orders in which modalities could be
/// added, those that are absent being averaged out. The values add up to the accuracy with all modalities less
/// that with none. `None` for a model of one modality or of more than six, for other tasks than classes, and without anything to average
/// absent ones out with; of a modality that the model does not use `None`.
///
/// Source: Shapley 1953, "A value for n-person games".
///
/// # Errors
/// When the split does not fit the model.
pub fn contributions(
    classifier: &Classifier<'_>,
    split: &EncodedSplit,
    modalities: usize,
) -> Result<Option<Vec<Option<f64>>>> {
    let used = classifier.model.used_modalities();
    let Some(marginals) = classifier.marginals else { return Ok(None) };
    if !(2..=MOST_MODALITIES).contains(&used.len()) || split.truth.other().is_some() {
        return Ok(None);
    }
    let truth = split.truth.classes()?;
    let wrong = |error: tcmax_metrics::Error| Error::setting("metrics", error.to_string());
    let mut values = Vec::with_capacity(1 << used.len());
    for coalition in coalitions(used.len()).map_err(wrong)? {
        let flags: Vec<bool> = coalition.iter().map(|there| !there).collect();
        let absent = (0..used.len()).filter(|&m| flags[m]);
        let present = absent.fold(split.present.clone(), |present, m| present.without(m));
        let features = split.features_without(&flags);
        let scores = marginals.scores(classifier.model.head(), features, &present)?;
        values.push(accuracy(&scores.argmax(D::Minus1)?.to_vec1::<u32>()?, &truth));
    }
    let values = shapley_of_values(used.len(), &values).map_err(wrong)?;
    let mut all = vec![None; modalities];
    for (value, &m) in values.into_iter().zip(used) {
        all[m] = Some(value);
    }
    Ok(Some(all))
}
