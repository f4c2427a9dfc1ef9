//! What the numbers say beside the verdict, in a few sentences made from them.

use tcmax_metrics::Interval;
use tcmax_train::Task;
use tcmax_train::results::{Evaluation, MethodResult, SuiteResult};

use crate::table::{Column, ColumnKind, columns, is_whole};

/// Sentences on the modality that suffers most, and on the bound.
pub(super) fn sentences(result: &SuiteResult) -> Vec<String> {
    let columns = columns(result);
    let mut sentences = Vec::new();
    sentences.extend(starved(result, &columns));
    sentences.extend(bound(result));
    sentences
}

/// The modality that joint training keeps furthest below what another method makes of it.
fn starved(result: &SuiteResult, columns: &[Column]) -> Option<String> {
    if result.dataset.task == Task::Regression {
        return None;
    }
    let joint = result.methods.iter().position(|method| method.name == "joint")?;
    let whole = |row: usize| row != joint && is_whole(&result.methods[row]);
    let own = columns.iter().skip(1).filter(|column| column.kind == ColumnKind::Accuracy);
    let gap = |column: &Column| {
        let (other, _) = column.ranking_of(&whole)?;
        let difference = column.difference(other, joint)?;
        Some((other, difference, column.cells[joint]?, column.cells[other]?))
    };
    // The headings are those of the modalities that any method has.
    let name = |heading: &str| heading.trim_end_matches(" %").trim_end_matches(" mAP").to_owned();
    let gaps = own.filter_map(|column| Some((name(&column.heading), gap(column)?)));
    let (name, (other, difference, at, reached)) =
        gaps.max_by(|a, b| a.1.1.interval.mean.total_cmp(&b.1.1.interval.mean))?;
    // The largest of all gaps is shown: as many comparisons as there are methods and modalities.
    let compared = (result.methods.len() * result.dataset.modalities.len()) as f64;
    let is_shown = difference.p.is_some_and(|p| p * compared < 0.05);
    if difference.interval.mean <= 0.0 || !is_shown {
        return None;
    }
    let interval = difference.interval.half_width.map_or(String::new(), |half| {
        let mean = difference.interval.mean;
        format!(
            " (95% interval of the paired difference: {:.1} to {:.1})",
            mean - half,
            mean + half
        )
    });
    Some(format!(
        "Under joint training {name} reaches {:.1} % by its own logits, {:.1} points below the {:.1} % \
         it reaches under {}{interval}.",
        at.interval.mean,
        difference.interval.mean,
        reached.interval.mean,
        result.methods[other].name
    ))
}

/// What the known total correlation leaves to reach, and how much of it is shown.
fn bound(result: &SuiteResult) -> Option<String> {
    let truth = result.truth.as_ref()?;
    let whole = result.methods.iter().filter(|method| is_whole(method));
    let bounds = whole
        .filter_map(|method| Some((method, interval(method, |test| test.total_correlation)?.mean)));
    let (best, nats) = bounds.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let ceiling = truth.total_correlation - truth.additive_gap;
    Some(format!(
        "Of the {:.2} nats of total correlation, {ceiling:.2} are within reach of a sum of logits; {} \
         shows at least {nats:.2} on the test split.",
        truth.total_correlation, best.name
    ))
}

/// The interval of a metric of the test over a method's runs; `None` where a run lacks it.
fn interval(
    method: &MethodResult,
    metric: impl Fn(&Evaluation) -> Option<f64>,
) -> Option<Interval> {
    let values: Option<Vec<f64>> = method.runs.iter().map(|run| metric(&run.test)).collect();
    Interval::of(&values?)
}
