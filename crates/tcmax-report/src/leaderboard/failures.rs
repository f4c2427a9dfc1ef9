//! What a table cannot show: methods that are not defined for the data, and runs that failed.

use super::board::BoardSet;

/// One sentence each.
pub(super) fn failures(set: &BoardSet) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for method in &set.result.methods {
        let runs = method.runs.len() + method.failed.len();
        // Runs of a method usually fail for the same reason.
        if let Some(first) = method.failed.first() {
            let count = method.failed.len();
            let problem = first.problem.trim_end_matches('.');
            found.push(format!("{}: {count} of {runs} runs failed: {problem}.", method.name));
        }
    }
    let undefined = set.undefined.iter();
    found.extend(
        undefined.map(|(name, why)| format!("{name} is not defined for these data: {why}.")),
    );
    found
}
