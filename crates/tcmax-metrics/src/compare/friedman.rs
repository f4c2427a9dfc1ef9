//! Several methods on several data sets: Friedman's test (1937) and Nemenyi's critical difference, as Demšar
//! (2006, "Statistical Comparisons of Classifiers over Multiple Data Sets") recommends them.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor};

use crate::compare::pairs::mean_ranks;
use crate::compare::studentized_range;
use crate::error::{Error, Result, require_finite, require_length};

/// Average ranks of methods over data sets, and whether they differ by more than chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Friedman {
    /// The number of data sets n.
    pub data_sets: u64,
    /// The mean rank of each method (k,): 1 is the best, and equal scores share their mean rank.
    pub average_ranks: Vec<f64>,
    /// Friedman's statistic, corrected for ties; 0 when all scores of each data set are equal.
    pub chi_squared: f64,
    /// Its p value by the chi-squared distribution of k - 1 degrees of freedom.
    pub p: f64,
    /// The p value of Iman and Davenport (1980), which is closer for few data sets: F = (n - 1) chi^2 /
    /// (n (k - 1) - chi^2) with k - 1 and (k - 1)(n - 1) degrees of freedom.
    pub p_iman_davenport: f64,
}

impl Friedman {
    /// Of scores (n, k), row by row: one row per data set, one column per method, larger is better.
    ///
    /// ```
    /// use tcmax_metrics::Friedman;
    ///
    /// // Three methods on four data sets; the last is always the best.
    /// let scores = [0.7, 0.6, 0.8, 0.5, 0.4, 0.6, 0.9, 0.9, 0.95, 0.3, 0.4, 0.5];
    /// let test = Friedman::of(&scores, 3)?;
    /// assert_eq!(test.average_ranks, [2.375, 2.625, 1.0]);
    /// // Methods whose average ranks are closer than this are not told apart.
    /// assert!((test.critical_difference(0.05)? - 1.657).abs() < 1e-3);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// With fewer than two data sets or two methods, when the scores are not rows of k, and when one is not
    /// finite.
    pub fn of(scores: &[f64], methods: usize) -> Result<Self> {
        at_least_two("the number of methods", methods)?;
        let data_sets = scores.len() / methods;
        at_least_two("the number of data sets", data_sets)?;
        let why = || format!("{data_sets} data sets of {methods} methods");
        require_length("scores", scores.len(), data_sets * methods, why)?;
        require_finite("score", scores, methods)?;
        let (n, k) = (data_sets as f64, methods as f64);
        let (mut average_ranks, mut ties) = (vec![0.0; methods], 0.0);
        for row in scores.chunks_exact(methods) {
            let negated: Vec<f64> = row.iter().map(|score| -score).collect();
            let (ranks, groups) = mean_ranks(&negated, 0.0);
            average_ranks.iter_mut().zip(ranks).for_each(|(sum, rank)| *sum += rank / n);
            let sizes = groups.into_iter().map(|size| size as f64);
            ties += sizes.map(|size| size.powi(3) - size).sum::<f64>();
        }
        let spread: f64 = average_ranks.iter().map(|rank| (rank - (k + 1.0) / 2.0).powi(2)).sum();
        let untied = 1.0 - ties / (n * k * (k * k - 1.0));
        let plain = 12.0 * n / (k * (k + 1.0)) * spread;
        // Where all tie, there is no difference.
        let chi_squared = if untied > 0.0 { plain / untied } else { 0.0 };
        let rest = n * (k - 1.0) - chi_squared;
        // The same order of methods in every data set leaves nothing, but for rounding.
        let f = if rest > 1e-9 { (n - 1.0) * chi_squared / rest } else { f64::INFINITY };
        Ok(Self {
            data_sets: data_sets as u64,
            average_ranks,
            chi_squared,
            p: ChiSquared::new(k - 1.0).map_or(f64::NAN, |d| d.sf(chi_squared)),
            p_iman_davenport: f_test(f, k - 1.0, (k - 1.0) * (n - 1.0)),
        })
    }

    /// Nemenyi's critical difference of two average ranks: q sqrt(k (k + 1) / (6 n)), where q is that quantile
    /// of the studentized range, over sqrt(2), which is exceeded with probability `alpha`.
    ///
    /// # Errors
    /// When `alpha` is not between 0 and 1.
    pub fn critical_difference(&self, alpha: f64) -> Result<f64> {
        if !(alpha > 0.0 && alpha < 1.0) {
            let wanted = "between 0 and 1";
            return Err(Error::BadParameter { name: "alpha", value: alpha, wanted });
        }
        let q = studentized_range::quantile(1.0 - alpha, self.average_ranks.len());
        Ok(q / 2f64.sqrt() * self.rank_error())
    }

