//! How well a score separates two groups.

/// The probability that a random member of `positive` has a higher score than one of `negative`, ties
/// counting half: the area under the receiver operating characteristic. Members are (score, weight).
///
/// `None` when a group is empty, a score is NaN, or a weight is negative or not finite.
///
/// ```
/// use tcmax_estimators::auc;
///
/// let even = |scores: &[f64]| scores.iter().map(|&score| (score, 1.0)).collect::<Vec<_>>();
/// assert_eq!(auc(&even(&[2.0, 3.0]), &even(&[1.0, 2.0])), Some(0.875));
/// ```
pub fn auc(positive: &[(f64, f64)], negative: &[(f64, f64)]) -> Option<f64> {
    let all = positive.iter().chain(negative);
    if all.clone().any(|(score, weight)| score.is_nan() || !(weight.is_finite() && *weight >= 0.0))
    {
        return None;
    }
    let total = |group: &[(f64, f64)]| group.iter().map(|(_, weight)| weight).sum::<f64>();
    let totals = total(positive) * total(negative);
    if totals <= 0.0 {
        return None;
    }
    let mut members: Vec<(f64, f64, f64)> = positive.iter().map(|&(s, w)| (s, w, 0.0)).collect();
    members.extend(negative.iter().map(|&(score, weight)| (score, 0.0, weight)));
    members.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area) = (0.0, 0.0);
    for tied in members.chunk_by(|a, b| a.0 == b.0) {
        let up: f64 = tied.iter().map(|member| member.1).sum();
        let down: f64 = tied.iter().map(|member| member.2).sum();
        area += up * (below + down / 2.0);
        below += down;
    }
    Some(area / totals)
}
