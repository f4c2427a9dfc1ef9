//! Comparisons of methods on data of one's own, from one command to every file they leave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use safetensors::tensor::{Dtype, TensorView};
use tcmax_train::results::SuiteResult;
use tcmax_train::{Experiment, Registry, variants};

use crate::common;

/// Two modalities of two numbers each, in which two classes are apart, and a label.
fn write_features(path: &Path, rows: usize) {
    let label = |row: usize| (row * 7 % 10 < 5) as usize;
    let mut state = 1u64;
    let mut noise = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut features = |distance: f32| -> Vec<u8> {
        let value = |row: usize, noise: f32| distance * label(row) as f32 + 2.0 * noise;
        let values = (0..rows).flat_map(|row| [value(row, noise()), value(row, noise())]);
        values.flat_map(f32::to_le_bytes).collect()
    };
    let (left, right) = (features(1.5), features(0.8));
    let labels: Vec<u8> = (0..rows).flat_map(|row| (label(row) as i64).to_le_bytes()).collect();
    let view =
        |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = BTreeMap::from([
        ("left", view(Dtype::F32, &[rows, 2], &left)),
        ("right", view(Dtype::F32, &[rows, 2], &right)),
        ("label", view(Dtype::I64, &[rows], &labels)),
    ]);
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

fn compare(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = common::tcmax();
    let quick = ["--epochs", "2", "--set", "encoder.left.widths=[4]"];
    command.current_dir(folder).args(["compare", "--dataset", "data.safetensors"]).args(quick);
    command.args(arguments).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    message
}

fn results(folder: &Path) -> SuiteResult {
    serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap()
}

/// The checkpoints under a folder, by path.
fn checkpoints(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "safetensors") {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

#[test]
fn methods_by_seeds_on_a_feature_file_leave_every_file() {
    let folder = tempfile::tempdir().unwrap();
    write_features(&folder.path().join("data.safetensors"), 80);
    let study = folder.path().join("study");
    let methods = ["--methods", "joint,tcmax,ogm alpha=0.5", "--seeds", "0,1", "--out", "study"];
    let output = compare(folder.path(), &methods);
    succeeded(&output);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("ogm alpha=0.5") && table.contains("Differences to joint"), "{table}");
    let all = results(&study);
    assert_eq!(all.baseline.as_deref(), Some("joint"));
    assert!(all.methods.iter().all(|method| method.runs.len() == 2 && method.failed.is_empty()));
    let run = &all.methods[1].runs[0];
    assert!(run.metrics.as_ref().unwrap().summary.auroc_macro > 0.5);
    let gains = run.contributions.as_ref().unwrap();
    let sum: f64 = gains.iter().map(|gain| gain.unwrap()).sum();
    assert!(sum <= run.test.accuracy + 1e-12, "what modalities add is part of the accuracy");
    for name in ["results.csv", "results.md", "report.html", "experiment.toml"] {
        assert!(study.join(name).is_file(), "{name}");
    }
    let csv = std::fs::read_to_string(study.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 7, "a header and six runs: {csv}");
    assert!(
        std::fs::read_to_string(study.join("results.md")).unwrap().contains("| ogm alpha=0.5 |")
    );
    let page = std::fs::read_to_string(study.join("report.html")).unwrap();
    assert!(page.contains("What each modality adds") && !page.contains("src=\"http"));
    assert!(study.join("runs/ogm-alpha-0.5/seed-1/model.safetensors").is_file());

    // The settings that were used run again, to the same bytes.
    let again = ["compare", "--config", "study/experiment.toml", "--out", "again"];
    succeeded(&common::tcmax().current_dir(folder.path()).args(again).output().unwrap());
    assert_eq!(checkpoints(&study), checkpoints(&folder.path().join("again")));

    // What is there is refused, gone on with, or replaced.
    let refused = compare(folder.path(), &methods);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--resume"));
    let before = checkpoints(&study);
    succeeded(&compare(folder.path(), &[&methods[..], &["--resume"]].concat()));
    assert_eq!(checkpoints(&study), before);
    let more = ["--methods", "joint,tcmax", "--seeds", "0,1,2", "--out", "study", "--resume"];
    succeeded(&compare(folder.path(), &more));
    assert_eq!(results(&study).methods[1].runs.len(), 3);

    // Finished runs side by side.
    let output = common::tcmax()
        .current_dir(folder.path())
        .args(["compare", "study/runs/joint/seed-0", "study/runs/tcmax/seed-0", "--json"])
        .output()
        .unwrap();
    succeeded(&output);
    let both: SuiteResult = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = both.methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["joint", "tcmax"]);
    assert_eq!(both.methods[0].runs[0].test, all.methods[0].runs[0].test);
}