    /// p values (k, k) of Nemenyi's test for every two methods, corrected for their number; 1 on the diagonal.
    pub fn nemenyi(&self) -> Vec<Vec<f64>> {
        let k = self.average_ranks.len();
        let p = |one: f64, other: f64| {
            let range = (one - other).abs() / self.rank_error() * 2f64.sqrt();
            (1.0 - studentized_range::probability(range, k)).clamp(0.0, 1.0)
        };
        let row = |one: &f64| self.average_ranks.iter().map(|other| p(*one, *other)).collect();
        self.average_ranks.iter().map(row).collect()
    }

    /// The standard error of a difference of average ranks.
    fn rank_error(&self) -> f64 {
        let k = self.average_ranks.len() as f64;
        (k * (k + 1.0) / (6.0 * self.data_sets as f64)).sqrt()
    }
}

fn at_least_two(name: &'static str, count: usize) -> Result<()> {
    if count >= 2 {
        return Ok(());
    }
    Err(Error::BadParameter { name, value: count as f64, wanted: "at least 2" })
}

fn f_test(f: f64, first: f64, second: f64) -> f64 {
    if f.is_infinite() {
        return 0.0;
    }
    FisherSnedecor::new(first, second).map_or(f64::NAN, |d| d.sf(f))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUC of four variants of C4.5 on 14 data sets, with the average ranks of Demšar's (2006) example.
    const SCORES: [f64; 56] = [
        0.763, 0.768, 0.771, 0.798, 0.599, 0.591, 0.590, 0.569, 0.954, 0.971, 0.968, 0.967, 0.628,
        0.661, 0.654, 0.657, 0.882, 0.888, 0.886, 0.898, 0.936, 0.931, 0.916, 0.931, 0.661, 0.668,
        0.609, 0.685, 0.583, 0.583, 0.563, 0.625, 0.775, 0.838, 0.866, 0.875, 1.0, 1.0, 1.0, 1.0,
        0.940, 0.962, 0.965, 0.962, 0.619, 0.666, 0.614, 0.669, 0.972, 0.981, 0.9751, 0.975, 0.957,
        0.978, 0.946, 0.970,
    ];

    #[test]
    fn known_values() {
        let test = Friedman::of(&SCORES, 4).unwrap();
        // scipy 1.17.1: friedmanchisquare, f.sf and studentized_range.sf.
        for (rank, wanted) in test.average_ranks.iter().zip([44.0, 28.0, 40.5, 27.5]) {
            assert!((rank - wanted / 14.0).abs() < 1e-12);
        }
        assert!((test.chi_squared - 10.228346456692925).abs() < 1e-10);
        assert!((test.p - 0.016721580328441323).abs() < 1e-10);
        assert!((test.p_iman_davenport - 0.011620659515310975).abs() < 1e-10);
        assert!((test.nemenyi()[0][3] - 0.0741847950687442).abs() < 1e-9);
        // The paper: the critical difference is 1.25 at 0.05 and 1.12 at 0.10.
        assert!((test.critical_difference(0.05).unwrap() - 1.25).abs() < 0.01);
        assert!((test.critical_difference(0.10).unwrap() - 1.12).abs() < 0.01);
    }

    #[test]
    fn all_equal_and_always_the_same() {
        let equal = Friedman::of(&[0.5; 6], 3).unwrap();
        assert_eq!((equal.chi_squared, equal.p, equal.average_ranks[0]), (0.0, 1.0, 2.0));
        let same = Friedman::of(&[0.1, 0.2, 0.3, 0.4, 0.6, 0.9], 3).unwrap();
        assert_eq!((same.p_iman_davenport, same.average_ranks[2]), (0.0, 1.0));
        assert!((same.chi_squared - 4.0).abs() < 1e-12);
        assert!((same.nemenyi()[1][1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn bad_scores_are_refused() {
        let error = |scores: &[f64], k| Friedman::of(scores, k).unwrap_err().to_string();
        assert_eq!(error(&[0.1; 4], 0), "the number of methods is 0; it must be at least 2");
        assert_eq!(error(&[0.1; 3], 2), "the number of data sets is 1; it must be at least 2");
        let uneven = "scores: got 5 values, wanted 4 (2 data sets of 2 methods)";
        assert_eq!(error(&[0.1; 5], 2), uneven);
        assert!(
            error(&[0.1, 0.2, f64::NAN, 0.4], 2).starts_with("row 1, column 0: the score is NaN")
        );
        assert!(Friedman::of(&[0.1; 4], 2).unwrap().critical_difference(0.0).is_err());
    }
}
