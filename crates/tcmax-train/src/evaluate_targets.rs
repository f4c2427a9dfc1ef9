//! A model of labels or numbers on a whole split.

use candle_core::Tensor;
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::{Reference, Tuples};
use tcmax_losses::{LabelBounds, Target, Targets};
use tcmax_metrics::{MultiLabel, Regression};
use tcmax_ops::{Seed, only_reading, to_scalar_f64, to_vec_f64, wide};
use tcmax_registry::Task;

use crate::encoded::{Classifier, EncodedSplit, MOST_TUPLES};
use crate::results::{Evaluation, TargetScores};
use crate::{Error, Model, Result};

/// Evaluates a classifier on a split of other targets than classes.
pub(crate) fn evaluate_targets(
    classifier: &Classifier<'_>,
    split: &EncodedSplit,
    targets: &Targets,
    modalities: usize,
) -> Result<Evaluation> {
    let model = classifier.model;
    // In f64, so that sums over a split lose nothing.
    let outputs = wide(&classifier.logits(&split.features, &split.present)?)?;
    let is_labels = targets.task() == Task::Labels;
    let cross_entropy =
        is_labels.then(|| Ok::<_, Error>(to_scalar_f64(&targets.loss(&outputs)?)?)).transpose()?;
    let total_correlation = match split.complete(2)? {
        Some(complete) if is_labels => Some(total_correlation(model, &complete)?),
        _ => None,
    };
    Ok(Evaluation {
        examples: targets.examples(),
        accuracy: f64::NAN,
        balanced_accuracy: f64::NAN,
        majority_rate: f64::NAN,
        modality_accuracy: Vec::new(),
        cross_entropy,
        total_correlation,
        confusion: Vec::new(),
        targets: Some(scores(&outputs, targets, modality_scores(model, split, modalities)?)?),
    })
}

fn scores(outputs: &Tensor, targets: &Targets, own: Vec<Option<f64>>) -> Result<TargetScores> {
    Ok(match targets.task() {
        Task::Regression => {
            let all = regression(outputs, targets)?;
            let (rmse, mae, r2, pearson) = (all.rmse(), all.mae, all.r2, all.pearson);
            TargetScores::Regression { rmse, mae, r2, pearson, modality_rmse: own }
        }
        Task::Classes | Task::Labels => {
            let all = multi_label(outputs, targets)?;
            TargetScores::Labels {
                mean_average_precision: all.average_precision_macro,
                macro_f1: all.macro_average.f1,
                micro_f1: all.micro_average.f1,
                auroc: all.auroc_macro,
                exact_match: all.subset_accuracy,
                modality_mean_average_precision: own,
            }
        }
    })
}

/// mAP or RMSE of each modality's own outputs on the examples that have it. A term of a sum may be off by a
/// constant that another term makes up for: the mean error of numbers is taken off.
fn modality_scores(
    model: &Model,
    split: &EncodedSplit,
    modalities: usize,
) -> Result<Vec<Option<f64>>> {
    let mut found = vec![None; modalities];
    let own = only_reading(|| model.head().modality_logits(&split.features))?;
    for ((position, own), &m) in own.iter().enumerate().zip(model.used_modalities()) {
        let rows = split.present.rows_with(position);
        let Some(targets) = split.truth.other().filter(|_| !rows.is_empty()) else { continue };
        let truth = split.truth.rows(&rows)?;
        let targets = truth.other().unwrap_or(targets);
        let outputs = own.detach().index_select(&Tensor::new(&rows[..], own.device())?, 0)?;
        let outputs = wide(&model.in_units(&outputs)?)?;
        found[m] = Some(match targets.task() {
            Task::Regression => {
                let error = (&outputs - wide(targets.values())?)?.mean_keepdim(0)?;
                regression(&outputs.broadcast_sub(&error)?, targets)?.rmse()
            }
            Task::Classes | Task::Labels => multi_label(&outputs, targets)?.average_precision_macro,
        })
        .filter(|score| score.is_finite());
    }
    Ok(found)
}

fn multi_label(logits: &Tensor, targets: &Targets) -> Result<MultiLabel> {
    let (logits, has) = (flat(logits)?, flat(targets.values())?);
    let has: Vec<bool> = has.iter().map(|&value| value != 0.0).collect();
    MultiLabel::of_logits(&logits, &has, targets.values().dim(1)?)
        .map_err(|error| undefined(&error))
}

fn regression(outputs: &Tensor, targets: &Targets) -> Result<Regression> {
    let columns = targets.values().dim(1)?;
    Regression::of(&flat(outputs)?, &flat(targets.values())?, columns)
        .map_err(|error| undefined(&error))
}

fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(to_vec_f64(&wide(tensor)?.flatten_all()?)?)
}

fn undefined(error: &tcmax_metrics::Error) -> Error {
    Error::setting("metrics", error.to_string())
}

/// The bound on the sum over the labels of the total correlation of all features and the label: over all
/// tuples for additive heads, and for others over as many as [`MOST_TUPLES`] of all labels together.
fn total_correlation(model: &Model, split: &EncodedSplit) -> Result<f64> {
    let head = model.head();
    let Some(targets) = split.truth.other() else { return Ok(0.0) };
    let bounded = |bounds: &LabelBounds<'_>| -> Result<f64> {
        Ok(bounds.total_correlation_of(bounds.nats()?))
    };
    if head.is_additive() {
        let exact = head.parts(&split.features)?.into_iter().map(|term| wide(&term.detach()));
        let terms = exact.collect::<candle_core::Result<Vec<_>>>()?;
        let critic = TermsCritic::new(terms.len(), model.outputs());
        return bounded(&LabelBounds::new(&critic, &terms, targets, Reference::all())?);
    }
    let (examples, modalities) = (targets.examples(), split.features.len());
    let most = MOST_TUPLES / model.outputs().max(1);
    let all = examples.checked_pow(modalities as u32).is_some_and(|all| all <= most);
    let reference = if all {
        Reference::all()
    } else {
        let seed = Seed::new(0).stream("evaluation");
        let count = (most / examples).max(1);
        Reference::of(Tuples::permutations(count, examples, modalities, seed)?)
    };
    bounded(&LabelBounds::new(head, &split.features, targets, reference)?)
}
