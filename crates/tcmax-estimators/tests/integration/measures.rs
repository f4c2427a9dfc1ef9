//! Measures of several variables, estimated: against closed forms, and as they are for two features and a label.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::fit::{
    CheckedConfig, FitConfig, conditional_mutual_information, interaction,
};
use tcmax_estimators::{
    Error, Gaussian, Measure, Measured, Sample, Variable, estimate_measure, estimators,
};
use tcmax_ops::Seed;

const ALL: [Measure; 4] =
    [Measure::TotalCorrelation, Measure::Dual, Measure::OInformation, Measure::Interaction];

fn config(estimator: &str) -> CheckedConfig {
    let config = FitConfig {
        estimator: estimators().get(estimator).unwrap(),
        hidden: vec![16],
        steps: 100,
        evaluation_tuples: 20_000,
        bootstrap: 20,
        ..FitConfig::default()
    };
    config.check().unwrap()
}

fn measured(sample: &Sample, measure: Measure, given: &[usize], estimator: &str) -> Measured {
    estimate_measure(sample, measure, given, &config(estimator), &[0, 1], &|_| {}).unwrap()
}

/// c, and two noisy copies of it.
fn copies(rows: usize) -> (Sample, Gaussian) {
    let mut rng = Seed::new(8).rng();
    let mut columns = vec![Vec::new(); 3];
    for _ in 0..rows {
        let [c, first, second]: [f64; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
        columns[0].push(c + first);
        columns[1].push(c + second);
        columns[2].push(c);
    }
    let variable = |(i, v): (usize, Vec<f64>)| Variable::continuous(format!("x{i}"), v, 1).unwrap();
    let sample = Sample::new(columns.into_iter().enumerate().map(variable).collect()).unwrap();
    let law = Gaussian::new(vec![2.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
    (sample, law)
}

#[test]
fn measures_of_gaussian_variables_come_near_their_closed_forms() {
    let (sample, law) = copies(3000);
    let groups: [&[usize]; 3] = [&[0], &[1], &[2]];
    for (estimator, tolerance) in [("gaussian", 0.04), ("ksg", 0.1), ("tcne", 0.15)] {
        for measure in ALL {
            let truth = law.measure(measure, &groups, &[]).unwrap();
            let found = measured(&sample, measure, &[], estimator);
            let value = found.value;
            assert!(
                (value - truth).abs() < tolerance,
                "{estimator} {measure}: {value}, not {truth}"
            );
            let bound = estimator == "tcne" && measure == Measure::TotalCorrelation;
            assert_eq!(found.is_lower_bound, bound, "{estimator} {measure}");
            if let Some([low, high]) = found.interval {
                assert!(low <= value && value <= high, "{found:?}");
            }
        }
        // The copies share nothing but c.
        let given = measured(&sample, Measure::Conditional, &[2], estimator).value;
        assert!(given.abs() < tolerance, "{estimator}: {given}");
        let truth = law.measure(Measure::Conditional, &[&[0], &[2]], &[1]).unwrap();
        let given = measured(&sample, Measure::Conditional, &[1], estimator).value;
        assert!((given - truth).abs() < tolerance, "{estimator}: {given}, not {truth}");
    }
}

#[test]
fn synergy_of_classes_is_found_by_counting() {
    let mut rng = Seed::new(1).rng();
    let bits: Vec<[u8; 2]> = (0..1000).map(|_| [0, 1].map(|_| rng.random_range(0..2))).collect();
    let class = |name, of: &dyn Fn(&[u8; 2]) -> u8| {
        let values: Vec<f64> = bits.iter().map(|bits| f64::from(of(bits))).collect();
        Variable::categorical(name, &values).unwrap()
    };
    let variables =
        vec![class("a", &|b| b[0]), class("b", &|b| b[1]), class("differ", &|b| b[0] ^ b[1])];
    let sample = Sample::new(variables).unwrap();
    for estimator in ["counts", "ksg"] {
        for (measure, bits) in ALL.into_iter().zip([1.0, 2.0, -1.0, -1.0]) {
            let value = measured(&sample, measure, &[], estimator).value / 2f64.ln();
            assert!((value - bits).abs() < 0.02, "{estimator} {measure}: {value} bits");
        }
    }
}

#[test]
fn fits_of_three_variables_are_those_of_two_features_and_a_label() {
    let (sample, _) = copies(400);
    let config = config("tcne");
    let of = |measure, given: &[usize]| {
        estimate_measure(&sample, measure, given, &config, &[7], &|_| {}).unwrap()
    };
    let parts = interaction(&sample, [0, 1, 2], &config, Seed::new(7)).unwrap();
    let found = of(Measure::Interaction, &[]);
    assert!((found.value - parts.redundancy).abs() < 1e-12, "{} {parts:?}", found.value);
    let conditional =
        conditional_mutual_information(&sample, [&[0], &[1], &[2]], &config, Seed::new(7)).unwrap();
    let found = of(Measure::Conditional, &[2]);
    assert!((found.value - conditional.value).abs() < 1e-12);
    // Errors add up, as fits share their examples.
    let errors: f64 = found.terms.iter().filter_map(|term| term.estimate.standard_error).sum();
    assert!((found.standard_error.unwrap() - errors).abs() < 1e-12);
    assert!(found.standard_error.unwrap() >= conditional.standard_error);
}

#[test]
fn estimators_of_two_variables_are_enough() {
    let (sample, _) = copies(400);
    for measure in ALL {
        let found = measured(&sample, measure, &[], "infonce");
        assert!(found.terms.iter().all(|term| term.groups.len() == 2), "{measure}");
    }
    let refused = estimate_measure(
        &sample.grouped(&[&[0], &[1]]).unwrap(),
        Measure::OInformation,
        &[],
        &config("ksg"),
        &[0],
        &|_| {},
    );
    assert!(matches!(refused, Err(Error::Setting { .. })));
}
