//! The report of a comparison: one self-contained page.

mod bars;
mod charts;
mod colours;
mod confusion;
mod curves;
mod information;
mod pictures;
mod reading;
mod settings;
mod tables;
mod venn;

pub(crate) use tables::scrolled;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tcmax_train::results::SuiteResult;

use crate::table::{choices, verdict, warnings};

/// The page, without any external resource.
pub fn html(result: &SuiteResult) -> String {
    let body = html! {
        h1 { (result.title) }
        @if let Some(sentence) = verdict(result) { p.verdict { (sentence) } }
        (remarks("Chosen on the validation splits (in how many runs)", "choices", &choices(result)))
        (remarks("Warnings", "warnings", &warnings(result)))
        (remarks("Notes on the data", "notes", &result.dataset.notes))
        @for sentence in reading::sentences(result) { p { (sentence) } }
        p.note { (result.dataset.name) ": " (result.dataset.description) " " (sizes(result)) }
        (tables::sections_of(result))
        (tables::truth(result))
        (bars::accuracies(result))
        (curves::modalities(result))
        (information::information(result))
        (curves::training(result))
        @if result.dataset.task.is_classes() { (confusion::confusions(result)) }
        (settings::settings(result))
    };
    document(&result.title, &body)
}

/// A page with its styles.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "tcmax: " (title) }
                style { (PreEscaped(include_str!("style.css"))) (PreEscaped(colours::rules())) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn sizes(result: &SuiteResult) -> String {
    let [train, validation, test] = result.dataset.sizes;
    let classes = result.dataset.classes.len();
    let outputs = result.dataset.task.outputs(classes);
    let seeds = match tables::seeds_of_all(result) {
        None | Some(0) => String::new(),
        Some(1) => " One seed of every method.".to_owned(),
        Some(seeds) => format!(" {seeds} seeds of every method."),
    };
    format!(
        "{classes} {outputs}; {train} training, {validation} validation, {test} test examples.{seeds}"
    )
}

/// Of more remarks than these the rest is folded.
const MANY_REMARKS: usize = 6;

/// A list of sentences; nothing when there is none.
pub(crate) fn remarks(title: &str, class: &str, sentences: &[String]) -> Markup {
    let (shown, folded) = sentences.split_at(sentences.len().min(MANY_REMARKS));
    let list = |sentences: &[String]| html! { ul { @for text in sentences { li { (text) } } } };
    html! {
        @if !sentences.is_empty() {
            section.remarks.(class) {
                strong { (title) } (list(shown))
                @if !folded.is_empty() {
                    details { summary { (folded.len()) " more" } (list(folded)) }
                }
            }
        }
    }
}
