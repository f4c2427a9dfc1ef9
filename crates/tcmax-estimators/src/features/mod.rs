//! Lower bounds on what learned features and the class share, cheap enough to be computed while a network trains.
//!
//! | quantity | critic | its cost |
//! |---|---|---|
//! | I(y; z_m), I(y; z_1, ..., z_M) | linear discriminant in closed form, certainty from held-out examples (`label`) | N D^2 + D^3 |
//! | I(z_1; ...; z_M), I(z_a; z_b) | what the discriminants say, over all N^M tuples (`shared`); of pairs a Gaussian critic too | M N C |
//! | I(z_a; z_b \| y) | Gaussian (`gaussian_critic`), in the leading canonical directions (`given_class`) | N D^2 |
//! | TC(z, y) | the chain rule: [`FeatureBounds::total_correlation`] | |
//!
//! Every value is measured on examples that nothing was fitted to: the fit's examples give directions, one half of the
//! others gives a number or a few per modality (how certain to be), the other half gives the value; then the halves swap,
//! and the two values are averaged. So each is below the truth but by chance, by how much the critic falls short: of the
//! conditional information all that is not linear, of the information shared through the class all that is not. All are
//! in nats, as they come: below 0 where chance has it, to be cut off when they are shown.

mod gaussian_critic;
mod given_class;
mod label;
mod shared;
mod table;
mod within;

use ndarray::Array2;
use rayon::prelude::*;

use crate::error::{Error, Result};
use gaussian_critic::Coordinates;
use given_class::canonical_directions;
use label::{Scored, discriminant};
use shared::through_the_class;
use within::WithinClasses;

pub use table::Features;

/// Columns of all modalities together from which on their joint discriminant would cost too much; the sum of those of
/// the modalities takes its place.
const MOST_JOINED: usize = 1_024;

/// Lower bounds, nats; they may be negative.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureBounds {
    /// I(y; z_m) of each modality.
    pub label: Vec<f64>,
    /// I(y; z_1, ..., z_M).
    pub joint_label: f64,
    /// I(z_1; ...; z_M), of one modality 0.
    pub shared: f64,
    /// Each pair of modalities.
    pub pairs: Vec<PairBounds>,
}

/// Lower bounds of two modalities, nats.
#[derive(Clone, Debug, PartialEq)]
pub struct PairBounds {
    /// Which, from 0.
    pub modalities: [usize; 2],
    /// I(z_a; z_b).
    pub shared: f64,
    /// I(z_a; z_b | y).
    pub given_label: f64,
}

impl FeatureBounds {
    /// TC(z_1, ..., z_M, y), the larger of two sums of lower bounds (the chain rule):
    ///
    /// ```text
    /// TC = I(z_1; ...; z_M) + I(y; z_1, ..., z_M) = sum_m I(y; z_m) + I(z_1; ...; z_M | y)
    /// ```
    ///
    /// where what all share beyond the class is no less than what two of them share.
    pub fn total_correlation(&self) -> f64 {
        let beyond = self.pairs.iter().map(|pair| pair.given_label).fold(0.0, f64::max);
        (self.shared + self.joint_label).max(self.label.iter().sum::<f64>() + beyond)
    }
}