#[test]
fn runs_on_other_data_are_not_put_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.safetensors");
    for (rows, out) in [(80, "a"), (90, "b")] {
        write_features(&path, rows);
        succeeded(&compare(folder.path(), &["--methods", "joint", "--seeds", "0", "--out", out]));
    }
    let output = common::tcmax().current_dir(folder.path()).args(["compare", "a", "b"]).output();
    let output = output.unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("saw other data from seed 0"), "{message}");
}

#[test]
fn every_fold_is_a_run_and_grids_are_multiplied() {
    let folder = tempfile::tempdir().unwrap();
    write_features(&folder.path().join("data.safetensors"), 60);
    let arguments = [
        "--methods",
        "joint",
        "--seeds",
        "3",
        "--out",
        "study",
        "--set",
        "data.folds=3",
        "--set",
        "compare.grid.optimiser.learning-rate=[0.01,0.05]",
    ];
    succeeded(&compare(folder.path(), &arguments));
    let all = results(&folder.path().join("study"));
    let names: Vec<&str> = all.methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["joint, learning-rate 0.01", "joint, learning-rate 0.05"]);
    for method in &all.methods {
        let folds: Vec<Option<usize>> = method.runs.iter().map(|run| run.fold).collect();
        assert_eq!(folds, [Some(0), Some(1), Some(2)]);
        assert_eq!(method.runs.iter().map(|run| run.test.examples).sum::<usize>(), 60);
    }
    assert!(
        folder
            .path()
            .join("study/runs/joint-learning-rate-0.05/seed-3-fold-2/result.json")
            .exists()
    );
}

#[test]
fn a_run_that_fails_does_not_end_the_others() {
    let folder = tempfile::tempdir().unwrap();
    write_features(&folder.path().join("data.safetensors"), 60);
    let rates = "compare.grid.optimiser.learning-rate=[0.01,1e30]";
    let arguments = ["--methods", "joint", "--seeds", "0", "--out", "study", "--set", rates];
    let output = compare(folder.path(), &arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("1 of 2 runs failed"), "{message}");
    let all = results(&folder.path().join("study"));
    assert_eq!((all.methods[0].runs.len(), all.methods[1].failed.len()), (1, 1));
    assert!(folder.path().join("study/report.html").is_file());
}

