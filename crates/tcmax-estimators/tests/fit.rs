//! Fits: estimates against truths, invariances, and what is said of doubtful numbers.

use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::fit::{
    CheckedConfig, CriticKind, Estimate, Estimator, Fit, FitConfig, Path, Start, Warning,
    conditional_mutual_information, decompose, estimate, fit, interaction,
};
use tcmax_estimators::{Error, Gaussian, KsgConfig, Sample, Variable, ksg};
use tcmax_ops::Seed;

/// Rows of n standard normal variables with one correlation for all pairs.
fn equicorrelated(n: usize, rho: f64, rows: usize) -> Vec<Vec<f64>> {
    let mut rng = Seed::new(5).stream("data").rng();
    let mut columns = vec![Vec::with_capacity(rows); n];
    for _ in 0..rows {
        let common: f64 = StandardNormal.sample(&mut rng);
        for column in &mut columns {
            let own: f64 = StandardNormal.sample(&mut rng);
            column.push(rho.sqrt() * common + (1.0 - rho).sqrt() * own);
        }
    }
    columns
}

fn truth(n: usize, rho: f64) -> f64 {
    let entry = |i: usize| if i / n == i % n { 1.0 } else { rho };
    let gaussian = Gaussian::new((0..n * n).map(entry).collect()).unwrap();
    let single: Vec<[usize; 1]> = (0..n).map(|i| [i]).collect();
    gaussian
        .total_correlation(&single.iter().map(<[usize; 1]>::as_slice).collect::<Vec<_>>())
        .unwrap()
}

fn sample(columns: Vec<Vec<f64>>) -> Sample {
    let variable = |(i, c): (usize, Vec<f64>)| Variable::continuous(format!("x{i}"), c, 1).unwrap();
    Sample::new(columns.into_iter().enumerate().map(variable).collect()).unwrap()
}

/// Small enough for tests.
fn quick() -> FitConfig {
    FitConfig {
        hidden: vec![32],
        steps: 150,
        evaluation_tuples: 20_000,
        bootstrap: 50,
        ..FitConfig::default()
    }
}

fn run(sample: &Sample, config: FitConfig) -> Fit {
    fit(sample, &config.check().unwrap(), Seed::new(1)).unwrap()
}

fn checked(config: FitConfig) -> CheckedConfig {
    config.check().unwrap()
}

#[test]
fn gaussian_total_correlation_is_found() {
    let fit = run(&sample(equicorrelated(3, 0.6, 4000)), quick());
    let truth = truth(3, 0.6);
    assert!((fit.value - truth).abs() < 0.08, "{} is not {truth}", fit.value);
    let [low, high] = fit.interval();
    assert!(low < truth && truth < high + 0.02, "[{low}, {high}] misses {truth}");
    assert_eq!(fit.start, Start::GaussianCopula);
    assert!(fit.warnings.is_empty(), "{:?}", fit.warnings);
}

#[test]
fn networks_find_it_without_the_gaussian_start() {
    let config = FitConfig { gaussian_start: false, steps: 400, ..quick() };
    let fit = run(&sample(equicorrelated(2, 0.8, 4000)), config);
    let truth = truth(2, 0.8);
    assert!((fit.value - truth).abs() < 0.08, "{} is not {truth}", fit.value);
    assert_eq!(fit.start, Start::Constant);
}

#[test]
fn every_estimator_and_critic_comes_near_in_its_way() {
    let data = sample(equicorrelated(2, 0.8, 3000));
    let truth = truth(2, 0.8);
    for name in Estimator::NAMES {
        let estimator = name.parse().unwrap();
        let fit = run(&data, FitConfig { estimator, steps: 60, ..quick() });
        assert!((fit.value - truth).abs() < 0.12, "{name}: {} is not {truth}", fit.value);
        let warned = fit.warnings.contains(&Warning::NotALowerBound);
        assert_eq!(warned, name == "smile", "{name}");
    }
    for (critic, fraction) in
        [(CriticKind::Separable, 0.6), (CriticKind::Bilinear, 0.4), (CriticKind::Latent, 0.6)]
    {
        let fit = run(&data, FitConfig { critic, steps: 300, ..quick() });
        let good = fit.value > fraction * truth && fit.value < truth + 0.12;
        assert!(good, "{critic:?}: {} of {truth}", fit.value);
    }
}

