//! Intervals by drawing the rows again (Efron 1979).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, require_length};

/// How to draw: the same seed gives the same interval, for every number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How often the rows are drawn.
    pub replicates: usize,
    /// The probability that the interval is to cover the truth with, say 0.95.
    pub level: f64,
    /// What the draws start from.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 2,000 replicates, 95%, seed 0.
    fn default() -> Self {
        Self { replicates: 2000, level: 0.95, seed: 0 }
    }
}

/// A value with its percentile interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapInterval {
    /// The value on the rows themselves.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Bootstrap {
    /// The interval of an accuracy, from whether each row (N,) is predicted right. It knows the chance of the
    /// test rows, not that of training.
    ///
    /// ```
    /// use tcmax_metrics::Bootstrap;
    ///
    /// let correct: Vec<bool> = (0..400).map(|row| row % 10 != 0).collect();
    /// let accuracy = Bootstrap::default().accuracy(&correct)?;
    /// assert_eq!(accuracy.value, 0.9);
    /// // 0.9 -+ 1.96 sqrt(0.9 0.1 / 400) is 0.871 to 0.929.
    /// assert!((accuracy.low - 0.871).abs() < 0.005 && (accuracy.high - 0.929).abs() < 0.005);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Bootstrap::statistic`].
    pub fn accuracy(&self, correct: &[bool]) -> Result<BootstrapInterval> {
        self.statistic(correct.len(), |rows| {
            rows.iter().filter(|row| correct[**row]).count() as f64 / rows.len() as f64
        })
    }

    /// The interval of the difference of two accuracies on the same rows (N,), the first less the second.
    ///
    /// # Errors
    /// When the lengths differ, and as [`Bootstrap::statistic`].
    pub fn accuracy_difference(
        &self,
        first: &[bool],
        second: &[bool],
    ) -> Result<BootstrapInterval> {
        let why = || "one per row of the first classifier".to_owned();
        require_length("rows of the second classifier", second.len(), first.len(), why)?;
        self.statistic(first.len(), |rows| {
            let gain = |row: &usize| i64::from(first[*row]) - i64::from(second[*row]);
            rows.iter().map(gain).sum::<i64>() as f64 / rows.len() as f64
        })
    }

    /// The interval of any function of N rows, which gets the numbers of the rows that are drawn (N of them,
    /// some of them several times).
    ///
    /// # Errors
    /// Without rows, without replicates, and when the level is not between 0 and 1.
    pub fn statistic(
        &self,
        rows: usize,
        statistic: impl Fn(&[usize]) -> f64 + Sync,
    ) -> Result<BootstrapInterval> {
        if rows == 0 {
            return Err(Error::Empty { what: "the list of rows", unit: "row" });
        }
        if self.replicates == 0 {
            let wanted = "at least 1";
            return Err(Error::BadParameter { name: "replicates", value: 0.0, wanted });
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            let wanted = "between 0 and 1";
            return Err(Error::BadParameter { name: "level", value: self.level, wanted });
        }
        let replicate = |index: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(index as u64);
            let drawn: Vec<usize> = (0..rows).map(|_| rng.random_range(0..rows)).collect();
            statistic(&drawn)
        };
        let mut values: Vec<f64> = (0..self.replicates).into_par_iter().map(replicate).collect();
        values.sort_by(f64::total_cmp);
        let outside = (1.0 - self.level) / 2.0;
        let value = statistic(&(0..rows).collect::<Vec<_>>());
        Ok(BootstrapInterval {
            value,
            low: quantile(&values, outside),
            high: quantile(&values, 1.0 - outside),
        })
    }
}

/// A quantile of sorted values, linear between them.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let position = probability * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = position - below as f64;
    // Equal ends are kept as they are: rounding would move them.
    if sorted[below] == sorted[above] {
        return sorted[below];
    }
    sorted[below] * (1.0 - part) + sorted[above] * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_values() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!((quantile(&[5.0], 0.9), quantile(&[1.0, 2.0], 1.0)), (5.0, 2.0));
    }

    #[test]
    fn draws_are_those_of_the_seed() {
        let correct: Vec<bool> = (0..50).map(|row| row % 3 != 0).collect();
        let of = |seed| Bootstrap { seed, replicates: 200, level: 0.9 }.accuracy(&correct).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!((of(1).low, of(1).high), (of(4).low, of(4).high));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| of(1)), of(1));
    }

    #[test]
    fn pairs_make_differences_certain() {
        // The second is wrong wherever the first is, and on one row more.
        let first: Vec<bool> = (0..100).map(|row| row % 2 == 0).collect();
        let mut second = first.clone();
        second[0] = false;
        let difference = Bootstrap::default().accuracy_difference(&first, &second).unwrap();
        assert_eq!(difference.value, 0.01);
        assert!(difference.low >= 0.0 && difference.high < 0.05);
    }

    #[test]
    fn bad_settings_are_refused() {
        let of = |bootstrap: Bootstrap| bootstrap.accuracy(&[true]).unwrap_err().to_string();
        let level = of(Bootstrap { level: 1.0, ..Bootstrap::default() });
        assert_eq!(level, "level is 1; it must be between 0 and 1");
        assert!(of(Bootstrap { replicates: 0, ..Bootstrap::default() }).starts_with("replicates"));
        assert!(Bootstrap::default().accuracy(&[]).is_err());
    }
}
