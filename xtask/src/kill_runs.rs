//! `cargo xtask kill-runs`: interrupted work must go on to the bytes of work that was not interrupted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use rand::Rng;
use tcmax_ops::Seed;

use crate::bench_clips::generate;
use crate::bench_peers::say;

/// Options of `cargo xtask kill-runs`.
#[derive(Args)]
pub struct KillRuns {
    /// Kills in all, a third of them each of training, preparation and a comparison
    #[arg(long, default_value_t = 25)]
    kills: usize,
    /// Fixes the moments of the kills
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Kills of one piece of work before it may end and is compared.
const KILLS_EACH: usize = 4;

impl KillRuns {
    pub fn run(&self) -> anyhow::Result<()> {
        let binary = build()?;
        let folder = tempfile::tempdir()?;
        let media = folder.path().join("media");
        std::fs::create_dir(&media)?;
        let manifest = generate(&media, 6_000)?;
        let train = |out: &Path| {
            let mut command = Command::new(&binary);
            command.args([
                "train",
                "--epochs",
                "12",
                "--set",
                "data.train-size=300",
                "--resume",
                "--out",
            ]);
            command.arg(out);
            command
        };
        let prepare = |out: &Path| {
            let mut command = Command::new(&binary);
            command.arg("prepare").arg(&manifest).arg("--out").arg(out);
            command
        };
        let compare = |out: &Path| {
            let mut command = Command::new(&binary);
            command.args([
                "compare",
                "--methods",
                "joint,ogm-ge,tcmax",
                "--seeds",
                "0,1",
                "--epochs",
                "6",
            ]);
            command.args(["--set", "data.train-size=150", "--resume", "--out"]).arg(out);
            command
        };
        let third = self.kills / 3;
        let mut rng = Seed::new(self.seed).rng();
        interrupt("training", self.kills - 2 * third, folder.path(), &train, &mut rng)?;
        interrupt("preparation", third, folder.path(), &prepare, &mut rng)?;
        interrupt("comparison", third, folder.path(), &compare, &mut rng)
    }
}

/// Builds the command in release mode; it lies beside this program.
fn build() -> anyhow::Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "tcmax-cli", "--bin", "tcmax"])
        .status()?;
    ensure!(status.success(), "the build of tcmax failed");
    let folder = std::env::current_exe()?;
    Ok(folder.parent().context("this program has no folder")?.join("tcmax"))
}

/// Runs `work` whole once, then again and again with kills at random moments of that time, until there
/// were `kills`; every folder must end with the bytes of the first.
fn interrupt(
    name: &str,
    kills: usize,
    folder: &Path,
    work: &dyn Fn(&Path) -> Command,
    rng: &mut impl Rng,
) -> anyhow::Result<()> {
    let whole = folder.join(format!("{name}-whole"));
    let start = Instant::now();
    finish(&mut work(&whole))?;
    let time = start.elapsed();
    let expected = contents(&whole)?;
    say(&format!("{name}: {} files in {:.1} s", expected.len(), time.as_secs_f64()));
    let (mut done, mut round) = (0, 0);
    while done < kills {
        let out = folder.join(format!("{name}-{round}"));
        for _ in 0..KILLS_EACH.min(kills - done) {
            // What is done stays done: later kills would often come after the end.
            let moment = time.mul_f64(rng.random_range(0.02..0.6));
            if kill_after(&mut work(&out), moment)? {
                done += 1;
            } else {
                break;
            }
        }
        finish(&mut work(&out))?;
        let got = contents(&out)?;
        for (file, bytes) in &expected {
            ensure!(got.get(file) == Some(bytes), "{name}: {} differs after kills", file.display());
        }
        ensure!(
            got.len() == expected.len(),
            "{name}: kills left files behind in {}",
            out.display()
        );
        say(&format!("{name}: {done} kills, the same bytes"));
        round += 1;
    }
    Ok(())
}

/// Runs a command to its end.
fn finish(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Kills a command `moment` after its start; false if it had ended by then.
fn kill_after(command: &mut Command, moment: Duration) -> anyhow::Result<bool> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn()?;
    std::thread::sleep(moment);
    if child.try_wait()?.is_some() {
        return Ok(false);
    }
    child.kill()?;
    child.wait()?;
    Ok(true)
}

/// What is in a folder, by path; files that hold times are left out.
fn contents(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            let timed = ["json", "html", "csv", "md"];
            let holds_times = path.extension().is_some_and(|e| timed.iter().any(|t| e == *t))
                && path.file_name().is_some_and(|name| name != "dataset.json");
            if path.is_dir() {
                folders.push(path);
            } else if !holds_times {
                files.insert(path.strip_prefix(folder)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}
