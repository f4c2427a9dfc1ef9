//! Accuracies as bars, one group for the fused prediction and one for each modality. They are elements of the
//! page and no picture, so that their text keeps its size on a phone.

use maud::{Markup, html};
use tcmax_train::results::{Metric, SuiteResult};

use crate::page::colours::{class, coloured};
use crate::table::{Cell, Column, ColumnKind, columns};

/// Every method's accuracies on the test split, with intervals.
pub(super) fn accuracies(result: &SuiteResult) -> Markup {
    let columns = columns(result);
    let accuracies = columns.iter().filter(|column| column.kind == ColumnKind::Accuracy);
    let metric = Metric::of(result.dataset.task);
    let (title, unit) = match metric {
        Metric::Accuracy => ("Accuracy", "in percent"),
        Metric::MeanAveragePrecision => ("mAP", "in percent"),
        Metric::Rmse => ("RMSE", "less is better"),
    };
    let top = if metric.is_fraction() { 100.0 } else { largest(&columns) };
    let own = if metric == Metric::Rmse { "outputs" } else { "logits" };
    html! {
        h2 { (title) " on the test split" }
        div.charts { @for column in accuracies { (group(result, column, top)) } }
        p.note { "Bars: means over the seeds, " (unit) "; whiskers: 95% t intervals. A modality's bar is the "
            (metric.name()) " of its own " (own) " in the model, without the other modalities." }
    }
}

/// The largest value of the bars with its interval.
fn largest(columns: &[Column]) -> f64 {
    let bars = columns.iter().filter(|column| column.kind == ColumnKind::Accuracy);
    let cells = bars.flat_map(|column| column.cells.iter().flatten());
    let high = |cell: &Cell| cell.interval.mean + cell.interval.half_width.unwrap_or(0.0);
    cells.map(high).fold(f64::MIN_POSITIVE, f64::max)
}

fn group(result: &SuiteResult, column: &Column, top: f64) -> Markup {
    let coloured = coloured(result);
    // Methods without a colour get a light grey.
    let colour = |row: usize| {
        coloured.iter().position(|&other| other == row).map_or_else(String::new, class)
    };
    let rows = column.cells.iter().enumerate().filter_map(|(row, cell)| Some((row, (*cell)?)));
    html! {
        figure {
            figcaption { (column.heading.trim_end_matches(" %")) }
            div.bars { @for (row, cell) in rows {
                span.name { (result.methods[row].name) }
                span class={ "track " (colour(row)) } { (bar(cell, top)) }
                span.value { (format!("{:.*}", column.digits, cell.interval.mean)) }
            } }
        }
    }
}

fn bar(cell: Cell, top: f64) -> Markup {
    let scale = 100.0 / top;
    let mean = (scale * cell.interval.mean).clamp(0.0, 100.0);
    let whisker = cell.interval.half_width.map(|half| {
        let half = scale * half;
        let (low, high) = ((mean - half).max(0.0), (mean + half).min(100.0));
        format!("left: {low:.2}%; width: {:.2}%", high - low)
    });
    html! {
        i.bar style=(format!("width: {mean:.2}%")) {}
        @if let Some(whisker) = whisker { i.whisker style=(whisker) {} }
    }
}
