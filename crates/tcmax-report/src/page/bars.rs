//! Accuracies as bars, one group for the fused prediction and one for each modality. They are elements of the
//! page and no picture, so that their text keeps its size on a phone.

use maud::{Markup, html};
use tcmax_train::results::SuiteResult;

use crate::page::colours::{class, coloured};
use crate::table::{Cell, Column, ColumnKind, columns};

/// Every method's accuracies on the test split, with intervals.
pub(super) fn accuracies(result: &SuiteResult) -> Markup {
    let columns = columns(result);
    let accuracies = columns.iter().filter(|column| column.kind == ColumnKind::Accuracy);
    html! {
        h2 { "Accuracy on the test split" }
        div.charts { @for column in accuracies { (group(result, column)) } }
        p.note { "Bars: means over the seeds, in percent; whiskers: 95% t intervals. A modality's bar is the \
            accuracy of its own logits in the model, without the other modalities." }
    }
}

fn group(result: &SuiteResult, column: &Column) -> Markup {
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
                span class={ "track " (colour(row)) } { (bar(cell)) }
                span.value { (format!("{:.1}", cell.interval.mean)) }
            } }
        }
    }
}

fn bar(cell: Cell) -> Markup {
    let mean = cell.interval.mean.clamp(0.0, 100.0);
    let whisker = cell.interval.half_width.map(|half| {
        let (low, high) = ((mean - half).max(0.0), (mean + half).min(100.0));
        format!("left: {low:.2}%; width: {:.2}%", high - low)
    });
    html! {
        i.bar style=(format!("width: {mean:.2}%")) {}
        @if let Some(whisker) = whisker { i.whisker style=(whisker) {} }
    }
}
