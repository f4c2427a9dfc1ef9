//! What the figures say, in a few sentences made from them.

use crate::results::{MethodResult, SuiteResult};
use crate::table::interval;

/// Sentences on the fused accuracy, the modality that suffers most, and the bound.
pub(super) fn sentences(result: &SuiteResult) -> Vec<String> {
    let whole: Vec<&MethodResult> =
        result.methods.iter().filter(|method| !is_partial(method)).collect();
    let mut sentences = Vec::new();
    if let Some((best, accuracy)) = best(&whole, fused) {
        sentences.push(format!(
            "The best fused accuracy is {accuracy:.1} %, by {}, over {} seed{}.",
            best.name,
            best.runs.len(),
            if best.runs.len() == 1 { "" } else { "s" },
        ));
    }
    if let Some(joint) = whole.iter().find(|method| method.name == "joint") {
        let modalities = 0..result.dataset.modalities.len();
        let gaps = modalities.filter_map(|m| {
            let starved = own(joint, m)?;
            let (other, reached) = best(&whole, |method| own(method, m))?;
            Some((m, starved, other, reached))
        });
        let worst = gaps.max_by(|a, b| (a.3 - a.1).total_cmp(&(b.3 - b.1)));
        if let Some((m, own, other, reached)) = worst.filter(|gap| gap.3 > gap.1) {
            let name = &result.dataset.modalities[m];
            sentences.push(format!(
                "Under joint training {name} reaches {own:.1} % by its own logits, {:.1} points \
                 below the {reached:.1} % it reaches under {}.",
                reached - own,
                other.name
            ));
        }
    }
    if let Some(truth) = &result.truth {
        let bound =
            |method: &MethodResult| interval(method, |t| t.total_correlation).map(|i| i.mean);
        if let Some((best, nats)) = best(&whole, bound) {
            let ceiling = truth.total_correlation - truth.additive_gap;
            sentences.push(format!(
                "Of the {:.2} nats of total correlation, {ceiling:.2} are within reach of a sum of \
                 logits; {} shows at least {nats:.2} on the test split.",
                truth.total_correlation, best.name
            ));
        }
    }
    sentences
}

/// Whether a method uses only some of the modalities.
fn is_partial(method: &MethodResult) -> bool {
    method.runs.iter().any(|run| run.test.modality_accuracy.iter().any(Option::is_none))
}

fn fused(method: &MethodResult) -> Option<f64> {
    interval(method, |test| Some(test.accuracy)).map(|interval| 100.0 * interval.mean)
}

fn own(method: &MethodResult, modality: usize) -> Option<f64> {
    let figure = interval(method, |t| t.modality_accuracy.get(modality).copied().flatten());
    figure.map(|interval| 100.0 * interval.mean)
}

fn best<'a>(
    methods: &[&'a MethodResult],
    figure: impl Fn(&MethodResult) -> Option<f64>,
) -> Option<(&'a MethodResult, f64)> {
    let known = methods.iter().filter_map(|&method| Some((method, figure(method)?)));
    known.max_by(|a, b| a.1.total_cmp(&b.1))
}
