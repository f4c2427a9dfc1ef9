//! `tcmax estimate --list`.

use std::fmt::Write;

use tcmax_estimators::{EstimatorKind, EstimatorSpec};
use tcmax_registry::Catalogue;

/// Every estimator with what it is for, where it comes from and its options.
pub(super) fn list(estimators: &Catalogue<EstimatorSpec>) -> String {
    let mut text = String::new();
    for spec in estimators.iter() {
        let _ = writeln!(text, "{:<10} {}", spec.name, spec.description);
        let variables = if spec.pairs_only { "two variables" } else { "two variables or more" };
        let bound = if spec.lower_bound { "a lower bound" } else { "not a bound" };
        let training = match spec.kind {
            EstimatorKind::Critic(_) => "trains a critic per seed",
            EstimatorKind::Sum(_) => "trains a critic per term of a sum and seed",
            EstimatorKind::Direct(_) => "trains no critic",
        };
        let _ = writeln!(text, "{:<10} {variables}; {bound}; {training}", "");
        if !spec.source.is_empty() {
            let _ = writeln!(text, "{:<10} {}", "", spec.source);
        }
        for option in spec.options.documentation() {
            let default = option.default.map_or_else(String::new, |d| format!("={d}"));
            let _ = writeln!(text, "{:<10} --set {}{default}: {}", "", option.name, option.text);
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}
