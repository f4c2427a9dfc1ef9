//! Predictions of new data, with and without labels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::common;

/// The class of a row of the data below.
fn class(row: usize) -> usize {
    row % 3
}

/// The numbers of a modality in a row: classes are far apart.
fn input(row: usize, width: usize) -> Vec<f32> {
    let value =
        |column: usize| class(row) as f32 * 2.0 - 1.0 + 0.5 * ((row * 7 + column * 3) as f32).sin();
    (0..width).map(value).collect()
}

fn array(rows: &[usize], width: usize) -> Tensor {
    let values: Vec<f32> = rows.iter().flat_map(|&row| input(row, width)).collect();
    Tensor::from_vec(values, (rows.len(), width), &Device::Cpu).unwrap()
}

/// `left` of 3 and `right` of 5 numbers, and more arrays.
fn write(path: &Path, rows: &[usize], more: Vec<(&str, Tensor)>) {
    let mut arrays: HashMap<String, Tensor> = [("left", array(rows, 3)), ("right", array(rows, 5))]
        .into_iter()
        .chain(more)
        .map(|(name, array)| (name.to_owned(), array))
        .collect();
    arrays.retain(|_, array| array.elem_count() > 0);
    candle_core::safetensors::save(&arrays, path).unwrap();
}

fn whole(values: impl Iterator<Item = usize>) -> Tensor {
    let values: Vec<i64> = values.map(|value| value as i64).collect();
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// A folder with a run on 80 labelled rows.
fn trained() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<usize> = (0..80).collect();
    let data = folder.path().join("data.safetensors");
    write(&data, &rows, vec![("label", whole(rows.iter().map(|&row| class(row))))]);
    train(folder.path(), &data, &["--encoder", "mlp", "--set", "encoder.widths=[8]"], "15");
    let run = folder.path().join("run/seed-0");
    (folder, run)
}

fn train(folder: &Path, data: &Path, more: &[&str], epochs: &str) {
    common::tcmax()
        .args(["train", "--batch-size", "8", "--epochs", epochs, "--dataset"])
        .arg(data)
        .arg("--out")
        .arg(folder.join("run"))
        .args(more)
        .assert()
        .success();
}

