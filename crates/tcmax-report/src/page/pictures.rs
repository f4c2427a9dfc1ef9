//! Amounts of information under the kept weights: circles for a label and two modalities, bars for more.

use maud::{Markup, html};
use tcmax_metrics::Interval;
use tcmax_train::results::{
    FeatureInformation, InformationBound, InformationTruth, MethodResult, SuiteResult,
};

use crate::page::venn::{Amounts, Circle, circles};

/// The mean over a method's runs of a bound under the kept weights, on the test split.
fn mean(
    method: &MethodResult,
    quantity: &dyn Fn(&FeatureInformation) -> Option<InformationBound>,
) -> Option<f64> {
    let of_run =
        |run: &tcmax_train::results::RunResult| Some(quantity(run.information.as_ref()?)?.held_out);
    let values: Vec<f64> = method.runs.iter().filter_map(of_run).collect();
    Interval::of(&values).map(|interval| interval.mean)
}

/// A picture of each method that uses every modality.
pub(super) fn pictures(result: &SuiteResult) -> Markup {
    match &result.dataset.modalities[..] {
        [a, b] => venn(result, [a, b]),
        _ => bars(result),
    }
}

/// H(y) of the examples that were measured, the mean over the runs.
fn label_entropy(method: &MethodResult) -> Option<f64> {
    let of_run =
        |run: &tcmax_train::results::RunResult| Some(run.information.as_ref()?.label_entropy);
    let values: Vec<f64> = method.runs.iter().filter_map(of_run).collect();
    Interval::of(&values).map(|interval| interval.mean).filter(|nats| *nats > 0.0)
}

fn label_of(m: usize) -> impl Fn(&FeatureInformation) -> Option<InformationBound> {
    move |found| found.label.get(m).copied().flatten()
}

fn amounts(method: &MethodResult) -> Option<Amounts> {
    Some(Amounts {
        label: label_entropy(method)?,
        with_label: [mean(method, &label_of(0))?, mean(method, &label_of(1))?],
        shared: mean(method, &|found| found.shared)?,
        given_label: mean(method, &|found| Some(found.pairs.first()?.given_label))?,
    })
}

fn known(truth: &InformationTruth) -> Option<Amounts> {
    let (&[a, b], pair) = (truth.label_information.first_chunk()?, truth.pairs.first()?);
    Some(Amounts {
        label: truth.label_entropy,
        with_label: [a, b],
        shared: pair.shared,
        given_label: pair.given_label,
    })
}

fn venn(result: &SuiteResult, names: [&String; 2]) -> Markup {
    let truth = result.truth.as_ref().and_then(known);
    let drawn: Vec<(&MethodResult, Amounts)> =
        result.methods.iter().filter_map(|method| Some((method, amounts(method)?))).collect();
    if drawn.is_empty() {
        return html! {};
    }
    // All pictures have one scale.
    let all = drawn.iter().map(|(_, amounts)| amounts).chain(&truth).flat_map(circles);
    let [mut left, mut right, mut top, mut bottom] = [0.0f64; 4];
    for circle in all {
        (left, right) = (left.min(circle.x - circle.radius), right.max(circle.x + circle.radius));
        (top, bottom) = (top.min(circle.y - circle.radius), bottom.max(circle.y + circle.radius));
    }
    let half = right.max(-left);
    let margin = 0.04 * half;
    let view = [-half - margin, top - margin, 2.0 * (half + margin), bottom - top + 2.0 * margin];
    html! {
        h2 { "What label and modalities share" }
        p.note { "Areas are nats, under the kept weights, on the test split, mean over the seeds; one scale for all. The "
            "label's circle is H(y); a modality's is what it shares with the label and the other modality; overlaps are "
            "I(y; z) of each modality and I(z; z') of the two. They are lower bounds, drawn as near to these areas as "
            "circles can be."
            @if truth.is_some() { " Dashed: the truth of the data, which features can only lose." } }
        p.legend {
            span.label { i {} "label" } span.c4 { i {} (names[0]) } span.c5 { i {} (names[1]) }
        }
        div.charts { @for (method, amounts) in &drawn {
            figure {
                figcaption { (method.name) }
                (picture(&view, amounts, truth.as_ref(), &format!("Information of {}", method.name)))
                p.note { (sentence(amounts, names, method)) }
            }
        } }
    }
}

