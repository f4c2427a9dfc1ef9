//! Bounds of learned features lie below the truth and near it, see nothing where there is nothing, and tell what is
//! shared through the class from what is shared beyond it.

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::features::{FeatureBounds, Features, feature_bounds};
use tcmax_estimators::{Bound, Labels, Reference};

type Rows = Vec<Vec<f64>>;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// How examples are made.
#[derive(Clone, Copy)]
struct Law {
    classes: usize,
    width: usize,
    /// The probability that a modality shows the class; otherwise it shows that it does not.
    shows: [f64; 2],
    /// The correlation of one entry of the two modalities within classes.
    nuisance: f64,
}

const LAW: Law = Law { classes: 4, width: 8, shows: [0.8, 0.8], nuisance: 0.0 };

/// Two modalities, row by row, and labels. What shows the class is a corner of the first entries, in noise; the last entry is
/// the nuisance.
fn draw(law: Law, rows: usize, seed: u64) -> ([Rows; 2], Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut embed = ChaCha8Rng::seed_from_u64(99);
    let corners: Vec<Rows> = (0..2)
        .map(|_| {
            (0..=law.classes)
                .map(|_| (0..law.width).map(|_| 2.0 * normal(&mut embed)).collect())
                .collect()
        })
        .collect();
    let (mut z, mut labels) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..rows {
        let y = rng.random_range(0..law.classes);
        labels.push(y as u32);
        let common = normal(&mut rng);
        for m in 0..2 {
            let shown = if rng.random_bool(law.shows[m]) { y } else { law.classes };
            let mut row: Vec<f64> =
                corners[m][shown].iter().map(|x| x + 0.3 * normal(&mut rng)).collect();
            let own = normal(&mut rng);
            let r = law.nuisance;
            row.push(r.sqrt() * common + (1.0 - r).sqrt() * own);
            z[m].push(row);
        }
    }
    (z, labels)
}

fn features(z: &[Rows; 2], labels: &[u32], classes: usize) -> Features {
    Features::new(z.iter().map(|z| z.concat()).collect(), labels.to_vec(), classes).unwrap()
}

fn bounds(law: Law, rows: [usize; 2], seed: u64) -> FeatureBounds {
    let of = |rows: usize, seed: u64| {
        let (z, labels) = draw(law, rows, seed);
        features(&z, &labels, law.classes)
    };
    feature_bounds(&of(rows[0], seed), &of(rows[1], seed + 1)).unwrap()
}

fn all(found: &FeatureBounds) -> [f64; 6] {
    let pair = &found.pairs[0];
    [
        found.label[0],
        found.label[1],
        found.joint_label,
        found.shared,
        pair.given_label,
        found.total_correlation(),
    ]
}

fn assert_within(found: [f64; 6], truth: [f64; 6], share: f64, noise: f64) {
    for (n, (found, truth)) in found.iter().zip(truth).enumerate() {
        assert!(*found < truth + noise, "{n}: {found} above {truth}");
        assert!(*found > share * truth - noise, "{n}: {found} far below {truth}");
    }
}

/// I(y; z_1), I(y; z_2), I(y; z), I(z_1; z_2), I(z_1; z_2 | y), TC.
fn truth(law: Law) -> [f64; 6] {
    let entropy = (law.classes as f64).ln();
    let [a, b] = law.shows;
    let nuisance = -0.5 * (1.0 - law.nuisance.powi(2)).ln();
    let (joint, shared) = ((a + b - a * b) * entropy, a * b * entropy + nuisance);
    [a * entropy, b * entropy, joint, shared, nuisance, joint + shared]
}

#[test]
fn bounds_lie_below_the_truth_and_near_it() {
    for seed in 0..3 {
        let found = bounds(LAW, [1_000, 1_000], 10 * seed);
        assert_within(all(&found), truth(LAW), 0.9, 0.04);
        assert_eq!(found.pairs[0].shared, found.shared, "two modalities are a pair");
        // Few examples, as small data sets have them.
        assert_within(all(&bounds(LAW, [300, 200], 10 * seed + 5)), truth(LAW), 0.75, 0.12);
    }
    // One modality tells little.
    let weak = Law { shows: [0.1, 0.9], ..LAW };
    assert_within(all(&bounds(weak, [1_000, 1_000], 7)), truth(weak), 0.85, 0.04);
}

#[test]
fn what_is_shared_beyond_the_class_is_seen_as_such() {
    for (width, rows) in [(8, 500), (64, 1_000)] {
        let law = Law { nuisance: 0.8, width, ..LAW };
        let found = bounds(law, [rows, 1_000], 3);
        let nuisance = truth(law)[4];
        let given_label = found.pairs[0].given_label;
        assert!(given_label < nuisance + 0.05, "{given_label} above {nuisance}");
        assert!(given_label > 0.7 * nuisance, "{given_label} far below {nuisance}");
        assert!(found.shared < truth(law)[3] + 0.04);
        let (total, truth) = (found.total_correlation(), truth(law)[5]);
        assert!(total < truth + 0.08 && total > 0.85 * truth, "{total} {truth}");
    }
}

