//! Student's t distribution.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The probability of a t at least this far from 0.
pub(crate) fn two_sided(t: f64, degrees_of_freedom: f64) -> f64 {
    let distribution = StudentsT::new(0.0, 1.0, degrees_of_freedom);
    // Degrees of freedom are at least 1 here.
    distribution.map_or(f64::NAN, |d| (2.0 * d.sf(t.abs())).min(1.0))
}

/// The 97.5% quantile of Student's t.
pub(crate) fn quantile(degrees_of_freedom: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, degrees_of_freedom);
    // Degrees of freedom are at least 1 here.
    t.map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (n, wanted) in [(2, 12.706), (3, 4.303), (5, 2.776), (31, 2.042)] {
            assert!((quantile(n as f64 - 1.0) - wanted).abs() < 1e-3, "n = {n}");
        }
    }
}
