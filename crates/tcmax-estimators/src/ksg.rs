//! Nearest-neighbour estimates of information (KSG), for continuous variables of few dimensions.
//!
//! ```text
//! TC = psi(k) + (n - 1) psi(N) - 1/N sum_i sum_m psi(c_m(i) + 1)                      (nats)
//! ```
//!
//! with c_m(i) the number of examples strictly closer to example i in variable m than its k-th nearest
//! neighbour is in all variables together, distances being maxima over coordinates. Kraskov, Stoegbauer
//! and Grassberger (2004), algorithm 1, in its form for n variables (equation 23). Not a bound: nearly
//! unbiased where the density is smooth, too small where information is high or dimensions are many.
//! O(N^2 D) time, O(N) memory a thread.

use rayon::prelude::*;

use crate::{Error, Result, Sample, Variable};

/// Settings of [`ksg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KsgConfig {
    /// The neighbour whose distance counts; small means small bias and large variance.
    pub neighbours: usize,
}

impl Default for KsgConfig {
    /// Three, as Kraskov et al. recommend 2 to 4.
    fn default() -> Self {
        Self { neighbours: 3 }
    }
}

/// The KSG estimate of the total correlation of all variables (for two: their mutual information),
/// nats. Every coordinate is scaled to unit variance first.
///
/// # Errors
/// When there are not more examples than neighbours, or equal rows (as discrete variables have).
pub fn ksg(sample: &Sample, config: KsgConfig) -> Result<f64> {
    let (n, k) = (sample.len(), config.neighbours);
    if k == 0 {
        let problem = "at least 1 neighbour is needed".to_owned();
        return Err(Error::Setting { field: "neighbours", problem });
    }
    if n <= k {
        let purpose = "this many nearest neighbours";
        return Err(Error::TooFewSamples { got: n, wanted: k + 1, purpose });
    }
    let variables: Vec<Vec<f64>> = sample.variables().iter().map(Variable::standardised).collect();
    let psi = digamma_table(n);
    let of_example = |i: usize| -> Result<f64> {
        let distances: Vec<Vec<f64>> = variables.iter().map(|v| distances(v, n, i)).collect();
        let mut joint: Vec<f64> =
            (0..n).map(|j| distances.iter().fold(0.0f64, |d, own| d.max(own[j]))).collect();
        // The example itself is not its neighbour.
        joint[i] = f64::INFINITY;
        let (_, radius, _) = joint.select_nth_unstable_by(k - 1, f64::total_cmp);
        let radius = *radius;
        if radius <= 0.0 {
            return Err(Error::Repeats { row: i, count: k });
        }
        let closer = |own: &Vec<f64>| own.iter().filter(|&&d| d < radius).count() - 1;
        Ok(distances.iter().map(|own| psi[closer(own) + 1]).sum())
    };
    // Collected in order, so that the sum has the same bits for every number of threads.
    let sums = (0..n).into_par_iter().map(of_example).collect::<Result<Vec<f64>>>()?;
    let mean = sums.iter().sum::<f64>() / n as f64;
    Ok(psi[k] + (variables.len() - 1) as f64 * psi[n] - mean)
}

/// Maximum-norm distances of example `i` to all others in one variable.
fn distances(values: &[f64], n: usize, i: usize) -> Vec<f64> {
    let width = values.len() / n;
    let own = &values[i * width..][..width];
    let distance = |other: &[f64]| {
        other.iter().zip(own).fold(0.0f64, |largest, (a, b)| largest.max((a - b).abs()))
    };
    values.chunks_exact(width).map(distance).collect()
}

/// The digamma function at 0 (unused), 1, ..., n: psi(j) = -gamma + 1 + 1/2 + ... + 1/(j - 1).
fn digamma_table(n: usize) -> Vec<f64> {
    const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
    let mut table = vec![f64::NEG_INFINITY, -EULER_GAMMA];
    for j in 1..n {
        table.push(table[j] + 1.0 / j as f64);
    }
    table
}
