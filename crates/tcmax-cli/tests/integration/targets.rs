//! Several labels and numbers to predict, from data to predictions, through the command.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use rand::Rng;
use serde_json::Value;
use tcmax_ops::Seed;

use crate::common;

const ROWS: usize = 160;

/// Noise for every row, from -1 to 1: `sound` of 4 numbers and `sight` of 5.
fn inputs() -> [Vec<Vec<f32>>; 2] {
    let mut rng = Seed::new(3).stream("inputs").rng();
    [4, 5].map(|width| {
        (0..ROWS).map(|_| (0..width).map(|_| rng.random_range(-1f32..1.0)).collect()).collect()
    })
}

fn matrix(rows: &[Vec<f32>]) -> Tensor {
    let flat: Vec<f32> = rows.iter().flatten().copied().collect();
    Tensor::from_vec(flat, (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

/// Which of three labels a row has: the first is heard, the second seen, the third is both together.
fn labels_of(sound: &[f32], sight: &[f32]) -> [bool; 3] {
    [sound[0] > 0.2, sight[0] > 0.0, sound[1] + sight[1] > 0.0]
}

/// A number that depends on both, far from 0.
fn number_of(sound: &[f32], sight: &[f32]) -> f32 {
    500.0 + 40.0 * sound[0] - 25.0 * sight[2]
}

fn save(path: &Path, more: Vec<(&str, Tensor)>) {
    let [sound, sight] = inputs();
    let arrays = [("sound", matrix(&sound)), ("sight", matrix(&sight))].into_iter().chain(more);
    let arrays: HashMap<String, Tensor> =
        arrays.map(|(name, array)| (name.to_owned(), array)).collect();
    candle_core::safetensors::save(&arrays, path).unwrap();
}

fn labels() -> Tensor {
    let [sound, sight] = inputs();
    let rows = sound.iter().zip(&sight).flat_map(|(a, b)| labels_of(a, b).map(i64::from));
    Tensor::from_vec(rows.collect::<Vec<i64>>(), (ROWS, 3), &Device::Cpu).unwrap()
}

fn numbers() -> Tensor {
    let [sound, sight] = inputs();
    let rows: Vec<f32> = sound.iter().zip(&sight).map(|(a, b)| number_of(a, b)).collect();
    Tensor::from_vec(rows, ROWS, &Device::Cpu).unwrap()
}

/// A folder with the features and their labels, or numbers.
fn data(of_numbers: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.safetensors");
    match of_numbers {
        true => save(&path, vec![("target", numbers())]),
        false => save(&path, vec![("label", labels())]),
    }
    (folder, path)
}

fn run(command: &str, arguments: &[&str]) -> Output {
    let settings = ["--epochs", "25", "--batch-size", "16", "--encoder", "mlp"];
    let more = ["--set", "encoder.widths=[16]", "--set", "optimiser.learning-rate=0.02"];
    let (settings, more) = match command {
        "train" | "compare" => (&settings[..], &more[..]),
        _ => (&[][..], &[][..]),
    };
    common::tcmax().arg(command).args(arguments).args(settings).args(more).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, code: i32) -> String {
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn several_labels_are_learned_tested_and_predicted() {
    let (folder, data) = data(false);
    for method in ["joint", "unimodal", "tcmax"] {
        let out = folder.path().join(method);
        let arguments = ["--dataset", path(&data), "--method", method, "--out", path(&out)];
        let table = printed(&run("train", &arguments));
        assert!(table.contains("fused mAP %") && table.contains("exact match %"), "{table}");
        assert!(table.contains("The fused mAP of"), "{table}");
        let result = json(&out.join("seed-0/result.json"));
        let scores = &result["test"]["targets"];
        let score = scores["mean_average_precision"].as_f64().unwrap();
        assert!(score > 0.85, "{method}: {scores}");
        assert_eq!(scores["modality_mean_average_precision"].as_array().unwrap().len(), 2);
        assert!(
            result["test"].get("accuracy").is_none()
                && result["history"][0].get("train_accuracy").is_none()
        );
        assert!(result["test"]["total_correlation"].as_f64().unwrap().is_finite());
        let log = text(&out.join("seed-0/log.jsonl"));
        assert!(log.contains("\"mean_average_precision\"") && !log.contains("accuracy"), "{log}");
        let page = text(&out.join("report.html"));
        assert!(page.contains("mAP on the test split") && page.contains("3 labels"), "{method}");
        assert!(!page.contains("Confusion of"), "{method}");
    }
    let model = folder.path().join("tcmax/seed-0");
    let evaluation: Value =
        serde_json::from_str(&printed(&run("eval", &[path(&model), "--json"]))).unwrap();
    assert_eq!(evaluation["targets"], json(&model.join("result.json"))["test"]["targets"]);
    assert!(printed(&run("eval", &[path(&model)])).contains("mAP, sound"));
    let table = printed(&run("predict", &[path(&model)]));
    assert!(table.starts_with("id,label,prediction,p(0),p(1),p(2)\n"), "{table}");
    let lines = printed(&run("predict", &[path(&model), "--format", "jsonl"]));
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let sum: f64 =
        line["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!(line["label"].is_array() && (0.0..=3.0).contains(&sum), "{line}");
    let exported = folder.path().join("exported");
    printed(&run("export", &[path(&model), "--out", path(&exported)]));
    let card = text(&exported.join("README.md"));
    assert!(card.contains("# A multi-label classifier of sight and sound"), "{card}");
    assert!(card.contains("| mAP |") && !card.contains("ccuracy"), "{card}");
    assert_eq!(json(&exported.join("config.json"))["task"], "labels");
    assert!(exported.join("model.onnx").is_file());
    // New data without labels, and without a modality.
    let new = folder.path().join("new.safetensors");
    save(&new, Vec::new());
    let arguments = [path(&model), "--dataset", path(&new), "--without", "sight"];
    let table = printed(&run("predict", &arguments));
    assert!(
        table.starts_with("id,prediction,p(0)") && table.lines().count() == ROWS + 1,
        "{table}"
    );
}

#[test]
fn numbers_are_learned_in_their_units_tested_and_predicted() {
    let (folder, data) = data(true);
    let out = folder.path().join("run");
    let arguments = ["--dataset", path(&data), "--method", "joint", "--out", path(&out)];
    let table = printed(&run("train", &arguments));
    assert!(table.contains("fused RMSE") && table.contains("Pearson"), "{table}");
    let model = out.join("seed-0");
    let result = json(&model.join("result.json"));
    let scores = &result["test"]["targets"];
    // The standard deviation of the numbers is about 27.
    assert!(scores["rmse"].as_f64().unwrap() < 9.0, "{scores}");
    assert!(scores["r2"].as_f64().unwrap() > 0.85 && scores["pearson"].as_f64().unwrap() > 0.9);
    assert!(
        result["test"].get("cross_entropy").is_none()
            && result["test"]["total_correlation"].is_null()
    );
    // The kept epoch has the lowest validation RMSE.
    let of = |record: &Value| record["validation"]["targets"]["rmse"].as_f64().unwrap();
    let history = result["history"].as_array().unwrap();
    let kept = result["best_epoch"].as_u64().unwrap() as usize;
    assert!(history.iter().all(|record| of(record) >= of(&history[kept - 1])));
    let evaluation: Value =
        serde_json::from_str(&printed(&run("eval", &[path(&model), "--json"]))).unwrap();
    assert_eq!(&evaluation["targets"], scores);
    let table = printed(&run("predict", &[path(&model)]));
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("id,target,predicted target"));
    for row in rows {
        let cells: Vec<f64> = row.split(',').map(|cell| cell.parse().unwrap()).collect();
        assert!((cells[1] - cells[2]).abs() < 45.0, "{row}");
    }
    let new = folder.path().join("new.safetensors");
    save(&new, Vec::new());
    let arguments =
        [path(&model), "--dataset", path(&new), "--without", "sight", "--format", "jsonl"];
    let lines = printed(&run("predict", &arguments));
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!((400.0..600.0).contains(&line["prediction"]["target"].as_f64().unwrap()), "{line}");
    let exported = folder.path().join("exported");
    printed(&run("export", &[path(&model), "--out", path(&exported)]));
    let card = text(&exported.join("README.md"));
    assert!(card.contains("# A regression of") && card.contains("output `numbers`"), "{card}");
    let page = text(&out.join("report.html"));
    assert!(page.contains("RMSE on the test split") && page.contains("1 number"), "{page}");
}

#[test]
fn methods_are_compared_by_the_metric_of_the_task_and_refused_with_a_reason() {
    for (of_numbers, methods, word) in
        [(false, "joint,tcmax,unimodal", "mAP"), (true, "joint,unimodal", "RMSE")]
    {
        let (folder, data) = data(of_numbers);
        let out = folder.path().join("study");
        let arguments = [
            "--dataset",
            path(&data),
            "--methods",
            methods,
            "--seeds",
            "0,1,2",
            "--out",
            path(&out),
        ];
        let table = printed(&run("compare", &arguments));
        assert!(table.contains(&format!("fused {word}")), "{table}");
        let results = text(&out.join("results.csv"));
        assert!(results.lines().next().unwrap().contains(&format!("test {word}")), "{results}");
        assert!(!results.contains("accuracy") && !results.contains("NaN"), "{results}");
        assert!(!text(&out.join("results.md")).contains("ccuracy"));
        let refusal = ["--dataset", path(&data), "--method", "ogm-ge"];
        let message = refused(&run("train", &refusal), 2);
        let task = if of_numbers { "regression" } else { "labels" };
        assert!(
            message.contains(&format!("method 'ogm-ge' is not defined for the task '{task}': ")),
            "{message}"
        );
        assert_eq!(message.lines().filter(|line| line.contains("error")).count(), 1, "{message}");
        let smoothing =
            ["--dataset", path(&data), "--method", "joint", "--set", "train.label-smoothing=0.1"];
        let message = refused(&run("train", &smoothing), 2);
        assert!(message.contains("label-smoothing: is defined for classes"), "{message}");
    }
    let (_folder, data) = data(true);
    let message = refused(&run("train", &["--dataset", path(&data), "--method", "tcmax"]), 2);
    assert!(message.contains("numbers have no list of outcomes"), "{message}");
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    for (of_numbers, method) in [(false, "tcmax"), (true, "joint")] {
        let (folder, data) = data(of_numbers);
        let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
        let arguments = |out: &Path| {
            [
                "--dataset",
                path(&data),
                "--method",
                method,
                "--set",
                "train.patience=1000",
                "--out",
                path(out),
            ]
            .map(str::to_owned)
        };
        let start = |out: &Path, more: &[&str]| {
            let arguments = arguments(out);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run("train", &[&arguments[..], more].concat())
        };
        printed(&start(&whole, &[]));
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("tcmax"))
            .arg("train")
            .args(arguments(&broken))
            .args(["--epochs", "25", "--batch-size", "16", "--encoder", "mlp", "--set"])
            .args(["encoder.widths=[16]", "--set", "optimiser.learning-rate=0.02"])
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let (last, begun) = (broken.join("seed-0/last.safetensors"), Instant::now());
        while !last.exists() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        printed(&start(&broken, &["--resume"]));
        for name in ["model.safetensors", "last.safetensors", "log.jsonl"] {
            let of = |out: &Path| std::fs::read(out.join("seed-0").join(name)).unwrap();
            assert!(of(&whole) == of(&broken), "{method}: {name}");
        }
    }
}

#[test]
fn tables_have_labels_and_numbers_where_the_task_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [sound, sight] = inputs();
    let names = ["a bird", "rain", "wind"];
    for (task, cell) in [
        (
            "labels",
            &(|a: &[f32], b: &[f32]| {
                let has = labels_of(a, b);
                let own = names.iter().zip(has).filter(|(_, has)| *has).map(|(name, _)| *name);
                let own: Vec<&str> = own.collect();
                if own.is_empty() { ";".to_owned() } else { own.join("; ") }
            }) as &dyn Fn(&[f32], &[f32]) -> String,
        ),
        ("regression", &|a: &[f32], b: &[f32]| number_of(a, b).to_string()),
    ] {
        let tables = folder.path().join(task);
        std::fs::create_dir(&tables).unwrap();
        for (name, rows) in [("sound", &sound), ("sight", &sight)] {
            let line = |(row, values): (usize, &Vec<f32>)| {
                let cells: Vec<String> = values.iter().map(ToString::to_string).collect();
                format!("{},{}\n", cells.join(","), cell(&sound[row], &sight[row]))
            };
            let text: String = rows.iter().enumerate().map(line).collect();
            std::fs::write(tables.join(format!("{name}.csv")), text).unwrap();
        }
        let task_set = format!("data.task={task}");
        let arguments =
            ["--dataset", path(&tables), "--method", "joint", "--set", &task_set, "--json"];
        let result: Value = serde_json::from_str(&printed(&run("train", &arguments))).unwrap();
        assert_eq!(result["dataset"]["task"], task);
        let wanted = if task == "labels" { 3 } else { 1 };
        assert_eq!(result["dataset"]["classes"].as_array().unwrap().len(), wanted);
        let found = printed(&run("inspect", &[path(&tables), "--task", task]));
        let shown = if task == "labels" { "3 labels" } else { "1 number\n  target: " };
        assert!(found.contains(shown) && found.contains("Nothing is"), "{found}");
    }
    let message =
        refused(&run("train", &["--dataset", path(&folder.path().join("regression"))]), 1);
    assert!(message.contains("has a fraction") && message.contains("regression"), "{message}");
}

#[test]
fn targets_that_are_none_are_named_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path_of = |name: &str| folder.path().join(name);
    let wrong = |values: Vec<f32>, columns: usize| {
        Tensor::from_vec(values, (ROWS, columns), &Device::Cpu).unwrap()
    };
    let mut bad = vec![0.5f32; ROWS * 2];
    bad[3] = f32::NAN;
    save(&path_of("nan.safetensors"), vec![("target", wrong(bad, 2))]);
    let message = refused(&run("train", &["--dataset", path(&path_of("nan.safetensors"))]), 1);
    assert!(
        message.contains("row 1") && message.contains("column 1") && message.contains("NaN"),
        "{message}"
    );
    let two: Vec<i64> = (0..ROWS * 2).map(|n| (n % 3) as i64).collect();
    let two = Tensor::from_vec(two, (ROWS, 2), &Device::Cpu).unwrap();
    save(&path_of("two.safetensors"), vec![("label", two)]);
    let message = refused(&run("train", &["--dataset", path(&path_of("two.safetensors"))]), 1);
    assert!(message.contains("2 is neither 0 nor 1"), "{message}");
    let single =
        vec![("label", Tensor::zeros(ROWS, candle_core::DType::I64, &Device::Cpu).unwrap())];
    save(&path_of("one.safetensors"), single);
    let message = refused(&run("train", &["--dataset", path(&path_of("one.safetensors"))]), 1);
    assert!(message.contains("1 classes; two are needed"), "{message}");
}

#[test]
fn clips_of_a_manifest_have_several_labels_in_a_cell() {
    let folder = tempfile::tempdir().unwrap();
    let examples = folder.path().join("examples");
    printed(&run("examples", &[path(&examples)]));
    let manifest = examples.join("posts.csv");
    let labels = |line: &str| line.replace(",calm,", ",calm;slow,").replace(",cross,", ",;,");
    let posts: String = text(&manifest).lines().map(|line| labels(line) + "\n").collect();
    std::fs::write(&manifest, posts).unwrap();
    let clips = folder.path().join("clips");
    printed(&run("prepare", &[path(&manifest), "--out", path(&clips)]));
    let arguments =
        ["--dataset", path(&clips), "--method", "tcmax", "--set", "data.task=labels", "--json"];
    let output = common::tcmax()
        .args(["train", "--epochs", "1", "--set", "encoder.sound.name=resnet-slim"])
        .args(["--set", "encoder.picture.name=resnet-slim", "--batch-size", "8"])
        .args(arguments)
        .output()
        .unwrap();
    let result: Value = serde_json::from_str(&printed(&output)).unwrap();
    assert_eq!(result["dataset"]["classes"], serde_json::json!(["calm", "glad", "slow"]));
    assert_eq!(result["dataset"]["task"], "labels");
}
