//! A leaderboard as one HTML page without any external resource.

use maud::{Markup, html as markup};

use super::board::{BoardSet, Leaderboard};
use super::failures::failures;
use super::grid::{Entry, Grid, Mark};
use super::{set, summary};
use crate::page::{document, remarks, scrolled};
use crate::table::warnings;

/// What the summary shows.
pub(super) const SUMMARY_NOTE: &str = "Test accuracy of joint training, and the differences of the other methods to it \
    over the same seeds, in points with 95% t intervals: bold where the p value of a paired t-test, corrected for the \
    number of methods on the data set (Holm), is below 0.05.";

/// The page.
pub fn html(board: &Leaderboard) -> String {
    let (grid, sentences) = summary::summary(board);
    let body = markup! {
        h1 { (board.title) }
        @for note in &board.notes { p { (note) } }
        h2 { "Summary" }
        (scrolled("Summary", &table(&grid)))
        p.note { (SUMMARY_NOTE) @for sentence in &sentences { " " (sentence) } }
        @for set in &board.sets { (section(set)) }
        h2 { "What the columns are" }
        p.note { (set::NOTE) }
        (settings(board))
    };
    document(&board.title, &body)
}

fn section(set: &BoardSet) -> Markup {
    let dataset = &set.result.dataset;
    let [train, validation, test] = dataset.sizes;
    markup! {
        h2 { (set.name) }
        p.note {
            (set.about) " Modalities: " (dataset.modalities.join(", ")) "; " (train) " training, " (validation)
            " validation, " (test) " test examples."
        }
        (scrolled(&set.name, &table(&set::table(set))))
        (remarks("Not in the table, or not complete", "notes", &failures(set)))
        (remarks("Warnings", "warnings", &warnings(&set.result)))
    }
}

fn table(grid: &Grid) -> Markup {
    markup! { table {
        thead { tr { @for heading in &grid.header { th { (heading) } } } }
        tbody { @for entries in &grid.rows { tr {
            @for (n, entry) in entries.iter().enumerate() {
                @if n == 0 { th scope="row" { (entry.text) } } @else { (cell(entry)) }
            }
        } } }
    } }
}

fn cell(entry: &Entry) -> Markup {
    let class = match entry.mark {
        Mark::None => "",
        Mark::Better => "best",
        Mark::Worse => "worse",
    };
    markup! {
        td class=(class) { (entry.text) @if !entry.detail.is_empty() { " " span.pm { (entry.detail) } } }
    }
}

fn settings(board: &Leaderboard) -> Markup {
    let (long, short): (Vec<_>, Vec<_>) =
        board.settings.iter().partition(|(_, value)| value.contains('\n'));
    let facts = board.facts();
    let rows = markup! { table { tbody { @for (name, value) in facts.iter().chain(short) {
        tr { th scope="row" { (name) } td.text { (value) } }
    } } } };
    markup! {
        h2 { "Settings" }
        (scrolled("Settings", &rows))
        @for (name, value) in long { details { summary { (name) } pre { (value) } } }
    }
}
