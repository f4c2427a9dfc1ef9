//! Which classes are taken for which.

use maud::{Markup, html};
use tcmax_train::results::{MethodResult, SuiteResult};

use crate::page::tables::scrolled;

/// Of more classes than these only the most frequent confusions are listed: the square of a thousand classes
/// would be a million cells per method.
const MOST_CLASSES: usize = 30;
/// So many confusions are listed.
const LISTED: usize = 10;

/// The confusions of every method.
pub(super) fn confusions(result: &SuiteResult) -> Markup {
    let classes = &result.dataset.classes;
    let is_listed = classes.len() > MOST_CLASSES;
    html! {
        h2 { "Confusion of the fused prediction" }
        p.note { "Test examples of all seeds: "
            @if is_listed { "the most frequent pairs of a true and a predicted class." }
            @else { "a row is a true class, a column a predicted one." (names(classes)) } }
        div.charts { @for method in &result.methods {
            @let total = total(method, classes.len());
            figure {
                figcaption { (method.name) }
                @if is_listed { (pairs(&total, classes)) }
                @else { (scrolled(&format!("Confusion of {}", method.name), &matrix(&total, classes))) }
            }
        } }
    }
}

/// The names of classes that are called by number in the matrices, where they have others.
fn names(classes: &[String]) -> String {
    let numbered = classes.iter().enumerate();
    let is_number = |(n, class): (usize, &String)| {
        let (words, number) = class.rsplit_once(' ').unwrap_or(("class", class));
        words == "class" && number == n.to_string()
    };
    if numbered.clone().all(is_number) {
        return String::new();
    }
    let names: Vec<String> = numbered.map(|(n, class)| format!("{n} {class}")).collect();
    format!(" Classes: {}.", names.join(", "))
}

/// Counts of a method over all of its runs.
fn total(method: &MethodResult, classes: usize) -> Vec<Vec<u64>> {
    let mut total = vec![vec![0u64; classes]; classes];
    for run in &method.runs {
        for (sum, row) in total.iter_mut().zip(&run.test.confusion) {
            for (sum, count) in sum.iter_mut().zip(row) {
                *sum += u64::from(*count);
            }
        }
    }
    total
}

fn matrix(total: &[Vec<u64>], classes: &[String]) -> Markup {
    // The share of a row, as the strength of the colour behind it.
    let shade = |row: &[u64], count: u64| {
        let share = count as f64 / row.iter().sum::<u64>().max(1) as f64;
        format!("--share: {:.0}%", 75.0 * share)
    };
    html! { table.confusion {
        thead { tr { th { } @for (n, class) in classes.iter().enumerate() { th title=(class) { (n) } } } }
        tbody { @for (n, row) in total.iter().enumerate() { tr {
            th scope="row" title=(classes[n]) { (n) }
            @for &count in row {
                td style=(shade(row, count)) { @if count > 0 { (count) } }
            }
        } } }
    } }
}

fn pairs(total: &[Vec<u64>], classes: &[String]) -> Markup {
    let of_row = |(truth, row): (usize, &Vec<u64>)| {
        let cells = row.iter().enumerate().filter(move |(guess, _)| *guess != truth);
        cells.map(move |(guess, &count)| (count, truth, guess)).collect::<Vec<_>>()
    };
    let mut wrong: Vec<_> = total.iter().enumerate().flat_map(of_row).collect();
    wrong.retain(|(count, ..)| *count > 0);
    wrong.sort_by_key(|&(count, truth, guess)| (std::cmp::Reverse(count), truth, guess));
    wrong.truncate(LISTED);
    html! { table {
        thead { tr { th { "true class" } th.text { "predicted" } th { "examples" } } }
        tbody { @for (count, truth, guess) in wrong { tr {
            th scope="row" { (classes[truth]) } td.text { (classes[guess]) } td { (count) }
        } } }
    } }
}
