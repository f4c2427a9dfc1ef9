//! The TCMax loss beside cross-entropy of the same head, and beside the tensor of all pairs in PyTorch.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tcmax_benches::losses::Losses;

use super::{BenchPeers, Report, median, pinned, range, report_of, say};

/// Times of both losses from one process, ms.
#[derive(Debug, Serialize, Deserialize)]
struct Pair {
    tcmax: Vec<f64>,
    cross_entropy: Vec<f64>,
    /// Largest resident memory, KiB.
    peak_kib: u64,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct LossLine {
    batch: usize,
    classes: usize,
    threads: usize,
    /// Milliseconds, medians over all rounds.
    tcmax: f64,
    cross_entropy: f64,
    /// TCMax over cross-entropy, of each round.
    over_cross_entropy: Vec<f64>,
    /// PyTorch's cross-entropy and its tensor of all pairs, ms; absent where it would not fit.
    torch_cross_entropy: f64,
    torch_pairs: Option<f64>,
    /// MiB: ours, PyTorch's with the tensor of all pairs.
    peak_mib: [Option<u64>; 2],
}

/// Bytes of the tensor of all pairs beyond which PyTorch is not asked for it: it needs several.
const LARGEST_TENSOR: usize = 2 << 30;

/// Our side, in a process of its own.
pub fn own(size: &str, threads: usize, count: usize) -> anyhow::Result<()> {
    let (batch, classes) = size.split_once('x').context("losses-BATCHxCLASSES")?;
    let losses =
        Losses::new(batch.parse()?, classes.parse()?).map_err(anyhow::Error::from_boxed)?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let mut times = None;
    rayon::scope(|_| times = Some(losses.time(count)));
    let times = times.context("the scope has run its body")?;
    let [tcmax, cross_entropy] = times.map_err(anyhow::Error::from_boxed)?;
    say(&serde_json::to_string(&Pair { tcmax, cross_entropy, peak_kib: super::peak_kib() })?);
    Ok(())
}

impl BenchPeers {
    /// All batch sizes and numbers of classes.
    pub(super) fn compare_losses(&self, script: &Path) -> anyhow::Result<Vec<LossLine>> {
        let mut lines = Vec::new();
        for &threads in &self.threads {
            for batch in [32, 128, 512, 2048] {
                for classes in [10, 100, 309] {
                    let line = self.compare_loss(batch, classes, threads, script)?;
                    say(&line.text());
                    lines.push(line);
                }
            }
        }
        Ok(lines)
    }

    fn compare_loss(
        &self,
        batch: usize,
        classes: usize,
        threads: usize,
        script: &Path,
    ) -> anyhow::Result<LossLine> {
        let own = std::env::current_exe()?;
        let (mut tcmax, mut cross_entropy, mut over) = (Vec::new(), Vec::new(), Vec::new());
        let (mut torch_ce, mut torch_pairs) = (Vec::new(), Vec::new());
        let mut peak = [None, None];
        // Small losses take microseconds: many calls.
        let count = (2_000_000 / (batch * (classes + 50))).clamp(20, 500);
        let fits = batch * batch * classes * 4 <= LARGEST_TENSOR;
        for _ in 0..self.rounds {
            let mut command = pinned(threads, &own);
            command.args(["own-case", &format!("losses-{batch}x{classes}")]);
            command.args([threads.to_string(), count.to_string()]);
            let pair: Pair = report_of(command)?;
            let ratios: Vec<f64> =
                pair.tcmax.iter().zip(&pair.cross_entropy).map(|(a, b)| a / b).collect();
            over.push(median(&ratios));
            tcmax.push(median(&pair.tcmax));
            cross_entropy.push(median(&pair.cross_entropy));
            peak[0] = peak[0].max(Some(pair.peak_kib / 1024));
            let torch = |kind: &str, count: usize| -> anyhow::Result<Report> {
                let mut command = pinned(threads, &self.python);
                command.arg(script).arg(format!("{kind}-{batch}x{classes}"));
                command.args([threads.to_string(), count.to_string(), "default".to_owned()]);
                report_of(command)
            };
            torch_ce.push(torch("ce", count)?.median());
            if fits {
                let calls = if batch * batch * classes > 20_000_000 { 3 } else { 20 };
                let report = torch("pairs", count.min(calls))?;
                torch_pairs.push(report.median());
                peak[1] = peak[1].max(Some(report.peak_kib / 1024));
            }
        }
        Ok(LossLine {
            batch,
            classes,
            threads,
            tcmax: median(&tcmax),
            cross_entropy: median(&cross_entropy),
            over_cross_entropy: over,
            torch_cross_entropy: median(&torch_ce),
            torch_pairs: fits.then(|| median(&torch_pairs)),
            peak_mib: peak,
        })
    }
}

impl LossLine {
    fn text(&self) -> String {
        format!(
            "{} examples, {} classes, {} thread(s): TCMax {:.3} ms, {:.2} of cross-entropy; PyTorch \
             with all pairs {}",
            self.batch,
            self.classes,
            self.threads,
            self.tcmax,
            median(&self.over_cross_entropy),
            self.torch_pairs.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms")),
        )
    }
}

/// The figures as a Markdown table.
pub fn table(lines: &[LossLine]) -> String {
    let mut text = String::from(
        "| batch | classes | threads | TCMax, ms | cross-entropy, ms | ratio | range | PyTorch \
         cross-entropy, ms | PyTorch, all pairs, ms | TCMax / all pairs | memory, MiB: ours, all \
         pairs |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let dash = || "–".to_owned();
    for line in lines {
        let pairs = line.torch_pairs;
        text += &format!(
            "| {} | {} | {} | {:.3} | {:.3} | **{:.2}** | {} | {:.3} | {} | {} | {}, {} |\n",
            line.batch,
            line.classes,
            line.threads,
            line.tcmax,
            line.cross_entropy,
            median(&line.over_cross_entropy),
            range(&line.over_cross_entropy),
            line.torch_cross_entropy,
            pairs.map_or_else(dash, |ms| format!("{ms:.2}")),
            pairs.map_or_else(dash, |ms| format!("{:.4}", line.tcmax / ms)),
            line.peak_mib[0].map_or_else(dash, |mib| mib.to_string()),
            line.peak_mib[1].map_or_else(dash, |mib| mib.to_string()),
        );
    }
    text
}
