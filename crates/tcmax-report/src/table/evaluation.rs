//! One evaluation as text.

use tcmax_train::results::{Absence, Evaluation};

use crate::table::style::{bordered, dash, right_align};

/// One evaluation, one line per metric.
pub fn evaluation(
    evaluation: &Evaluation,
    absence: Option<&Absence>,
    modalities: &[String],
) -> String {
    let mut table = bordered();
    table.set_header(["figure", "value"]);
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    table.add_row(["examples".to_owned(), evaluation.examples.to_string()]);
    let metric = evaluation.metric();
    let (score, name) = (|value| metric.text(value, 2), metric.name());
    table.add_row([format!("{name}, fused"), score(evaluation.score())]);
    if let Some(scores) = &evaluation.targets {
        for (name, value) in scores.all().into_iter().skip(1) {
            table.add_row([name.replace('_', " "), format!("{value:.4}")]);
        }
    } else {
        table.add_row(["balanced accuracy".to_owned(), percent(evaluation.balanced_accuracy)]);
        let majority = percent(evaluation.majority_rate);
        table.add_row(["always the most frequent class".to_owned(), majority]);
    }
    for (modality, value) in modalities.iter().zip(evaluation.modality_scores()) {
        table.add_row([format!("{name}, {modality}"), value.map_or_else(dash, score)]);
    }
    if let Some(absence) = absence {
        for (name, value) in modalities.iter().zip(&absence.accuracy_without) {
            table.add_row([format!("accuracy without {name}"), value.map_or_else(dash, percent)]);
        }
        for (name, value) in modalities.iter().zip(&absence.accuracy_with_zeros) {
            let row = format!("accuracy with zeros for {name}");
            table.add_row([row, value.map_or_else(dash, percent)]);
        }
        let auc = absence.matching_auc.map_or_else(dash, |auc| format!("{auc:.3}"));
        table.add_row(["AUC of matched against shuffled".to_owned(), auc]);
    }
    if let Some(nats) = evaluation.cross_entropy {
        table.add_row(["cross-entropy".to_owned(), format!("{nats:.3} nats")]);
        let bound =
            evaluation.total_correlation.map_or_else(dash, |nats| format!("{nats:.3} nats"));
        table.add_row(["total correlation, at least".to_owned(), bound]);
    }
    right_align(&mut table);
    table.to_string()
}
