//! Exported models: weights, description, card, and graphs that compute what the model computes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Output;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tcmax_data::Batch;
use tcmax_fusion::HEADS;
use tcmax_onnx::proto::GraphMessage;
use tcmax_ops::{Init, Seed};
use tcmax_train::Registry;
use tcmax_train::checkpoint::{SavedModel, open_model};

use crate::common;

/// How far logits of onnxruntime may be from ours, relative to the largest.
const TOLERANCE: &str = "1e-4";

fn random(shape: &[usize], name: &str) -> Tensor {
    let unit = Init::Normal { mean: 0.5, std: 2.0 };
    unit.tensor(&shape.into(), Seed::new(4).stream(name), DType::F32, &Device::Cpu).unwrap()
}

/// A feature file of 24 rows with modalities of these shapes, and a run on it.
fn trained(folder: &Path, shapes: &[(&str, &[usize])], more: &[&str]) -> PathBuf {
    let labels = Tensor::new((0..24).map(|row| row % 3).collect::<Vec<i64>>(), &Device::Cpu);
    let mut arrays = HashMap::from([("label".to_owned(), labels.unwrap())]);
    for (name, shape) in shapes {
        arrays.insert((*name).to_owned(), random(&[&[24], *shape].concat(), name));
    }
    let data = folder.join("data.safetensors");
    candle_core::safetensors::save(&arrays, &data).unwrap();
    let run = folder.join("run");
    common::tcmax()
        .args(["train", "--epochs", "2", "--batch-size", "8", "--force", "--dataset"])
        .arg(&data)
        .arg("--out")
        .arg(&run)
        .args(more)
        .assert()
        .success();
    run.join("seed-0")
}

fn export(run: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = common::tcmax();
    command.arg("export").arg(run).arg("--out").arg(out).args(more).output().unwrap()
}

fn exported(run: &Path, out: &Path, more: &[&str]) {
    let output = export(run, out, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn open(run: &Path) -> SavedModel {
    open_model(run, &Registry::default(), &Device::Cpu).unwrap()
}

fn graph_of(out: &Path) -> GraphMessage {
    let model = tcmax_onnx::parse(&std::fs::read(out.join("model.onnx")).unwrap()).unwrap();
    assert_eq!(model.opset_import[0].version, tcmax_onnx::OPERATORS);
    model.graph.unwrap()
}

/// How often each operator is in a graph.
fn operators(graph: &GraphMessage) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for node in &graph.node {
        *counts.entry(node.op_type.as_str()).or_default() += 1;
    }
    counts
}

/// Writes random inputs and the model's logits of them beside the exported files.
fn write_check(run: &Path, out: &Path) {
    let saved = open(run);
    let modalities = &saved.card.modalities;
    let inputs: Vec<Tensor> = modalities
        .iter()
        .map(|modality| random(&[&[5], &modality.shape[..]].concat(), "check"))
        .collect();
    let labels = Tensor::zeros(5, DType::U32, &Device::Cpu).unwrap();
    let indices = (0..5).collect();
    let batch = Batch {
        inputs: inputs.clone(),
        labels,
        targets: None,
        present: None,
        indices,
        whole: None,
    };
    let features = saved.model.features(&batch, false).unwrap();
    let method = saved.model.method(&saved.config, 0).unwrap();
    let logits = method.predict(saved.model.head(), &features).unwrap().detach();
    let names = modalities.iter().map(|modality| format!("input.{}", modality.name));
    let mut arrays: HashMap<String, Tensor> = names.zip(inputs).collect();
    arrays.insert("expected".to_owned(), logits.contiguous().unwrap());
    candle_core::safetensors::save(&arrays, out.join("check.safetensors")).unwrap();
}

/// Runs exported models in onnxruntime, if there is a Python that has it.
fn check_in_onnxruntime(folders: &[PathBuf]) {
    let Ok(python) = std::env::var("TCMAX_ONNX_PYTHON") else {
        eprintln!(
            "SKIPPED: exported models are not run: TCMAX_ONNX_PYTHON names no Python with onnxruntime"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/onnx_check.py");
    let output = std::process::Command::new(python)
        .arg(script)
        .args(folders)
        .arg(TOLERANCE)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), folders.len());
    eprint!("{text}");
}

const VECTORS: [(&str, &[usize]); 2] = [("left", &[6]), ("right", &[4])];
const SMALL: [&str; 4] = ["--encoder", "mlp", "--set", "encoder.widths=[8]"];

#[test]
fn weights_have_the_names_and_shapes_of_the_graph_and_nothing_of_the_users_folders() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), &VECTORS, &SMALL);
    let out = folder.path().join("model");
    exported(&run, &out, &[]);
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(weights.tensor("left_net.layers.0.weight").unwrap().shape(), [8, 6]);
    assert_eq!(weights.tensor("fusion_module.fc_out.weight").unwrap().shape(), [3, 16]);
    assert_eq!(weights.tensor("left_net.input.scale").unwrap().shape(), [6]);
    assert_eq!(weights.tensor("marginals.class-vector.right").unwrap().shape(), [3]);
    let graph = graph_of(&out);
    for weight in graph.initializer.iter().filter(|weight| weight.name.contains("_net.")) {
        let Ok(tensor) = weights.tensor(&weight.name) else {
            assert!(weight.name.contains("Constant"), "{} is not a weight", weight.name);
            continue;
        };
        assert_eq!(tensor.data(), weight.raw_data, "{}", weight.name);
        let dims: Vec<usize> = weight.dims.iter().map(|&dim| dim as usize).collect();
        assert_eq!(tensor.shape(), dims);
    }
    let names = |values: &[tcmax_onnx::proto::ValueInfo]| -> Vec<String> {
        values.iter().map(|value| value.name.clone()).collect()
    };
    assert_eq!(names(&graph.input), ["left", "right"]);
    assert_eq!(names(&graph.output), ["logits", "probabilities"]);
    let shape = graph.input[0].r#type.clone().unwrap().tensor.unwrap().shape.unwrap();
    assert_eq!((shape.dim[0].name.as_deref(), shape.dim[1].value), (Some("batch"), Some(6)));
    let counts = operators(&graph);
    let wanted = [("Gemm", 3), ("BatchNormalization", 2), ("Relu", 2), ("Sub", 2), ("Softmax", 1)];
    wanted.iter().for_each(|(operator, count)| assert_eq!(counts[operator], *count, "{operator}"));

    let config: Value =
        serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["classes"], serde_json::json!(["0", "1", "2"]));
    assert_eq!(config["modalities"][0]["encoder"]["name"], "mlp");
    assert_eq!(config["modalities"][0]["standardised"], true);
    assert_eq!(config["predicts_from"], "logits");
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    let result: Value =
        serde_json::from_slice(&std::fs::read(run.join("result.json")).unwrap()).unwrap();
    let accuracy = 100.0 * result["test"]["accuracy"].as_f64().unwrap();
    assert!(card.contains(&format!("| accuracy | {accuracy:.2} % |")), "{card}");
    assert!(card.contains("| accuracy, left alone |") && card.contains("session.run"), "{card}");
    let own = folder.path().to_str().unwrap();
    for file in ["config.json", "README.md", "model.onnx", "model.safetensors"] {
        let bytes = std::fs::read(out.join(file)).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains(own),
            "{file} names a folder of the user"
        );
    }
}

