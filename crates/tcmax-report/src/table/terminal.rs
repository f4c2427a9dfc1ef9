//! The tables of a comparison as text.

use tcmax_train::results::SuiteResult;

use crate::table::chosen::choices;
use crate::table::column::{Column, ColumnKind};
use crate::table::comparison::{Section, rows_of, sections};
use crate::table::remarks::warnings;
use crate::table::style::{bordered, right_align};
use crate::table::truth::truth_table;
use crate::table::verdict::verdict;

/// Warnings in a terminal at most.
const MOST_WARNINGS: usize = 10;

/// Methods against accuracies and the bound, their differences, and without a modality; the truth below
/// where it is known, the verdict, and warnings.
pub fn comparison(result: &SuiteResult) -> String {
    let mut parts: Vec<String> =
        sections(result).iter().map(|section| methods_table(result, section)).collect();
    let truth = result.truth.iter();
    parts.extend(truth.map(|truth| truth_table(truth, &result.dataset.modalities)));
    parts.extend(verdict(result).map(|sentence| wrapped(&sentence)));
    let choices = choices(result);
    if !choices.is_empty() {
        let lines = choices.iter().map(|line| wrapped(line)).collect::<Vec<_>>().join("\n");
        parts.push(format!("Chosen on the validation splits (in how many runs):\n{lines}"));
    }
    let warnings = warnings(result);
    let mut lines: Vec<String> =
        warnings.iter().take(MOST_WARNINGS).map(|text| format!("warning: {text}")).collect();
    if warnings.len() > MOST_WARNINGS {
        let rest = warnings.len() - MOST_WARNINGS;
        lines.push(format!("and {rest} more warnings, in the results"));
    }
    parts.extend((!lines.is_empty()).then(|| lines.join("\n")));
    parts.join("\n\n")
}

/// Characters on a line of prose at most.
const LINE: usize = 110;

/// The words of a sentence on as many lines as they need.
fn wrapped(sentence: &str) -> String {
    let (mut text, mut length) = (String::new(), 0);
    for word in sentence.split(' ') {
        let own = word.chars().count();
        if length > 0 && length + 1 + own > LINE {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text += word;
        length += own;
    }
    text
}

/// One row per method that has any of the quantities; a table that is too wide for a terminal has its columns in
/// several, one below the other.
fn methods_table(result: &SuiteResult, section: &Section) -> String {
    let mut tables = Vec::new();
    let mut rest = &section.columns[..];
    while !rest.is_empty() {
        let fits = |count: &usize| width(&table_of(result, section, &rest[..*count])) <= WIDEST;
        let count = (1..=rest.len()).rev().find(fits).unwrap_or(1);
        tables.push(table_of(result, section, &rest[..count]));
        rest = &rest[count..];
    }
    tables.join("\n")
}

/// Characters of the widest table.
const WIDEST: usize = 100;

fn width(table: &str) -> usize {
    table.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// A table of some columns of a section.
fn table_of(result: &SuiteResult, section: &Section, columns: &[Column]) -> String {
    let mut table = bordered();
    let is_difference = columns.iter().all(|column| column.kind == ColumnKind::Difference);
    let first = if is_difference { section.title.as_str() } else { "method" };
    let mut header = vec![first.to_owned(), "seeds".to_owned()];
    header.extend(columns.iter().map(|column| column.heading.clone()));
    table.set_header(header);
    for row in rows_of(result, &section.columns) {
        let method = &result.methods[row];
        let mut cells = vec![method.name.clone(), method.runs.len().to_string()];
        cells.extend(columns.iter().map(|column| column.text(row).join(" ")));
        table.add_row(cells);
    }
    right_align(&mut table);
    table.to_string()
}
