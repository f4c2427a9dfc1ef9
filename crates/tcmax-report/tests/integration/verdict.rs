//! The verdict says what the seeds show and no more.

use tcmax_report::{table, verdict};
use tcmax_train::results::SuiteResult;

use crate::fixture::{method, set_accuracies, suite};

/// Methods of both modalities with the accuracies of their seeds, on 100 test examples.
fn compared(methods: &[(&str, &[f64])]) -> SuiteResult {
    let mut result = suite();
    result.methods = Vec::new();
    for (name, accuracies) in methods {
        let mut method = method(name, 0.5, &[Some(0.5), Some(0.5)], &[1.0]);
        method.runs.resize(accuracies.len(), method.runs[0].clone());
        for (seed, run) in method.runs.iter_mut().enumerate() {
            (run.seed, run.test.examples) = (seed as u64, 100);
        }
        set_accuracies(&mut method, accuracies);
        result.methods.push(method);
    }
    result
}

fn said(methods: &[(&str, &[f64])]) -> String {
    verdict(&compared(methods)).unwrap()
}

#[test]
fn one_seed_shows_nothing() {
    let text = said(&[("joint", &[0.5]), ("tcmax", &[0.9])]);
    assert!(text.starts_with("One seed shows nothing about which method is better"), "{text}");
    let text = said(&[("joint", &[0.5]), ("tcmax", &[0.9]), ("sum", &[0.9])]);
    assert!(text.ends_with("the highest fused accuracy is 90.0 %, by tcmax and sum."), "{text}");
    let text = said(&[("tcmax", &[0.9])]);
    assert!(text.contains("shows nothing of how much it varies"), "{text}");
    let mut result = compared(&[("joint", &[0.5, 0.6]), ("tcmax", &[0.9, 0.8])]);
    result.methods[1].runs.iter_mut().for_each(|run| run.seed += 7);
    let text = verdict(&result).unwrap();
    assert!(text.starts_with("The methods have no seed in common"), "{text}");
    result.methods.clear();
    assert_eq!(verdict(&result), None);
}

#[test]
fn a_difference_that_chance_explains_is_none() {
    let text = said(&[("joint", &[0.80, 0.82, 0.84]), ("tcmax", &[0.84, 0.81, 0.85])]);
    // Differences 4, -1 and 1: mean 1.33, standard error 1.45.
    assert_eq!(
        text,
        "No method is shown to be better than joint in fused accuracy, over 3 seeds: the highest mean, \
         that of tcmax, is 1.3 points above it (95% interval -4.9 to 7.6, corrected p = 0.456)."
    );
    let text = said(&[("joint", &[0.84, 0.81, 0.85]), ("tcmax", &[0.80, 0.82, 0.84])]);
    assert!(text.ends_with("over 3 seeds: it has the highest mean, 83.3 %."), "{text}");
}

#[test]
fn better_than_the_baseline_is_not_the_best() {
    let joint: &[f64] = &[0.70, 0.73, 0.71, 0.72];
    let (first, second): (&[f64], &[f64]) = (&[0.80, 0.84, 0.80, 0.83], &[0.82, 0.82, 0.83, 0.81]);
    let text = said(&[("joint", joint), ("tcmax", first), ("sum", second), ("low", &[0.2; 4])]);
    let start = "Better than joint in fused accuracy beyond chance, over 4 seeds: sum by 10.5 points (95% \
                 interval";
    assert!(text.starts_with(start), "{text}");
    for part in [
        ", tcmax by 10.2 points (95%",
        "which method is the best, these seeds do not show",
        "worse beyond chance: low by 51.5 points (95% interval",
    ] {
        assert!(text.contains(part), "'{part}' is not in {text}");
    }
}

#[test]
fn the_same_difference_of_one_example_twice_is_no_proof() {
    let joint: &[f64] = &[0.90, 0.80];
    let text = said(&[("joint", joint), ("tcmax", &[0.91, 0.81])]);
    assert!(text.starts_with("No method is shown to be better than joint"), "{text}");
    let text = said(&[("joint", joint), ("tcmax", &[1.00, 0.90])]);
    assert!(text.starts_with("The best fused accuracy is 95.0 %, by tcmax"), "{text}");
    // Equal is equal.
    let text = said(&[("joint", joint), ("tcmax", joint)]);
    assert!(text.contains("it has the highest mean"), "{text}");
}

