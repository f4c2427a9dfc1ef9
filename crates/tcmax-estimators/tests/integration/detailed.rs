//! Permutation tests and values of rows, of every kind of estimator.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::fit::{FitConfig, Wanted, fit_detailed};
use tcmax_estimators::{
    DetailedEstimate, ESTIMATORS, Error, EstimatorKind, Result, Sample, Variable, estimate,
    estimate_detailed, estimators, retrained_permutation_test,
};
use tcmax_ops::Seed;

/// x and y with a correlation.
fn pair(correlation: f64, rows: usize, seed: u64) -> Sample {
    let mut rng = Seed::new(seed).rng();
    let mut draw = || -> Vec<f64> { (0..rows).map(|_| StandardNormal.sample(&mut rng)).collect() };
    let (x, noise) = (draw(), draw());
    let rest = (1.0 - correlation * correlation).sqrt();
    let y = x.iter().zip(noise).map(|(x, e)| correlation * x + rest * e).collect();
    let variable = |name, values| Variable::continuous(name, values, 1).unwrap();
    Sample::new(vec![variable("x", x), variable("y", y)]).unwrap()
}

/// Classes of which the second is the first in some of the rows.
fn classes(rows: usize, copied: f64) -> Sample {
    let mut rng = Seed::new(4).rng();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let first = f64::from(rng.random_range(0..4));
        let other = f64::from(rng.random_range(0..4));
        a.push(first);
        b.push(if rng.random::<f64>() < copied { first } else { other });
    }
    let variable = |name, values: &[f64]| Variable::categorical(name, values).unwrap();
    Sample::new(vec![variable("a", &a), variable("b", &b)]).unwrap()
}

fn detailed(
    sample: &Sample,
    estimator: &str,
    seeds: &[u64],
    wanted: Wanted,
) -> Result<DetailedEstimate> {
    let config = FitConfig {
        estimator: estimators().get(estimator)?,
        hidden: vec![16],
        steps: 60,
        evaluation_tuples: 20_000,
        bootstrap: 20,
        ..FitConfig::default()
    };
    estimate_detailed(sample, &config.check()?, seeds, wanted, &|_| {})
}

const ROWS: Wanted = Wanted { permutations: 0, pointwise: true };

#[test]
fn the_mean_of_the_rows_is_the_estimate() {
    let sample = pair(0.8, 1000, 1);
    for spec in ESTIMATORS {
        let name = spec.name;
        let sample = if name == "counts" { &classes(500, 0.5) } else { &sample };
        if matches!(spec.kind, EstimatorKind::Sum(_)) {
            let refused = detailed(sample, name, &[0], ROWS);
            assert!(matches!(refused, Err(Error::Setting { .. })), "{name}");
            continue;
        }
        let found = detailed(sample, name, &[0, 1], ROWS).unwrap();
        let rows = found.pointwise.unwrap();
        assert_eq!(rows.len(), sample.len(), "{name}");
        let sum: f64 = rows.iter().filter_map(|r| Some(r.value? * r.seeds as f64)).sum();
        let count: usize = rows.iter().map(|row| row.seeds).sum();
        let (mean, wanted) = (sum / count as f64, found.estimate.held_out());
        assert!((mean - wanted).abs() < 1e-9, "{name}: {mean} is not {wanted}");
        assert!(wanted > 0.2, "{name}: {wanted}");
        let untested = rows.iter().filter(|row| row.seeds == 0);
        assert!(untested.clone().all(|row| row.value.is_none()), "{name}");
        // Half of the rows are in neither test split of 30 %.
        let trains = matches!(spec.kind, EstimatorKind::Critic(_));
        assert_eq!(untested.count() > 400, trains, "{name}");
    }
}

#[test]
fn folds_give_every_row_a_value() {
    let config = FitConfig {
        hidden: vec![16],
        steps: 40,
        folds: 3,
        evaluation_tuples: 20_000,
        bootstrap: 20,
        ..FitConfig::default()
    };
    let wanted = Wanted { permutations: 39, pointwise: true };
    let found =
        fit_detailed(&pair(0.8, 601, 1), &config.check().unwrap(), Seed::new(2), wanted, &|_| {});
    let found = found.unwrap();
    let rows = found.pointwise.unwrap();
    assert!(rows.iter().map(|(row, _)| *row).eq(0..601));
    let mean = rows.iter().map(|(_, value)| value).sum::<f64>() / 601.0;
    assert!((mean - found.fit.held_out).abs() < 1e-9, "{mean} is not {}", found.fit.held_out);
    assert_eq!(found.permutation_test.unwrap().p_value, 0.025);
}

