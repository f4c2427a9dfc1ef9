//! The greedy method from the command: training, going on, predictions, evaluation, export.

use std::path::Path;

use crate::common;

fn accuracy(csv: &[u8]) -> f64 {
    let mut reader = csv::Reader::from_reader(csv);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 30);
    rows.iter().filter(|row| row[1] == row[2]).count() as f64 / 30.0
}

fn command(arguments: &[&str], run: &Path, more: &[&str]) -> (bool, Vec<u8>, String) {
    let output = common::tcmax().args(arguments).arg(run).args(more).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), output.stdout, message)
}

#[test]
fn a_run_trains_goes_on_and_predicts_with_and_without_a_modality() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let arguments = ["--method", "greedy", "--out", out.to_str().unwrap()];
    common::train(&settings, &arguments).assert().success();
    let more = [&arguments[..], &["--epochs", "3", "--resume"]].concat();
    common::train(&settings, &more).assert().success();
    let run = out.join("seed-0");
    let text = std::fs::read(run.join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(result["history"].as_array().unwrap().len(), 3);
    let curation = result["history"][2]["metrics"]["curation"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&curation));

    let (succeeded, csv, message) = command(&["predict"], &run, &[]);
    assert!(succeeded, "{message}");
    assert!((accuracy(&csv) - result["test"]["accuracy"].as_f64().unwrap()).abs() < 1e-12);
    let (succeeded, csv, message) = command(&["predict"], &run, &["--without", "audio"]);
    assert!(succeeded, "{message}");
    let recorded = result["absence"]["accuracy_without"][0].as_f64().unwrap();
    assert!((accuracy(&csv) - recorded).abs() < 1e-12);
    let (succeeded, json, message) = command(&["eval"], &run, &["--json"]);
    assert!(succeeded, "{message}");
    let evaluated: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(evaluated["absence"], result["absence"]);

    let model = folder.path().join("model");
    let to = ["--out", model.to_str().unwrap()];
    let (succeeded, _, message) = command(&["export"], &run, &to);
    assert!(!succeeded && !model.exists());
    assert!(message.contains("'greedy' joins between their stages cannot be written"), "{message}");
    let (succeeded, _, message) =
        command(&["export"], &run, &[&to[..], &["--weights-only"]].concat());
    assert!(succeeded, "{message}");
    let bytes = std::fs::read(model.join("model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(weights.tensor("method.mmtm4.fc_squeeze.weight").unwrap().shape(), [16, 32]);
}

#[test]
fn encoders_without_stages_and_other_numbers_of_modalities_are_refused() {
    let (_folder, settings) = common::folder();
    for (set, words) in [
        ("encoder.visual={name=\"vit\",width=12,patch=4}", "'vit' of 'visual' has none"),
        ("train.modalities=[\"audio\"]", "is defined for two modalities, and there are 1"),
        ("encoder.audio.frozen-epochs=1", "encoder.audio.frozen-epochs: must be 0"),
    ] {
        let arguments = ["--method", "greedy", "--set", set];
        let output = common::train(&settings, &arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{set}: {message}");
        assert!(message.contains(words), "{set}: {message}");
    }
}
