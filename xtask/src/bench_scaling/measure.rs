//! Steps of real runs in processes that mpirun starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::model::Link;

/// Two ResNet-18 on generated clips.
const SETTINGS: &str = r#"
[train]
epochs = 4
batch-size = 16

[encoder]
name = "resnet18"

[data]
name = "synthetic"
classes = 10
train-size = 128
val-size = 8
test-size = 8
"#;

/// Steps of an epoch.
const STEPS: f64 = 8.0;

/// Whole training steps of a number of ranks.
pub(super) struct Measured {
    pub(super) ranks: f64,
    /// Seconds, the middle of all epochs but the first.
    pub(super) step: f64,
    /// Bytes that the first rank gave in a step: gradients, batch statistics, the loss.
    pub(super) bytes: [f64; 3],
}

/// The programs that are run.
pub(super) struct Programs {
    tcmax: PathBuf,
    exchange: PathBuf,
}

#[derive(Deserialize)]
struct Exchange {
    latency: f64,
    bytes_per_second: f64,
}

#[derive(Deserialize)]
struct Run {
    history: Vec<Epoch>,
    #[serde(default)]
    exchanged: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Epoch {
    seconds: f64,
}

impl Programs {
    pub(super) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let program = |name: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            path.canonicalize().with_context(|| {
                format!(
                    "{}: build it by `cargo build --release --workspace --features tcmax-cli/mpi --bins --examples`",
                    path.display()
                )
            })
        };
        Ok(Self { tcmax: program("tcmax")?, exchange: program("examples/exchange")? })
    }

    /// The link between processes here, and steps of one, two and four of them.
    pub(super) fn measure(&self) -> anyhow::Result<(Link, Vec<Measured>)> {
        let printed = output(mpirun(2).arg(&self.exchange))?;
        let Exchange { latency, bytes_per_second } = serde_json::from_str(printed.trim())?;
        // An empty gather is announced and done: two messages.
        let link = Link { name: "this machine", latency: latency / 2.0, rate: bytes_per_second };
        let measured = [1, 2, 4].map(|ranks| self.steps(ranks));
        Ok((link, measured.into_iter().collect::<anyhow::Result<_>>()?))
    }

    fn steps(&self, ranks: usize) -> anyhow::Result<Measured> {
        let folder = tempfile::tempdir()?;
        let [settings, out] = ["settings.toml", "run"].map(|name| folder.path().join(name));
        std::fs::write(&settings, SETTINGS)?;
        let mut command = mpirun(ranks);
        command.arg(&self.tcmax).args(["train", "--threads", "1", "--config"]).arg(&settings);
        output(command.arg("--out").arg(&out))?;
        let text = std::fs::read_to_string(out.join("seed-0/result.json"))?;
        let Run { history, exchanged } = serde_json::from_str(&text)?;
        let mut seconds: Vec<f64> = history.iter().skip(1).map(|epoch| epoch.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let bytes = ["gradients", "batch norm", "loss"]
            .map(|purpose| exchanged.get(purpose).copied().unwrap_or_default());
        Ok(Measured { ranks: ranks as f64, step: seconds[seconds.len() / 2] / STEPS, bytes })
    }
}

fn mpirun(ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1"])
        .args(["-n", &ranks.to_string()]);
    command
}

/// What a command prints.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
