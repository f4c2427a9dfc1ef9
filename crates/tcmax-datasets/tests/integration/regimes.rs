//! The regimes are what their names say, and a seed fixes every bit of them.

use tcmax_data::{Dataset, Modality, Splits};
use tcmax_datasets::{Regime, RegimesConfig, regimes};
use tcmax_ops::Seed;

fn config(regime: Regime) -> RegimesConfig {
    RegimesConfig { regime, ..RegimesConfig::default() }
}

fn input(data: &dyn Dataset, example: usize, modality: usize) -> Vec<f32> {
    let mut out = vec![0f32; data.modalities()[modality].len()];
    data.read(example, modality, Seed::new(0), &mut out).unwrap();
    out
}

#[test]
fn a_seed_fixes_every_bit_and_another_changes_all() {
    for regime in Regime::ALL {
        let small = RegimesConfig {
            train_size: Some(9),
            val_size: 5,
            test_size: 6,
            missing: 0.3,
            ..config(regime)
        };
        let [one, again, other] = [3, 3, 4].map(|seed| regimes::splits(&small, seed).unwrap());
        for (example, m) in [(0, 0), (8, 1), (4, 0)] {
            let bits = |splits: &Splits| {
                input(splits.train.as_ref(), example, m).into_iter().map(f32::to_bits).collect()
            };
            let (one, again): (Vec<u32>, Vec<u32>) = (bits(&one), bits(&again));
            assert_eq!(one, again, "{regime:?}");
        }
        // Some lack the modality, and read as zeros.
        let all = |splits: &Splits| -> Vec<f32> {
            (0..6).flat_map(|example| input(splits.test.as_ref(), example, 0)).collect()
        };
        assert_ne!(all(&one), all(&other));
        assert_ne!(one.train.identity(0).unwrap(), other.train.identity(0).unwrap());
        assert_eq!(one.train.identity(8).unwrap(), again.train.identity(8).unwrap());
        assert_ne!(one.train.identity(0).unwrap(), one.test.identity(0).unwrap());
    }
}

#[test]
fn shapes_sizes_and_classes_are_those_of_the_regime() {
    let wanted = [(600, vec![64, 24]), (600, vec![64; 2]), (300, vec![64; 6]), (300, vec![64; 3])];
    let wanted = wanted.into_iter().chain([(300, vec![64; 6])]);
    for (regime, (examples, widths)) in Regime::ALL.into_iter().zip(wanted) {
        let splits = regimes::splits(&config(regime), 0).unwrap();
        let found: Vec<usize> = splits.train.modalities().iter().map(Modality::len).collect();
        assert_eq!(found, widths, "{regime:?}");
        let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
        assert_eq!(sizes, [examples, 300, 2_000], "{regime:?}");
        let mut counts = [0; 4];
        (0..examples).for_each(|n| counts[splits.train.label(n) as usize] += 1);
        assert_eq!(counts, [examples / 4; 4]);
    }
}

#[test]
fn a_share_of_the_examples_lacks_one_modality_and_nothing_else_changes() {
    let whole = regimes::splits(&config(Regime::ThreeNoisy), 1).unwrap();
    let some = RegimesConfig { missing: 0.3, ..config(Regime::ThreeNoisy) };
    let some = regimes::splits(&some, 1).unwrap();
    let mut lacking = [0; 3];
    for example in 0..some.test.len() {
        let absent: Vec<usize> = (0..3).filter(|&m| !some.test.present(example, m)).collect();
        assert!(absent.len() <= 1);
        absent.iter().for_each(|&m| lacking[m] += 1);
        let present = (0..3).find(|m| !absent.contains(m)).unwrap();
        let [one, other] = [&whole, &some].map(|s| input(s.test.as_ref(), example, present));
        assert_eq!(one, other);
    }
    let total: i32 = lacking.iter().sum();
    assert!((500..700).contains(&total), "{total} of 2000");
    assert!(lacking.iter().all(|&count| count > 140), "{lacking:?}");
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let good = RegimesConfig::default();
    for (config, field) in [
        (RegimesConfig { noise: Some(-1.0), ..good.clone() }, "noise"),
        (RegimesConfig { missing: 1.1, ..good.clone() }, "missing"),
        (RegimesConfig { train_size: Some(0), ..good.clone() }, "train-size"),
        (RegimesConfig { test_size: usize::MAX, ..good.clone() }, "test-size"),
    ] {
        let Err(error) = regimes::splits(&config, 0) else { panic!("{field} is refused") };
        assert!(error.to_string().contains(field), "{error}");
    }
}

