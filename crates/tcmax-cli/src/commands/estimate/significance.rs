//! p values: what is printed of them, and their correction for several pairs.

use std::fmt::Write;

use tcmax_estimators::{PermutationTest, permutations_needed};
use tcmax_metrics::{benjamini_hochberg, holm};

use super::outcome::{Outcome, Unit};

/// The level that advice is given for.
const LEVEL: f64 = 0.05;

/// Pairs whose p values are listed.
const MOST_LISTED: usize = 100;

/// A test in words.
pub(super) fn text(test: &PermutationTest, unit: Unit) -> String {
    let PermutationTest { p_value, permutations, at_least, null_mean, null_deviation, .. } = *test;
    let few = permutations_needed(LEVEL, 1);
    let too_few = match permutations < few {
        true => format!("; below 0.05 takes at least {few} permutations"),
        false => String::new(),
    };
    let digits = digits(permutations);
    let [statistic, mean, deviation] =
        [test.statistic, null_mean, null_deviation].map(|nats| unit.of(nats));
    format!(
        "{p_value:.digits$} of independence: {at_least} of {permutations} permutations show {statistic:.4} or \
         more; they show {mean:.4} ± {deviation:.4}{too_few}"
    )
}

/// Decimals that tell the p values of so many permutations apart.
fn digits(permutations: usize) -> usize {
    (permutations.max(1).ilog10() as usize + 1).max(3)
}

/// A test for programs.
pub(super) fn json(test: &PermutationTest, unit: Unit) -> serde_json::Value {
    serde_json::json!({
        "p_value": test.p_value,
        "permutations": test.permutations,
        "at_least": test.at_least,
        "statistic": unit.of(test.statistic),
        "null_mean": unit.of(test.null_mean),
        "null_deviation": unit.of(test.null_deviation),
    })
}

/// Sets the p values that are corrected for the number of pairs.
pub(super) fn correct(outcomes: &mut [Outcome]) {
    let p: Vec<Option<f64>> =
        outcomes.iter().map(|outcome| outcome.test.map(|test| test.p_value)).collect();
    let both = holm(&p).into_iter().zip(benjamini_hochberg(&p));
    for (outcome, (holm, rate)) in outcomes.iter_mut().zip(both) {
        outcome.corrected = holm.zip(rate).map(|(holm, rate)| [holm, rate]);
    }
}

/// The p values of pairs, the smallest first; nothing where there are none.
pub(super) fn of_pairs(outcomes: &[Outcome]) -> String {
    let tested = |o: &Outcome| Some((o.test?, o.corrected?, o.quantity()));
    let mut tested: Vec<_> = outcomes.iter().filter_map(tested).collect();
    let Some(permutations) = tested.iter().map(|(test, ..)| test.permutations).max() else {
        return String::new();
    };
    tested.sort_by(|a, b| a.0.p_value.total_cmp(&b.0.p_value));
    let digits = digits(permutations);
    let width = digits + 2;
    let mut text = format!(
        "\n\np values from {permutations} permutations, corrected for {} pairs (Holm: no false one; \
         Benjamini-Hochberg: few of those found)\n{:<width$}  {:<width$}  {:<18}  pair",
        tested.len(),
        "p",
        "Holm",
        "Benjamini-Hochberg"
    );
    for (test, [holm, rate], quantity) in tested.iter().take(MOST_LISTED) {
        let _ = write!(
            text,
            "\n{:.digits$}  {holm:.digits$}  {:<18}  {quantity}",
            test.p_value,
            format!("{rate:.digits$}")
        );
    }
    if tested.len() > MOST_LISTED {
        let _ = write!(text, "\n... and {} more; --json has all", tested.len() - MOST_LISTED);
    }
    let needed = permutations_needed(LEVEL, tested.len());
    if permutations < needed {
        let _ = write!(
            text,
            "\nFor a single pair to be below 0.05 after Holm's correction, --permutations {needed} are needed."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_corrected_for_the_pairs_that_have_one() {
        let outcome = |at_least: Option<usize>| {
            let mut outcome = Outcome::refused(&["a", "b"], "ksg", String::new());
            outcome.test = at_least.map(|at_least| {
                let permuted: Vec<f64> = (0..99).map(|i| f64::from(i < at_least as u8)).collect();
                PermutationTest::of(0.5, &permuted).unwrap()
            });
            outcome
        };
        let mut outcomes = [Some(0), None, Some(3), Some(2)].map(outcome);
        correct(&mut outcomes);
        let corrected = outcomes.each_ref().map(|outcome| outcome.corrected);
        let close = |i: usize, wanted: [f64; 2]| {
            let got: [f64; 2] = corrected[i].unwrap();
            assert!(got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
        };
        close(0, [0.03, 0.03]);
        close(2, [0.06, 0.04]);
        close(3, [0.06, 0.04]);
        assert_eq!(corrected[1], None);
        let text = of_pairs(&outcomes);
        assert!(text.contains("corrected for 3 pairs"), "{text}");
        assert!(text.contains("\n0.010  0.030  0.030"), "{text}");
        assert!(!text.contains("are needed"), "{text}");
        assert_eq!(of_pairs(&[outcome(None)]), "");
    }
}
