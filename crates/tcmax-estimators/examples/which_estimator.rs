//! What five estimators make of 2,000 pairs whose mutual information is known, as the correlation grows.
//!
//! ```text
//! cargo run -p tcmax-estimators --example which_estimator
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::fit::FitConfig;
use tcmax_estimators::{Result, Sample, Variable, estimate, estimators};
use tcmax_ops::Seed;

const NAMES: [&str; 5] = ["tcne", "nwj", "infonce", "ksg", "gaussian"];

fn main() -> Result<()> {
    print!("correlation  truth, nats");
    for name in NAMES {
        print!("  {name:>14}");
    }
    println!();
    for correlation in [0.0, 0.5, 0.9, 0.99] {
        let sample = normal_pairs(2_000, correlation)?;
        // I(a; b) of two normal variables.
        let truth = -0.5 * (1.0 - f64::powi(correlation, 2)).ln();
        print!("{correlation:11}  {truth:11.3}");
        for name in NAMES {
            // The defaults are meant to be left alone; this is a small fit, so that the example is quick.
            let config = FitConfig {
                estimator: estimators().get(name)?,
                steps: 100,
                hidden: vec![16],
                ..FitConfig::default()
            };
            let found = estimate(&sample, &config.check()?, &[0])?;
            match found.interval {
                Some([low, high]) => print!("  {low:6.3}..{high:6.3}"),
                None => print!("  {:14.3}", found.value),
            }
        }
        println!();
    }
    println!("tcne, nwj and infonce are lower bounds, from critics: 95 % intervals of the bound.");
    Ok(())
}

fn normal_pairs(count: usize, correlation: f64) -> Result<Sample> {
    let mut rng = Seed::new(0).rng();
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let a: Vec<f64> = (0..count).map(|_| normal()).collect();
    let rest = (1.0 - correlation * correlation).sqrt();
    let b = a.iter().map(|a| correlation * a + rest * normal()).collect();
    Sample::new(vec![Variable::continuous("a", a, 1)?, Variable::continuous("b", b, 1)?])
}
