//! A model on the test split without one of its modalities, and with modalities that do not match.

use candle_core::{D, Tensor};
use rand::seq::SliceRandom;
use tcmax_estimators::auc;
use tcmax_fusion::FusionHead;
use tcmax_losses::{Marginals, matching_score};
use tcmax_ops::{Seed, to_vec_f64, wide};

use crate::encoded::{Classifier, EncodedSplit};
use crate::evaluate::accuracy;
use tcmax_registry::Task;

use crate::results::Absence;
use crate::{Model, Result};

/// Shuffled examples that matched ones are compared with, about.
const SHUFFLED: usize = 1 << 15;
/// Random orders at most: more of a small split are more of the same pairs.
const MOST_ORDERS: usize = 64;

/// What absent modalities are averaged out with, from the training split.
///
/// # Errors
/// When the split does not fit the model.
pub fn marginals_of(model: &Model, train: &EncodedSplit, seed: Seed) -> Result<Marginals> {
    if model.task() == Task::Regression {
        return Ok(Marginals::of_means(&train.features, &train.present)?);
    }
    let seed = seed.stream("stand-ins");
    Ok(Marginals::new(model.head(), &train.features, &train.present, seed)?)
}

/// Accuracy with each modality absent, and how well matched examples are told from shuffled ones;
/// `None` for a model of one modality, for other tasks than classes, or without anything to average absent ones out with.
///
/// # Errors
/// When the split does not fit the model.
pub fn absence(
    classifier: &Classifier<'_>,
    test: &EncodedSplit,
    modalities: usize,
) -> Result<Option<Absence>> {
    let (Some(marginals), head) = (classifier.marginals, classifier.model.head()) else {
        return Ok(None);
    };
    if test.features.len() < 2 || test.truth.other().is_some() {
        return Ok(None);
    }
    let truth = test.truth.classes()?;
    let of = |scores: Tensor| -> Result<Option<f64>> {
        Ok(Some(accuracy(&scores.argmax(D::Minus1)?.to_vec1::<u32>()?, &truth)))
    };
    let mut without = vec![None; modalities];
    let mut with_zeros = vec![None; modalities];
    for (position, &m) in classifier.model.used_modalities().iter().enumerate() {
        let present = test.present.without(position);
        let absent: Vec<bool> = (0..test.features.len()).map(|m| m == position).collect();
        let features = test.features_without(&absent);
        without[m] = of(marginals.scores(head, features, &present)?)?;
        let mut zeroed = features.to_vec();
        zeroed[position] = features[position].zeros_like()?;
        with_zeros[m] = of(head.scores(&zeroed)?)?;
    }
    let matching_auc = match test.complete(2)? {
        Some(complete) => matching_auc(head, &complete.features, Seed::new(0).stream("matching"))?,
        None => None,
    };
    Ok(Some(Absence { accuracy_without: without, accuracy_with_zeros: with_zeros, matching_auc }))
}

/// Matched examples against tuples of rows drawn independently: in each of several random orders every
/// modality has an order of its own. Tuples that take two modalities from one row are left out, since
/// these match; all others are draws from the product of marginals, whatever the order of the split.
fn matching_auc(head: &dyn FusionHead, features: &[Tensor], seed: Seed) -> Result<Option<f64>> {
    let rows = features[0].dim(0)?;
    let weighed = |features: &[Tensor]| -> Result<Vec<(f64, f64)>> {
        let scores = wide(&head.scores(features)?.detach())?;
        let scores = to_vec_f64(&matching_score(&scores)?)?;
        Ok(scores.into_iter().map(|score| (score, 1.0)).collect())
    };
    let mut shuffled = Vec::new();
    for order in 0..(SHUFFLED / rows.max(1)).clamp(1, MOST_ORDERS) {
        let tuples = distinct_tuples(rows, features.len(), seed.index(order as u64));
        if tuples[0].is_empty() {
            continue;
        }
        let taken = |(z, rows): (&Tensor, &Vec<u32>)| {
            z.index_select(&Tensor::new(&rows[..], z.device())?, 0)
        };
        let taken = features.iter().zip(&tuples).map(taken);
        shuffled.extend(weighed(&taken.collect::<candle_core::Result<Vec<_>>>()?)?);
    }
    Ok(auc(&weighed(features)?, &shuffled))
}

