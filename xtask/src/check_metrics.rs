//! `cargo xtask check-metrics`: our metrics and tests beside scikit-learn's and scipy's, on random data.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Deserialize;
use tcmax_metrics::{
    ClassScores, Classification, Friedman, MultiLabel, PairedDifference, Predictions, Regression,
    SignTest, SignedRank, Ties, benjamini_hochberg, top_k,
};

/// The other side, run by the given Python.
const CASES: &str = include_str!("../../benches/peers/metrics_cases.py");

/// The largest difference that passes, relative to the larger of the value and 1. Quantiles of Student's t and
/// of the studentized range are solved for by either side.
const TOLERANCE: f64 = 1e-9;

#[derive(Args)]
pub struct CheckMetrics {
    /// A Python that has scikit-learn: python3 -m venv DIR && DIR/bin/pip install scikit-learn
    #[arg(long, env = "TCMAX_PYTHON", value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Random cases of each kind
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// What the cases are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Values by their names; undefined ones are null.
type Values = BTreeMap<String, Vec<Option<f64>>>;

/// One line of the script.
#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    given: Given,
    wanted: Values,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "given", rename_all = "snake_case")]
enum Given {
    Classification { probabilities: Vec<f64>, labels: Vec<u32>, classes: usize },
    MultiLabel { scores: Vec<f64>, has: Vec<bool>, labels: usize },
    Regression { predictions: Vec<f64>, targets: Vec<f64>, outputs: usize },
    Comparison { scores: Vec<f64>, methods: usize, p: Vec<f64> },
}

impl CheckMetrics {
    /// Runs the script and compares; fails where anything differs.
    pub fn run(self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.python);
        command.args(["-c", CASES, &self.rounds.to_string(), &self.seed.to_string()]);
        let output = command.output().with_context(|| self.python.display().to_string())?;
        if !output.status.success() {
            bail!("{}: {}", self.python.display(), String::from_utf8_lossy(&output.stderr));
        }
        let mut worst: BTreeMap<String, (usize, f64)> = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let line: Line = serde_json::from_str(line)?;
            let (kind, got) = line.given.measure()?;
            for (name, wanted) in &line.wanted {
                let got = got
                    .get(name.as_str())
                    .with_context(|| format!("nothing measures {kind} {name}"))?;
                let (count, error) = worst.entry(format!("{kind} {name}")).or_insert((0, 0.0));
                *count += 1;
                *error = error.max(difference(got, wanted));
            }
        }
        let mut out = std::io::stdout();
        for (name, (count, error)) in &worst {
            writeln!(out, "{name:<36} {count:>5} cases, largest difference {error:.1e}")?;
        }
        ensure!(!worst.is_empty(), "nothing was compared");
        let wrong: Vec<&str> = worst
            .iter()
            .filter(|(_, (_, error))| *error > TOLERANCE)
            .map(|(name, _)| name.as_str())
            .collect();
        ensure!(wrong.is_empty(), "more than {TOLERANCE:.0e} apart: {}", wrong.join(", "));
        Ok(())
    }
}

/// The largest difference, relative to the larger of the value and 1; infinite where one is undefined alone.
fn difference(got: &[f64], wanted: &[Option<f64>]) -> f64 {
    if got.len() != wanted.len() {
        return f64::INFINITY;
    }
    let gaps = got.iter().zip(wanted).map(|(got, wanted)| match wanted {
        Some(wanted) if !got.is_nan() => (got - wanted).abs() / wanted.abs().max(1.0),
        None if got.is_nan() => 0.0,
        _ => f64::INFINITY,
    });
    gaps.fold(0.0, f64::max)
}

impl Given {
    fn measure(&self) -> anyhow::Result<(&'static str, BTreeMap<&'static str, Vec<f64>>)> {
        Ok(match self {
            Self::Classification { probabilities, labels, classes } => {
                ("classification", classification(probabilities, labels, *classes)?)
            }
            Self::MultiLabel { scores, has, labels } => {
                ("multi-label", multi_label(scores, has, *labels)?)
            }
            Self::Regression { predictions, targets, outputs } => {
                let metrics = Regression::of(predictions, targets, *outputs)?;
                let values = [("mse", metrics.mse), ("mae", metrics.mae), ("r2", metrics.r2)];
                ("regression", values.map(|(name, value)| (name, vec![value])).into())
            }
            Self::Comparison { scores, methods, p } => {
                ("comparison", comparison(scores, *methods, p)?)
            }
        })
    }
}

