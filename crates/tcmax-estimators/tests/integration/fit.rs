//! Fits: estimates against truths, invariances, and what is said of doubtful numbers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread::ThreadId;

use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::bound::{INFO_NCE, MINE, SMILE};
use tcmax_estimators::exact::KSG;
use tcmax_estimators::fit::{
    CheckedConfig, CriticKind, Fit, FitConfig, Start, Warning, conditional_mutual_information,
    decompose, fit, interaction, line, tree,
};
use tcmax_estimators::{
    Cuts, ESTIMATORS, Error, EstimatorKind, Sample, Variable, estimate, estimate_observed,
};
use tcmax_ops::Seed;
use tcmax_registry::Table;

use crate::common::{drawn, equicorrelated, sample, truth};

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
fn few_examples_leave_the_truth_between_the_bounds_on_held_out_and_training_examples() {
    let truth = truth(3, 0.6);
    let config = checked(FitConfig { gaussian_start: false, steps: 300, ..quick() });
    let (mut short, mut off, mut held) = (0.0, 0.0, 0);
    for seed in 0..6 {
        let sample = sample(drawn(3, 0.6, 400, seed));
        let found = estimate(&sample, &config, &[seed]).unwrap();
        let [low, high] = found.interval.unwrap();
        let guess = found.best_guess.unwrap();
        assert!(low <= guess && guess <= high, "{found:?}");
        assert!((guess - (found.fits[0].held_out + found.fits[0].training) / 2.0).abs() < 1e-12);
        short += (found.value - truth).abs() / 6.0;
        off += (guess - truth).abs() / 6.0;
        held += usize::from(low <= truth && truth <= high);
    }
    assert!(off < 0.8 * short && held >= 5, "{short} {off} {held}");
}