#[test]
fn independent_variables_share_nothing() {
    let estimate =
        estimate(&sample(equicorrelated(3, 0.0, 4000)), &checked(quick()), &[0, 1]).unwrap();
    assert!(estimate.value < 0.02, "{}", estimate.value);
    assert_eq!(estimate.interval[0], 0.0);
}

#[test]
fn labels_and_numbers_go_together() {
    // x = +-1.5 by the label, with unit noise.
    let mut rng = Seed::new(3).rng();
    let (mut x, mut y, mut information) = (vec![], vec![], 0.0);
    for row in 0..4000 {
        let label = f64::from(row % 2);
        let noise: f64 = StandardNormal.sample(&mut rng);
        x.push(3.0 * label - 1.5 + noise);
        y.push(10.0 + label);
        let odds = (1.0 + (-2.0 * 1.5 * (1.5 + noise * (2.0 * label - 1.0))).exp()).ln();
        information += (2f64.ln() - odds) / 4000.0;
    }
    let variables =
        vec![Variable::continuous("x", x, 1).unwrap(), Variable::categorical("y", &y).unwrap()];
    let fit = run(&Sample::new(variables).unwrap(), FitConfig { steps: 400, ..quick() });
    assert!((fit.value - information).abs() < 0.05, "{} is not {information}", fit.value);
}

#[test]
fn one_seed_fixes_everything() {
    let data = sample(equicorrelated(2, 0.5, 400));
    let config = FitConfig { steps: 20, ..quick() };
    assert_eq!(run(&data, config.clone()), run(&data, config.clone()));
    let other = fit(&data, &checked(config.clone()), Seed::new(2)).unwrap();
    assert_ne!(run(&data, config).value, other.value);
}

#[test]
fn caps_and_overfitting_are_detected() {
    // All but equal variables: more information than 60 held-out examples can show.
    let mut columns = equicorrelated(2, 0.0, 200);
    columns[1] = columns[0].iter().zip(&columns[1]).map(|(a, b)| a + 1e-6 * b).collect();
    let config = FitConfig { estimator: Estimator::InfoNce, steps: 10, ..quick() };
    let near = run(&sample(columns), config);
    assert!(near.value <= near.cap);
    assert!(near.warnings.iter().any(|w| matches!(w, Warning::AtCap { .. })), "{near:?}");

    // A Gaussian start from 55 examples of 40 columns without any relation: early stopping keeps the
    // constant critic, which cannot overfit.
    let mut rng = Seed::new(4).rng();
    let mut noise = || (0..100 * 20).map(|_| StandardNormal.sample(&mut rng)).collect::<Vec<f64>>();
    let variables = vec![
        Variable::continuous("a", noise(), 20).unwrap(),
        Variable::continuous("b", noise(), 20).unwrap(),
    ];
    let fit = run(&Sample::new(variables).unwrap(), FitConfig { steps: 100, ..quick() });
    assert_eq!((fit.value, fit.start), (0.0, Start::Constant));
}

/// The estimate of variables in any order, mapped and with company is the same within its interval.
#[test]
fn orders_maps_and_independent_company_change_nothing() {
    let columns = equicorrelated(3, 0.6, 3000);
    let config = FitConfig { steps: 100, ..quick() };
    let plain = run(&sample(columns.clone()), config.clone());
    let [low, high] = plain.interval();
    assert!(low > 0.3 && low <= truth(3, 0.6) && truth(3, 0.6) <= high, "{low} to {high}");
    let same = |name: &str, columns: Vec<Vec<f64>>| {
        let fit = run(&sample(columns), config.clone());
        assert!(fit.value >= low && fit.value <= high, "{name}: {} of {low} to {high}", fit.value);
    };
    let [a, b, c] = [0, 1, 2].map(|i| columns[i].clone());
    same("order", vec![c.clone(), a.clone(), b.clone()]);
    let map = |x: &[f64], f: fn(f64) -> f64| x.iter().map(|&x| f(x)).collect::<Vec<f64>>();
    let maps = vec![map(&a, |x| x.powi(3)), map(&b, |x| -(2.0 * x).exp()), map(&c, f64::sinh)];
    same("maps", maps);
    let alone = equicorrelated(4, 0.0, 3000).remove(3);
    same("company", vec![a.clone(), b.clone(), c.clone(), alone]);

    // A turn of a variable of two columns is an invertible map too, though not a column by column one.
    let pair = |turn: bool| {
        let (sin, cos) = if turn { 1f64.sin_cos() } else { (0.0, 1.0) };
        let both = a.iter().zip(&b).flat_map(|(a, b)| [cos * a - sin * b, sin * a + cos * b]);
        let both = Variable::continuous("ab", both.collect(), 2).unwrap();
        Sample::new(vec![both, Variable::continuous("c", c.clone(), 1).unwrap()]).unwrap()
    };
    let (plain, turned) = (run(&pair(false), config.clone()), run(&pair(true), config.clone()));
    let [low, high] = plain.interval();
    assert!(turned.value >= low && turned.value <= high, "{} of {low} to {high}", turned.value);
}

