//! Scores of the labels over tuples of examples of one class.

use candle_core::{Device, Tensor};
use rand::Rng;
use tcmax_ops::{Seed, placed_like};

use crate::critic::Critic;
use crate::error::Result;
use crate::sample::{Labels, Tuples};

/// Which tuples within classes are scored.
#[derive(Clone, Copy, Debug)]
pub struct WithinClasses {
    /// At most so many tuples together; of classes that have more than their part of them, random ones.
    pub most: usize,
    /// Where random ones come from.
    pub seed: Seed,
}

/// Tuples whose rows are all of one class, that class, and the weight of each in the mean.
struct Chosen {
    tuples: Tuples,
    classes: Vec<u32>,
    weights: Vec<f64>,
}

/// sum_c p(c) mean of T(.., c) over the tuples within class c, a scalar: p(c) is the share of the examples of the
/// class, by the weights of classes where these have any.
///
/// Of an additive critic this is the mean score of the joint examples. Any other critic is told nothing by it of
/// which examples of a class belong together.
///
/// # Errors
/// When labels and scores do not fit.
pub(super) fn within_classes(
    critic: &dyn Critic,
    parts: &[Tensor],
    labels: &Labels,
    which: WithinClasses,
) -> Result<Tensor> {
    let Chosen { tuples, classes, weights } = chosen(labels, parts.len(), which)?;
    let scores = critic.combine(&tuples.gather(parts)?)?;
    let labels = labels.like(&classes, scores.device())?;
    let own = labels.expected(&scores)?;
    let weights = placed_like(&Tensor::new(weights, &Device::Cpu)?, &own)?;
    Ok((own * weights)?.sum_all()?)
}

fn chosen(labels: &Labels, variables: usize, which: WithinClasses) -> Result<Chosen> {
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    let shares = labels.shares()?;
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); labels.classes()];
    (0..).zip(&truth).for_each(|(row, &class)| members[class as usize].push(row));
    let present = members.iter().filter(|rows| !rows.is_empty()).count();
    let limit = (which.most / present.max(1)).max(1);
    let mut lists: Vec<Vec<u32>> = vec![Vec::new(); variables];
    let (mut classes, mut weights) = (Vec::new(), Vec::new());
    for (class, rows) in members.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let all = u32::try_from(variables).ok().and_then(|n| rows.len().checked_pow(n));
        let count = all.unwrap_or(usize::MAX).min(limit);
        if all.is_some_and(|all| all <= limit) {
            for tuple in Tuples::all(rows.len(), variables)?.iter() {
                lists.iter_mut().zip(tuple).for_each(|(list, &at)| list.push(rows[at as usize]));
            }
        } else {
            let mut rng = which.seed.index(class as u64).rng();
            for _ in 0..count {
                lists.iter_mut().for_each(|list| list.push(rows[rng.random_range(0..rows.len())]));
            }
        }
        classes.extend(std::iter::repeat_n(class as u32, count));
        weights.extend(std::iter::repeat_n(shares[class] / count as f64, count));
    }
    Ok(Chosen { tuples: Tuples::from_rows(&lists, labels.len())?, classes, weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_are_all_those_of_one_class_until_there_are_too_many() {
        let labels = Labels::new(&[0, 1, 0, 1, 1], 3, &Device::Cpu).unwrap();
        let which = |most| WithinClasses { most, seed: Seed::new(1) };
        let all = chosen(&labels, 2, which(100)).unwrap();
        assert_eq!(all.tuples.len(), 4 + 9);
        assert!((all.weights.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((all.weights[0] - 0.4 / 4.0).abs() < 1e-15);
        let truth = [0, 1, 0, 1, 1];
        for found in [all, chosen(&labels, 2, which(6)).unwrap()] {
            assert!(found.tuples.len() <= 13);
            for (tuple, class) in found.tuples.iter().zip(found.classes) {
                assert!(tuple.iter().all(|&row| truth[row as usize] == class));
            }
        }
        assert_eq!(chosen(&labels, 2, which(6)).unwrap().tuples.len(), 6);
    }
}
