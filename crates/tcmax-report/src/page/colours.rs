//! Which colour is which method, in all charts of the page.

use maud::{Markup, html};
use plotters::style::RGBColor;
use tcmax_metrics::Interval;
use tcmax_train::results::{MethodResult, SuiteResult};

use crate::palette::{COLOURS, colour};

/// The rules of the classes `c0`, `c1`, ...
pub(super) fn rules() -> String {
    let rule = |index: usize| {
        let RGBColor(red, green, blue) = colour(index);
        format!(".c{index} {{ --colour: #{red:02x}{green:02x}{blue:02x}; }}\n")
    };
    (0..COLOURS).map(rule).collect()
}

/// The class of the `index`-th colour.
pub(super) fn class(index: usize) -> String {
    format!("c{index}")
}

/// The positions of the methods that have a colour, in order: all, or as many as there are colours, joint
/// training and the best.
pub(super) fn coloured(result: &SuiteResult) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..result.methods.len()).collect();
    if rows.len() <= COLOURS {
        return rows;
    }
    let accuracy = |method: &MethodResult| {
        let values: Vec<f64> = method.runs.iter().map(|run| run.test.gain()).collect();
        Interval::of(&values).map_or(f64::NEG_INFINITY, |interval| interval.mean)
    };
    let key = |row: usize| match &result.methods[row] {
        method if method.name == "joint" => f64::INFINITY,
        method => accuracy(method),
    };
    rows.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
    rows.truncate(COLOURS);
    rows.sort_unstable();
    rows
}

/// Names and colours of the methods, once for a row of charts.
pub(super) fn legend(result: &SuiteResult) -> Markup {
    html! {
        p.legend { @for (index, row) in coloured(result).into_iter().enumerate() {
            span class=(class(index)) { i {} (result.methods[row].name) }
        } }
    }
}
