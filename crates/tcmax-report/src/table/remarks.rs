//! Sentences that belong to the tables.

use tcmax_metrics::Interval;
use tcmax_train::results::{MethodResult, RunResult, SuiteResult};

/// What to be wary of, by method and seed.
pub fn warnings(result: &SuiteResult) -> Vec<String> {
    let of_method = |method: &MethodResult| -> Vec<String> {
        let of_run = |run: &RunResult| -> Vec<String> {
            let name = format!("{}, seed {}", method.name, run.seed);
            run.warnings.iter().map(|text| format!("{name}: {text}")).collect()
        };
        method.runs.iter().flat_map(of_run).collect()
    };
    result.methods.iter().flat_map(of_method).collect()
}

/// Whether the classes of the test split are so unequal that accuracy needs a second look.
pub fn is_unbalanced(result: &SuiteResult) -> bool {
    let classes = result.dataset.classes.len().max(1) as f64;
    let mut runs = result.methods.iter().flat_map(|method| &method.runs);
    runs.any(|run| run.test.majority_rate > 1.5 / classes)
}

/// What always answering the most frequent class gives, where that is much.
pub fn majority(result: &SuiteResult) -> Option<String> {
    let runs = result.methods.iter().flat_map(|method| &method.runs);
    let rates: Vec<f64> = runs.map(|run| 100.0 * run.test.majority_rate).collect();
    let rate = Interval::of(&rates).filter(|_| is_unbalanced(result))?.mean;
    Some(format!(
        "Always answering the most frequent class is right on {rate:.1} % of the test split."
    ))
}
