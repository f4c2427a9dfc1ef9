//! What happened over the epochs.

use maud::{Markup, PreEscaped, html};
use tcmax_metrics::Interval;
use tcmax_train::Task;
use tcmax_train::results::{EpochRecord, MethodResult, Metric, SuiteResult};

use crate::page::charts::{Level, Series, lines};
use crate::page::colours::{coloured, legend};
use crate::palette::{COLOURS, colour};

/// Bounds below this many nats, as overconfident critics have them, are drawn at it.
const BOUND_FLOOR: f64 = -2.0;

/// Charts of each modality's accuracy.
pub(super) fn modalities(result: &SuiteResult) -> Markup {
    let (metric, scale, label) = scaled(result);
    let plain = plain(result);
    let name_of_metric = match metric {
        Metric::Accuracy => "Accuracy of a modality's own logits",
        Metric::MeanAveragePrecision => "mAP of a modality's own logits",
        Metric::Rmse => "RMSE of a modality's own outputs",
    };
    html! {
        h2 { "Each modality over the epochs" }
        p.note { (name_of_metric) " on the validation split, mean over the seeds: "
            "here one sees a modality starve."
            @if result.methods.len() > COLOURS {
                " Of " (result.methods.len()) " methods, joint training and the best are drawn."
            } }
        (legend(result))
        div.charts { @for (m, name) in result.dataset.modalities.iter().enumerate() {
            figure {
                figcaption { (name) }
                (plain(&label, &|record| {
                    record.validation.as_ref()?.modality_scores().get(m).copied().flatten().map(|a| scale * a)
                }))
            }
        } }
    }
}

/// The metric that methods are compared by, what it is multiplied by to be shown, and its axis.
fn scaled(result: &SuiteResult) -> (Metric, f64, String) {
    let metric = Metric::of(result.dataset.task);
    match metric.is_fraction() {
        true => (metric, 100.0, format!("{}, %", metric.name())),
        false => (metric, 1.0, metric.name().to_owned()),
    }
}

/// Charts of the training as a whole.
pub(super) fn training(result: &SuiteResult) -> Markup {
    let level = result.truth.iter().map(|truth| Level {
        name: "within reach of a sum of logits".to_owned(),
        value: truth.total_correlation - truth.additive_gap,
    });
    let levels: Vec<Level> = level.collect();
    let (metric, scale, label) = scaled(result);
    let plain = plain(result);
    let bound = Lines { y_label: "nats", levels: &levels, floor: Some(BOUND_FLOOR) };
    let task = result.dataset.task;
    let loss = if task == Task::Regression { "squared error" } else { "nats" };
    html! {
        h2 { "Training" }
        (legend(result))
        div.charts.pairs {
            figure { figcaption { "Fused " (metric.name()) ", validation" }
                (plain(&label, &|r| Some(scale * r.validation.as_ref()?.score()))) }
            @if task != Task::Regression {
                figure { figcaption { "Bound of the head on the total correlation, validation (from " (BOUND_FLOOR) " nats up)" }
                    (curve(result, &bound, &[(&|r: &EpochRecord| r.validation.as_ref()?.total_correlation, false)])) }
            }
            @if task == Task::Classes {
                figure { figcaption { "Accuracy on the training batches" }
                    (plain("accuracy, %", &|r| Some(100.0 * r.train_accuracy))) }
            }
            figure { figcaption { "Training loss (each method its own)" }
                (plain(loss, &|r| Some(r.train_loss))) }
        }
    }
}

/// Charts of one quantity.
fn plain(result: &SuiteResult) -> impl Fn(&str, OfEpoch<'_>) -> Markup {
    move |y_label, quantity| {
        let chart = Lines { y_label, levels: &[], floor: None };
        curve(result, &chart, &[(quantity, false)])
    }
}

/// What a chart has beside its lines.
pub(super) struct Lines<'a> {
    pub(super) y_label: &'a str,
    pub(super) levels: &'a [Level],
    /// Values below it are drawn at it.
    pub(super) floor: Option<f64>,
}

/// A quantity of an epoch.
pub(super) type OfEpoch<'a> = &'a dyn Fn(&EpochRecord) -> Option<f64>;

/// Quantities of each epoch, each dashed or not: one line per quantity and method that has a colour.
pub(super) fn curve(
    result: &SuiteResult,
    chart: &Lines<'_>,
    quantities: &[(OfEpoch<'_>, bool)],
) -> Markup {
    let mut series = Vec::new();
    for (index, row) in coloured(result).into_iter().enumerate() {
        for (quantity, dashed) in quantities {
            let points = over_epochs(&result.methods[row], quantity);
            series.push(Series { colour: colour(index), points, dashed: *dashed });
        }
    }
    series.retain(|series| !series.points.is_empty());
    PreEscaped(lines(chart.y_label, &series, chart.levels, chart.floor))
}

/// The mean over a method's runs of a quantity of each epoch.
fn over_epochs(
    method: &MethodResult,
    quantity: impl Fn(&EpochRecord) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let epochs = method.runs.iter().map(|run| run.history.len()).max().unwrap_or(0);
    let mean = |epoch: usize| {
        let records = method.runs.iter().filter_map(|run| run.history.get(epoch));
        let values: Vec<f64> = records.filter_map(&quantity).collect();
        Interval::of(&values).map(|interval| ((epoch + 1) as f64, interval.mean))
    };
    (0..epochs).filter_map(mean).collect()
}
