//! The report of a comparison: one self-contained page.

mod charts;
mod reading;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tcmax_metrics::Interval;
use tcmax_train::results::{EpochRecord, MethodResult, SuiteResult};

use crate::palette::{COLOURS, colour};
use crate::table::{
    Column, ColumnKind, Section, columns, majority, rows_of, sections, truth_rows, warnings,
};
use charts::{Bar, Level, Series};

/// The page, without any external resource.
pub fn html(result: &SuiteResult) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "tcmax: " (result.title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                h1 { (result.title) }
                @for sentence in reading::sentences(result) { p.lead { (sentence) } }
                p.note { (result.dataset.name) ": " (result.dataset.description) " "
                    (sizes(result)) }
                (remarks("Notes on the data", &result.dataset.notes))
                (remarks("Warnings", &warnings(result)))
                @for section in sections(result) { (methods_table(result, &section)) }
                (truth(result))
                h2 { "Accuracy on the test split" }
                div.scroll.wide { (PreEscaped(accuracy_bars(result))) }
                p.note { "Bars: means over the seeds; whiskers: 95% t intervals. A modality's bar is "
                    "the accuracy of its own logits in the model, without the other modalities." }
                (curves(result))
                (confusions(result))
                (settings(result))
            }
        }
    };
    page.into_string()
}

fn sizes(result: &SuiteResult) -> String {
    let [train, validation, test] = result.dataset.sizes;
    let classes = result.dataset.classes.len();
    format!("{classes} classes; {train} training, {validation} validation, {test} test examples.")
}

/// Remarks of this many lines are folded.
const MANY_REMARKS: usize = 6;

/// A list of sentences; nothing when there is none.
fn remarks(title: &str, sentences: &[String]) -> Markup {
    let list = html! { ul { @for sentence in sentences { li { (sentence) } } } };
    html! {
        @if sentences.len() > MANY_REMARKS {
            details.remarks { summary { (title) " (" (sentences.len()) ")" } (list) }
        } @else if !sentences.is_empty() {
            div.remarks { strong { (title) } (list) }
        }
    }
}

/// One row per method that has any of the quantities; where one method is better than all others beyond
/// chance, its cell is marked.
fn methods_table(result: &SuiteResult, section: &Section) -> Markup {
    let columns = &section.columns;
    let winners: Vec<Option<usize>> = columns.iter().map(Column::winner).collect();
    html! {
        h2 { (section.title) }
        div.scroll { table {
            thead { tr {
                th { "method" } th { "seeds" }
                @for column in columns { th { (column.heading) } }
            } }
            tbody { @for row in rows_of(result, columns) { @let method = &result.methods[row]; tr {
                td title=(method.description) { (method.name) }
                td { (method.runs.len()) }
                @for (column, winner) in columns.iter().zip(&winners) {
                    @let text = column.text(row);
                    td.best[*winner == Some(row)] {
                        @for (n, part) in text.iter().enumerate() {
                            @if n == 0 { (part) } @else { " " span.pm { (part) } }
                        }
                    }
                }
            } } }
        } }
        p.note { (section.note)
            @if winners.iter().any(Option::is_some) {
                " Marked: better than every other method of the column beyond chance (paired t-tests over \
                 the seeds, corrected for their number, p < 0.05)."
            }
            @if section.title == "Results" {
                @if let Some(sentence) = majority(result) { " " (sentence) }
            }
        }
    }
}

fn truth(result: &SuiteResult) -> Markup {
    let Some(truth) = &result.truth else { return html! {} };
    html! {
        h2 { "The truth beside the estimates" }
        div.scroll { table {
            thead { tr { th { "known of the data" } th { "value" } } }
            tbody { @for (name, value) in truth_rows(truth, &result.dataset.modalities) {
                tr { td { (name) } td { (value) } }
            } }
        } }
    }
}

fn accuracy_bars(result: &SuiteResult) -> String {
    let columns = columns(result);
    let accuracies: Vec<&Column> =
        columns.iter().filter(|column| column.kind == ColumnKind::Accuracy).collect();
    let groups: Vec<(String, Vec<Bar>)> = result
        .methods
        .iter()
        .enumerate()
        .map(|(row, method)| {
            let bar = |(n, column): (usize, &&Column)| Bar {
                colour: colour(n + 3),
                value: column.cells[row].map(|cell| cell.interval.mean),
                half_width: column.cells[row].and_then(|cell| cell.interval.half_width),
            };
            (method.name.clone(), accuracies.iter().enumerate().map(bar).collect())
        })
        .collect();
    let name = |column: &&Column| column.heading.trim_end_matches(" %").to_owned();
    let names: Vec<_> =
        accuracies.iter().enumerate().map(|(n, column)| (name(column), colour(n + 3))).collect();
    charts::bars(&groups, &names)
}

/// The mean over a method's runs of a figure of each epoch.
fn over_epochs(
    method: &MethodResult,
    figure: impl Fn(&EpochRecord) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let epochs = method.runs.iter().map(|run| run.history.len()).max().unwrap_or(0);
    let mean = |epoch: usize| {
        let records = method.runs.iter().filter_map(|run| run.history.get(epoch));
        let values: Vec<f64> = records.filter_map(&figure).collect();
        Interval::of(&values).map(|interval| ((epoch + 1) as f64, interval.mean))
    };
    (0..epochs).filter_map(mean).collect()
}

