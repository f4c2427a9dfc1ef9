//! What is known of generated data.

use tcmax_train::results::InformationTruth;

use crate::table::style::{bordered, right_align};

/// What is known of the data, as names and values.
pub fn truth_rows(truth: &InformationTruth, modalities: &[String]) -> Vec<(String, String)> {
    let nats = |value: f64| format!("{value:.3} nats");
    let percent = |value: f64| format!("{:.1} %", 100.0 * value);
    let mut rows = vec![("H(y)".to_owned(), nats(truth.label_entropy))];
    for (name, value) in modalities.iter().zip(&truth.label_information) {
        rows.push((format!("I(y; {name})"), nats(*value)));
    }
    let ceiling = truth.total_correlation - truth.additive_gap;
    rows.push(("I(y; all modalities)".to_owned(), nats(truth.joint_information)));
    for pair in &truth.pairs {
        let names =
            pair.modalities.map(|m| modalities.get(m).map_or("?", String::as_str)).join("; ");
        rows.push((format!("I({names})"), nats(pair.shared)));
        rows.push((format!("I({names} | y)"), nats(pair.given_label)));
    }
    rows.extend([
        ("TC(all modalities, y)".to_owned(), nats(truth.total_correlation)),
        ("of it within reach of a sum of logits".to_owned(), nats(ceiling)),
        ("best accuracy".to_owned(), percent(truth.bayes_accuracy)),
    ]);
    for (name, value) in modalities.iter().zip(&truth.bayes_modality_accuracy) {
        rows.push((format!("best accuracy, {name} alone"), percent(*value)));
    }
    let best_auc = "best AUC, matched against shuffled".to_owned();
    let additive_auc = "best of a sum of logits".to_owned();
    rows.push((best_auc, format!("{:.3}", truth.matching_auc)));
    rows.push((additive_auc, format!("{:.3}", truth.additive_matching_auc)));
    rows
}

/// What is known of the data.
pub fn truth_table(truth: &InformationTruth, modalities: &[String]) -> String {
    let mut table = bordered();
    table.set_header(["truth", "value"]);
    for (name, value) in truth_rows(truth, modalities) {
        table.add_row([name, value]);
    }
    right_align(&mut table);
    table.to_string()
}
