//! One seed fixes every byte: again, with other thread counts, and across a kill.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use tcmax_ops::State;
use tcmax_train::checkpoint::{load, save};

use crate::common;

/// What the same seed writes the same bytes of.
const FILES: [&str; 3] = ["model.safetensors", "last.safetensors", "log.jsonl"];

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_same_seed_gives_the_same_checkpoint_bytes() {
    let (folder, settings) = common::folder();
    let run = |name: &str, arguments: &[&str]| {
        let out = folder.path().join(name);
        let out_argument = out.to_str().unwrap();
        let arguments = [&["--out", out_argument], arguments].concat();
        common::train(&settings, &arguments).assert().success();
        // The state to go on from and the log too: they hold no time.
        FILES.map(|name| bytes(&out.join("seed-0").join(name)))
    };
    let first = run("first", &["--threads", "1", "--workers", "0"]);
    assert_eq!(first, run("again", &["--threads", "1", "--workers", "0"]));
    let threads = run("threads", &["--threads", "2", "--workers", "2"]);
    assert_eq!(first, threads, "the number of threads or workers changes the checkpoints");
}

#[test]
fn so_many_shards_give_the_same_bytes_for_every_number_of_threads() {
    let (folder, settings) = common::folder();
    let run = |name: &str, arguments: &[&str]| {
        let out = folder.path().join(name);
        let out_argument = out.to_str().unwrap();
        let arguments = [&["--out", out_argument], arguments].concat();
        common::train(&settings, &arguments).assert().success();
        FILES.map(|name| bytes(&out.join("seed-0").join(name)))
    };
    let shards = ["--set", "train.shards=2"];
    let first = run("first", &[&shards[..], &["--threads", "1"]].concat());
    assert_eq!(first, run("threads", &[&shards[..], &["--threads", "4"]].concat()));
    assert_ne!(first, run("whole", &[]), "shards are a setting");
    // A member for each device, unless there are to be more.
    assert_eq!(first, run("devices", &["--device", "cpu,cpu"]));
    assert_ne!(first, run("more", &["--device", "cpu,cpu", "--set", "train.shards=4"]));
    let few = ["--device", "cpu,cpu,cpu", "--set", "train.shards=2"];
    let refused = common::train(&settings, &few).output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("train.shards: there are 3 devices"), "{message}");
    // A run goes on with the shards it had.
    assert_eq!(first, run("first", &["--resume"]));
    assert_eq!(first, run("devices", &["--resume", "--device", "cpu,cpu"]));
    let refused = common::train(&settings, &["--set", "train.shards=100"]).output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(
        message.contains("--batch-size: must be at least 2 for each of the shards"),
        "{message}"
    );
}

#[test]
fn half_precision_is_a_setting_that_a_run_keeps() {
    let (folder, settings) = common::folder();
    let out_of = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |name: &str, arguments: &[&str]| {
        let out = out_of(name);
        common::train(&settings, &[&["--out", &out], arguments].concat()).assert().success();
        FILES.map(|file| bytes(&Path::new(&out).join("seed-0").join(file)))
    };
    let half = ["--precision", "bf16"];
    let first = run("first", &[&half[..], &["--threads", "1"]].concat());
    assert_eq!(first, run("threads", &[&half[..], &["--threads", "2", "--workers", "2"]].concat()));
    // Settings of old that do not name it are those of f32.
    let single = run("single", &[]);
    assert_eq!(single, run("named", &["--precision", "f32"]));
    assert_ne!(first, single);
    assert_eq!(first, run("first", &[&half[..], &["--resume"]].concat()));
    let resumed = common::train(&settings, &["--out", &out_of("first"), "--resume"]).output();
    let message = String::from_utf8_lossy(&resumed.unwrap().stderr).into_owned();
    assert!(message.contains("train.precision"), "{message}");
    // The weights that are kept are f32, and are evaluated in the precision of their run.
    let weights = candle_core::safetensors::load(
        Path::new(&out_of("first")).join("seed-0/model.safetensors"),
        &Device::Cpu,
    );
    let is_half = |tensor: &candle_core::Tensor| tensor.dtype() == candle_core::DType::BF16;
    assert!(!weights.unwrap().values().any(is_half));
    let result: serde_json::Value =
        serde_json::from_slice(&bytes(&Path::new(&out_of("first")).join("seed-0/result.json")))
            .unwrap();
    let model = format!("{}/seed-0", out_of("first"));
    let output = common::tcmax().args(["eval", &model, "--json"]).output().unwrap();
    let evaluated: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["test"]["cross_entropy"].as_f64().is_some(), "{result}");
    assert_eq!(evaluated["cross_entropy"], result["test"]["cross_entropy"], "{evaluated}");
    let wrong = common::train(&settings, &["--precision", "f16"]).output().unwrap();
    let message = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(2), "{message}");
    assert!(message.contains("--precision") && message.contains("bf16"), "{message}");
}