#[test]
fn seeds_that_draw_their_own_test_splits_are_less_sure() {
    let methods: [(&str, &[f64]); 2] =
        [("joint", &[0.80, 0.82, 0.84, 0.81]), ("tcmax", &[0.84, 0.85, 0.87, 0.85])];
    let mut result = compared(&methods);
    // Differences 4, 3, 3 and 4: mean 3.5, standard error 0.29, interval 2.6 to 4.4.
    let text = verdict(&result).unwrap();
    assert!(text.contains("3.5 points above joint (95% interval 2.6 to 4.4"), "{text}");
    result.dataset.resampled = true;
    // 8 training and 4 test examples: sqrt((1/4 + 1/2) / (1/4)) times as wide.
    let text = verdict(&result).unwrap();
    assert!(text.contains("3.5 points above joint (95% interval 1.9 to 5.1"), "{text}");
    assert!(tcmax_report::html(&result).contains("Nadeau and Bengio 2003"));
}

/// Normal enough: the sum of twelve uniform numbers.
fn noise(state: &mut u64) -> f64 {
    let uniform = |_| {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as f64 / (1u64 << 31) as f64
    };
    (0..12).map(uniform).sum::<f64>() - 6.0
}

#[test]
fn equal_methods_are_told_apart_in_one_of_twenty_comparisons_at_most() {
    let mut state = 1;
    let (mut called_best, mut called_better, comparisons) = (0, 0, 600);
    for _ in 0..comparisons {
        let mut accuracies = || -> Vec<f64> {
            let count = |_| (80.0 + 3.0 * noise(&mut state)).round() / 100.0;
            (0..3).map(count).collect()
        };
        let [joint, a, b] = [accuracies(), accuracies(), accuracies()];
        let text = said(&[("joint", &joint), ("a", &a), ("b", &b)]);
        called_best += usize::from(text.starts_with("The best"));
        called_better += usize::from(text.starts_with("Better"));
    }
    // Differences to a baseline are two-sided: half of the mistakes are "worse". 95 % of such counts lie
    // within 10 of what is expected.
    let most = comparisons / 20 + 10;
    assert!(called_best + called_better <= most, "{called_best} best, {called_better} better");
}

#[test]
fn the_terminal_has_the_verdict_on_lines_that_fit() {
    let result = compared(&[("joint", &[0.80, 0.82, 0.84]), ("tcmax", &[0.84, 0.81, 0.85])]);
    let text = table::comparison(&result);
    let sentence = text.split("\n\n").find(|part| part.starts_with("No method")).unwrap();
    assert_eq!(sentence.replace('\n', " "), verdict(&result).unwrap());
    assert!(sentence.lines().all(|line| line.chars().count() <= 110), "{sentence}");
}

#[test]
fn folds_of_one_seed_are_paired_with_themselves() {
    let mut result = compared(&[("joint", &[0.5, 0.7, 0.9]), ("tcmax", &[0.6, 0.8, 1.0])]);
    for method in &mut result.methods {
        for (fold, run) in method.runs.iter_mut().enumerate() {
            (run.seed, run.fold) = (0, Some(fold));
        }
    }
    result.methods[1].runs.reverse();
    let difference = table::columns(&result)[0].difference(1, 0).unwrap();
    assert!((difference.interval.mean - 10.0).abs() < 1e-9, "{:?}", difference.interval);
}

#[test]
fn the_baseline_is_the_one_that_was_named() {
    let mut result =
        compared(&[("joint", &[0.5, 0.6]), ("ogm", &[0.7, 0.7]), ("tcmax", &[0.9, 0.8])]);
    assert_eq!(table::baseline(&result), Some(0));
    result.baseline = Some("ogm".to_owned());
    assert_eq!(table::baseline(&result), Some(1));
    result.baseline = Some("gone".to_owned());
    assert_eq!(table::baseline(&result), Some(0));
}