fn predict(run: &Path, data: &Path, more: &[&str]) -> Output {
    let mut command = common::tcmax();
    command.arg("predict").arg(run).arg("--dataset").arg(data).args(more).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    printed(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refused(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for word in words {
        assert!(message.contains(word), "'{word}' is not in: {message}");
    }
}

#[test]
fn new_features_need_no_labels_and_are_called_by_their_ids() {
    let (folder, run) = trained();
    let rows: Vec<usize> = (100..130).collect();
    let (labelled, new) =
        (folder.path().join("l.safetensors"), folder.path().join("n.safetensors"));
    write(&labelled, &rows, vec![("label", whole(rows.iter().map(|&row| class(row))))]);
    // What the model does not use may be there.
    let ids = whole(rows.iter().copied());
    write(&new, &rows, vec![("id", ids), ("smell", array(&rows, 2))]);
    let known = lines(&predict(&run, &labelled, &["--format", "jsonl"]));
    let found = lines(&predict(&run, &new, &["--format", "jsonl"]));
    assert_eq!((known.len(), found.len()), (30, 30));
    for (n, (known, found)) in known.iter().zip(&found).enumerate() {
        assert_eq!(known["label"], class(rows[n]).to_string());
        assert_eq!(known["id"], n.to_string());
        assert_eq!(found["id"], rows[n].to_string());
        assert!(found.get("label").is_none(), "a label was made up: {found}");
        for key in ["prediction", "probabilities", "modalities", "matching"] {
            assert_eq!(known[key], found[key], "{key}");
        }
        let probabilities = found["probabilities"].as_object().unwrap();
        let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5 && probabilities.len() == 3);
        assert!(found["modalities"]["left"].is_string() && found["matching"].is_number());
    }
    // As a table, into a file, whose labels are left out where they are not wanted.
    let file = folder.path().join("p.csv");
    for (data, more) in [(&new, None), (&labelled, Some("--unlabelled"))] {
        let more: Vec<&str> = more.into_iter().collect();
        let said = predict(&run, data, &[&["--file", file.to_str().unwrap()], &more[..]].concat());
        assert_eq!(printed(&said), format!("30 predictions in {}\n", file.display()));
        let mut reader = csv::Reader::from_path(&file).unwrap();
        let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let wanted = ["id", "prediction", "p(0)", "p(1)", "p(2)", "left prediction"];
        assert_eq!(header[..6], wanted);
        assert_eq!(header[6..], ["right prediction", "matching"]);
        let right = reader
            .records()
            .enumerate()
            .filter(|(n, row)| row.as_ref().unwrap()[1] == class(rows[*n]).to_string());
        assert!(right.count() > 27);
    }
    let file = folder.path().join("p.jsonl");
    predict(&run, &new, &["--file", file.to_str().unwrap()]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("{\"id\":\"100\",\"prediction\""));
}

#[test]
fn modalities_may_be_missing_from_some_rows_or_from_all() {
    let (folder, run) = trained();
    let rows: Vec<usize> = (100..110).collect();
    let new = folder.path().join("new.safetensors");
    let mask = whole((0..10).map(|row| usize::from(row != 4)));
    write(&new, &rows, vec![("left.present", mask)]);
    let found = lines(&predict(&run, &new, &["--format", "jsonl"]));
    for (row, found) in found.iter().enumerate() {
        assert_eq!(found["modalities"]["left"].is_null(), row == 4);
        assert_eq!(found["matching"].is_null(), row == 4);
    }
    let alone = lines(&predict(&run, &new, &["--format", "jsonl", "--without", "left"]));
    assert_eq!(found[4]["probabilities"], alone[4]["probabilities"]);
    assert!(alone[0]["modalities"].get("left").is_none() && alone[0]["matching"].is_null());
    // A file without the modality.
    let empty = Tensor::zeros(0, candle_core::DType::F32, &Device::Cpu).unwrap();
    write(&new, &rows, vec![("left", empty)]);
    let again = lines(&predict(&run, &new, &["--format", "jsonl", "--without", "left"]));
    assert_eq!(again, alone);
    refused(&predict(&run, &new, &[]), &["new.safetensors", "the model needs 'left' of shape [3]"]);
}

#[test]
fn what_is_wrong_with_new_data_is_reported_with_file_and_row() {
    let (folder, run) = trained();
    let rows: Vec<usize> = (100..110).collect();
    let new = folder.path().join("new.safetensors");
    let mut values: Vec<f32> = rows.iter().flat_map(|&row| input(row, 3)).collect();
    values[7] = f32::NAN;
    let broken = Tensor::from_vec(values, (10, 3), &Device::Cpu).unwrap();
    write(&new, &rows, vec![("left", broken)]);
    refused(&predict(&run, &new, &[]), &["new.safetensors, row 2, 'left': value 1 is NaN"]);
    write(&new, &rows, vec![("left", array(&rows, 4))]);
    refused(
        &predict(&run, &new, &[]),
        &["new.safetensors", "'left' of shape [3]", "'left' of shape [4]"],
    );
    write(&new, &rows, vec![("left", array(&rows[1..], 3))]);
    refused(&predict(&run, &new, &[]), &["new.safetensors", "10 rows, but 'left' has 9"]);
    write(&new, &rows, vec![("label", whole((0..10).map(|row| if row == 6 { 9 } else { 1 })))]);
    refused(&predict(&run, &new, &[]), &["new.safetensors: row 6 has the class '9'"]);
    printed(&predict(&run, &new, &["--unlabelled"]));
    // A predicted file that failed leaves nothing.
    let file = folder.path().join("p.csv");
    std::fs::write(&new, "no file of arrays").unwrap();
    refused(&predict(&run, &new, &["--file", file.to_str().unwrap()]), &["new.safetensors"]);
    assert!(!file.exists() && !folder.path().join("p.csv.part").exists());
}

#[test]
fn feature_tables_without_a_label_column_are_known_by_their_width() {
    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables");
    let write = |folder: &Path, rows: std::ops::Range<usize>, labelled: bool| {
        std::fs::create_dir_all(folder).unwrap();
        for (name, width) in [("left", 3), ("right", 5)] {
            let line = |row: usize| {
                let mut cells: Vec<String> =
                    input(row, width).iter().map(ToString::to_string).collect();
                cells.extend(labelled.then(|| class(row).to_string()));
                cells.join(",") + "\n"
            };
            let text: String = rows.clone().map(line).collect();
            std::fs::write(folder.join(format!("{name}.csv")), text).unwrap();
        }
    };
    write(&tables, 0..60, true);
    train(folder.path(), &tables, &["--encoder", "mlp", "--set", "encoder.widths=[8]"], "15");
    let (run, new) = (folder.path().join("run/seed-0"), folder.path().join("new"));
    write(&new, 100..120, false);
    let found = lines(&predict(&run, &new, &["--format", "jsonl"]));
    assert_eq!(found.len(), 20);
    assert!(found[7].get("label").is_none() && found[7]["id"] == "7");
    write(&new, 100..120, true);
    let known = lines(&predict(&run, &new, &["--format", "jsonl"]));
    assert_eq!(known[7]["label"], class(107).to_string());
    assert_eq!(known[7]["probabilities"], found[7]["probabilities"]);
    write(&new, 100..120, false);
    let text = std::fs::read_to_string(new.join("left.csv")).unwrap();
    let text: Vec<&str> = text.lines().collect();
    std::fs::write(new.join("left.csv"), text.join("\n").replacen(text[3], "1,nan,2", 1)).unwrap();
    refused(&predict(&run, &new, &[]), &["left.csv, line 4: column 1: NaN is not a finite number"]);
}

/// Small inputs, so that training takes seconds.
const RECIPE: &str = r#"
[sound]
kind = "spectrogram"
rate = 8000
seconds = 0.4
n-fft = 64
hop = 64

[picture]
kind = "image"
side = 16

[words]
kind = "text"
buckets = 32
"#;

#[test]
fn a_manifest_without_labels_is_decoded_as_the_clips_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let tcmax = || {
        let mut command = common::tcmax();
        command.env("XDG_CACHE_HOME", &cache).current_dir(folder.path());
        command
    };
    tcmax().args(["examples", "."]).assert().success();
    std::fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
    tcmax()
        .args(["prepare", "posts.csv", "--recipe", "recipe.toml", "--out", "clips"])
        .assert()
        .success();
    let clips = folder.path().join("clips");
    train(folder.path(), &clips, &["--set", "encoder.picture.width=2"], "2");
    let posts = std::fs::read_to_string(folder.path().join("posts.csv")).unwrap();
    let rows: Vec<Vec<&str>> = posts.lines().map(|line| line.split(',').collect()).collect();
    let id = rows[0].iter().position(|name| *name == "id").unwrap();
    let label = rows[0].iter().position(|name| *name == "label").unwrap();
    let without = |leave_out: usize| -> String {
        let kept = |row: &Vec<&str>| {
            let cells = row.iter().enumerate().filter(|(c, _)| *c != leave_out);
            cells.map(|(_, cell)| *cell).collect::<Vec<_>>().join(",") + "\n"
        };
        rows.iter().map(kept).collect()
    };
    std::fs::write(folder.path().join("new.csv"), without(label)).unwrap();
    let predict = |data: &str, input: Option<&str>, more: &[&str]| {
        let mut command = tcmax();
        command.args(["predict", "run/seed-0", "--format", "jsonl", "--dataset", data]).args(more);
        if let Some(input) = input {
            command.write_stdin(input);
        }
        command.output().unwrap()
    };
    let found = lines(&predict("new.csv", None, &[]));
    assert_eq!(found.len(), rows.len() - 1);
    assert_eq!(found[3]["id"], rows[4][id]);
    assert!(found[3].get("label").is_none());
    // The same, whether the labels are there, the clips were prepared, or the manifest comes from a pipe.
    let known = lines(&predict("posts.csv", None, &["--split", "all", "--force"]));
    assert_eq!(known[3]["label"], rows[4][label]);
    let prepared = lines(&predict("clips", None, &["--unlabelled"]));
    let piped = lines(&predict("-", Some(&without(label)), &[]));
    for other in [&known, &prepared, &piped] {
        for (found, other) in found.iter().zip(other) {
            assert_eq!(found["id"], other["id"]);
            assert_eq!(found["probabilities"], other["probabilities"]);
        }
    }
    // Rows without a name are called by their number.
    let nameless = without(id);
    let found = lines(&predict("-", Some(&nameless), &[]));
    assert_eq!(found[3]["id"], "000003");
    // A modality that is missing, and a file that is.
    let picture = rows[4][rows[0].iter().position(|name| *name == "picture").unwrap()];
    let found = lines(&predict("-", Some(&without(label).replacen(picture, "", 1)), &[]));
    assert!(found[3]["modalities"]["picture"].is_null() && found[3]["matching"].is_null());
    let broken = without(label).replacen(picture, "pictures/none.png", 1);
    refused(&predict("-", Some(&broken), &[]), &["standard input, line 5, 'picture'", "none.png"]);
    refused(&predict("-", Some(""), &[]), &["standard input: it is empty"]);
}

#[cfg(unix)]
#[test]
fn who_stops_reading_ends_the_command_without_an_error() {
    let (folder, run) = trained();
    let rows: Vec<usize> = (100..4_100).collect();
    let new = folder.path().join("new.safetensors");
    write(&new, &rows, Vec::new());
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("tcmax"))
        .arg("predict")
        .arg(&run)
        .arg("--dataset")
        .arg(&new)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
