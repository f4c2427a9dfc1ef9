//! A model is tested on the data of its run, or on others, but not by accident on what it learned.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::common;

/// Writes a feature file: classes that are far apart, seen by two modalities, row after row a
/// little different; `classes` are the labels' numbers.
fn write(path: &Path, rows: std::ops::Range<usize>, classes: &[i64]) {
    let labels: Vec<i64> = rows.clone().map(|row| classes[row % classes.len()]).collect();
    let count = labels.len();
    let modality = |width: usize| {
        let value = |row: usize, column: usize| {
            let sign = labels[row - rows.start] as f32 * 2.0 - 1.0;
            sign + 0.5 * ((row * 7 + column * 3) as f32).sin()
        };
        let values: Vec<f32> =
            rows.clone().flat_map(|row| (0..width).map(move |column| value(row, column))).collect();
        Tensor::from_vec(values, (count, width), &Device::Cpu).unwrap()
    };
    let tensors = HashMap::from([
        ("left".to_owned(), modality(3)),
        ("right".to_owned(), modality(5)),
        ("label".to_owned(), Tensor::from_vec(labels.clone(), count, &Device::Cpu).unwrap()),
    ]);
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// A folder with `data.safetensors` of 80 rows, and a run on it, given by a relative path.
fn trained() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("data.safetensors"), 0..80, &[0, 1, 2]);
    train(folder.path(), &[]).unwrap();
    let run = folder.path().join("run/seed-0");
    (folder, run)
}

fn train(folder: &Path, more: &[&str]) -> Result<(), Output> {
    let output = common::tcmax()
        .current_dir(folder)
        .args(["train", "--dataset", "data.safetensors", "--batch-size", "8", "--encoder", "mlp"])
        .args(["--set", "encoder.widths=[8]"])
        .args(["--out", "run", "--epochs"])
        .args([if more.is_empty() { "15" } else { "16" }])
        .args(more)
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(output) }
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `tcmax eval` from a folder far from the data.
fn eval(run: &Path, more: &[&str]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    common::tcmax()
        .current_dir(elsewhere.path())
        .arg("eval")
        .arg(run)
        .arg("--json")
        .args(more)
        .output()
        .unwrap()
}

fn evaluated(run: &Path, more: &[&str]) -> Value {
    let output = eval(run, more);
    assert!(output.status.success(), "{}", message(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(output: &Output, words: &[&str]) {
    let message = message(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for word in words {
        assert!(message.contains(word), "'{word}' is not in: {message}");
    }
}

fn result(run: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(run.join("result.json")).unwrap()).unwrap()
}

#[test]
fn a_run_is_evaluated_from_any_folder_and_after_its_data_have_moved() {
    let (folder, run) = trained();
    let test = result(&run)["test"].clone();
    assert_eq!(evaluated(&run, &[])["cross_entropy"], test["cross_entropy"]);
    let moved = folder.path().join("moved.safetensors");
    std::fs::rename(folder.path().join("data.safetensors"), &moved).unwrap();
    let again = evaluated(&run, &["--dataset", moved.to_str().unwrap()]);
    assert_eq!(again["cross_entropy"], test["cross_entropy"]);
    assert_eq!(again["examples"], test["examples"]);
}

#[test]
fn rows_added_since_the_run_are_noticed() {
    let (folder, run) = trained();
    write(&folder.path().join("data.safetensors"), 0..100, &[0, 1, 2]);
    refused(
        &eval(&run, &[]),
        &["seed-0", "the data have changed since the run", "and had 53", "--force"],
    );
    let output = common::tcmax().arg("predict").arg(&run).output().unwrap();
    refused(&output, &["the data have changed since the run"]);
    assert!(output.stdout.is_empty());
    let output = train(folder.path(), &["--resume"]).unwrap_err();
    refused(&output, &["last.safetensors", "the training split has"]);
    let forced = eval(&run, &["--force"]);
    assert!(forced.status.success());
    let message = message(&forced);
    assert!(message.contains("note: the data have changed"), "{message}");
    assert!(message.contains("note: the model was trained or chosen on"), "{message}");
    // As many rows, but others.
    write(&folder.path().join("data.safetensors"), 0..80, &[0, 1, 2]);
    evaluated(&run, &[]);
    write(&folder.path().join("data.safetensors"), 3..83, &[0, 1, 2]);
    refused(&eval(&run, &[]), &["the data have changed since the run", "has other examples"]);
}

#[test]
fn other_data_are_tested_whole_and_never_by_accident_on_what_was_learned() {
    let (folder, run) = trained();
    let other = folder.path().join("other.safetensors");
    let dataset = ["--dataset", other.to_str().unwrap()];
    write(&other, 80..110, &[0, 1, 2]);
    let evaluation = evaluated(&run, &dataset);
    assert_eq!(evaluation["examples"], 30);
    assert!(evaluation["accuracy"].as_f64().unwrap() > 0.9);
    // Without the first class the others have other numbers, but the same names.
    write(&other, 80..110, &[1, 2]);
    let evaluation = evaluated(&run, &dataset);
    assert!(evaluation["accuracy"].as_f64().unwrap() > 0.9, "classes are mixed up");
    // Rows that were trained on.
    write(&other, 60..110, &[0, 1, 2]);
    refused(&eval(&run, &dataset), &["trained or chosen on", "of 50 examples", "--force"]);
    let forced = [&dataset[..], &["--force"]].concat();
    assert_eq!(evaluated(&run, &forced)["examples"], 50);
    let own = folder.path().join("data.safetensors");
    let own = ["--dataset", own.to_str().unwrap(), "--split", "all"];
    refused(&eval(&run, &own), &["trained or chosen on", "of 80 examples"]);
    // A class the model does not know.
    write(&other, 80..110, &[0, 1, 3]);
    refused(&eval(&run, &dataset), &["the class '3', which the model does not know"]);
    // The training split of the run, when it is asked for by name.
    evaluated(&run, &["--split", "train"]);
}

#[test]
fn predictions_of_other_data_are_a_row_each() {
    let (folder, run) = trained();
    let other = folder.path().join("other.safetensors");
    write(&other, 80..110, &[0, 1, 2]);
    let output = common::tcmax().arg("predict").arg(&run).arg("--dataset").arg(&other).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    assert_eq!(reader.records().count(), 30);
}

#[test]
fn data_of_a_single_class_are_tested_and_not_trained_on() {
    let (folder, run) = trained();
    let single = folder.path().join("single.safetensors");
    write(&single, 200..230, &[2]);
    let found = evaluated(&run, &["--dataset", single.to_str().unwrap()]);
    assert_eq!(found["examples"], 30);
    assert_eq!(
        (&found["majority_rate"], &found["balanced_accuracy"]),
        (&1.0.into(), &found["accuracy"])
    );
    assert!(
        found["accuracy"].as_f64().unwrap() > 0.9 && found["cross_entropy"].is_f64(),
        "{found}"
    );
    let output = common::tcmax().args(["train", "--dataset"]).arg(&single).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message(&output).contains("there are 1 classes; two are needed"),
        "{}",
        message(&output)
    );
}