/// The methods whose curves are drawn: all, or as many as there are colours, joint training and the
/// best.
fn drawn(result: &SuiteResult) -> Vec<&MethodResult> {
    if result.methods.len() <= COLOURS {
        return result.methods.iter().collect();
    }
    let accuracy = |method: &MethodResult| {
        let values: Vec<f64> = method.runs.iter().map(|run| run.test.accuracy).collect();
        Interval::of(&values).map_or(f64::NEG_INFINITY, |interval| interval.mean)
    };
    let mut ranked: Vec<(usize, &MethodResult)> = result.methods.iter().enumerate().collect();
    let key = |method: &MethodResult| if method.name == "joint" { 2.0 } else { accuracy(method) };
    ranked.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)));
    ranked.truncate(COLOURS);
    ranked.sort_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, method)| method).collect()
}

fn curve(
    result: &SuiteResult,
    y_label: &str,
    levels: &[Level],
    floor: Option<f64>,
    figure: impl Fn(&EpochRecord) -> Option<f64>,
) -> Markup {
    let series: Vec<Series> = drawn(result)
        .into_iter()
        .enumerate()
        .map(|(index, method)| Series {
            colour: colour(index),
            points: over_epochs(method, &figure),
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    PreEscaped(charts::lines(y_label, &series, levels, floor))
}

fn curves(result: &SuiteResult) -> Markup {
    let levels: Vec<Level> = result
        .truth
        .iter()
        .map(|truth| Level {
            name: "within reach of a sum of logits".to_owned(),
            value: truth.total_correlation - truth.additive_gap,
        })
        .collect();
    html! {
        h2 { "Each modality over the epochs" }
        p.note { "Accuracy of a modality's own logits on the validation split, mean over the seeds: "
            "here one sees a modality starve."
            @if result.methods.len() > COLOURS {
                " Of " (result.methods.len()) " methods, joint training and the best are drawn."
            } }
        (legend(result))
        div.charts { @for (m, name) in result.dataset.modalities.iter().enumerate() {
            figure {
                figcaption { (name) }
                (curve(result, "accuracy, %", &[], None, |record| {
                    record.validation.modality_accuracy.get(m).copied().flatten().map(|a| 100.0 * a)
                }))
            }
        } }
        h2 { "Training" }
        (legend(result))
        div.charts {
            figure { figcaption { "Fused accuracy, validation" }
                (curve(result, "accuracy, %", &[], None, |r| Some(100.0 * r.validation.accuracy))) }
            figure { figcaption { "Total correlation bound, validation (from " (BOUND_FLOOR) " nats up)" }
                (curve(result, "nats", &levels, Some(BOUND_FLOOR), |r| r.validation.total_correlation)) }
            figure { figcaption { "Accuracy on the training batches" }
                (curve(result, "accuracy, %", &[], None, |r| Some(100.0 * r.train_accuracy))) }
            figure { figcaption { "Training loss (each method its own)" }
                (curve(result, "nats", &[], None, |r| Some(r.train_loss))) }
        }
    }
}

/// Bounds below this many nats, as overconfident critics have them, are drawn at it.
const BOUND_FLOOR: f64 = -2.0;

/// Which colour is which method, once for a row of charts.
fn legend(result: &SuiteResult) -> Markup {
    html! {
        p.legend { @for (index, method) in drawn(result).into_iter().enumerate() {
            span { i style=(swatch(index)) {} (method.name) }
        } }
    }
}

fn swatch(index: usize) -> String {
    let plotters::style::RGBColor(red, green, blue) = colour(index);
    format!("background: rgb({red} {green} {blue})")
}

fn confusions(result: &SuiteResult) -> Markup {
    html! {
        h2 { "Confusion of the fused prediction" }
        p.note { "Test examples of all seeds: a row is a true class, a column a predicted one." }
        div.charts { @for method in &result.methods {
            figure {
                figcaption { (method.name) }
                div.scroll { (confusion(method, &result.dataset.classes)) }
            }
        } }
    }
}

fn confusion(method: &MethodResult, classes: &[String]) -> Markup {
    let mut total = vec![vec![0u64; classes.len()]; classes.len()];
    for run in &method.runs {
        for (sum, row) in total.iter_mut().zip(&run.test.confusion) {
            for (sum, count) in sum.iter_mut().zip(row) {
                *sum += u64::from(*count);
            }
        }
    }
    // Shades over the page's white; the text in a cell is dark in both schemes.
    let shade = |row: &[u64], count: u64| {
        let share = count as f64 / row.iter().sum::<u64>().max(1) as f64;
        format!("background: hsl(205 80% {:.0}%)", 97.0 - 45.0 * share)
    };
    let few = classes.len() <= 20;
    html! { table.confusion {
        thead { tr { th { } @for n in 0..classes.len() { th title=(classes[n]) { (n) } } } }
        tbody { @for (n, row) in total.iter().enumerate() { tr {
            th title=(classes[n]) { (n) }
            @for &count in row {
                td.cell style=(shade(row, count)) { @if few && count > 0 { (count) } }
            }
        } } }
    } }
}

fn settings(result: &SuiteResult) -> Markup {
    let seeds: Vec<String> = result.methods.first().map_or_else(Vec::new, |method| {
        method.runs.iter().map(|run| run.seed.to_string()).collect()
    });
    html! {
        h2 { "Settings" }
        div.scroll { table { tbody {
            @for (name, value) in &result.settings {
                tr { td { (name) } td.text { @if value.contains('\n') { pre { (value) } }
                    @else { (value) } } }
            }
            @for method in &result.methods {
                tr { td { (method.name) } td.text { (method.description) } }
            }
            tr { td { "seeds" } td.text { (seeds.join(", ")) } }
            @for (name, version) in &result.versions {
                tr { td { (name) } td.text { (version) } }
            }
            tr { td { "time" } td.text { (format!("{:.0} s", result.seconds)) } }
        } } }
    }
}
