//! The real binary trains on data of the user's own, as well as the data allow.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tcmax_ops::{Init, Seed};

use crate::binary;

/// Rows of two classes; modality m has features of unit noise whose class means are `distances[m]`
/// apart, in one random direction. The best accuracy of all together is Phi(|distances| / 2).
struct Gaussians {
    labels: Vec<i64>,
    modalities: Vec<Tensor>,
}

impl Gaussians {
    fn draw(rows: usize, distances: &[f64]) -> Self {
        let device = &Device::Cpu;
        let labels: Vec<i64> = (0..rows as i64).map(|row| row % 2).collect();
        let signs: Vec<f64> = labels.iter().map(|&label| label as f64 - 0.5).collect();
        let signs = Tensor::from_vec(signs, (rows, 1), device).unwrap();
        let modality = |(m, &distance): (usize, &f64)| {
            let seed = Seed::new(11).index(m as u64);
            let unit = Init::Normal { mean: 0.0, std: 1.0 };
            let width = 4 + m;
            let draw = |shape: (usize, usize), name: &str| {
                unit.tensor(&shape.into(), seed.stream(name), DType::F64, device).unwrap()
            };
            let direction = draw((1, width), "direction");
            let length = direction.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
            let direction = direction.broadcast_div(&length).unwrap();
            let shift = signs.matmul(&direction).unwrap().affine(distance, 0.0).unwrap();
            let values = (shift + draw((rows, width), "noise")).unwrap();
            // Any scale is as good.
            values.affine(10f64.powi(m as i32), 3.0).unwrap().to_dtype(DType::F32).unwrap()
        };
        Self { labels, modalities: distances.iter().enumerate().map(modality).collect() }
    }

    fn save(&self, path: &Path) {
        let rows = self.labels.len();
        let mut tensors: HashMap<String, Tensor> = (0..)
            .zip(&self.modalities)
            .map(|(m, tensor): (usize, _)| (format!("view{m}"), tensor.clone()))
            .collect();
        let labels = Tensor::from_vec(self.labels.clone(), rows, &Device::Cpu).unwrap();
        tensors.insert("label".to_owned(), labels);
        candle_core::safetensors::save(&tensors, path).unwrap();
    }

    fn save_tables(&self, folder: &Path) {
        for (m, tensor) in self.modalities.iter().enumerate() {
            let mut text = String::new();
            for (row, values) in tensor.to_vec2::<f32>().unwrap().iter().enumerate() {
                // Modality 1 lacks every tenth row.
                for value in values {
                    text +=
                        &if m == 1 && row % 10 == 0 { String::new() } else { value.to_string() };
                    text.push(',');
                }
                text += ["left", "right"][self.labels[row] as usize];
                text.push('\n');
            }
            std::fs::write(folder.join(format!("view{m}.csv")), text).unwrap();
        }
    }
}

/// Accuracies of the fused prediction and of each modality on the test split.
fn accuracies(path: &Path, more: &[&str]) -> (f64, Vec<f64>) {
    let path = path.to_str().unwrap();
    let arguments = [
        "train",
        "--dataset",
        path,
        "--epochs",
        "15",
        "--lr",
        "0.02",
        "--encoder",
        "mlp",
        "--set",
        "encoder.widths=[16]",
        "--json",
    ];
    let output = binary::tcmax().args(arguments).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let test = &result["methods"][0]["runs"][0]["test"];
    let single = test["modality_accuracy"].as_array().unwrap().iter();
    (test["accuracy"].as_f64().unwrap(), single.map(|x| x.as_f64().unwrap()).collect())
}

#[test]
fn feature_files_of_three_and_six_modalities_train_to_what_they_allow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("three.safetensors");
    Gaussians::draw(1_500, &[2.0; 3]).save(&path);
    // Phi(sqrt(3)) = 95.8 %, one modality Phi(1) = 84.1 %; 300 test examples.
    let (fused, single) = accuracies(&path, &[]);
    assert!((0.92..=0.99).contains(&fused), "{fused}");
    assert_eq!(single.len(), 3);
    assert!(single.iter().all(|x| (0.77..=0.91).contains(x)), "{single:?}");
    let path = folder.path().join("six.safetensors");
    Gaussians::draw(1_500, &[1.2; 6]).save(&path);
    // Phi(0.6 sqrt(6)) = 92.9 %, one modality Phi(0.6) = 72.6 %.
    let (fused, single) = accuracies(&path, &["--method", "joint"]);
    assert!((0.87..=0.97).contains(&fused), "{fused}");
    assert_eq!(single.len(), 6);
}

#[test]
fn feature_tables_train_with_a_modality_missing_in_some_rows() {
    let folder = tempfile::tempdir().unwrap();
    Gaussians::draw(1_000, &[2.0, 2.0]).save_tables(folder.path());
    // Phi(sqrt(2)) = 92.1 %, a little less for the tenth that lack a modality; 200 test examples.
    let (fused, _) = accuracies(folder.path(), &["--set", "data.folds=5", "--set", "data.fold=2"]);
    assert!((0.85..=0.97).contains(&fused), "{fused}");
}

