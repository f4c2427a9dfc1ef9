//! A small leaderboard from its runs to its pages, and gone on with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use candle_core::{Device, Tensor};

fn leaderboard(out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["reproduce", "--suite", "leaderboard", "--seeds", "0,1"]);
    command.args(["--methods", "joint,tcmax,ogm,greedy", "--data-sets", "competition,three-noisy"]);
    command.args(["--set", "train.epochs=2", "--set", "data.train-size=80"]);
    command.args(["--set", "data.val-size=40", "--set", "data.test-size=60", "--out"]);
    command.arg(out).args(more).output().unwrap()
}

fn succeeds(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    message
}

/// Every model below a folder, with the time it was written.
fn models(folder: &Path, found: &mut Vec<(PathBuf, SystemTime)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            models(&path, found);
        } else if path.ends_with("model.safetensors") {
            let written = path.metadata().unwrap().modified().unwrap();
            found.push((path, written));
        }
    }
    found.sort();
}

fn all_models(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    models(folder, &mut found);
    found
}

#[test]
fn a_small_leaderboard_has_its_pages_and_is_not_trained_twice() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("board");
    let message = succeeds(&leaderboard(&out, &[]));
    assert!(
        message.contains("2 data sets, 10 runs, each of which trains 4 candidates: 40 models"),
        "{message}"
    );
    assert!(
        message.contains("three-noisy: 2 methods, 2 seeds; not defined: ogm, greedy"),
        "{message}"
    );
    assert!(message.contains("with the other data sets if their runs take as long"), "{message}");
    let markdown = std::fs::read_to_string(out.join("leaderboard.md")).unwrap();
    let html = std::fs::read_to_string(out.join("leaderboard.html")).unwrap();
    for text in [&markdown, &html] {
        for words in [
            "Summary",
            "competition",
            "three-noisy",
            "mean rank, two modalities",
            "not defined",
            "ogm is not defined for these data",
            "to joint, points",
            "Shapley imbalance, points",
            "worst probe %",
            "one missing %",
            "ms / step",
            "KiB over joint",
            "extra parameters",
            "learning-rate 0.0",
            "weight ",
            "hours of one thread",
            "0, 1",
            "[grids.tcmax]",
            "train.epochs=2",
        ] {
            let found = text.contains(words) || text.contains(&words.replace('-', "\\-"));
            // With two data sets, of which one has two modalities, there is one mean rank.
            assert!(found || words.starts_with("mean rank"), "no '{words}' in {text}");
        }
    }
    let before = all_models(&out);
    assert_eq!(before.len(), 10 * (4 + 1), "four candidates and the one that was chosen");

    // All results are there, and the pages are the same.
    let message = succeeds(&leaderboard(&out, &["--resume"]));
    assert!(message.contains("competition: all runs are finished"), "{message}");
    assert_eq!(all_models(&out), before);
    assert_eq!(std::fs::read_to_string(out.join("leaderboard.md")).unwrap(), markdown);

    // The results of a data set are lost, and one run was not finished.
    std::fs::remove_file(out.join("competition/results.json")).unwrap();
    let lost = out.join("competition/runs/tcmax/seed-1");
    std::fs::remove_dir_all(&lost).unwrap();
    let message = succeeds(&leaderboard(&out, &["--resume"]));
    assert!(message.contains("competition joint seed 0: was finished before"), "{message}");
    assert!(
        message.contains("competition tcmax seed 1: chosen on the validation split"),
        "{message}"
    );
    let after = all_models(&out);
    let untouched = |all: &[(PathBuf, SystemTime)]| -> Vec<(PathBuf, SystemTime)> {
        all.iter().filter(|(path, _)| !path.starts_with(&lost)).cloned().collect()
    };
    assert_eq!(after.len(), before.len());
    assert_eq!(untouched(&after), untouched(&before), "finished runs are left as they are");
    let again = std::fs::read_to_string(out.join("leaderboard.md")).unwrap();
    // The numbers are the same; only what the new run cost is not.
    let summary = |text: &str| text.split("\n## ").nth(1).unwrap().to_owned();
    assert_eq!(summary(&again), summary(&markdown));
}

#[test]
fn what_the_leaderboard_lacks_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (more, words) in
        [(&["--heads", "film"][..], "--heads"), (&["--set", "data.test-sizes=3"], "did you mean")]
    {
        let output = leaderboard(folder.path(), more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(words), "{message}");
    }
}

/// A feature file of 60 examples of two classes.
fn features(path: &Path) {
    let labels: Vec<i64> = (0..60).map(|row| row % 2).collect();
    let view = |other: f32| {
        let numbers = labels.iter().flat_map(|&label| [label as f32, other]).collect();
        Tensor::from_vec(numbers, (60, 2), &Device::Cpu).unwrap()
    };
    let (voice, face) = (view(0.5), view(-0.5));
    let labels = Tensor::new(labels.clone(), &Device::Cpu).unwrap();
    Tensor::write_npz(&[("voice", &voice), ("face", &face), ("label", &labels)], path).unwrap();
}

#[test]
fn published_data_are_compared_on_where_the_root_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    features(&root.join("mosei.npz"));
    let board = |out: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["reproduce", "--suite", "leaderboard", "--seeds", "0"]);
        command.args(["--methods", "joint,tcmax", "--data-sets", "crema-d,mosei"]);
        command.args(["--set", "encoder.name=mlp", "--set", "train.epochs=1", "--out"]);
        command.arg(folder.path().join(out)).args(more).output().unwrap()
    };
    let message = succeeds(&board("with", &["--root", root.to_str().unwrap()]));
    assert!(message.contains("crema-d is left out: there is no "), "{message}");
    assert!(message.contains("mosei: 2 methods, 1 seeds"), "{message}");
    let page = std::fs::read_to_string(folder.path().join("with/leaderboard.md")).unwrap();
    assert!(page.contains("learning-rate 0.004") || page.contains("learning-rate 0.01"), "{page}");
    assert!(page.contains("crema-d is left out") || page.contains("crema\\-d is left out"));

    let message = succeeds(&board("without", &[]));
    assert!(
        message.contains("mosei is left out: --root names the folder that has mosei.npz"),
        "{message}"
    );
}
