//! Smoothed labels and weighted classes in every loss that takes labels, against sums written out here.

use candle_core::{Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_estimators::critic::TermsCritic;
use tcmax_losses::{cross_entropy, tcmax, unimodal};

const CLASSES: usize = 3;
const TRUTH: [u32; 4] = [2, 0, 2, 1];
const WEIGHTS: [f64; CLASSES] = [0.5, 2.0, 1.25];
const SMOOTHING: f64 = 0.3;

/// Logits of two modalities, (N, C) each.
const LOGITS: [[[f64; CLASSES]; 4]; 2] = [
    [[0.2, -1.0, 1.5], [2.0, 0.1, -0.4], [0.0, 0.3, -0.2], [-1.1, 0.9, 0.4]],
    [[-0.6, 0.5, 0.7], [0.3, 0.3, -2.0], [1.2, -0.8, 2.5], [0.1, 0.6, -0.3]],
];

/// The target of an example: what smoothing leaves of its class, and the share of all.
fn target(row: usize) -> [f64; CLASSES] {
    let mut q = [SMOOTHING / CLASSES as f64; CLASSES];
    q[TRUTH[row] as usize] += 1.0 - SMOOTHING;
    q
}

/// The mean of one value an example by the weights of their classes.
fn weighted_mean(value: impl Fn(usize) -> f64) -> f64 {
    let weight = |row: usize| WEIGHTS[TRUTH[row] as usize];
    let total: f64 = (0..TRUTH.len()).map(weight).sum();
    (0..TRUTH.len()).map(|row| weight(row) * value(row)).sum::<f64>() / total
}

fn expected_cross_entropy(logits: &[[f64; CLASSES]; 4]) -> f64 {
    weighted_mean(|row| {
        let total: f64 = logits[row].iter().map(|f| f.exp()).sum();
        target(row).iter().zip(&logits[row]).map(|(q, f)| -q * (f.exp() / total).ln()).sum()
    })
}

fn labels() -> Labels {
    let labels = Labels::new(&TRUTH, CLASSES, &Device::Cpu).unwrap();
    labels.smoothed(SMOOTHING).unwrap().weighted(&WEIGHTS).unwrap()
}

fn tensors() -> Vec<Tensor> {
    LOGITS.iter().map(|logits| Tensor::new(logits, &Device::Cpu).unwrap()).collect()
}

fn assert_near(found: &Tensor, wanted: f64) {
    let found = found.to_scalar::<f64>().unwrap();
    assert!((found - wanted).abs() < 1e-12, "{found} is not {wanted}");
}

#[test]
fn cross_entropies_are_weighted_means_over_smoothed_targets() {
    let (labels, tensors) = (labels(), tensors());
    assert_near(&cross_entropy(&tensors[0], &labels).unwrap(), expected_cross_entropy(&LOGITS[0]));
    let wanted = LOGITS.iter().map(expected_cross_entropy).sum();
    assert_near(&unimodal(&tensors, &labels).unwrap(), wanted);
}

#[test]
fn tcmax_weighs_and_smooths_the_joint_examples_alone() {
    let sum = |i: usize, j: usize, c: usize| LOGITS[0][i][c] + LOGITS[1][j][c];
    let joint = weighted_mean(|row| {
        target(row).iter().enumerate().map(|(c, q)| q * sum(row, row, c)).sum()
    });
    let rows = 0..TRUTH.len();
    let tuples = rows.clone().flat_map(|i| rows.clone().map(move |j| (i, j)));
    let outcomes = tuples.flat_map(|(i, j)| (0..CLASSES).map(move |c| (i, j, c)));
    let mean =
        outcomes.clone().map(|(i, j, c)| sum(i, j, c).exp()).sum::<f64>() / outcomes.count() as f64;
    let critic = TermsCritic::new(2, CLASSES);
    assert_near(&tcmax(&critic, &tensors(), &labels()).unwrap(), mean.ln() - joint);
}
