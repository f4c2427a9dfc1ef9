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

/// Charts of each modality, and of the training as a whole.
pub(super) fn curves(result: &SuiteResult) -> Markup {
    html! { (modalities(result)) (training(result)) }
}

fn modalities(result: &SuiteResult) -> Markup {
    let (metric, scale, label) = scaled(result);
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
                (curve(result, &label, &[], None, |record| {
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

fn training(result: &SuiteResult) -> Markup {
    let level = result.truth.iter().map(|truth| Level {
        name: "within reach of a sum of logits".to_owned(),
        value: truth.total_correlation - truth.additive_gap,
    });
    let levels: Vec<Level> = level.collect();
    let (metric, scale, label) = scaled(result);
    let task = result.dataset.task;
    let loss = if task == Task::Regression { "squared error" } else { "nats" };
    html! {
        h2 { "Training" }
        (legend(result))
        div.charts.pairs {
            figure { figcaption { "Fused " (metric.name()) ", validation" }
                (curve(result, &label, &[], None, |r| Some(scale * r.validation.as_ref()?.score()))) }
            @if task != Task::Regression {
                figure { figcaption { "Total correlation bound, validation (from " (BOUND_FLOOR) " nats up)" }
                    (curve(result, "nats", &levels, Some(BOUND_FLOOR), |r| r.validation.as_ref()?.total_correlation)) }
            }
            @if task == Task::Classes {
                figure { figcaption { "Accuracy on the training batches" }
                    (curve(result, "accuracy, %", &[], None, |r| Some(100.0 * r.train_accuracy))) }
            }
            figure { figcaption { "Training loss (each method its own)" }
                (curve(result, loss, &[], None, |r| Some(r.train_loss))) }
        }
    }
}

/// One quantity of each epoch, one line per method that has a colour.
fn curve(
    result: &SuiteResult,
    y_label: &str,
    levels: &[Level],
    floor: Option<f64>,
    quantity: impl Fn(&EpochRecord) -> Option<f64>,
) -> Markup {
    let line = |(index, row): (usize, usize)| Series {
        colour: colour(index),
        points: over_epochs(&result.methods[row], &quantity),
    };
    let series = coloured(result).into_iter().enumerate().map(line);
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    PreEscaped(lines(y_label, &series, levels, floor))
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