#[test]
fn parts_along_a_line_and_a_tree_add_up() {
    let data = sample(equicorrelated(4, 0.5, 3000));
    let truth = truth(4, 0.5);
    for path in [Path::Line, Path::Tree] {
        let config = checked(FitConfig { steps: 60, ..quick() });
        let whole = decompose(&data, path, &config, Seed::new(1)).unwrap();
        assert_eq!(whole.parts.len(), 3);
        assert!((whole.value - truth).abs() < 0.15, "{path:?}: {} is not {truth}", whole.value);
    }
}

#[test]
fn conditional_information_tells_a_chain_from_a_fork() {
    // a -> b -> c: a and c share nothing that b does not tell.
    let mut rng = Seed::new(6).rng();
    let mut columns = vec![vec![]; 3];
    for _ in 0..4000 {
        let mut x = 0.0;
        for column in &mut columns {
            let noise: f64 = StandardNormal.sample(&mut rng);
            x = 0.8 * x + noise;
            column.push(x);
        }
    }
    let data = sample(columns);
    let config = checked(FitConfig { steps: 60, ..quick() });
    let seed = Seed::new(1);
    let chain = conditional_mutual_information(&data, [&[0], &[2], &[1]], &config, seed).unwrap();
    assert!(chain.value.abs() < 0.05, "{}", chain.value);
    let direct = conditional_mutual_information(&data, [&[0], &[1], &[2]], &config, seed).unwrap();
    assert!(direct.value > 0.1, "{}", direct.value);
    let diagram = interaction(&data, [0, 2, 1], &config, seed).unwrap();
    assert!(diagram.features_given_label.abs() < 0.08, "{}", diagram.features_given_label);
    assert!(diagram.redundancy > 0.0);
}

#[test]
fn nearest_neighbours_agree_with_the_closed_form() {
    for (n, rho) in [(2, 0.0), (2, 0.8), (3, 0.6)] {
        let value = ksg(&sample(equicorrelated(n, rho, 2000)), KsgConfig::default()).unwrap();
        assert!((value - truth(n, rho)).abs() < 0.06, "{n} {rho}: {value}");
    }
    let steps: Vec<f64> = (0..100).map(|i| f64::from(i % 4)).collect();
    let repeated = sample(vec![steps.clone(), steps]);
    assert!(matches!(ksg(&repeated, KsgConfig::default()), Err(Error::Repeats { .. })));
}

#[test]
fn bad_input_is_an_error() {
    let small = sample(equicorrelated(2, 0.5, 39));
    let config = checked(quick());
    assert!(matches!(fit(&small, &config, Seed::new(0)), Err(Error::TooFewSamples { .. })));
    let three = sample(equicorrelated(3, 0.5, 100));
    for config in [
        FitConfig { estimator: Estimator::Mine, ..quick() },
        FitConfig { critic: CriticKind::Bilinear, ..quick() },
    ] {
        let error = fit(&three, &checked(config), Seed::new(0)).unwrap_err();
        assert!(matches!(error, Error::NeedsTwoVariables { got: 3, .. }), "{error}");
    }
    for bad in [
        FitConfig { held_out: [0.5, 0.5], ..quick() },
        FitConfig { learning_rate: f64::NAN, ..quick() },
        FitConfig { hidden: vec![0], ..quick() },
        FitConfig { batch_size: 0, ..quick() },
        FitConfig { estimator: Estimator::Smile { tau: -1.0 }, ..quick() },
    ] {
        assert!(matches!(bad.check(), Err(Error::Setting { .. })));
    }
    assert!(matches!(Estimate::new(vec![]), Err(Error::Empty { .. })));
    assert!("tcn".parse::<Estimator>().unwrap_err().to_string().contains("tcne"));
}