/// Bounds on the information in the features of `measured`, with critics that are fitted to those of `fitted`.
///
/// ```
/// use tcmax_estimators::features::{Features, feature_bounds};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // Two classes; one modality shows them, the other never changes.
/// let examples = |rows: u32| {
///     let labels: Vec<u32> = (0..rows).map(|i| i % 2).collect();
///     let seen = (0..rows).map(|i| f64::from(i % 2) + f64::from(i % 7) / 20.0).collect();
///     Features::new(vec![seen, vec![1.0; rows as usize]], labels, 2)
/// };
/// let bounds = feature_bounds(&examples(200)?, &examples(100)?)?;
/// assert!((bounds.label[0] - 2f64.ln()).abs() < 0.01);
/// assert!(bounds.label[1].abs() < 0.01);
/// assert!((bounds.joint_label - 2f64.ln()).abs() < 0.01);
/// assert!(bounds.total_correlation() < 2f64.ln() + 0.01);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the two have different modalities, widths or classes, or `measured` has fewer than 16 examples.
pub fn feature_bounds(fitted: &Features, measured: &Features) -> Result<FeatureBounds> {
    check(fitted, measured)?;
    let log_prior = fitted.log_prior();
    let within = |z: &Array2<f64>| WithinClasses::of(z, &fitted.labels, fitted.classes);
    let of_modality: Vec<WithinClasses> = fitted.z.iter().map(within).collect();
    let scores = of_modality.iter().zip(&measured.z).map(|(within, z)| discriminant(within, z));
    let scores: Vec<Array2<f64>> = scores.collect();
    let joined = joined_scores(fitted, measured);
    let scored: Vec<Scored<'_>> =
        scores.iter().map(|scores| scored_by(scores, measured, &log_prior)).collect();
    let folds = folds(measured)?;
    let (mut cross_entropies, mut joint_cross_entropy) = (vec![0.0; scores.len()], 0.0);
    let (modalities, mut shared) = (scores.len(), 0.0);
    let mut pairs: Vec<PairBounds> = (0..modalities)
        .flat_map(|b| (0..b).map(move |a| [a, b]))
        .map(|modalities| PairBounds { modalities, shared: 0.0, given_label: 0.0 })
        .collect();
    for [scaled, valued] in &folds {
        let scales: Vec<f64> = scored.iter().map(|scored| scored.scale(scaled)).collect();
        for ((sum, scored), &s) in cross_entropies.iter_mut().zip(&scored).zip(&scales) {
            *sum += scored.cross_entropy(valued, s);
        }
        // As if they were independent given the class; the other sees all columns.
        let sum = Some(weighted_sum(&scores, &scales));
        let candidates: Vec<Scored<'_>> = sum
            .iter()
            .chain(&joined)
            .map(|scores| scored_by(scores, measured, &log_prior))
            .collect();
        joint_cross_entropy += least_cross_entropy(&candidates, [scaled, valued]);
        let log_posteriors = scored.iter().zip(&scales);
        let log_posteriors: Vec<Array2<f64>> =
            log_posteriors.map(|(scored, &s)| scored.log_posteriors(valued, s)).collect();
        let bound = |which: &[usize]| {
            let chosen: Vec<_> = which.iter().map(|&m| &log_posteriors[m]).collect();
            through_the_class(&chosen, &log_prior) / folds.len() as f64
        };
        shared += if modalities > 1 { bound(&(0..modalities).collect::<Vec<_>>()) } else { 0.0 };
        for pair in &mut pairs {
            pair.shared += bound(&pair.modalities);
        }
    }
    add_gaussian(&mut pairs, &of_modality, (fitted, measured), &folds);
    // What all share is no less than what two of them share.
    let shared = pairs.iter().map(|pair| pair.shared).fold(shared, f64::max);
    let (entropy, n) = (measured.label_entropy(), measured.len() as f64);
    Ok(FeatureBounds {
        label: cross_entropies.iter().map(|sum| entropy - sum / n).collect(),
        joint_label: entropy - joint_cross_entropy / n,
        shared,
        pairs,
    })
}

fn check(fitted: &Features, measured: &Features) -> Result<()> {
    let form = |features: &Features| {
        let widths = features.z.iter().map(Array2::ncols);
        widths.chain([features.classes]).collect::<Vec<_>>()
    };
    let (got, wanted) = (form(measured), form(fitted));
    if got == wanted {
        return Ok(());
    }
    let what = "widths of the measured features, and their classes".to_owned();
    Err(Error::WrongShape { what, got, wanted: format!("those of the fit, {wanted:?}") })
}

/// Rows that say how certain to be and rows that are measured, and the other way round.
fn folds(measured: &Features) -> Result<[[Vec<usize>; 2]; 2]> {
    let (got, wanted) = (measured.len(), 16);
    if got < wanted {
        return Err(Error::TooFewSamples { got, wanted, purpose: "bounds from two halves" });
    }
    let [even, odd] = measured.half_rows();
    Ok([[even.clone(), odd.clone()], [odd, even]])
}

