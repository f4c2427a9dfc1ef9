//! The tables of the page.

use maud::{Markup, html};
use tcmax_train::results::SuiteResult;

use crate::table::{Column, Section, rows_of, sections, truth_rows};

/// All tables of the comparison.
pub(super) fn sections_of(result: &SuiteResult) -> Markup {
    html! { @for section in sections(result) { (methods_table(result, &section)) } }
}

/// A box around what may be wider than the page: it is scrolled alone, with the keyboard too.
pub(crate) fn scrolled(name: &str, content: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(name) { (content) } }
}

/// One row per method that has any of the quantities; where one method is better than all others beyond
/// chance, its cell is marked.
fn methods_table(result: &SuiteResult, section: &Section) -> Markup {
    let columns = &section.columns;
    let winners: Vec<Option<usize>> = columns.iter().map(Column::winner).collect();
    // Where all have the same, the page says so once.
    let has_seeds = seeds_of_all(result).is_none();
    let table = html! { table {
        thead { tr {
            th { "method" }
            @if has_seeds { th { "seeds" } }
            @for column in columns { th { (column.heading) } }
        } }
        tbody { @for row in rows_of(result, columns) { @let method = &result.methods[row]; tr {
            th scope="row" title=(method.description) { (method.name) }
            @if has_seeds { td { (method.runs.len()) } }
            @for (column, winner) in columns.iter().zip(&winners) { (cell(column, row, *winner)) }
        } } }
    } };
    html! {
        h2 { (section.title) }
        (scrolled(&section.title, &table))
        p.note { (section.note)
            @if winners.iter().any(Option::is_some) {
                " Marked: better than every other method of the column beyond chance (paired t-tests over \
                 the seeds, corrected for their number, p < 0.05)."
            }
        }
    }
}

/// A value, with what is said of its uncertainty on lines of its own.
fn cell(column: &Column, row: usize, winner: Option<usize>) -> Markup {
    let text = column.text(row);
    html! {
        td.best[winner == Some(row)] {
            @for (n, part) in text.iter().enumerate() {
                @if n == 0 { (part) } @else { " " span.pm { (part) } }
            }
        }
    }
}

/// The number of seeds that all methods have; `None` where they have different ones.
pub(super) fn seeds_of_all(result: &SuiteResult) -> Option<usize> {
    let mut counts = result.methods.iter().map(|method| method.runs.len());
    let first = counts.next()?;
    counts.all(|count| count == first).then_some(first)
}

/// What is known of generated data.
pub(super) fn truth(result: &SuiteResult) -> Markup {
    let Some(truth) = &result.truth else { return html! {} };
    let table = html! { table {
        thead { tr { th { "known of the data" } th { "value" } } }
        tbody { @for (name, value) in truth_rows(truth, &result.dataset.modalities) {
            tr { th scope="row" { (name) } td { (value) } }
        } }
    } };
    html! {
        h2 { "The truth beside the estimates" }
        (scrolled("The truth", &table))
    }
}
