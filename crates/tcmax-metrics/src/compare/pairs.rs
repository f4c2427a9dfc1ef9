//! Differences of pairs, as the tests by ranks and signs need them.

/// How far values may differ by rounding alone, relative to the larger: 0.905 - 0.899 and 0.893 - 0.887 are
/// meant to be the same.
const ROUNDING: f64 = 1e-12;

/// The differences of pairs that differ. `None` when there is no pair, or a value is not finite.
pub(crate) struct Differences {
    /// Those that are not 0, within rounding.
    pub(crate) values: Vec<f64>,
    /// What differences may differ by through rounding.
    pub(crate) rounding: f64,
}

impl Differences {
    pub(crate) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.is_empty() || !pairs.iter().all(|(a, b)| a.is_finite() && b.is_finite()) {
            return None;
        }
        let largest = pairs.iter().fold(0.0f64, |most, (a, b)| most.max(a.abs()).max(b.abs()));
        let rounding = ROUNDING * largest;
        let differences = pairs.iter().map(|(one, other)| one - other);
        let values = differences.filter(|difference| difference.abs() > rounding).collect();
        Some(Self { values, rounding })
    }
}

/// Ranks (from 1, the smallest first), and the sizes of groups of equal values, which share the mean of their
/// ranks. Values are equal that differ from the next smaller by no more than `rounding`.
pub(crate) fn mean_ranks(values: &[f64], rounding: f64) -> (Vec<f64>, Vec<usize>) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut ranks, mut groups, mut before) = (vec![0.0; values.len()], Vec::new(), 0);
    for tied in order.chunk_by(|a, b| values[*b] - values[*a] <= rounding) {
        for index in tied {
            ranks[*index] = before as f64 + (tied.len() + 1) as f64 / 2.0;
        }
        before += tied.len();
        groups.push(tied.len());
    }
    (ranks, groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_ranks() {
        let (ranks, groups) = mean_ranks(&[3.0, 1.0, 3.0, 2.0], 0.0);
        assert_eq!((ranks, groups), (vec![3.5, 1.0, 3.5, 2.0], vec![1, 1, 2]));
    }
}
