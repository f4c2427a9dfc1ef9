//! What the features share with the class and with each other: over the epochs, and under the kept weights.

use maud::{Markup, html};
use tcmax_train::results::{FeatureInformation, InformationBound, InformationTruth, SuiteResult};

use crate::page::charts::Level;
use crate::page::colours::legend;
use crate::page::curves::{Lines, curve};
use crate::page::pictures;

/// Charts and pictures; nothing where nothing was measured.
pub(super) fn information(result: &SuiteResult) -> Markup {
    let runs = || result.methods.iter().flat_map(|method| &method.runs);
    let has_curves = runs().flat_map(|run| &run.history).any(|record| record.information.is_some());
    let has_end = runs().any(|run| run.information.is_some());
    html! {
        @if has_curves { (curves(result)) }
        @if has_end { (pictures::pictures(result)) }
    }
}

/// A bound of a measurement.
type Quantity<'a> = &'a dyn Fn(&FeatureInformation) -> Option<InformationBound>;

fn curves(result: &SuiteResult) -> Markup {
    let (names, truth) = (&result.dataset.modalities, result.truth.as_ref());
    let known = |value: &dyn Fn(&InformationTruth) -> Option<f64>| {
        let level = |value: f64| Level { name: "in the data".to_owned(), value };
        truth.and_then(value).map(level).into_iter().collect::<Vec<Level>>()
    };
    html! {
        h2 { "Information in the features over the epochs" }
        p.note { "Lower bounds in nats, measured on the validation split (lines) and on training examples that the "
            "critics were not fitted to (dashed); mean over the seeds. A modality that stays low while another "
            "one grows is starved; where the dashed line is far above the solid one, the features memorise."
            @if truth.is_some() { " In the data: what the inputs tell, which features can only lose." } }
        (legend(result))
        div.charts {
            @for (m, name) in names.iter().enumerate() {
                (chart(result, &format!("I(y; z of {name})"), &known(&|t| t.label_information.get(m).copied()),
                    &|found| found.label.get(m).copied().flatten()))
            }
            (chart(result, "I(y; all features)", &known(&|t| Some(t.joint_information)), &|found| found.shared.map(|_| found.joint_label)))
            @if let [a, b] = &names[..] {
                (chart(result, &format!("I({a}; {b})"), &known(&|t| Some(t.pairs.first()?.shared)),
                    &|found| found.shared))
                (chart(result, &format!("I({a}; {b} | y), beyond the class"),
                    &known(&|t| Some(t.pairs.first()?.given_label)), &|found| Some(found.pairs.first()?.given_label)))
            } @else {
                (chart(result, "I(z of all modalities), what they share", &known(&|t| Some(t.shared_information)),
                    &|found| found.shared))
            }
            (chart(result, "TC(features, y)", &known(&|t| Some(t.total_correlation)),
                &|found| found.shared.map(|_| found.total_correlation)))
        }
    }
}

fn chart(result: &SuiteResult, title: &str, levels: &[Level], quantity: Quantity<'_>) -> Markup {
    let bound = |record: &tcmax_train::results::EpochRecord| quantity(record.information.as_ref()?);
    let held_out = |record: &_| Some(bound(record)?.held_out);
    let train = |record: &_| bound(record)?.train;
    let lines = Lines { y_label: "nats", levels, floor: None };
    html! { figure { figcaption { (title) } (curve(result, &lines, &[(&held_out, false), (&train, true)])) } }
}
