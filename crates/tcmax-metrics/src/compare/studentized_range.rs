//! The range of k standard normal numbers: the studentized range with infinitely many degrees of freedom.

use std::f64::consts::TAU;

use statrs::distribution::{ContinuousCDF, Normal};

/// Step of the trapezoidal rule. The integrand falls off as a Gaussian does, for which the rule's error is
/// far below rounding at this step.
const STEP: f64 = 1.0 / 32.0;
/// Beyond this a normal density counts for nothing.
const FAR: f64 = 9.0;

/// The probability of a range of at most `q` among `k` numbers:
/// k * integral of phi(z) (Phi(z) - Phi(z - q))^(k - 1) dz, over the largest number z.
pub(crate) fn probability(q: f64, k: usize) -> f64 {
    if q <= 0.0 {
        return 0.0;
    }
    let normal = Normal::standard();
    let steps = (FAR / STEP) as i32;
    let term = |step: i32| {
        let z = f64::from(step) * STEP;
        let density = (-z * z / 2.0).exp() / TAU.sqrt();
        density * (normal.cdf(z) - normal.cdf(z - q)).powf((k - 1) as f64)
    };
    (k as f64 * STEP * (-steps..=steps).map(term).sum::<f64>()).min(1.0)
}

/// The range that is exceeded with probability 1 - `level`, by bisection.
pub(crate) fn quantile(level: f64, k: usize) -> f64 {
    let (mut low, mut high) = (0.0, 4.0 * FAR);
    // Until there is no number between the two.
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if probability(middle, k) < level { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_known() {
        // scipy 1.17.1: studentized_range.ppf([0.9, 0.95, 0.99], k, inf).
        for (k, wanted) in [
            (2, [2.3261743073533476, 2.771807648699355, 3.642772735436894]),
            (3, [2.9023802134282515, 3.314493155398122, 4.12030320646012]),
            (4, [3.240446220927359, 3.6331595749026278, 4.402800861448699]),
            (10, [4.129346398236873, 4.474124221725907, 5.156634960089622]),
            (20, [4.694104409490512, 5.0116887941184425, 5.6452146979858515]),
        ] {
            for (level, wanted) in [0.9, 0.95, 0.99].into_iter().zip(wanted) {
                let found = quantile(level, k);
                assert!((found - wanted).abs() < 1e-8, "k = {k}, {level}: {found} is not {wanted}");
            }
        }
        // studentized_range.sf(2.5, 4, inf)
        assert!((1.0 - probability(2.5, 4) - 0.28896293741892587).abs() < 1e-10);
    }
}
