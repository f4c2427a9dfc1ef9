//! Nearest neighbours, and cheap estimates beside a fit.

use rand_distr::Distribution;
use tcmax_estimators::{Comparison, Error, KsgConfig, Sample, Variable, ksg};
use tcmax_ops::Seed;

use crate::common::{equicorrelated, sample, truth};

#[test]
fn nearest_neighbours_agree_with_the_closed_form() {
    for (n, rho) in [(2, 0.0), (2, 0.8), (3, 0.6)] {
        let value = ksg(&sample(equicorrelated(n, rho, 2000)), KsgConfig::default()).unwrap();
        assert!((value - truth(n, rho)).abs() < 0.06, "{n} {rho}: {value}");
    }
}

/// `rows` counts of events with this mean.
fn poisson(mean: f64, rows: usize, seed: u64) -> Vec<f64> {
    let mut rng = Seed::new(seed).rng();
    let law = rand_distr::Poisson::new(mean).unwrap();
    (0..rows).map(|_| law.sample(&mut rng)).collect()
}

fn class(name: &str, values: &[f64]) -> Variable {
    Variable::categorical(name, values).unwrap()
}

fn number(name: &str, values: Vec<f64>) -> Variable {
    Variable::continuous(name, values, 1).unwrap()
}

fn neighbours(variables: Vec<Variable>) -> f64 {
    ksg(&Sample::new(variables).unwrap(), KsgConfig::default()).unwrap()
}

#[test]
fn nearest_neighbours_invent_nothing_where_numbers_repeat() {
    // Independent: counts, rounded numbers, words.
    let columns = equicorrelated(2, 0.0, 1000);
    let round = |x: &[f64], digits: f64| x.iter().map(|x| (x * digits).round()).collect();
    let (a, b) = (poisson(100.0, 1000, 1), poisson(100.0, 1000, 2));
    for (what, value) in [
        ("counts", neighbours(vec![number("a", a.clone()), number("b", b.clone())])),
        ("counts and numbers", neighbours(vec![number("a", a), number("b", columns[0].clone())])),
        (
            "rounded numbers",
            neighbours(vec![
                number("a", round(&columns[0], 10.0)),
                number("b", round(&columns[1], 10.0)),
            ]),
        ),
        (
            "words",
            neighbours(vec![
                class("a", &poisson(20.0, 1000, 3)),
                class("b", &poisson(20.0, 1000, 4)),
            ]),
        ),
        (
            "words and numbers",
            neighbours(vec![class("a", &poisson(20.0, 1000, 3)), number("b", columns[0].clone())]),
        ),
        (
            "all together",
            neighbours(vec![
                class("a", &poisson(3.0, 1000, 3)),
                class("b", &poisson(3.0, 1000, 4)),
                number("c", columns[0].clone()),
                number("d", poisson(3.0, 1000, 5)),
            ]),
        ),
    ] {
        assert!(value.abs() < 0.06, "{what}: {value}");
    }
    // Rounded to tenths, correlated numbers keep all but a little.
    let columns = equicorrelated(2, 0.8, 1000);
    let rounded = columns.iter().map(|column| round(column, 10.0));
    let value = ksg(&sample(rounded.collect()), KsgConfig::default()).unwrap();
    assert!((value - truth(2, 0.8)).abs() < 0.07, "{value} is not {}", truth(2, 0.8));
    // Few equal numbers are classes.
    let steps: Vec<f64> = (0..100).map(|i| f64::from(i % 4)).collect();
    let value = ksg(&sample(vec![steps.clone(), steps]), KsgConfig::default()).unwrap();
    assert!((value - 4f64.ln()).abs() < 0.02, "{value}");
}

#[test]
fn nearest_neighbours_know_classes_by_equality_alone() {
    // Gao et al. (2017): x uniform in 0..5, y uniform in [x, x + 2]: log 5 - 4/5 log 2.
    let mut rng = Seed::new(7).rng();
    let mut draw = || rand::Rng::random::<f64>(&mut rng);
    let x: Vec<f64> = (0..1000).map(|_| (5.0 * draw()).floor()).collect();
    let y: Vec<f64> = x.iter().map(|x| x + 2.0 * draw()).collect();
    let truth = 5f64.ln() - 0.8 * 2f64.ln();
    let value = neighbours(vec![class("x", &x), number("y", y.clone())]);
    assert!((value - truth).abs() < 0.05, "{value} is not {truth}");
    let renumbered: Vec<f64> =
        x.iter().map(|x| [70.0, -3.0, 1.0, 900.0, 2.5][*x as usize]).collect();
    assert_eq!(value, neighbours(vec![class("x", &renumbered), number("y", y.clone())]));
    // In a group too, where a class is an indicator column: a number without any relation adds nothing.
    let noise = equicorrelated(1, 0.0, 1000).remove(0);
    let group =
        Sample::new(vec![class("x", &x), number("e", noise), number("y", y.clone())]).unwrap();
    let group = group.grouped(&[&[0, 1], &[2]]).unwrap();
    let value = ksg(&group, KsgConfig::default()).unwrap();
    assert!((value - truth).abs() < 0.15, "{value} is not {truth}");

    let alone: Vec<f64> = (0..1000).map(f64::from).collect();
    let error =
        |variables| ksg(&Sample::new(variables).unwrap(), KsgConfig::default()).unwrap_err();
    let of_words = error(vec![class("id", &alone), class("x", &x)]);
    assert!(matches!(of_words, Error::RareClasses { rows: 1000, .. }), "{of_words}");
    let of_numbers = error(vec![class("id", &alone), number("y", y)]);
    assert!(matches!(of_numbers, Error::TooFewSamples { got: 0, .. }), "{of_numbers}");
}

#[test]
fn what_lies_above_an_interval_is_seen_by_cheap_estimates() {
    // Noise of a hundredth of the range: more than fits show of so few rows.
    let mut rng = Seed::new(8).rng();
    let mut draw = || rand::Rng::random::<f64>(&mut rng);
    let x: Vec<f64> = (0..1000).map(|_| draw()).collect();
    let y = x.iter().map(|x| x + 0.01 * (draw() - 0.5)).collect();
    let truth = 100f64.ln() + 0.005;
    let found = Comparison::of(&sample(vec![x, y]), Seed::new(0));
    assert_eq!(found.iter().map(|c| c.estimator).collect::<Vec<_>>(), ["ksg", "gaussian copula"]);
    assert!((found[0].value - truth).abs() < 0.3, "{found:?} for {truth}");
    assert!(found.iter().any(|c| c.is_above([3.0, 3.5])), "{found:?}");
    assert!(!found.iter().any(|c| c.is_above([truth - 0.1, truth + 0.1])), "{found:?}");

    // Nothing is above 0 where there is nothing, whatever the tails.
    for seed in 0..10 {
        let mut rng = Seed::new(seed).stream("cauchy").rng();
        let cauchy = rand_distr::Cauchy::new(0.0, 1.0).unwrap();
        let mut column = || (0..500).map(|_| cauchy.sample(&mut rng)).collect::<Vec<f64>>();
        let found = Comparison::of(&sample(vec![column(), column()]), Seed::new(0));
        assert!(!found.iter().any(|c| c.is_above([0.0, 0.0])), "{seed}: {found:?}");
    }
}
