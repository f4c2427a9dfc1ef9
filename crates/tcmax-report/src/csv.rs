//! The runs of a comparison as a CSV table, one row for each.

use std::fmt::Write;

use tcmax_train::Task;
use tcmax_train::results::{Evaluation, Metric, SuiteResult, TargetScores};

/// A header and one row per run: method, seed, fold, kept epoch, and every number of its test. Cells are
/// empty where there is no value.
pub fn runs(result: &SuiteResult) -> String {
    let modalities = &result.dataset.modalities;
    let metric = Metric::of(result.dataset.task).name();
    let has_classes = result.dataset.task == Task::Classes;
    let mut header: Vec<String> =
        ["method", "seed", "fold", "best epoch", "epochs"].map(str::to_owned).to_vec();
    let runs = || result.methods.iter().flat_map(|method| &method.runs);
    let scores = runs().find_map(|run| run.test.targets.as_ref()).map(TargetScores::all);
    match &scores {
        None => header.extend(["test accuracy", "test balanced accuracy"].map(str::to_owned)),
        Some(all) => {
            header.extend(all.iter().map(|(name, _)| format!("test {}", name.replace('_', " "))));
        }
    }
    header.push("test cross-entropy (nats)".to_owned());
    header.push("test total correlation (nats)".to_owned());
    header.push(format!("validation {metric}"));
    header.extend(["matching AUC", "seconds"].map(str::to_owned));
    let kinds = [
        format!("test {metric} of"),
        "probe accuracy of".to_owned(),
        "test accuracy without".to_owned(),
    ];
    for kind in kinds.iter().take(if has_classes { 3 } else { 1 }) {
        header.extend(modalities.iter().map(|name| format!("{kind} {name}")));
    }
    let mut text = line(&header);
    for method in &result.methods {
        for run in &method.runs {
            let kept = run.history.get(run.best_epoch.wrapping_sub(1));
            let validation = kept.and_then(|record| record.validation.as_ref());
            let absence = run.absence.as_ref();
            let mut cells = vec![
                method.name.clone(),
                run.seed.to_string(),
                run.fold.map_or_else(String::new, |fold| fold.to_string()),
                run.best_epoch.to_string(),
                run.history.len().to_string(),
            ];
            match &run.test.targets {
                None => cells
                    .extend([run.test.accuracy, run.test.balanced_accuracy].map(|v| v.to_string())),
                Some(scores) => {
                    cells.extend(scores.all().iter().map(|(_, value)| value.to_string()));
                }
            }
            cells.extend([
                cell(run.test.cross_entropy),
                cell(run.test.total_correlation),
                cell(validation.map(Evaluation::score)),
                cell(absence.and_then(|absence| absence.matching_auc)),
                format!("{:.3}", run.seconds),
            ]);
            let without = absence.map_or(&[][..], |absence| &absence.accuracy_without);
            let of_modalities = [run.test.modality_scores(), &run.probe_accuracy, without];
            for values in of_modalities.iter().take(if has_classes { 3 } else { 1 }) {
                let of = |m: usize| cell(values.get(m).copied().flatten());
                cells.extend((0..modalities.len()).map(of));
            }
            text += &line(&cells);
        }
    }
    text
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Cells with commas, quotes or line ends are quoted.
fn line(cells: &[String]) -> String {
    let mut text = String::new();
    for (n, cell) in cells.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let quoted = cell.contains([',', '"', '\n', '\r']);
        let _ = match quoted {
            true => write!(text, "{comma}\"{}\"", cell.replace('"', "\"\"")),
            false => write!(text, "{comma}{cell}"),
        };
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_are_quoted() {
        let cells = ["mla, no \"projection\"", "1"].map(str::to_owned);
        assert_eq!(line(&cells), "\"mla, no \"\"projection\"\"\",1\n");
    }
}
