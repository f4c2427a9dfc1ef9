//! Dimensions of features that are effective in one of two modalities, and the contrast along them, for
//! [DI-MML](super::di_mml).

use candle_core::{D, Tensor};
use tcmax_estimators::Labels;
use tcmax_ops::{host_f64, log_sum_exp};

use super::pmr::ClassMeans;
use crate::{EpochContext, Part, Result, Surveyed};

/// The dimensions effective in the first modality only, and in the second only.
pub(crate) fn choose(context: &mut dyn EpochContext, classes: usize) -> Result<[Vec<bool>; 2]> {
    let mut means = ClassMeans::new(classes);
    context.each(Part::Train, &mut |Surveyed { features, labels, .. }| {
        means.add(features, labels)?;
        Ok(true)
    })?;
    let means = means.means()?;
    let (mut right, mut examples) = ([Vec::new(), Vec::new()], 0);
    context.each(Part::Train, &mut |Surveyed { features, labels, .. }| {
        for ((right, z), means) in right.iter_mut().zip(features).zip(&means) {
            let found = right_by_dimension(z, labels, means)?;
            right.resize(found.len(), 0);
            right.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
        }
        examples += labels.len();
        Ok(true)
    })?;
    let effective = right.map(|right| {
        let part = |&right: &usize| right as f64 / examples.max(1) as f64;
        effective(&right.iter().map(part).collect::<Vec<_>>())
    });
    Ok(only_one(&effective))
}

/// For each dimension the number of examples whose class is that of the nearest mean in this dimension alone, the first of
/// equals, of features (N, D) and means (C, D).
///
/// # Errors
/// When shapes do not fit.
pub fn right_by_dimension(z: &Tensor, labels: &Labels, means: &Tensor) -> Result<Vec<usize>> {
    let distances = host_f64(z)?.unsqueeze(1)?.broadcast_sub(&host_f64(means)?.unsqueeze(0)?)?;
    let nearest = distances.abs()?.argmin(1)?.to_vec2::<u32>()?;
    let mut right = vec![0; z.dim(D::Minus1)?];
    for (row, label) in nearest.iter().zip(labels.tensor()?.to_vec1::<u32>()?) {
        right.iter_mut().zip(row).for_each(|(sum, class)| *sum += usize::from(*class == label));
    }
    Ok(right)
}

/// Which accuracies are above their mean.
pub fn effective(accuracies: &[f64]) -> Vec<bool> {
    let mean = accuracies.iter().sum::<f64>() / accuracies.len().max(1) as f64;
    accuracies.iter().map(|&accuracy| accuracy > mean).collect()
}

/// What is effective in the first modality only, and in the second only.
pub fn only_one([first, second]: &[Vec<bool>; 2]) -> [Vec<bool>; 2] {
    let but_not = |one: &[bool], other: &[bool]| {
        one.iter().zip(other).map(|(&one, &other)| one && !other).collect()
    };
    [but_not(first, second), but_not(second, first)]
}

/// The contrasts that train the first modality and the second, scalars, nats, of features (B, D); `None` where there is no
/// dimension for one.
///
/// # Errors
/// When shapes do not fit.
pub fn contrasts(
    features: &[Tensor; 2],
    [of_first, of_second]: &[Vec<bool>; 2],
    temperature: f64,
) -> Result<[Option<Tensor>; 2]> {
    let [first, second] = features;
    let term = |student: &Tensor, teacher: &Tensor, chosen: &[bool]| -> Result<Option<Tensor>> {
        let chosen = (0u32..).zip(chosen).filter(|(_, chosen)| **chosen).map(|(d, _)| d);
        let chosen: Vec<u32> = chosen.collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let chosen = Tensor::new(chosen, student.device())?;
        let student = student.index_select(&chosen, 1)?;
        let teacher = teacher.detach().index_select(&chosen, 1)?;
        let similarity = (student.matmul(&teacher.t()?)? / temperature)?;
        let own = ((student * teacher)?.sum(1)? / temperature)?;
        Ok(Some((log_sum_exp(&similarity, 1)? - own)?.mean_all()?))
    };
    Ok([term(first, second, of_second)?, term(second, first, of_first)?])
}