#[test]
fn what_config_prints_is_an_experiment_and_says_what_every_key_does() {
    let folder = tempfile::tempdir().unwrap();
    let print = |more: &[&str]| {
        let output = common::tcmax().arg("config").args(more).output().unwrap();
        succeeded(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = print(&[]);
    let explained = print(&["--explain"]);
    for text in [&plain, &explained] {
        let path = folder.path().join("experiment.toml");
        std::fs::write(&path, text).unwrap();
        assert_eq!(print(&["--config", path.to_str().unwrap()]), plain);
    }
    for words in [
        "# Epochs, at least 1.\nepochs = 40",
        "# clip-norm =",
        "[schedule.warm-up]",
        "# What to train by: joint, unimodal, tcmax",
        "learning-rate = 0.05",
        "# Methods, by name.",
    ] {
        assert!(explained.contains(words), "'{words}' is not in:\n{explained}");
    }
    assert!(print(&["--set", "optimiser.name=adamw"]).contains("beta2 = 0.999"));
}

#[test]
fn without_a_validation_split_the_last_epoch_is_kept_and_patience_ends_a_run() {
    let folder = tempfile::tempdir().unwrap();
    write_features(&folder.path().join("data.safetensors"), 60);
    let train = |more: &[&str]| {
        let mut command = common::tcmax();
        command.current_dir(folder.path()).args([
            "train",
            "--dataset",
            "data.safetensors",
            "--json",
        ]);
        let output = command.args(more).output().unwrap();
        succeeded(&output);
        let result: SuiteResult = serde_json::from_slice(&output.stdout).unwrap();
        result.methods[0].runs[0].clone()
    };
    let run = train(&["--set", "data.val-fraction=0", "--epochs", "3", "--out", "last"]);
    assert_eq!((run.best_epoch, run.history.len()), (3, 3));
    assert!(run.history.iter().all(|record| record.validation.is_none()));
    succeeded(
        &common::tcmax().current_dir(folder.path()).args(["eval", "last/seed-0"]).output().unwrap(),
    );
    // At a rate of almost nothing, nothing gets better.
    let run = train(&["--epochs", "30", "--lr", "1e-30", "--set", "train.patience=2"]);
    assert_eq!(run.history.len(), run.best_epoch + 2);
    let run = train(&["--epochs", "3", "--set", "train.keep=last"]);
    assert_eq!(run.best_epoch, 3);
}

/// What changes the steps, and nothing else: the settings beside it are the same.
#[test]
fn settings_of_the_loop_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    write_features(&folder.path().join("data.safetensors"), 64);
    let model = |name: &str, more: &[&str]| {
        let mut command = common::tcmax();
        command.current_dir(folder.path()).args(["train", "--dataset", "data.safetensors"]);
        command.args(["--epochs", "2", "--batch-size", "8", "--out", name]).args(more);
        succeeded(&command.output().unwrap());
        let path = folder.path().join(name).join("seed-0/model.safetensors");
        let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
        let tensor = |name: &str| {
            let found = tensors.iter().find(|(other, _)| other.starts_with(name));
            found.unwrap().1.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        (tensor("left_net.layers.0.weight"), tensor("right_net.layers.0.weight"))
    };
    let plain = model("plain", &[]);
    assert_eq!(model("again", &[]), plain);
    let base = model("base", &["--set", "train.keep=last"]);
    for (name, setting) in [
        ("accumulate", "train.accumulate=2"),
        ("average", "train.average=0.9"),
        ("smoothing", "train.label-smoothing=0.2"),
        ("weights", "train.class-weights=[1.0, 3.0]"),
        ("balanced", "train.balanced-sampling=true"),
        ("clip", "train.clip-norm=0.01"),
        ("schedule", "schedule.name=cosine"),
        ("optimiser", "optimiser.name=adam"),
        ("decay", "encoder.left.weight-decay=0.5"),
    ] {
        let other = model(name, &["--set", "train.keep=last", "--set", setting]);
        assert_ne!(other.0, base.0, "{setting}");
    }
    // A frozen encoder stays as it was drawn, whatever the other does.
    let frozen = ["--set", "encoder.left.frozen-epochs=2", "--set", "train.keep=last"];
    let slow = ["--set", "encoder.left.rate-factor=0.0", "--set", "train.keep=last"];
    let (frozen, slow) = (model("frozen", &frozen), model("slow", &slow));
    assert_eq!(frozen.0, slow.0, "neither moves");
    assert_ne!(frozen.1, plain.1);
}

#[test]
fn the_experiment_of_the_book_and_those_of_the_folder_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/src/experiments.md")).unwrap();
    let block = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let mut texts = vec![block.to_owned()];
    for entry in std::fs::read_dir(root.join("experiments")).unwrap() {
        let path = entry.unwrap().path();
        // The leaderboard's file holds several experiments, and is read by the tests of xtask.
        let is_experiment = !path.ends_with("leaderboard.toml");
        if is_experiment && path.extension().is_some_and(|extension| extension == "toml") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    assert!(texts.len() >= 9);
    let modalities = ["audio", "visual"].map(str::to_owned);
    for text in texts {
        let mut experiment = Experiment::from_toml(&text).unwrap();
        if experiment.config.data.name == "files" {
            // The clips of published data sets are named on the command line.
            experiment.set("data.path", "clips".into()).unwrap();
        }
        let variants = variants(&experiment, &Registry::default(), &modalities).unwrap();
        assert!(variants.len() >= 3, "{text}");
    }
}

#[test]
fn shells_complete_the_command() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = common::tcmax().args(["completions", shell]).output().unwrap();
        succeeded(&output);
        assert!(String::from_utf8_lossy(&output.stdout).contains("compare"), "{shell}");
    }
}
