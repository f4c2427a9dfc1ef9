//! The TCMax loss beside cross-entropy of the same head, and beside the tensor of all pairs in PyTorch.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tcmax_benches::losses::Losses;

use super::{BenchPeers, Report, median, pinned, range, report_of, say};

/// Times of the losses from one process, ms.
#[derive(Debug, Serialize, Deserialize)]
struct Times {
    tcmax: Vec<f64>,
    blend: Vec<f64>,
    cross_entropy: Vec<f64>,
    /// Largest resident memory, KiB.
    peak_kib: u64,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct LossLine {
    batch: usize,
    classes: usize,
    /// Features of each modality.
    width: usize,
    threads: usize,
    /// Milliseconds, medians over all rounds.
    tcmax: f64,
    cross_entropy: f64,
    /// TCMax and the blend over cross-entropy, of each round.
    over_cross_entropy: Vec<f64>,
    blend_over_cross_entropy: Vec<f64>,
    /// PyTorch's cross-entropy and its tensor of all pairs, ms; absent where it is not asked for or would not fit.
    torch_cross_entropy: Option<f64>,
    torch_pairs: Option<f64>,
    /// MiB: ours, PyTorch's with the tensor of all pairs.
    peak_mib: [Option<u64>; 2],
}

/// Features of each modality: those of the paper's encoders, and of small ones.
const WIDE: usize = 512;
const NARROW: usize = 64;

/// Bytes of the tensor of all pairs beyond which PyTorch is not asked for it: it needs several.
const LARGEST_TENSOR: usize = 2 << 30;

/// Our side, in a process of its own.
pub fn own(size: &str, threads: usize, count: usize) -> anyhow::Result<()> {
    let (batch, rest) = size.split_once('x').context("losses-BATCHxCLASSESxWIDTH")?;
    let (classes, width) = rest.split_once('x').context("losses-BATCHxCLASSESxWIDTH")?;
    let losses = Losses::new(batch.parse()?, classes.parse()?, width.parse()?);
    let losses = losses.map_err(anyhow::Error::from_boxed)?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let mut times = None;
    rayon::scope(|_| times = Some(losses.time(count)));
    let times = times.context("the scope has run its body")?;
    let [tcmax, blend, cross_entropy] = times.map_err(anyhow::Error::from_boxed)?;
    let peak_kib = super::peak_kib();
    say(&serde_json::to_string(&Times { tcmax, blend, cross_entropy, peak_kib })?);
    Ok(())
}

impl BenchPeers {
    /// All batch sizes and numbers of classes, on wide features beside PyTorch and on narrow ones alone.
    pub(super) fn compare_losses(&self, script: &Path) -> anyhow::Result<Vec<LossLine>> {
        let mut lines = Vec::new();
        for &threads in &self.threads {
            for batch in [32, 128, 512, 2048] {
                for classes in [10, 100, 309] {
                    for (width, peer) in [(WIDE, Some(script)), (NARROW, None)] {
                        let line = self.compare_loss([batch, classes, width], threads, peer)?;
                        say(&line.text());
                        lines.push(line);
                    }
                }
            }
        }
        Ok(lines)
    }

    fn compare_loss(
        &self,
        [batch, classes, width]: [usize; 3],
        threads: usize,
        peer: Option<&Path>,
    ) -> anyhow::Result<LossLine> {
        let own = std::env::current_exe()?;
        let (mut tcmax, mut cross_entropy) = (Vec::new(), Vec::new());
        let (mut over, mut blend_over) = (Vec::new(), Vec::new());
        let (mut torch_ce, mut torch_pairs) = (Vec::new(), Vec::new());
        let mut peak = [None, None];
        // Small losses take microseconds: many calls.
        let count = (2_000_000 / (batch * (classes + 50))).clamp(20, 500);
        let fits = batch * batch * classes * 4 <= LARGEST_TENSOR;
        for _ in 0..self.rounds {
            let mut command = pinned(threads, &own);
            command.args(["own-case", &format!("losses-{batch}x{classes}x{width}")]);
            command.args([threads.to_string(), count.to_string()]);
            let times: Times = report_of(command)?;
            let ratio = |of: &[f64]| {
                let ratios = of.iter().zip(&times.cross_entropy).map(|(a, b)| a / b);
                median(&ratios.collect::<Vec<f64>>())
            };
            over.push(ratio(&times.tcmax));
            blend_over.push(ratio(&times.blend));
            tcmax.push(median(&times.tcmax));
            cross_entropy.push(median(&times.cross_entropy));
            peak[0] = peak[0].max(Some(times.peak_kib / 1024));
            let Some(script) = peer else { continue };
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
            width,
            threads,
            tcmax: median(&tcmax),
            cross_entropy: median(&cross_entropy),
            over_cross_entropy: over,
            blend_over_cross_entropy: blend_over,
            torch_cross_entropy: peer.map(|_| median(&torch_ce)),
            torch_pairs: (fits && peer.is_some()).then(|| median(&torch_pairs)),
            peak_mib: peak,
        })
    }
}

impl LossLine {
    fn text(&self) -> String {
        format!(
            "{} examples, {} classes, {} features, {} thread(s): TCMax {:.3} ms, {:.2} of cross-entropy, the \
             blend {:.2}; PyTorch with all pairs {}",
            self.batch,
            self.classes,
            self.width,
            self.threads,
            self.tcmax,
            median(&self.over_cross_entropy),
            median(&self.blend_over_cross_entropy),
            self.torch_pairs.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms")),
        )
    }
}

/// The figures as a Markdown table.
pub fn table(lines: &[LossLine]) -> String {
    let mut text = String::from(
        "| batch | classes | features | threads | TCMax, ms | cross-entropy, ms | ratio | range | blend: \
         ratio | range | PyTorch cross-entropy, ms | PyTorch, all pairs, ms | TCMax / all pairs | memory, \
         MiB: ours, all pairs |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let dash = || "–".to_owned();
    for line in lines {
        let pairs = line.torch_pairs;
        text += &format!(
            "| {} | {} | {} | {} | {:.3} | {:.3} | **{:.2}** | {} | **{:.2}** | {} | {} | {} | {} | {}, {} |\n",
            line.batch,
            line.classes,
            line.width,
            line.threads,
            line.tcmax,
            line.cross_entropy,
            median(&line.over_cross_entropy),
            range(&line.over_cross_entropy),
            median(&line.blend_over_cross_entropy),
            range(&line.blend_over_cross_entropy),
            line.torch_cross_entropy.map_or_else(dash, |ms| format!("{ms:.3}")),
            pairs.map_or_else(dash, |ms| format!("{ms:.2}")),
            pairs.map_or_else(dash, |ms| format!("{:.4}", line.tcmax / ms)),
            line.peak_mib[0].map_or_else(dash, |mib| mib.to_string()),
            line.peak_mib[1].map_or_else(dash, |mib| mib.to_string()),
        );
    }
    text
}
