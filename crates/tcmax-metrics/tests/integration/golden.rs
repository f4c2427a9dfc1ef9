//! Metrics agree with recorded values of scikit-learn and torchmetrics to 1e-12.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tcmax_metrics::{ClassScores, Classification, MultiLabel, Predictions, Ties, top_k};

const TOLERANCE: f64 = 1e-12;

/// torchmetrics bins in single precision.
const SINGLE: f64 = 2e-7;

struct Case {
    name: String,
    bytes: Vec<u8>,
    /// What was compared.
    compared: Vec<String>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Self { name, bytes: std::fs::read(path).unwrap(), compared: Vec::new() }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).unwrap();
        let words = tensor.data().chunks_exact(8).map(|word| word.try_into().unwrap());
        match tensor.dtype() {
            Dtype::F64 => words.map(f64::from_le_bytes).collect(),
            Dtype::I64 => words.map(|word| i64::from_le_bytes(word) as f64).collect(),
            other => panic!("{name} has the type {other:?}"),
        }
    }

    fn columns(&self, name: &str) -> usize {
        self.tensors().tensor(name).unwrap().shape()[1]
    }

    fn check(&mut self, quantity: &str, got: &[f64]) {
        self.check_within(quantity, got, TOLERANCE);
    }

    fn check_within(&mut self, quantity: &str, got: &[f64], tolerance: f64) {
        let wanted = self.values(quantity);
        assert_eq!(got.len(), wanted.len(), "{} {quantity}", self.name);
        for (g, w) in got.iter().zip(&wanted) {
            let agree = (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * w.abs().max(1.0);
            assert!(agree, "{} {quantity}: {g} is not {w}", self.name);
        }
        self.compared.push(quantity.to_owned());
    }

    fn check_that_nothing_is_left(&self) {
        for name in self.tensors().names() {
            let compared = self.compared.iter().any(|compared| compared == name);
            assert!(compared || !name.starts_with("output."), "{} {name}: not compared", self.name);
        }
    }
}

/// The files shipped with the crate, and those of the directory TCMAX_GOLDEN names.
fn cases() -> Vec<Case> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    folders.extend(std::env::var_os("TCMAX_GOLDEN").map(PathBuf::from));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("metrics_"))
        .collect();
    files.sort();
    assert!(files.len() >= 5);
    files.iter().map(|path| Case::read(path)).collect()
}

/// scikit-learn gives 0 where a class has no F1.
fn f1(classes: &[ClassScores]) -> Vec<f64> {
    classes.iter().map(|class| if class.f1.is_nan() { 0.0 } else { class.f1 }).collect()
}

#[test]
fn classification_agrees() {
    for mut case in cases().into_iter().filter(|case| !case.name.contains("multilabel")) {
        let classes = case.columns("input.logits");
        let (logits, probabilities) =
            (case.values("input.logits"), case.values("input.probabilities"));
        let labels: Vec<u32> =
            case.values("input.label").iter().map(|label| *label as u32).collect();
        let of_logits = Classification::of(&logits, &labels, classes).unwrap();
        let of_probabilities =
            Classification::of_probabilities(&probabilities, &labels, classes).unwrap();
        for metrics in [&of_logits, &of_probabilities] {
            check_classification(&mut case, metrics);
        }
        let logits = Predictions::from_logits(&logits, &labels, classes).unwrap();
        let probabilities =
            Predictions::from_probabilities(&probabilities, &labels, classes).unwrap();
        for (quantity, ties) in
            [("topk_first", Ties::SmallerFirst), ("topk_sklearn", Ties::LargerFirst)]
        {
            for predictions in [&logits, &probabilities] {
                let quantity = format!("output.{quantity}");
                let largest = case.values(&quantity).len();
                let got: Vec<f64> =
                    (1..=largest).map(|k| top_k(predictions, k, ties).unwrap()).collect();
                case.check(&quantity, &got);
            }
        }
        case.check_that_nothing_is_left();
    }
}

fn check_classification(case: &mut Case, metrics: &Classification) {
    let summary = &metrics.summary;
    let (means, weighted) = (&summary.macro_average, &summary.weighted_average);
    let micro = &summary.micro_average;
    for (quantity, got) in [
        ("accuracy", summary.accuracy),
        ("ap_macro", summary.average_precision_macro),
        ("auroc_macro", summary.auroc_macro),
        ("auroc_weighted", summary.auroc_weighted),
        ("balanced_accuracy", summary.balanced_accuracy),
        ("brier", summary.brier),
        ("brier_half", summary.half_brier()),
        ("ece", summary.ece),
        ("f1_macro", means.f1),
        ("f1_macro_present", summary.f1_macro_present),
        ("f1_micro", micro.f1),
        ("f1_weighted", weighted.f1),
        ("kappa", summary.kappa),
        ("log_loss", summary.log_loss_clipped),
        ("mcc", summary.matthews),
        ("mce", summary.mce),
        ("precision_macro", means.precision),
        ("precision_micro", micro.precision),
        ("precision_weighted", weighted.precision),
        ("recall_macro", means.recall),
        ("recall_micro", micro.recall),
        ("recall_weighted", weighted.recall),
    ] {
        case.check(&format!("output.{quantity}"), &[got]);
    }
    case.check_within("output.ece_torchmetrics", &[summary.ece], SINGLE);
    let by_class =
        |value: fn(&ClassScores) -> f64| metrics.classes.iter().map(value).collect::<Vec<_>>();
    case.check("output.auroc_class", &by_class(|class| class.auroc));
    case.check("output.ap_class", &by_class(|class| class.average_precision));
    case.check("output.f1_class", &f1(&metrics.classes));
    let confusion: Vec<f64> =
        metrics.confusion.dense().concat().into_iter().map(|count| count as f64).collect();
    case.check("output.confusion", &confusion);
    let counts: Vec<f64> = metrics.reliability.bins.iter().map(|bin| bin.count as f64).collect();
    case.check("output.ece_bin_count", &counts);
    for (got, wanted) in metrics.top_k.iter().zip(case.values("output.topk_first")) {
        assert!((got - wanted).abs() <= TOLERANCE, "{}: {got} is not {wanted}", case.name);
    }
}

#[test]
fn multi_label_agrees() {
    for mut case in cases().into_iter().filter(|case| case.name.contains("multilabel")) {
        let labels = case.columns("input.score");
        let has: Vec<bool> = case.values("input.label").iter().map(|label| *label != 0.0).collect();
        let metrics =
            MultiLabel::of_scores(&case.values("input.score"), &has, labels, 0.5).unwrap();
        let by_label =
            |value: fn(&ClassScores) -> f64| metrics.labels.iter().map(value).collect::<Vec<_>>();
        let precisions = by_label(|label| label.average_precision);
        // scikit-learn counts a label that no row has as 0.
        let all = precisions.iter().filter(|p| !p.is_nan()).sum::<f64>() / labels as f64;
        for (quantity, got) in [
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
            case.check(&format!("output.{quantity}"), &[got]);
        }
        case.check("output.ap_label", &precisions);
        case.check("output.auroc_label", &by_label(|label| label.auroc));
        case.check("output.f1_label", &f1(&metrics.labels));
        case.check_that_nothing_is_left();
    }
}
