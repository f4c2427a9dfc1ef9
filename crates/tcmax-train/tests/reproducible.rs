//! One seed fixes every byte: again, with other thread counts, and across a kill.

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use candle_core::Device;
use tcmax_ops::State;
use tcmax_train::checkpoint::{load, save};

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
        bytes(&out.join("seed-0/model.safetensors"))
    };
    let first = run("first", &["--threads", "1", "--workers", "0"]);
    assert_eq!(first, run("again", &["--threads", "1", "--workers", "0"]));
    let threads = run("threads", &["--threads", "2", "--workers", "0"]);
    assert_eq!(first, threads, "the number of threads changes the weights");
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

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let (folder, settings) = common::folder();
    let whole = folder.path().join("whole");
    let killed = folder.path().join("killed");
    let epochs = ["--epochs", "6"];
    let arguments =
        |out: &Path| [&epochs[..], &["--out", out.to_str().unwrap()]].concat().join("\n");
    let split = |text: &str| text.split('\n').map(str::to_owned).collect::<Vec<_>>();
    let run = |out: &Path, more: &[&str]| {
        let text = arguments(out);
        let all: Vec<String> =
            split(&text).into_iter().chain(more.iter().map(|m| (*m).to_owned())).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        common::train(&settings, &all).assert().success();
    };
    run(&whole, &[]);

    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("tcmax"))
        .args(["train", "--config"])
        .arg(&settings)
        .args(split(&arguments(&killed)))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Kill it as soon as the first epoch is on disk.
    let last = killed.join("seed-0/last.safetensors");
    let start = Instant::now();
    while !last.exists() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("seed-0/result.json").exists(), "the run was over before the kill");

    run(&killed, &["--resume"]);
    let model = |out: &Path| bytes(&out.join("seed-0/model.safetensors"));
    assert_eq!(model(&whole), model(&killed));
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
