//! p values corrected for being several.

/// p values corrected as Holm (1979) does it, in the order given; `None` counts for nothing. Calling those
/// significant that are below 0.05 makes a single mistake or more with probability 0.05 at most.
///
/// ```
/// use tcmax_metrics::holm;
///
/// let corrected = holm(&[Some(0.01), None, Some(0.04), Some(0.03)]);
/// assert_eq!(corrected, [Some(0.03), None, Some(0.06), Some(0.06)]);
/// ```
pub fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let known = ascending(p);
    let mut corrected = vec![None; p.len()];
    let (count, mut least) = (known.len(), 0.0f64);
    for (rank, (index, p)) in known.into_iter().enumerate() {
        least = least.max((p * (count - rank) as f64).min(1.0));
        corrected[index] = Some(least);
    }
    corrected
}

/// p values corrected as Benjamini and Hochberg (1995) do it, in the order given; `None` counts for nothing.
/// Of those below 0.05, a fraction of 0.05 is expected to be mistakes; for tests that are independent or
/// positively dependent, as comparisons with one baseline are.
///
/// ```
/// use tcmax_metrics::benjamini_hochberg;
///
/// let corrected = benjamini_hochberg(&[Some(0.01), None, Some(0.04), Some(0.03)]);
/// assert_eq!(corrected, [Some(0.03), None, Some(0.04), Some(0.04)]);
/// ```
pub fn benjamini_hochberg(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let known = ascending(p);
    let mut corrected = vec![None; p.len()];
    let (count, mut most) = (known.len(), 1.0f64);
    for (rank, (index, p)) in known.into_iter().enumerate().rev() {
        most = most.min(p * count as f64 / (rank + 1) as f64);
        corrected[index] = Some(most);
    }
    corrected
}

/// The p values there are, each with its index, the smallest first.
fn ascending(p: &[Option<f64>]) -> Vec<(usize, f64)> {
    let mut known: Vec<(usize, f64)> =
        p.iter().enumerate().filter_map(|(index, p)| Some((index, (*p)?))).collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let p = [0.01, 0.04, 0.03, 0.2, 0.005].map(Some);
        let agree = |got: Vec<Option<f64>>, wanted: [f64; 5]| {
            let mut pairs = got.iter().zip(wanted);
            pairs.all(|(got, wanted)| (got.unwrap() - wanted).abs() < 1e-15)
        };
        // scipy 1.17.1: false_discovery_control(p).
        assert!(agree(benjamini_hochberg(&p), [0.025, 0.05, 0.05, 0.2, 0.025]));
        // By hand: 5 * 0.005, 4 * 0.01, 3 * 0.03, then at least that, 0.2.
        assert!(agree(holm(&p), [0.04, 0.09, 0.09, 0.2, 0.025]));
    }

    #[test]
    fn no_corrected_value_is_above_one() {
        let p = [Some(0.9), None, Some(0.8)];
        assert_eq!(holm(&p), [Some(1.0), None, Some(1.0)]);
        assert_eq!(benjamini_hochberg(&p), [Some(0.9), None, Some(0.9)]);
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }
}