fn picture(view: &[f64; 4], amounts: &Amounts, truth: Option<&Amounts>, title: &str) -> Markup {
    let view_box = view.map(|x| format!("{x:.4}")).join(" ");
    let circle = |class: &str, circle: &Circle| {
        let [x, y, r] = [circle.x, circle.y, circle.radius].map(|x| format!("{x:.4}"));
        html! { circle class=(class) cx=(x) cy=(y) r=(r) {} }
    };
    let classes = ["label", "c4", "c5"];
    html! {
        svg.venn viewBox=(view_box) role="img" aria-label=(title) {
            @for (class, found) in classes.iter().zip(&circles(amounts)) { (circle(class, found)) }
            @if let Some(truth) = truth { @for found in &circles(truth) { (circle("truth", found)) } }
        }
    }
}

/// The numbers of a picture.
fn sentence(amounts: &Amounts, [a, b]: [&String; 2], method: &MethodResult) -> String {
    let Amounts { label, with_label: [of_a, of_b], shared, given_label } = amounts;
    let all = mean(method, &|found| Some(found.joint_label)).unwrap_or_default();
    format!(
        "I(y; {a}) {of_a:.2}, I(y; {b}) {of_b:.2}, I(y; both) {all:.2} of {label:.2}; I({a}; {b}) {shared:.2}, \
         I({a}; {b} | y) {given_label:.2}"
    )
}

/// Bars of every method, for any number of modalities.
fn bars(result: &SuiteResult) -> Markup {
    let names = &result.dataset.modalities;
    let truth = result.truth.as_ref();
    let entropies = result.methods.iter().filter_map(label_entropy);
    let Some(top) = entropies.reduce(f64::max) else { return html! {} };
    let of_method = |method: &MethodResult| {
        let mut rows: Vec<(String, Option<f64>, Option<f64>)> = Vec::new();
        for (m, name) in names.iter().enumerate() {
            let known = truth.and_then(|truth| truth.label_information.get(m).copied());
            rows.push((format!("I(y; {name})"), mean(method, &label_of(m)), known));
        }
        let known = truth.map(|truth| truth.joint_information);
        rows.push(("I(y; all)".to_owned(), mean(method, &|found| Some(found.joint_label)), known));
        for b in 0..names.len() {
            for a in 0..b {
                let pair = |found: &FeatureInformation| {
                    found.pairs.iter().find(|pair| pair.modalities == [a, b]).cloned()
                };
                let pair_truth =
                    truth.and_then(|t| t.pairs.iter().find(|pair| pair.modalities == [a, b]));
                let shared = mean(method, &|found| Some(pair(found)?.shared));
                rows.push((
                    format!("I({}; {})", names[a], names[b]),
                    shared,
                    pair_truth.map(|t| t.shared),
                ));
                let given = mean(method, &|found| Some(pair(found)?.given_label));
                let name = format!("I({}; {} | y)", names[a], names[b]);
                rows.push((name, given, pair_truth.map(|t| t.given_label)));
            }
        }
        rows.retain(|(_, value, _)| value.is_some());
        rows
    };
    let width = |value: f64| format!("{:.2}%", (100.0 * value / top).clamp(0.0, 100.0));
    html! {
        h2 { "What label and modalities share" }
        p.note { "Lower bounds in nats under the kept weights, on the test split, mean over the seeds. A full bar is "
            (format!("H(y), {top:.2} nats."))
            @if truth.is_some() { " The thin line is the truth of the data, which features can only lose." } }
        div.charts { @for method in &result.methods {
            @let rows = of_method(method);
            @if !rows.is_empty() { figure {
                figcaption { (method.name) }
                div.bars { @for (name, value, truth) in &rows {
                    span.name { (name) }
                    span.track.c1 {
                        i.bar style=(format!("width: {}", width(value.unwrap_or_default()))) {}
                        @if let Some(truth) = truth { i.whisker style=(format!("left: 0; width: {}", width(*truth))) {} }
                    }
                    span.value { (format!("{:.2}", value.unwrap_or_default())) }
                } }
            } }
        } }
    }
}