#[test]
fn files_are_replaced_only_when_asked_for_and_what_has_no_graph_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), &VECTORS, &[&SMALL[..], &["--method", "qmf"]].concat());
    let out = folder.path().join("model");
    let refused = export(&run, &out, &[]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("'qmf'") && message.contains("--weights-only"), "{message}");
    assert!(!out.exists());
    exported(&run, &out, &["--weights-only"]);
    assert!(!out.join("model.onnx").exists() && out.join("README.md").exists());
    let again = export(&run, &out, &["--weights-only"]);
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(message.contains("model.safetensors: it is there already"), "{message}");
    assert!(message.contains("--force"), "{message}");
    exported(&run, &out, &["--weights-only", "--force"]);
}

#[test]
fn graphs_of_every_head_compute_what_the_model_computes() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = Vec::new();
    for (number, head) in HEADS.iter().enumerate() {
        // Logits and scores of the shared head differ.
        for method in if head.name == "shared" { &["joint", "tcmax"][..] } else { &["tcmax"] } {
            let more = ["--method", method, "--head", head.name, "--seeds", "0"];
            let folder = folder.path().join(format!("{number}-{}-{method}", head.name));
            std::fs::create_dir(&folder).unwrap();
            let run = trained(&folder, &VECTORS, &[&SMALL[..], &more].concat());
            exported(&run, &folder, &[]);
            assert!(operators(&graph_of(&folder)).contains_key("Softmax"));
            write_check(&run, &folder);
            checked.push(folder);
        }
    }
    check_in_onnxruntime(&checked);
}

#[test]
fn graphs_of_networks_on_images_and_clips_compute_what_the_model_computes() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = Vec::new();
    let (clip, image): (&[usize], &[usize]) = (&[3, 2, 12, 10], &[1, 70, 40]);
    for (name, shapes, more) in [
        ("clip", [("video", clip), ("text", &[4][..])], &["--set", "encoder.width=2"][..]),
        ("image", [("a", image), ("b", &[2, 9, 8][..])], &["--set", "encoder.width=3"][..]),
        ("resnet18", [("a", &[1, 12, 12][..]), ("b", &[4][..])], &["--encoder", "resnet18"][..]),
    ] {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let run = trained(&folder, &shapes, more);
        exported(&run, &folder, &[]);
        let graph = graph_of(&folder);
        let counts = operators(&graph);
        // A slim network has four blocks of two convolutions, three with a shortcut, and a stem.
        let convolutions = match name {
            "clip" => 12,
            "image" => 24,
            _ => 20,
        };
        assert_eq!(counts["Conv"], convolutions, "{name}");
        assert_eq!(counts["MaxPool"], if name == "image" { 2 } else { 1 });
        write_check(&run, &folder);
        checked.push(folder);
    }
    let (small, settings) = common::folder();
    let out = small.path().join("spectrogram");
    common::train(&settings, &["--out", out.to_str().unwrap()]).assert().success();
    exported(&out.join("seed-0"), &out, &[]);
    write_check(&out.join("seed-0"), &out);
    checked.push(out);
    check_in_onnxruntime(&checked);
}