fn classification(
    probabilities: &[f64],
    labels: &[u32],
    classes: usize,
) -> anyhow::Result<BTreeMap<&'static str, Vec<f64>>> {
    let predictions = Predictions::from_probabilities(probabilities, labels, classes)?;
    let metrics = Classification::of_predictions(&predictions)?;
    let of = |value: fn(&ClassScores) -> f64| metrics.classes.iter().map(value).collect::<Vec<_>>();
    let summary = &metrics.summary;
    let (means, micro) = (summary.macro_average, summary.micro_average);
    let weighted = summary.weighted_average;
    let confusion = metrics.confusion.dense().concat();
    let top_k = [1, 2].map(|k| top_k(&predictions, k, Ties::LargerFirst));
    Ok(BTreeMap::from([
        ("accuracy", vec![summary.accuracy]),
        ("balanced_accuracy", vec![summary.balanced_accuracy]),
        ("kappa", vec![summary.kappa]),
        ("matthews", vec![summary.matthews]),
        ("log_loss", vec![summary.log_loss_clipped]),
        ("brier", vec![summary.brier]),
        ("confusion", confusion.into_iter().map(|count| count as f64).collect()),
        ("precision_macro", vec![means.precision]),
        ("recall_macro", vec![means.recall]),
        ("f1_macro", vec![means.f1]),
        ("precision_micro", vec![micro.precision]),
        ("recall_micro", vec![micro.recall]),
        ("f1_micro", vec![micro.f1]),
        ("precision_weighted", vec![weighted.precision]),
        ("recall_weighted", vec![weighted.recall]),
        ("f1_weighted", vec![weighted.f1]),
        ("top_k", top_k.into_iter().collect::<Result<_, _>>()?),
        ("auroc", of(|class| class.auroc)),
        ("average_precision", of(|class| class.average_precision)),
    ]))
}

fn multi_label(
    scores: &[f64],
    has: &[bool],
    labels: usize,
) -> anyhow::Result<BTreeMap<&'static str, Vec<f64>>> {
    let metrics = MultiLabel::of_scores(scores, has, labels, 0.5)?;
    Ok(BTreeMap::from([
        ("f1_macro", vec![metrics.macro_average.f1]),
        ("f1_micro", vec![metrics.micro_average.f1]),
        ("f1_samples", vec![metrics.f1_samples]),
        ("map", vec![metrics.average_precision_macro]),
        ("map_micro", vec![metrics.average_precision_micro]),
        ("auroc", vec![metrics.auroc_macro]),
        ("hamming", vec![metrics.hamming_loss]),
        ("lrap", vec![metrics.label_ranking_average_precision]),
    ]))
}

fn comparison(
    scores: &[f64],
    methods: usize,
    p: &[f64],
) -> anyhow::Result<BTreeMap<&'static str, Vec<f64>>> {
    let pairs: Vec<(f64, f64)> = scores.chunks_exact(methods).map(|row| (row[0], row[1])).collect();
    let difference = PairedDifference::of(&pairs).context("no pairs")?;
    let half = difference.interval.half_width.context("one pair")?;
    let mean = difference.interval.mean;
    let friedman = Friedman::of(scores, methods)?;
    let p: Vec<Option<f64>> = p.iter().copied().map(Some).collect();
    Ok(BTreeMap::from([
        ("t_test", vec![difference.p.context("one pair")?]),
        ("interval", vec![mean - half, mean + half]),
        ("signed_rank", vec![SignedRank::of(&pairs).context("no pairs")?.p]),
        ("sign_test", vec![SignTest::of(&pairs).context("no pairs")?.p]),
        ("benjamini_hochberg", benjamini_hochberg(&p).into_iter().flatten().collect()),
        ("friedman", vec![friedman.chi_squared, friedman.p]),
        ("critical_difference", vec![friedman.critical_difference(0.05)?]),
    ]))
}