#[test]
fn another_seed_or_method_gives_other_weights() {
    let (folder, settings) = common::folder();
    let run = |name: &str, arguments: &[&str]| {
        let out = folder.path().join(name);
        let arguments = [&["--out", out.to_str().unwrap()], arguments].concat();
        common::train(&settings, &arguments).assert().success();
        out
    };
    let tcmax = run("tcmax", &["--seeds", "0,1"]);
    let joint = run("joint", &["--method", "joint"]);
    let weights =
        |folder: &Path, seed: u64| bytes(&folder.join(format!("seed-{seed}/model.safetensors")));
    assert_ne!(weights(&tcmax, 0), weights(&tcmax, 1));
    assert_ne!(weights(&tcmax, 0), weights(&joint, 0));
}

/// A run that was interrupted at several moments, one after the other, against one that was not.
fn interrupted(signal: Signal) {
    let (folder, settings) = common::folder();
    let whole = folder.path().join("whole");
    let broken = folder.path().join("broken");
    let of = |out: &Path| ["--epochs", "8", "--out", out.to_str().unwrap()].map(str::to_owned);
    let run = |out: &Path, more: &[&str]| {
        let arguments = of(out);
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        common::train(&settings, &arguments).assert().success();
    };
    run(&whole, &[]);
    let last = broken.join("seed-0/last.safetensors");
    let mut ended = 0;
    for moment in 0..5 {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("tcmax"))
            .args(["train", "--resume", "--workers", "2", "--config"])
            .arg(&settings)
            .args(of(&broken))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // As soon as another epoch is on disk, and a while later: between epochs, in one, while files
        // are written.
        let before = std::fs::read(&last).unwrap_or_default();
        let start = Instant::now();
        while std::fs::read(&last).unwrap_or_default() == before
            && child.try_wait().unwrap().is_none()
            && start.elapsed() < Duration::from_secs(120)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(7 * moment));
        if child.try_wait().unwrap().is_none() {
            signal.send(&child);
        }
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if signal.ended(&output, &message) {
            ended += 1;
        } else {
            assert!(output.status.success(), "{message}");
        }
    }
    assert!(ended > 0, "every run was over before the signal");
    run(&broken, &["--resume"]);
    for name in FILES {
        let of = |out: &Path| bytes(&out.join("seed-0").join(name));
        assert_eq!(of(&whole), of(&broken), "{name}");
    }
    let left = std::fs::read_dir(broken.join("seed-0")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!left.collect::<String>().contains(".part"), "half a file is left");
}

#[derive(Clone, Copy)]
enum Signal {
    Kill,
    #[cfg(unix)]
    Terminate,
}

impl Signal {
    fn send(self, child: &std::process::Child) {
        let name = match self {
            Self::Kill => "KILL",
            #[cfg(unix)]
            Self::Terminate => "TERM",
        };
        common::signal(child.id(), name);
    }

    /// Whether the process ended by the signal, in the way it should.
    fn ended(self, output: &Output, message: &str) -> bool {
        match self {
            Self::Kill => output.status.code().is_none(),
            #[cfg(unix)]
            Self::Terminate => {
                let ended = output.status.code() == Some(143);
                assert!(!ended || message.contains("interrupted by SIGTERM"), "{message}");
                ended
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_run_killed_at_any_moment_goes_on_to_the_same_bytes() {
    interrupted(Signal::Kill);
}

#[cfg(unix)]
#[test]
fn a_run_terminated_at_any_moment_goes_on_to_the_same_bytes() {
    interrupted(Signal::Terminate);
}

#[test]
fn evaluation_repeats_the_test_of_the_run() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    common::train(&settings, &["--out", out.to_str().unwrap()]).assert().success();
    let result: serde_json::Value =
        serde_json::from_slice(&bytes(&out.join("seed-0/result.json"))).unwrap();
    let output =
        common::tcmax().arg("eval").arg(out.join("seed-0")).arg("--json").output().unwrap();
    assert!(output.status.success());
    let evaluation: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut evaluation = evaluation;
    assert_eq!(evaluation["absence"].take(), result["absence"]);
    evaluation.as_object_mut().unwrap().remove("absence");
    assert_eq!(evaluation, result["test"]);
    assert!(out.join("report.html").exists());
}

#[test]
fn figures_of_a_checkpoint_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    // Quotients have all bits of their fractions; a last bit lost in reading would let a resumed run
    // choose another epoch, or refuse its own settings.
    let figures: Vec<f64> = (1..2_000).map(|n| f64::from(n) / 997.0).collect();
    save(&path, &State::new(), &figures).unwrap();
    let (_, read): (State, Vec<f64>) = load(&path, &Device::Cpu).unwrap();
    assert_eq!(read, figures);
}