fn scored_by<'a>(
    scores: &'a Array2<f64>,
    measured: &'a Features,
    log_prior: &'a [f64],
) -> Scored<'a> {
    Scored { scores, labels: &measured.labels, log_prior }
}

/// The sum of the scores of the modalities, each with its certainty.
fn weighted_sum(scores: &[Array2<f64>], scales: &[f64]) -> Array2<f64> {
    let mut sum = Array2::zeros(scores[0].dim());
    for (scores, &s) in scores.iter().zip(scales) {
        sum.scaled_add(s, scores);
    }
    sum
}

/// The discriminant of the columns of all modalities; none where there is one modality, or there are too many columns.
fn joined_scores(fitted: &Features, measured: &Features) -> Option<Array2<f64>> {
    let columns: usize = fitted.z.iter().map(Array2::ncols).sum();
    if fitted.modalities() == 1 || columns > MOST_JOINED {
        return None;
    }
    let (z, other) = fitted.joined().zip(measured.joined())?;
    Some(discriminant(&WithinClasses::of(&z, &fitted.labels, fitted.classes), &other))
}

/// The cross-entropy of the scores that are the best on the rows that say how certain to be.
fn least_cross_entropy(candidates: &[Scored<'_>], [scaled, valued]: [&[usize]; 2]) -> f64 {
    let fits = candidates.iter().map(|scored| {
        let s = scored.scale(scaled);
        (scored.cross_entropy(scaled, s), scored, s)
    });
    let best = fits.min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(0.0, |(_, scored, s)| scored.cross_entropy(valued, s))
}

/// I(z_a; z_b | y) of each pair, by Gaussian critics; `within` was fitted to the features of `fitted` by `labels` of the
/// two, which may be of a single class: then it is I(z_a; z_b).
fn gaussian_pairs(
    pairs: &[PairBounds],
    within: &[WithinClasses],
    (fitted, measured): (&Features, &Features),
    labels: [&[u32]; 2],
    folds: &[[Vec<usize>; 2]; 2],
) -> Vec<f64> {
    let residuals = |of: &Features, labels: &[u32]| -> Vec<Array2<f64>> {
        within.iter().zip(&of.z).map(|(within, z)| within.residuals(z, labels)).collect()
    };
    let (seen, unseen) = (residuals(fitted, labels[0]), residuals(measured, labels[1]));
    let of_pair = |pair: &PairBounds| {
        let [a, b] = pair.modalities;
        let cross = seen[a].t().dot(&seen[b]) / fitted.len() as f64;
        let [of_a, of_b] = canonical_directions([&within[a], &within[b]], &cross);
        let (u, v) = (unseen[a].dot(&of_a), unseen[b].dot(&of_b));
        let coordinates = Coordinates { u, v, labels: labels[1] };
        let values = folds.iter().map(|[scaled, valued]| coordinates.bound(scaled, valued));
        values.sum::<f64>() / folds.len() as f64
    };
    // In the order of the pairs, for every number of threads.
    pairs.par_iter().map(of_pair).collect()
}

/// Adds what Gaussian critics see to each pair: beyond the class, and whatever the class is.
fn add_gaussian(
    pairs: &mut [PairBounds],
    within: &[WithinClasses],
    data: (&Features, &Features),
    folds: &[[Vec<usize>; 2]; 2],
) {
    let (fitted, measured) = data;
    let given = [&fitted.labels[..], &measured.labels];
    let beyond = gaussian_pairs(pairs, within, data, given, folds);
    let none = [vec![0; fitted.len()], vec![0; measured.len()]];
    let of_all = |z: &Array2<f64>| WithinClasses::of(z, &none[0], 1);
    let whole: Vec<WithinClasses> = match pairs.is_empty() {
        true => Vec::new(),
        false => fitted.z.iter().map(of_all).collect(),
    };
    let shared = gaussian_pairs(pairs, &whole, data, [&none[0], &none[1]], folds);
    for (pair, (beyond, shared)) in pairs.iter_mut().zip(beyond.into_iter().zip(shared)) {
        pair.given_label = beyond;
        pair.shared = pair.shared.max(shared);
    }
}
