//! Jointly normal samples whose information is known.

use rand_distr::{Distribution, StandardNormal};
use tcmax_estimators::{Gaussian, Sample, Variable};
use tcmax_ops::Seed;

/// Rows of n standard normal variables with one correlation for all pairs.
pub fn equicorrelated(n: usize, rho: f64, rows: usize) -> Vec<Vec<f64>> {
    drawn(n, rho, rows, 5)
}

/// The same of any seed.
pub fn drawn(n: usize, rho: f64, rows: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Seed::new(seed).stream("data").rng();
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

/// Their total correlation, nats.
pub fn truth(n: usize, rho: f64) -> f64 {
    let entry = |i: usize| if i / n == i % n { 1.0 } else { rho };
    let gaussian = Gaussian::new((0..n * n).map(entry).collect()).unwrap();
    let single: Vec<[usize; 1]> = (0..n).map(|i| [i]).collect();
    gaussian
        .total_correlation(&single.iter().map(<[usize; 1]>::as_slice).collect::<Vec<_>>())
        .unwrap()
}

/// Columns x0, x1, ... as variables of one column each.
pub fn sample(columns: Vec<Vec<f64>>) -> Sample {
    let variable = |(i, c): (usize, Vec<f64>)| Variable::continuous(format!("x{i}"), c, 1).unwrap();
    Sample::new(columns.into_iter().enumerate().map(variable).collect()).unwrap()
}