/// What a linear probe of some modalities is right on, in percent of the test split: the squared distance to one-hot
/// labels, with a small penalty, in closed form.
fn probe(splits: &Splits, modalities: &[usize]) -> f64 {
    let row = |data: &dyn Dataset, example: usize| -> Vec<f64> {
        let inputs = modalities.iter().flat_map(|&m| input(data, example, m));
        inputs.map(f64::from).chain([1.0]).collect()
    };
    let train = splits.train.as_ref();
    let width = row(train, 0).len();
    let (mut gram, mut targets) = (vec![vec![0.0; width]; width], vec![vec![0.0; 4]; width]);
    for example in 0..train.len() {
        let x = row(train, example);
        for ((row, target), &value) in gram.iter_mut().zip(&mut targets).zip(&x) {
            row.iter_mut().zip(&x).for_each(|(sum, other)| *sum += value * other);
            target[train.label(example) as usize] += value;
        }
    }
    (0..width).for_each(|i| gram[i][i] += 3.0);
    let weights = solved(gram, targets);
    let test = splits.test.as_ref();
    let is_right = |example: &usize| {
        let x = row(test, *example);
        let score = |class: usize| -> f64 { (0..width).map(|i| x[i] * weights[i][class]).sum() };
        let best = (0..4).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap();
        best == test.label(*example) as usize
    };
    100.0 * (0..test.len()).filter(is_right).count() as f64 / test.len() as f64
}

/// Gaussian elimination of a positive definite matrix.
fn solved(mut matrix: Vec<Vec<f64>>, mut right: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for pivot in 0..matrix.len() {
        let (pivot_row, pivot_right) = (matrix[pivot].clone(), right[pivot].clone());
        for (row, (values, targets)) in matrix.iter_mut().zip(&mut right).enumerate() {
            let factor = values[pivot] / pivot_row[pivot];
            if row == pivot {
                continue;
            }
            values.iter_mut().zip(&pivot_row).for_each(|(value, other)| *value -= factor * other);
            targets
                .iter_mut()
                .zip(&pivot_right)
                .for_each(|(value, other)| *value -= factor * other);
        }
    }
    for (row, values) in right.iter_mut().enumerate() {
        values.iter_mut().for_each(|value| *value /= matrix[row][row]);
    }
    right
}

/// The mean over some seeds: class means are random, and some problems are harder than others.
fn accuracy(regime: Regime, modalities: &[usize]) -> f64 {
    let seeds = 0..4;
    let accuracy = |seed| probe(&regimes::splits(&config(regime), seed).unwrap(), modalities);
    seeds.clone().map(accuracy).sum::<f64>() / seeds.count() as f64
}

#[test]
fn no_linear_function_of_the_code_tells_the_class() {
    let (easy, code) = (accuracy(Regime::Competition, &[0]), accuracy(Regime::Competition, &[1]));
    assert!(easy > 70.0, "{easy}");
    assert!(code < 30.0, "{code}");
}

#[test]
fn a_shared_nuisance_is_cancelled_by_the_difference_alone() {
    let alone = [0, 1].map(|m| accuracy(Regime::SharedNuisance, &[m]));
    let both = accuracy(Regime::SharedNuisance, &[0, 1]);
    assert!(alone.iter().all(|&alone| alone < 55.0), "{alone:?}");
    assert!(both > alone[0].max(alone[1]) + 15.0, "{both} of both, {alone:?} alone");
}

#[test]
fn an_empty_modality_tells_almost_nothing() {
    let (good, empty) =
        (accuracy(Regime::OneGoodFiveEmpty, &[0]), accuracy(Regime::OneGoodFiveEmpty, &[3]));
    assert!(good > 55.0, "{good}");
    assert!(empty < 35.0, "{empty}");
}

#[test]
fn noisy_modalities_add_up_and_copies_do_not() {
    let (one, three) =
        (accuracy(Regime::ThreeNoisy, &[0]), accuracy(Regime::ThreeNoisy, &[0, 1, 2]));
    assert!(three > one + 5.0, "{three} of three, {one} of one");
    let (one, five) =
        (accuracy(Regime::FiveCopies, &[0]), accuracy(Regime::FiveCopies, &[0, 1, 2, 3, 4]));
    let other = accuracy(Regime::FiveCopies, &[0, 5]);
    assert!(five < one + 8.0, "{five} of five copies, {one} of one");
    assert!(other > one + 5.0, "{other} with the independent one, {one} without");
}
