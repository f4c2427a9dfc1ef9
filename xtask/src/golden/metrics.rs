//! Cases of classification and multi-label metrics, which are computed in f64 whatever the type under test.

use anyhow::Context;
use candle_core::{DType, Device, Tensor};
use tcmax_metrics::{ClassScores, Classification, MultiLabel, Predictions, Summary, Ties, top_k};

use super::case::{Case, Tolerance};

/// Of all metrics but one.
const TOLERANCE: f64 = 1e-12;
/// Of the calibration error that torchmetrics computes in single precision.
const SINGLE: f64 = 2e-7;

fn check(case: &Case, name: &str, got: &[f64]) -> anyhow::Result<()> {
    let got = Tensor::new(got, &Device::Cpu)?;
    case.check_within(&format!("output.{name}"), &got, Tolerance::new(TOLERANCE))
}

fn numbers(case: &Case, name: &str) -> anyhow::Result<Vec<f64>> {
    let recorded = case.recorded(name)?.flatten_all()?;
    Ok(recorded.to_dtype(DType::F64)?.to_vec1()?)
}

/// The width of a matrix.
fn columns(case: &Case, name: &str) -> anyhow::Result<usize> {
    Ok(case.recorded(name)?.dim(1)?)
}

/// scikit-learn gives 0 where a class has no F1.
fn f1(classes: &[ClassScores]) -> Vec<f64> {
    classes.iter().map(|class| if class.f1.is_nan() { 0.0 } else { class.f1 }).collect()
}

/// One class per row, from logits and from probabilities.
pub fn classification(case: &Case) -> anyhow::Result<()> {
    let classes = columns(case, "input.logits")?;
    let labels = case.whole("input.label")?;
    let logits = numbers(case, "input.logits")?;
    let probabilities = numbers(case, "input.probabilities")?;
    let from_logits = Predictions::from_logits(&logits, &labels, classes)?;
    let from_probabilities = Predictions::from_probabilities(&probabilities, &labels, classes)?;
    for predictions in [from_logits, from_probabilities] {
        let metrics = Classification::of_predictions(&predictions)?;
        summary(case, &metrics.summary)?;
        by_class(case, &metrics)?;
        for (name, ties) in
            [("topk_first", Ties::SmallerFirst), ("topk_sklearn", Ties::LargerFirst)]
        {
            let largest = case.recorded(&format!("output.{name}"))?.elem_count();
            let got = (1..=largest).map(|k| top_k(&predictions, k, ties));
            check(case, name, &got.collect::<Result<Vec<_>, _>>()?)?;
        }
    }
    Ok(())
}

fn summary(case: &Case, summary: &Summary) -> anyhow::Result<()> {
    let averages = [
        ("macro", summary.macro_average),
        ("micro", summary.micro_average),
        ("weighted", summary.weighted_average),
    ];
    for (name, average) in averages {
        check(case, &format!("precision_{name}"), &[average.precision])?;
        check(case, &format!("recall_{name}"), &[average.recall])?;
        check(case, &format!("f1_{name}"), &[average.f1])?;
    }
    for (name, got) in [
        ("accuracy", summary.accuracy),
        ("ap_macro", summary.average_precision_macro),
        ("auroc_macro", summary.auroc_macro),
        ("auroc_weighted", summary.auroc_weighted),
        ("balanced_accuracy", summary.balanced_accuracy),
        ("brier", summary.brier),
        ("brier_half", summary.half_brier()),
        ("ece", summary.ece),
        ("f1_macro_present", summary.f1_macro_present),
        ("kappa", summary.kappa),
        ("log_loss", summary.log_loss_clipped),
        ("mcc", summary.matthews),
        ("mce", summary.mce),
    ] {
        check(case, name, &[got])?;
    }
    let ece = Tensor::new(summary.ece, &Device::Cpu)?;
    case.check_within("output.ece_torchmetrics", &ece, Tolerance::new(SINGLE))
}

fn by_class(case: &Case, metrics: &Classification) -> anyhow::Result<()> {
    let of = |value: fn(&ClassScores) -> f64| metrics.classes.iter().map(value).collect::<Vec<_>>();
    check(case, "auroc_class", &of(|class| class.auroc))?;
    check(case, "ap_class", &of(|class| class.average_precision))?;
    check(case, "f1_class", &f1(&metrics.classes))?;
    let counts = |counts: Vec<u64>| counts.into_iter().map(|n| n as f64).collect::<Vec<_>>();
    check(case, "confusion", &counts(metrics.confusion.dense().concat()))?;
    let bins = metrics.reliability.bins.iter().map(|bin| bin.count);
    check(case, "ece_bin_count", &counts(bins.collect()))
}

/// Any number of labels per row.
pub fn multi_label(case: &Case) -> anyhow::Result<()> {
    let labels = columns(case, "input.score")?;
    let config: serde_json::Value = serde_json::from_str(case.text("config")?)?;
    let threshold = config["threshold"].as_f64().context("the configuration has no threshold")?;
    let has: Vec<bool> = case.whole("input.label")?.iter().map(|label| *label != 0).collect();
    let metrics = MultiLabel::of_scores(&numbers(case, "input.score")?, &has, labels, threshold)?;
    let of = |value: fn(&ClassScores) -> f64| metrics.labels.iter().map(value).collect::<Vec<_>>();
    let precisions = of(|label| label.average_precision);
    // scikit-learn counts a label that no row has as 0.
    let all = precisions.iter().filter(|p| !p.is_nan()).sum::<f64>() / labels as f64;
    for (name, got) in [
        ("auroc_macro", metrics.auroc_macro),
        ("f1_macro", metrics.macro_average.f1),
        ("f1_micro", metrics.micro_average.f1),
        ("f1_samples", metrics.f1_samples),
        ("hamming", metrics.hamming_loss),
        ("lrap", metrics.label_ranking_average_precision),
        ("map_macro", metrics.average_precision_macro),
        ("map_macro_sklearn", all),
        ("map_micro", metrics.average_precision_micro),
        ("map_samples", metrics.average_precision_samples),
        ("subset_accuracy", metrics.subset_accuracy),
    ] {
        check(case, name, &[got])?;
    }
    check(case, "ap_label", &precisions)?;
    check(case, "auroc_label", &of(|label| label.auroc))?;
    check(case, "f1_label", &f1(&metrics.labels))
}