#[test]
fn what_is_shared_is_seen_where_the_class_has_no_part_in_it() {
    let law = Law { nuisance: 0.9, shows: [0.0, 0.0], ..LAW };
    let found = bounds(law, [500, 500], 11);
    let truth = truth(law);
    assert_eq!((truth[0], truth[3]), (0.0, truth[4]));
    for value in [found.shared, found.pairs[0].shared, found.total_correlation()] {
        assert!(value < truth[3] + 0.06 && value > 0.7 * truth[3], "{value} {}", truth[3]);
    }
}

#[test]
fn nothing_is_seen_where_there_is_nothing() {
    let law = Law { shows: [0.0, 0.0], width: 16, ..LAW };
    let draws = 40;
    let (mut sums, mut largest) = ([0.0; 6], 0.0f64);
    for seed in 0..draws {
        for (sum, found) in sums.iter_mut().zip(all(&bounds(law, [200, 200], 1_000 + 2 * seed))) {
            *sum += found.max(0.0) / draws as f64;
            largest = largest.max(found);
        }
    }
    assert!(sums.iter().all(|mean| *mean < 0.005), "{sums:?}");
    assert!(largest < 0.06, "{largest}");
}

#[test]
fn pairing_within_classes_counts_for_what_is_beyond_the_class_alone() {
    let law = Law { nuisance: 0.9, ..LAW };
    let repaired = |rows: usize, seed: u64| {
        let (mut z, labels) = draw(law, rows, seed);
        let before = features(&z, &labels, law.classes);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for class in 0..law.classes as u32 {
            let own: Vec<usize> = (0..rows).filter(|&row| labels[row] == class).collect();
            let mut other = own.clone();
            other.shuffle(&mut rng);
            let old = z[1].clone();
            own.iter().zip(other).for_each(|(&to, from)| z[1][to].clone_from(&old[from]));
        }
        (before, features(&z, &labels, law.classes), z, labels)
    };
    let (fitted, fitted_anew, ..) = repaired(600, 1);
    let (measured, measured_anew, z, labels) = repaired(600, 2);
    let (before, after) = (
        feature_bounds(&fitted, &measured).unwrap(),
        feature_bounds(&fitted_anew, &measured_anew).unwrap(),
    );
    assert!(before.pairs[0].given_label > 0.5 * truth(law)[4], "{before:?}");
    assert!(after.pairs[0].given_label.abs() < 0.02, "{after:?}");
    for m in 0..2 {
        assert!((before.label[m] - after.label[m]).abs() < 0.02, "{before:?} {after:?}");
    }
    // An additive head: its bound has the same value, to rounding.
    let (old, _) = draw(law, 600, 2);
    let labels = Labels::new(&labels, law.classes, &Device::Cpu).unwrap();
    let additive = |z: &[Rows; 2]| {
        let terms = z.clone().map(|z| {
            let first: Rows = z.iter().map(|row| row[..law.classes].to_vec()).collect();
            Tensor::new(first, &Device::Cpu).unwrap()
        });
        let critic = TermsCritic::new(2, law.classes);
        Bound::new(&critic, &terms, &labels, Reference::all()).unwrap().total_correlation().unwrap()
    };
    assert!((additive(&old) - additive(&z)).abs() < 1e-10);
}

#[test]
fn units_and_constants_change_nothing() {
    let other_units = |law: Law, rows: usize, seed: u64| {
        let (mut z, labels) = draw(law, rows, seed);
        for row in z.iter_mut().flatten() {
            for (n, x) in row.iter_mut().enumerate() {
                *x = 1e3 * (n + 1) as f64 * *x - 7.0;
            }
            row.push(5.0);
        }
        features(&z, &labels, law.classes)
    };
    let plain = all(&bounds(LAW, [300, 200], 4));
    let scaled = feature_bounds(&other_units(LAW, 300, 4), &other_units(LAW, 200, 5)).unwrap();
    for (a, b) in plain.iter().zip(all(&scaled)) {
        assert!((a - b).abs() < 0.02, "{a} {b}");
    }
}

#[test]
fn many_classes_and_columns_are_no_trouble() {
    let law = Law { classes: 309, width: 511, shows: [0.9, 0.9], ..LAW };
    let found = bounds(law, [1_500, 700], 8);
    // Of the pairs of 350 examples in each half, too few are of one class for more.
    assert_within(all(&found), truth(law), 0.3, 0.05);
}

#[test]
fn features_of_another_form_are_refused() {
    let of = |law: Law, rows: usize| {
        let (z, labels) = draw(law, rows, 1);
        features(&z, &labels, law.classes)
    };
    let error =
        feature_bounds(&of(LAW, 50), &of(Law { width: 3, ..LAW }, 50)).unwrap_err().to_string();
    assert!(error.contains("[4, 4, 4]") && error.contains("[9, 9, 4]"), "{error}");
    assert!(feature_bounds(&of(LAW, 50), &of(LAW, 12)).is_err());
}
