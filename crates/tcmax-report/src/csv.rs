//! The runs of a comparison as a CSV table, one row for each.

use std::fmt::Write;

use tcmax_train::results::SuiteResult;

/// A header and one row per run: method, seed, fold, kept epoch, and every number of its test. Cells are
/// empty where there is no value.
pub fn runs(result: &SuiteResult) -> String {
    let modalities = &result.dataset.modalities;
    let mut header: Vec<String> = [
        "method",
        "seed",
        "fold",
        "best epoch",
        "epochs",
        "test accuracy",
        "test balanced accuracy",
        "test cross-entropy (nats)",
        "test total correlation (nats)",
        "validation accuracy",
        "matching AUC",
        "seconds",
    ]
    .map(str::to_owned)
    .to_vec();
    for kind in ["test accuracy of", "probe accuracy of", "test accuracy without"] {
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
                run.test.accuracy.to_string(),
                run.test.balanced_accuracy.to_string(),
                run.test.cross_entropy.to_string(),
                cell(run.test.total_correlation),
                cell(validation.map(|validation| validation.accuracy)),
                cell(absence.and_then(|absence| absence.matching_auc)),
                format!("{:.3}", run.seconds),
            ];
            let without = absence.map_or(&[][..], |absence| &absence.accuracy_without);
            for values in [&run.test.modality_accuracy[..], &run.probe_accuracy, without] {
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
