//! The information in the features is drawn, with the truth where it is known, and bounds are called what they are.

use tcmax_report::{html, table};
use tcmax_train::results::{FeatureInformation, InformationBound, PairInformation, SuiteResult};

use crate::fixture::{suite, words};

fn measured(label: &[f64], scale: f64) -> FeatureInformation {
    let bound = |held_out: f64| InformationBound {
        held_out: scale * held_out,
        train: Some(scale * held_out + 0.1),
    };
    let pairs = (0..label.len()).flat_map(|b| (0..b).map(move |a| [a, b]));
    let pair =
        |modalities| PairInformation { modalities, shared: bound(0.25), given_label: bound(0.04) };
    FeatureInformation {
        train_examples: 300,
        held_out_examples: 200,
        label_entropy: 0.693,
        label: label.iter().map(|nats| Some(bound(*nats))).collect(),
        joint_label: bound(0.6),
        pairs: pairs.map(pair).collect(),
        shared: Some(bound(0.25)),
        total_correlation: bound(0.85),
        head_bound: Some(-0.5),
        head_is_additive: true,
    }
}

/// Measurements of all methods but the last, which is of one modality.
fn with_information(label: &[f64]) -> SuiteResult {
    let mut result = suite();
    for (n, method) in result.methods.iter_mut().enumerate().take(2) {
        for run in &mut method.runs {
            run.information = Some(measured(label, 0.5 + 0.4 * n as f64));
            run.history[0].information = Some(measured(label, 0.2));
            run.history[1].information = Some(measured(label, 0.5));
        }
    }
    result
}

#[test]
fn two_modalities_and_the_label_are_circles() {
    let page = html(&with_information(&[0.3, 0.5]));
    assert_eq!(
        page.matches("<svg class=\"venn\"").count(),
        2,
        "a picture of each method that has both"
    );
    // Three circles of the estimates and three of the truth.
    assert_eq!(page.matches("<circle class=").count(), 2 * 6);
    let text = words(&page);
    for part in [
        "I(y; sound) 0.15, I(y; sight) 0.25, I(y; both) 0.30 of 0.69; I(sound; sight) 0.12, I(sound; sight | y) 0.02",
        "Information in the features over the epochs",
        "I(sound; sight | y), beyond the class",
        "Dashed: the truth of the data",
    ] {
        assert!(text.contains(part), "'{part}' is not in {text}");
    }
    let mut unknown = with_information(&[0.3, 0.5]);
    unknown.truth = None;
    let page = html(&unknown);
    assert_eq!(page.matches("<circle class=").count(), 2 * 3);
    assert!(!words(&page).contains("Dashed: the truth"));
    assert!(!html(&suite()).contains("class=\"venn\""), "nothing was measured");
}

#[test]
fn three_modalities_are_bars() {
    let mut result = with_information(&[0.3, 0.5, 0.1]);
    result.dataset.modalities.push("touch".to_owned());
    let page = html(&result);
    assert!(!page.contains("class=\"venn\""));
    for part in ["I(y; touch)", "I(sound; touch | y)", "A full bar is H(y), 0.69 nats"] {
        assert!(words(&page).contains(part), "{part}");
    }
}

#[test]
fn the_bound_of_a_sum_of_logits_is_not_called_total_correlation() {
    let mut result = with_information(&[0.3, 0.5]);
    for text in [table::comparison(&result), words(&html(&result))] {
        assert!(text.contains("head: sum of I(y; z)") && !text.contains("head: TC"), "{text}");
        assert!(text.contains("-0.50") && text.contains("I(sound; sight | y)"), "{text}");
    }
    for run in result.methods.iter_mut().flat_map(|method| &mut method.runs) {
        run.information.iter_mut().for_each(|found| found.head_is_additive = false);
    }
    assert!(table::comparison(&result).contains("head: TC"));
}
