//! What the runs were made with.

use maud::{Markup, html};
use tcmax_train::results::SuiteResult;

use crate::page::tables::scrolled;

/// Settings, methods, seeds and versions.
pub(super) fn settings(result: &SuiteResult) -> Markup {
    let seeds: Vec<String> = result.methods.first().map_or_else(Vec::new, |method| {
        method.runs.iter().map(|run| run.seed.to_string()).collect()
    });
    let row = |name: &str, value: &str| {
        html! { tr { th scope="row" { (name) } td.text { (value) } } }
    };
    let (long, short): (Vec<_>, Vec<_>) =
        result.settings.iter().partition(|(_, value)| value.contains('\n'));
    let table = html! { table { tbody {
        @for (name, value) in short { (row(name, value)) }
        @for method in &result.methods { (row(&method.name, &method.description)) }
        (row("seeds", &seeds.join(", ")))
        @for (name, version) in &result.versions { (row(name, version)) }
        (row("time", &format!("{:.0} s", result.seconds)))
    } } };
    html! {
        h2 { "Settings" }
        (scrolled("Settings", &table))
        @for (name, value) in long {
            details { summary { (name) } pre { (value) } }
        }
    }
}
