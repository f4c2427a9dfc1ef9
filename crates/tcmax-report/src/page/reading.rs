//! What the numbers say, in a few sentences made from them.

use tcmax_metrics::Interval;
use tcmax_train::results::{Evaluation, MethodResult, SuiteResult};

use crate::table::{Column, ColumnKind, columns};

/// Sentences on the fused accuracy, the modality that suffers most, and the bound.
pub(super) fn sentences(result: &SuiteResult) -> Vec<String> {
    let columns = columns(result);
    let mut sentences = Vec::new();
    sentences.extend(fused(result, &columns));
    sentences.extend(starved(result, &columns));
    sentences.extend(bound(result));
    sentences
}

/// Whether a method uses only some of the modalities.
fn is_partial(method: &MethodResult) -> bool {
    method.runs.iter().any(|run| run.test.modality_accuracy.iter().any(Option::is_none))
}

/// Which methods of all modalities lead, and whether chance alone would have them lead.
fn fused(result: &SuiteResult, columns: &[Column]) -> Option<String> {
    let column = columns.first()?;
    let whole = |row: usize| !is_partial(&result.methods[row]);
    let (best, tied) = column.ranking_of(&whole)?;
    let method = &result.methods[best];
    let (name, runs) = (&method.name, method.runs.len());
    let mean = format!("{:.1} %", column.cells[best]?.interval.mean);
    let seeds = format!("{runs} seed{}", if runs == 1 { "" } else { "s" });
    let others = (0..result.methods.len()).filter(|&row| whole(row) && row != best).count();
    Some(if others == 0 {
        format!("The fused accuracy of {name} is {mean}, over {seeds}.")
    } else if tied.is_empty() {
        format!(
            "The best fused accuracy is {mean}, by {name}, over {seeds}: above every other method \
             beyond chance (paired t-tests over the seeds, corrected, p < 0.05)."
        )
    } else if runs == 1 {
        format!(
            "The highest fused accuracy is {mean}, by {name}, over {seeds}: too few to tell methods \
             apart."
        )
    } else {
        let named: Vec<&str> =
            tied.iter().take(3).map(|&row| result.methods[row].name.as_str()).collect();
        let more = tied.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "The highest mean of fused accuracy is {mean}, by {name}, over {seeds}, which chance may \
             explain: it cannot be told from {}{more} (paired t-tests over the seeds, corrected).",
            named.join(", ")
        )
    })
}

/// The modality that joint training keeps furthest below what another method makes of it.
fn starved(result: &SuiteResult, columns: &[Column]) -> Option<String> {
    let joint = result.methods.iter().position(|method| method.name == "joint")?;
    let whole = |row: usize| row != joint && !is_partial(&result.methods[row]);
    let own = columns.iter().skip(1).filter(|column| column.kind == ColumnKind::Accuracy);
    let gap = |column: &Column| {
        let (other, _) = column.ranking_of(&whole)?;
        let difference = column.difference(other, joint)?;
        Some((other, difference, column.cells[joint]?, column.cells[other]?))
    };
    // The headings are those of the modalities that any method has.
    let gaps = own.filter_map(|column| Some((column.heading.trim_end_matches(" %"), gap(column)?)));
    let (name, (other, difference, at, reached)) =
        gaps.max_by(|a, b| a.1.1.interval.mean.total_cmp(&b.1.1.interval.mean))?;
    // The largest of all gaps is shown: as many comparisons as there are methods and modalities.
    let compared = (result.methods.len() * result.dataset.modalities.len()) as f64;
    let by_chance = difference.p.is_some_and(|p| p * compared >= 0.05);
    if difference.interval.mean <= 0.0 || by_chance {
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
    let whole = result.methods.iter().filter(|method| !is_partial(method));
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
