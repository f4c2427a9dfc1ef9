//! Nearest neighbours where variables are partly numbers and partly classes: the examples of Gao, Kannan, Oh and
//! Viswanath, "Estimating Mutual Information for Discrete-Continuous Mixtures" (NeurIPS 2017), with their
//! closed forms.

use rand::Rng;
use rand_distr::{Distribution, Exp1, Poisson, StandardNormal};
use tcmax_estimators::{KsgConfig, Sample, Variable, ksg};
use tcmax_ops::Seed;

fn estimate(pairs: &[[f64; 2]]) -> f64 {
    let column = |c: usize| pairs.iter().map(|pair| pair[c]).collect();
    let variable = |(c, name)| Variable::continuous(name, column(c), 1).unwrap();
    let sample = Sample::new([(0, "x"), (1, "y")].map(variable).to_vec()).unwrap();
    ksg(&sample, KsgConfig::default()).unwrap()
}

#[test]
fn a_class_and_an_interval_that_it_moves() {
    // x in 0..5, y uniform on [x, x + 2].
    let mut rng = Seed::new(1).rng();
    let pairs = (0..4000).map(|_| {
        let x = f64::from(rng.random_range(0..5));
        [x, x + 2.0 * rng.random::<f64>()]
    });
    let (value, truth) = (estimate(&pairs.collect::<Vec<_>>()), 5f64.ln() - 0.8 * 2f64.ln());
    assert!((value - truth).abs() < 0.04, "{value} is not {truth}");
}

#[test]
fn counts_of_which_many_are_zero_whatever_their_rate() {
    // x exponential; y is 0 with probability 0.15, else Poisson of rate x.
    let mut rng = Seed::new(2).rng();
    let pairs = (0..4000).map(|_| {
        let x: f64 = Exp1.sample(&mut rng);
        let count: f64 = Poisson::new(x.max(1e-12)).unwrap().sample(&mut rng);
        [x, if rng.random::<f64>() < 0.15 { 0.0 } else { count }]
    });
    let (value, truth) = (estimate(&pairs.collect::<Vec<_>>()), 0.85 * 0.3012);
    // The published form neglects that a zero may also be one of the counts: the truth is a little less.
    assert!(value < truth + 0.03 && value > truth - 0.1, "{value}, published {truth}");
}

#[test]
fn a_mixture_of_points_and_a_density() {
    // Half of the rows are Gaussian with correlation 0.9, half are corners of a square, equal with probability
    // 0.8: which half an example is from can be seen, log 2.
    let mut rng = Seed::new(3).rng();
    let sign = |up: bool| if up { 1.0 } else { -1.0 };
    let pairs = (0..4000).map(|_| {
        if rng.random::<bool>() {
            let x = sign(rng.random());
            return [x, if rng.random::<f64>() < 0.8 { x } else { -x }];
        }
        let [x, noise]: [f64; 2] = [0, 1].map(|_| StandardNormal.sample(&mut rng));
        [x, 0.9 * x + (1.0f64 - 0.81).sqrt() * noise]
    });
    let gaussian = -0.5 * (1.0f64 - 0.81).ln();
    let corners = 2f64.ln() + 0.8 * 0.8f64.ln() + 0.2 * 0.2f64.ln();
    let truth = 2f64.ln() + 0.5 * gaussian + 0.5 * corners;
    let value = estimate(&pairs.collect::<Vec<_>>());
    assert!((value - truth).abs() < 0.05, "{value} is not {truth}");
}