#[test]
fn no_more_fits_run_at_once_than_there_are_threads() {
    let steps = 40;
    let config = checked(FitConfig { gaussian_start: false, steps, ..quick() });
    let sample = sample(drawn(2, 0.6, 200, 0));
    // Steps that fits have made, by their threads, and the most fits that had begun and not ended at once.
    let made_by: Mutex<(HashMap<ThreadId, usize>, usize)> = Mutex::default();
    let observe = |made: usize| {
        let mut made_by = made_by.lock().unwrap();
        let (fits, most) = &mut *made_by;
        *fits.entry(std::thread::current().id()).or_default() += made;
        *most = fits.values().filter(|&&made| made < steps).count().max(*most);
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let seeds: Vec<u64> = (0..12).collect();
    pool.install(|| estimate_observed(&sample, &config, &seeds, &observe)).unwrap();
    let (fits, most) = made_by.into_inner().unwrap();
    assert!(fits.len() == 12 && fits.values().all(|&made| made == steps), "{fits:?}");
    assert!((1..=2).contains(&most), "{most} at once");
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
    let fitted = ESTIMATORS.iter().filter(|spec| matches!(spec.kind, EstimatorKind::Critic(_)));
    assert_eq!(fitted.clone().count(), 6);
    for estimator in fitted {
        let name = estimator.name;
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
    assert_eq!(estimate.interval.unwrap()[0], 0.0);
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
    let config = FitConfig { estimator: &INFO_NCE, steps: 10, ..quick() };
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
    for (name, cuts) in [("line", line as Cuts), ("tree", tree)] {
        let config = checked(FitConfig { steps: 60, ..quick() });
        let whole = decompose(&data, cuts, &config, Seed::new(1)).unwrap();
        assert_eq!(whole.parts.len(), 3);
        assert!((whole.value - truth).abs() < 0.15, "{name}: {} is not {truth}", whole.value);
        assert_eq!(whole.value, whole.held_out);
    }
    // Of independent variables parts scatter about 0 and add up, negative ones too.
    let alone = sample(equicorrelated(4, 0.0, 400));
    let config = checked(FitConfig { steps: 20, ..quick() });
    for seed in 0..3 {
        let whole = decompose(&alone, line, &config, Seed::new(seed)).unwrap();
        let sum: f64 = whole.parts.iter().map(|part| part.fit.held_out).sum();
        assert_eq!(whole.held_out, sum);
        assert_eq!(whole.value, sum.max(0.0));
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
fn short_runs_say_that_they_have_not_converged() {
    let data = sample(equicorrelated(2, 0.8, 1000));
    for steps in [1, 20, 100] {
        let fit = run(&data, FitConfig { steps, ..quick() });
        assert!(fit.warnings.contains(&Warning::NotConverged), "{steps}: {:?}", fit.warnings);
    }
    // Without the Gaussian start 120 steps are still not enough, with it they are.
    let plain = FitConfig { steps: 120, gaussian_start: false, ..quick() };
    assert!(run(&data, plain).warnings.contains(&Warning::NotConverged));
    assert_eq!(run(&data, FitConfig { steps: 120, ..quick() }).warnings, []);
}

#[test]
fn caps_are_what_scores_can_show() {
    let data = sample(equicorrelated(4, 0.5, 500));
    let fit = run(&data, FitConfig { steps: 5, ..quick() });
    // 75 validation examples make 54 permutations of 4050 tuples, which is less than 3 log 150.
    assert!((fit.cap - 4050f64.ln()).abs() < 1e-12, "{}", fit.cap);
    let pair = sample(equicorrelated(2, 0.5, 500));
    assert!((run(&pair, FitConfig { steps: 5, ..quick() }).cap - 150f64.ln()).abs() < 1e-12);
}

#[test]
fn thousands_of_classes_cost_no_more_than_a_hundred() {
    // A free text of 3000 words, and one number that the 20 most frequent tell something of.
    let mut rng = Seed::new(9).rng();
    let mut draw = || rand::Rng::random::<f64>(&mut rng);
    let mut words = Vec::new();
    let mut x = Vec::new();
    for row in 0..6000 {
        let frequent = draw() < 0.5;
        let word = if frequent { (20.0 * draw()).floor() } else { 20.0 + f64::from(row / 2) };
        words.push(word);
        x.push(if frequent { word % 2.0 + 0.5 * draw() } else { 1.5 * draw() });
    }
    let text = Variable::categorical("text", &words).unwrap();
    let data = Sample::new(vec![text, Variable::continuous("x", x, 1).unwrap()]).unwrap();
    let start = std::time::Instant::now();
    let config = FitConfig { steps: 200, most_classes: 32, ..quick() };
    let fit = run(&data, config);
    assert!(fit.value > 0.15, "{fit:?}");
    let merged = |w: &Warning| {
        matches!(w, Warning::MergedClasses { classes, share, .. }
        if *classes > 2000 && (0.4..0.6).contains(share))
    };
    assert!(fit.warnings.iter().any(merged), "{:?}", fit.warnings);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn bad_input_is_an_error() {
    let small = sample(equicorrelated(2, 0.5, 39));
    let config = checked(quick());
    assert!(matches!(fit(&small, &config, Seed::new(0)), Err(Error::TooFewSamples { .. })));
    let three = sample(equicorrelated(3, 0.5, 100));
    for config in [
        FitConfig { estimator: &MINE, ..quick() },
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
    ] {
        assert!(matches!(bad.check(), Err(Error::Setting { .. })));
    }
    let smile = |option: &str, value: f64| FitConfig {
        estimator: &SMILE,
        options: Table::from_iter([(option.to_owned(), value.into())]),
        ..quick()
    };
    assert!(smile("tau", 3.0).check().is_ok());
    for bad in [smile("tau", -1.0), smile("tau", f64::NAN), smile("tua", 3.0)] {
        assert!(matches!(bad.check(), Err(Error::Registry(_))));
    }
    let pair = sample(equicorrelated(2, 0.5, 100));
    assert!(matches!(estimate(&pair, &config, &[]), Err(Error::Empty { .. })));
    // Nothing is fitted for nearest neighbours.
    let direct = checked(FitConfig { estimator: &KSG, ..quick() });
    assert!(matches!(fit(&pair, &direct, Seed::new(0)), Err(Error::Setting { .. })));
}
