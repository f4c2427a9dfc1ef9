//! What the runs of a method chose on their validation splits.

use std::collections::BTreeMap;

use tcmax_train::results::{MethodResult, SuiteResult};

/// Every value with the number of runs that chose it, most first, such as `learning-rate 0.05 (7), 0.02 (3)`.
pub(crate) fn chosen(method: &MethodResult) -> String {
    let mut keys: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (key, value) in method.runs.iter().flat_map(|run| &run.chosen) {
        *keys.entry(key).or_default().entry(value).or_default() += 1;
    }
    let of_key = |(key, values): (&str, BTreeMap<&str, usize>)| {
        let mut values: Vec<(&str, usize)> = values.into_iter().collect();
        values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let values: Vec<String> =
            values.into_iter().map(|(value, count)| format!("{value} ({count})")).collect();
        let name = key.rsplit('.').next().unwrap_or(key);
        format!("{name} {}", values.join(", "))
    };
    keys.into_iter().map(of_key).collect::<Vec<_>>().join("; ")
}

/// What every method chose that had a choice, a line each.
pub fn choices(result: &SuiteResult) -> Vec<String> {
    let line = |method: &MethodResult| {
        let text = chosen(method);
        (!text.is_empty()).then(|| format!("{}: {text}", method.name))
    };
    result.methods.iter().filter_map(line).collect()
}