#[test]
fn values_of_rows_are_log_ratios() {
    let correlation = 0.8f64;
    let sample = pair(correlation, 4000, 1);
    let [x, y] = [0, 1].map(|v| sample.variables()[v].values());
    let rest = 1.0 - correlation * correlation;
    let truth = |row: usize| {
        let (x, y) = (x[row], y[row]);
        let inside = correlation * correlation * (x * x + y * y) - 2.0 * correlation * x * y;
        -0.5 * rest.ln() - 0.5 * inside / rest
    };
    // Nearest neighbours have a noise of about one nat in every row.
    for (estimator, most) in [("gaussian", 0.1), ("tcne", 0.2), ("ksg", 0.7)] {
        let found = detailed(&sample, estimator, &[0], ROWS).unwrap();
        let values = found.pointwise.unwrap().into_iter().enumerate();
        let errors: Vec<f64> =
            values.filter_map(|(row, found)| Some((found.value? - truth(row)).abs())).collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!(mean < most, "{estimator}: {mean}");
    }
}

#[test]
fn classes_have_the_ratios_of_their_frequencies() {
    let sample = classes(400, 1.0);
    for estimator in ["counts", "ksg"] {
        let found = detailed(&sample, estimator, &[], ROWS).unwrap();
        for row in found.pointwise.unwrap() {
            assert!((row.value.unwrap() - 4f64.ln()).abs() < 0.3, "{estimator}: {row:?}");
        }
    }
}

#[test]
fn kept_critics_find_dependence_and_nothing_else() {
    let wanted = Wanted { permutations: 99, pointwise: false };
    for estimator in ["tcne", "infonce", "nwj"] {
        let p = |sample: &Sample, seed| {
            let found = detailed(sample, estimator, &[seed], wanted).unwrap();
            let test = found.permutation_test.unwrap();
            let held_out = found.estimate.held_out();
            assert!((test.statistic - held_out).abs() < 1e-9, "{estimator}: {test:?}");
            test.p_value
        };
        assert_eq!(p(&pair(0.5, 600, 1), 0), 0.01, "{estimator}");
        let null: Vec<f64> = (0..12).map(|draw| p(&pair(0.0, 200, 50 + draw), draw)).collect();
        // Of twelve uniform numbers one is above 0.5 with probability 0.9998, and six below 0.1 hardly ever.
        assert!(null.iter().any(|&p| p > 0.5), "{estimator}: {null:?}");
        assert!(null.iter().filter(|&&p| p < 0.1).count() < 6, "{estimator}: {null:?}");
    }
}

#[test]
fn critics_can_be_trained_for_every_permutation() {
    let sample = pair(0.7, 200, 3);
    let config = FitConfig {
        hidden: vec![8],
        steps: 20,
        evaluation_tuples: 2000,
        bootstrap: 20,
        ..FitConfig::default()
    };
    let config = config.check().unwrap();
    let test = retrained_permutation_test(&sample, &config, 19, 0, &|_| {}).unwrap();
    assert_eq!((test.p_value, test.permutations), (0.05, 19));
    let held_out = estimate(&sample, &config, &[0]).unwrap().held_out();
    assert_eq!(test.statistic, held_out);
    assert!(test.null_mean < 0.1);
}

#[test]
fn computed_estimates_are_tested_with_their_own_values() {
    let wanted = Wanted { permutations: 199, pointwise: false };
    for (estimator, sample, other) in [
        ("gaussian", pair(0.3, 300, 1), pair(0.0, 300, 2)),
        ("ksg", pair(0.6, 200, 1), pair(0.0, 200, 2)),
        ("counts", classes(200, 0.4), classes(200, 0.0)),
    ] {
        let test = |sample| detailed(sample, estimator, &[3], wanted).unwrap().permutation_test;
        let found = test(&sample).unwrap();
        assert_eq!(found.p_value, 0.005, "{estimator}: {found:?}");
        assert!(test(&other).unwrap().p_value > 0.02, "{estimator}");
        // The same seed gives the same permutations.
        assert_eq!(test(&sample).unwrap(), found);
    }
}
