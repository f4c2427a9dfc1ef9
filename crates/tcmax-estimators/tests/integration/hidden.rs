//! What is easily overlooked: a common scale, directions that turn with the norm, signs whose product is known; and
//! what no estimate may do: depend on coordinates, or rise where something was thrown away.

use rand_distr::{ChiSquared, Distribution, StandardNormal};
use tcmax_estimators::fit::{Fit, FitConfig, fit};
use tcmax_estimators::{Sample, Variable};
use tcmax_ops::Seed;

/// Rows of normal numbers.
fn normal(rows: usize, columns: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Seed::new(seed).rng();
    (0..rows).map(|_| (0..columns).map(|_| StandardNormal.sample(&mut rng)).collect()).collect()
}

fn variable(name: &str, rows: &[Vec<f64>]) -> Variable {
    Variable::continuous(name, rows.concat(), rows[0].len()).unwrap()
}

fn pair(x: &[Vec<f64>], y: &[Vec<f64>]) -> Sample {
    Sample::new(vec![variable("x", x), variable("y", y)]).unwrap()
}

fn config() -> FitConfig {
    FitConfig {
        hidden: vec![32, 32],
        steps: 400,
        evaluation_tuples: 40_000,
        bootstrap: 50,
        ..FitConfig::default()
    }
}

fn run(sample: &Sample, config: FitConfig) -> Fit {
    fit(sample, &config.check().unwrap(), Seed::new(1)).unwrap()
}

#[test]
fn the_scale_that_heavy_tails_share_is_found_under_any_map_of_the_columns() {
    const ROWS: usize = 4000;
    let (mut x, mut y) = (normal(ROWS, 2, 1), normal(ROWS, 2, 2));
    let (law, mut rng) = (ChiSquared::new(1.0).unwrap(), Seed::new(3).rng());
    for (x, y) in x.iter_mut().zip(&mut y) {
        let squares: f64 = law.sample(&mut rng);
        let scale = 1.0 / squares.sqrt();
        x.iter_mut().chain(y).for_each(|value| *value *= scale);
    }
    // A Student-t law of one degree of freedom without correlations: 0.4324 nats.
    let found = run(&pair(&x, &y), config()).value;
    assert!(found > 0.36 && found < 0.50, "{found}");
    let asinh = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.iter().map(|value| value.asinh()).collect()).collect()
    };
    let mapped = run(&pair(&asinh(&x), &asinh(&y)), config()).value;
    assert!(mapped > 0.33 && mapped < 0.50, "{mapped}");
}

#[test]
fn directions_that_turn_with_the_norm_are_followed() {
    const RHO: f64 = 0.8;
    const COLUMNS: usize = 12;
    let x = normal(4000, COLUMNS, 4);
    let noise = normal(4000, COLUMNS, 5);
    let follow = |(x, e): (&Vec<f64>, &Vec<f64>)| {
        let mut y = e.clone();
        (0..2).for_each(|i| y[i] = RHO * x[i] + (1.0 - RHO * RHO).sqrt() * e[i]);
        y
    };
    let y: Vec<Vec<f64>> = x.iter().zip(&noise).map(follow).collect();
    let turned = |rows: &[Vec<f64>], i: usize, j: usize| -> Vec<Vec<f64>> {
        let turn = |row: &Vec<f64>| {
            let squares: f64 = row.iter().map(|x| x * x).sum();
            let (sin, cos) = (squares / COLUMNS as f64).sin_cos();
            let mut row = row.clone();
            (row[i], row[j]) = (cos * row[i] - sin * row[j], sin * row[i] + cos * row[j]);
            row
        };
        rows.iter().map(turn).collect()
    };
    let sample = pair(&turned(&x, 0, 1), &turned(&y, 1, 2));
    // Two pairs of correlation 0.8 share 1.02 nats.
    let with = run(&sample, config()).value;
    let without = run(&sample, FitConfig { norms: false, ..config() }).value;
    assert!(with > 0.7, "{with}");
    assert!(with > without + 0.1, "{with} and {without} without norms");
}

#[test]
fn signs_whose_product_is_known_are_found() {
    const VARIABLES: usize = 4;
    let mut rows = normal(5000, VARIABLES, 6);
    for row in &mut rows {
        let sign: f64 = row[1..].iter().map(|x| x.signum()).product();
        row[0] = row[0].abs() * sign;
    }
    let column = |m: usize| {
        let values = rows.iter().map(|row| row[m]).collect();
        Variable::continuous(format!("x{m}"), values, 1).unwrap()
    };
    let sample = Sample::new((0..VARIABLES).map(column).collect()).unwrap();
    let found = run(&sample, FitConfig { patience: 6, ..config() }).value;
    assert!(found > 0.85 * 2f64.ln(), "{found}");
}

#[test]
fn folds_test_on_all_examples() {
    let x = normal(3000, 1, 7);
    let noise = normal(3000, 1, 8);
    let y: Vec<Vec<f64>> =
        x.iter().zip(&noise).map(|(x, e)| vec![0.6 * x[0] + 0.8 * e[0]]).collect();
    let sample = pair(&x, &y);
    let one = run(&sample, config());
    let three = run(&sample, FitConfig { folds: 3, ..config() });
    assert_eq!(one.examples[2], 900);
    assert_eq!(three.examples[2], 3000);
    assert!(three.standard_error < 0.8 * one.standard_error);
    // -1/2 log(1 - 0.36).
    assert!((three.value - 0.2231).abs() < 0.05, "{}", three.value);
    let again = run(&sample, FitConfig { folds: 3, ..config() });
    assert_eq!(three, again, "one seed fixes all folds");
    assert!(FitConfig { folds: 0, ..config() }.check().is_err());
}

#[test]
fn turning_a_variable_changes_nothing_and_throwing_away_adds_nothing() {
    const RHO: f64 = 0.7;
    let x = normal(4000, 2, 9);
    let noise = normal(4000, 2, 10);
    let follow = |(x, e): (&Vec<f64>, &Vec<f64>)| {
        let other = (1.0 - RHO * RHO).sqrt();
        vec![RHO * x[0] + other * e[0], RHO * x[1] + other * e[1]]
    };
    let y: Vec<Vec<f64>> = x.iter().zip(&noise).map(follow).collect();
    let whole = run(&pair(&x, &y), config());
    let turned: Vec<Vec<f64>> = x
        .iter()
        .map(|x| {
            let (sin, cos) = 0.6f64.sin_cos();
            vec![cos * x[0] - sin * x[1], sin * x[0] + cos * x[1]]
        })
        .collect();
    let noise_of_both = 3.0 * whole.standard_error;
    let of_turned = run(&pair(&turned, &y), config());
    let difference = (of_turned.value - whole.value).abs();
    assert!(difference < noise_of_both, "{} and {}", of_turned.value, whole.value);
    // Less and less of x.
    let only_first: Vec<Vec<f64>> = x.iter().map(|x| vec![x[0]]).collect();
    let rounded: Vec<Vec<f64>> = only_first.iter().map(|x| vec![x[0].round()]).collect();
    let mut before = whole.value;
    for less in [only_first, rounded] {
        let found = run(&pair(&less, &y), config()).value;
        assert!(found < before + noise_of_both, "{found} of less, {before} of more");
        before = found;
    }
    assert!(before < 0.6 * whole.value);
}