#[test]
fn a_run_on_a_feature_file_is_evaluated_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    Gaussians::draw(300, &[3.0, 1.0]).save(&path);
    let out = folder.path().join("run");
    let out_text = out.to_str().unwrap();
    let (fused, _) = accuracies(&path, &["--out", out_text, "--seeds", "4"]);
    let run = out.join("seed-4");
    let output = binary::tcmax().arg("eval").arg(run).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(again["accuracy"].as_f64().unwrap(), fused);
}

#[test]
fn inspect_tells_what_is_there_and_draws_the_balance() {
    let folder = tempfile::tempdir().unwrap();
    Gaussians::draw(60, &[2.0, 2.0]).save_tables(folder.path());
    let plot = folder.path().join("balance.svg");
    let command = || {
        let mut command = binary::tcmax();
        command.arg("inspect").arg(folder.path());
        command
    };
    let output = command().arg("--plot").arg(&plot).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for part in [
        "60 examples",
        "view1: features [5], missing in 6 examples",
        "left       30 ####",
        "Nothing is wrong.",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    assert!(std::fs::read_to_string(&plot).unwrap().contains("right"));
    std::fs::write(folder.path().join("view2.csv"), "1,left\n2,up\n").unwrap();
    let output = command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("problem: ") && text.contains("view2.csv: 2 rows, but"), "{text}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    Gaussians::draw(60, &[2.0, 2.0]).save(&path);
    let path = path.to_str().unwrap();
    for (arguments, part) in [
        (
            &["--dataset", path, "--set", "data.split=speaker"][..],
            "data: unknown variant `speaker`",
        ),
        (&["--dataset", path, "--set", "data.split=group"], "--group"),
        (&["--dataset", path, "--set", "data.occlusion=3"], "data.occlusion: there is no option"),
        (&["--set", "data.folds=3"], "data.folds: there is no option"),
        (&["--dataset", path, "--set", "encoder.width=0"], "encoder.width: must be 1 to 2048"),
        (
            &["--dataset", path, "--set", "data.folds=3", "--set", "data.fold=3"],
            "data.fold: must be 0 to 2",
        ),
    ] {
        let output = binary::tcmax().arg("train").args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: '{part}' is not in: {message}");
    }
}

/// Commands of the first code block after a heading of a page, without comments and with what makes them quick.
fn commands(page: &str, start: &str) -> Vec<Vec<String>> {
    let block = page.split_once(start).unwrap().1;
    let block = block.split("```").nth(1).unwrap();
    let lines = block.lines().filter(|line| line.starts_with("tcmax ") && line.contains("example"));
    let words = |line: &str| -> Vec<String> {
        let command = line.split("  ").next().unwrap();
        command.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    lines.map(words).collect()
}

/// A page of the book.
fn page(name: &str) -> String {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src");
    std::fs::read_to_string(Path::new(book).join(name)).unwrap()
}

#[test]
fn the_commands_of_the_book_work_on_the_example_files() {
    let folder = tempfile::tempdir().unwrap();
    let own_data = page("own-data.md");
    let mut all = commands(&own_data, "# Your own data");
    let own = all.len();
    // The files are there by then.
    let more = commands(&page("commands.md"), "## Commands");
    all.extend(more.into_iter().filter(|command| command[0] != "examples"));
    assert!(own >= 6 && all.len() >= own + 2, "{all:?}");
    // The clips that a command prepares are trained on by the next.
    let clips = ["train", "--dataset", "clips", "--set", "data.split=group"].map(str::to_owned);
    assert!(own_data.contains(&format!("tcmax {}", clips.join(" "))));
    let prepared = all.iter().position(|command| command[0] == "prepare").unwrap();
    all.insert(prepared + 1, clips.to_vec());
    for command in all {
        let quick: &[&str] = match command[0].as_str() {
            "train" | "compare" => &["--epochs", "1", "--set", "encoder.width=2"],
            "estimate" => &["--steps", "50", "--seeds", "0"],
            _ => &[],
        };
        let mut run = binary::tcmax();
        let output = run.current_dir(folder.path()).args(&command).args(quick).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {message}");
        if command[0] == "inspect" {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("Nothing is wrong."), "{text}");
        }
    }
    let again = binary::tcmax().current_dir(folder.path()).args(["examples", "examples"]).output();
    assert_eq!(again.unwrap().status.code(), Some(1), "files are never overwritten");
}

#[test]
fn doubtful_data_are_warned_of_by_inspect_and_train() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut rows: String =
        (0..40).map(|row| format!("{row}.5,7,{}\n", ["x", "y"][row % 2])).collect();
    rows += "3.5,7,y\n";
    std::fs::write(&path, rows).unwrap();
    let output = binary::tcmax().arg("inspect").arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !text.contains("Nothing is wrong."), "{text}");
    let warnings =
        ["warning: 1 examples are copies", "warning: 1 of the 2 columns of 'a' never change"];
    assert!(warnings.iter().all(|warning| text.contains(warning)), "{text}");
    let mut command = binary::tcmax();
    command.arg("train").arg("--dataset").arg(&path).args(["--epochs", "1"]);
    let output = command.args(["--method", "joint"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && warnings.iter().all(|w| text.contains(w)), "{text}");
}