/// For each variable the rows in a random order of its own, less the tuples in which a row comes twice.
fn distinct_tuples(rows: usize, variables: usize, seed: Seed) -> Vec<Vec<u32>> {
    let mut rng = seed.rng();
    let mut orders = vec![Vec::with_capacity(rows); variables];
    for order in &mut orders {
        order.extend(0..rows as u32);
        order.shuffle(&mut rng);
    }
    let is_distinct = |place: &usize| {
        (1..variables).all(|m| orders[..m].iter().all(|order| order[*place] != orders[m][*place]))
    };
    let kept: Vec<usize> = (0..rows).filter(is_distinct).collect();
    orders.iter().map(|order| kept.iter().map(|&place| order[place]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use tcmax_fusion::SUM;
    use tcmax_ops::{ParamBuilder, State};
    use tcmax_registry::Table;

    use super::*;

    const CLASSES: usize = 10;

    /// A sum of logits that knows each class for certain from one-hot features of either modality.
    fn certain() -> Box<dyn FusionHead> {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let widths = [CLASSES, CLASSES];
        let head = SUM.build(&Table::new(), &widths, CLASSES, &builder).unwrap();
        let identity = Tensor::eye(CLASSES, DType::F64, &Device::Cpu).unwrap();
        let mut state = State::new();
        for layer in ["fc_x", "fc_y"] {
            state.insert(format!("{layer}.weight"), (&identity * 40.0).unwrap());
            let bias = Tensor::zeros(CLASSES, DType::F64, &Device::Cpu).unwrap();
            state.insert(format!("{layer}.bias"), bias);
        }
        builder.params().load(&state).unwrap();
        head
    }

    fn one_hot(classes: &[usize]) -> Tensor {
        let values: Vec<f64> = classes
            .iter()
            .flat_map(|&class| (0..CLASSES).map(move |c| f64::from(u8::from(c == class))))
            .collect();
        Tensor::from_vec(values, (classes.len(), CLASSES), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_auc_of_a_split_sorted_by_class_is_the_best_there_is() {
        // A tenth of shuffled pairs agree in class, and these cannot be told: 0.9 + 0.1 / 2 at best.
        let sorted: Vec<usize> = (0..1000).map(|row| row / 100).collect();
        let mixed: Vec<usize> = (0..1000).map(|row| row % CLASSES).collect();
        let head = certain();
        for classes in [sorted, mixed] {
            let features = [one_hot(&classes), one_hot(&classes)];
            let found = matching_auc(head.as_ref(), &features, Seed::new(3)).unwrap().unwrap();
            assert!((found - 0.95).abs() < 0.003, "{found}");
        }
    }

    #[test]
    fn a_split_too_small_to_shuffle_has_no_auc() {
        let features = [one_hot(&[1]), one_hot(&[1])];
        assert_eq!(matching_auc(certain().as_ref(), &features, Seed::new(3)).unwrap(), None);
        let features = [one_hot(&[1, 2]), one_hot(&[1, 2])];
        assert_eq!(matching_auc(certain().as_ref(), &features, Seed::new(3)).unwrap(), Some(1.0));
    }

    #[test]
    fn no_tuple_takes_two_variables_from_one_row() {
        let tuples = distinct_tuples(50, 3, Seed::new(1));
        assert!(tuples[0].len() > 35, "{} of 50 are left", tuples[0].len());
        for ((a, b), c) in tuples[0].iter().zip(&tuples[1]).zip(&tuples[2]) {
            assert!(a != b && b != c && a != c);
        }
    }
}
