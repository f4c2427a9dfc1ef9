//! Pictures and texts trained from "pre-trained" weights: the text encoder's from a server in the hub's layout on
//! this machine, the picture encoder's from a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{Bert, BertOptions, TextPooling, Vit, VitOptions, VitPooling};
use tcmax_ops::{ParamBuilder, Seed};
use tempfile::TempDir;

use crate::binary;
use crate::miniature::{Codec, encode};
use crate::server::{Fault, Server};

const TOKENIZER: &[u8] =
    include_bytes!("../../../tcmax-pretrained/tests/golden/wordpiece_uncased/tokenizer.json");

const BERT_CONFIG: &str = r#"{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 24, "vocab_size": 300, "max_position_embeddings": 20, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "model_type": "bert"}"#;

const VIT_CONFIG: &str = r#"{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 24, "patch_size": 56, "image_size": 224, "layer_norm_eps": 1e-12,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.0}"#;

const PREPROCESSOR: &str = r#"{"do_resize": true, "size": {"height": 224, "width": 224}, "resample": 2,
    "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;

fn builder() -> ParamBuilder {
    ParamBuilder::new(Seed::new(77), DType::F32, &Device::Cpu)
}

/// The values of parameters as a published file: with a prefix, and a tensor of another task's head.
fn published(builder: &ParamBuilder, prefix: &str, head: &str) -> Vec<u8> {
    let state = builder.params().snapshot().unwrap();
    let named = state.into_iter().filter(|(name, _)| name != "dropout.steps");
    let mut tensors: BTreeMap<String, Tensor> =
        named.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
    tensors.insert(head.to_owned(), Tensor::zeros((2, 16), DType::F32, &Device::Cpu).unwrap());
    safetensors::serialize(&tensors, None).unwrap()
}

fn bert_weights() -> Vec<u8> {
    let builder = builder();
    let options = BertOptions {
        width: 16,
        layers: 1,
        heads: 2,
        hidden: 24,
        vocabulary: 300,
        positions: 20,
        pooling: TextPooling::Pooler,
        ..BertOptions::default()
    };
    Bert::new(&options, &builder).unwrap();
    published(&builder, "bert.", "cls.predictions.bias")
}

fn vit_folder(folder: &Path) {
    let builder = builder();
    let options = VitOptions {
        width: 16,
        layers: 1,
        heads: 2,
        hidden: 24,
        patch: 56,
        pooling: VitPooling::Cls,
        ..VitOptions::default()
    };
    Vit::new(&options, 3, [224, 224], &builder).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(
        folder.join("model.safetensors"),
        published(&builder, "vit.", "classifier.weight"),
    )
    .unwrap();
    std::fs::write(folder.join("config.json"), VIT_CONFIG).unwrap();
    std::fs::write(folder.join("preprocessor_config.json"), PREPROCESSOR).unwrap();
}

/// A manifest of 60 pictures and texts, an experiment file, and weights.
struct Task {
    folder: TempDir,
    server: Server,
}

impl Task {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        vit_folder(&root.join("vit"));
        std::fs::create_dir(root.join("pictures")).unwrap();
        let words = ["the hat and the tea", "sun, rain and snow", "two trains in the city"];
        let mut manifest = String::from("picture,text,label\n");
        for n in 0..60 {
            let class = n % 3;
            encode(&root.join(format!("pictures/{n}.png")), Codec::Png, class, 0.1);
            let more = ["today", "at night", "again and again"][n / 3 % 3];
            manifest += &format!("pictures/{n}.png,\"{} {more}\",c{class}\n", words[class]);
        }
        std::fs::write(root.join("manifest.csv"), manifest).unwrap();
        std::fs::write(root.join("experiment.toml"), EXPERIMENT).unwrap();
        let weights = bert_weights();
        let server = Server::start(&[
            ("config.json", BERT_CONFIG.as_bytes()),
            ("model.safetensors", &weights),
            ("tokenizer.json", TOKENIZER),
        ]);
        Self { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tcmax(&self) -> Command {
        let mut command = binary::tcmax();
        command
            .current_dir(self.folder.path())
            .env("HF_ENDPOINT", &self.server.url)
            .env("HF_HOME", self.path("hub"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_TOKEN");
        command
    }

    fn train(&self, out: &str, set: &[&str]) -> Command {
        let mut command = self.tcmax();
        command.args([
            "train",
            "--config",
            "experiment.toml",
            "--dataset",
            "manifest.csv",
            "--out",
            out,
        ]);
        set.iter().for_each(|setting| _ = command.args(["--set", setting]));
        command
    }

    fn trained(&self, out: &str, set: &[&str]) -> String {
        let output = self.train(out, set).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        text
    }

    fn model(&self, out: &str) -> Vec<u8> {
        std::fs::read(self.path(out).join("seed-0/model.safetensors")).unwrap()
    }
}

const EXPERIMENT: &str = r#"
[encoder.text]
name = "bert"
weights = "hub:owner/name"
frozen-epochs = 1
pooling = "pooler"
tokens = 12

[encoder.picture]
name = "vit"
weights = "vit"
rate-factor = 0.5

[optimiser]
name = "adamw"
learning-rate = 3e-3

[train]
epochs = 1
batch-size = 12
keep = "last"
"#;

/// The parameters of a model file whose names begin with a prefix, without it.
fn values(bytes: &[u8], prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let own = tensors.iter().filter_map(|(name, tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.data().to_vec()))
    });
    own.filter(|(name, _)| name != "dropout.steps").collect()
}

#[test]
fn frozen_weights_stay_as_they_were_served_and_learn_afterwards() {
    let task = Task::new();
    let said = task.trained("frozen", &[]);
    assert!(said.contains("text: weights of hub:owner/name: 23 tensors loaded"), "{said}");
    assert!(said.contains("ignored: 'cls.predictions.bias'"), "{said}");
    assert!(said.contains("picture: weights of"), "{said}");
    let served = values(&bert_weights(), "bert.");
    assert_eq!(values(&task.model("frozen"), "text_net."), served);
    let of_pictures = values(&task.model("frozen"), "picture_net.");
    let pictures = std::fs::read(task.path("vit/model.safetensors")).unwrap();
    let pictures = values(&pictures, "vit.");
    assert_eq!(of_pictures.len(), pictures.len());
    assert!(
        of_pictures
            .iter()
            .all(|(name, value)| *value != pictures[name] || name.ends_with("key.bias"))
    );

    task.trained("longer", &["train.epochs=8"]);
    let learned = values(&task.model("longer"), "text_net.");
    let changed = |(name, value): (&String, &Vec<u8>)| *value != served[name];
    assert!(learned.iter().filter(|(name, _)| !name.ends_with("key.bias")).all(changed));
    let result = std::fs::read_to_string(task.path("longer/seed-0/result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    let loss = |epoch: usize| result["history"][epoch]["train_loss"].as_f64().unwrap();
    assert!(loss(7) < 0.5 * loss(0), "{} to {}", loss(0), loss(7));
    assert!(result["test"]["accuracy"].as_f64().unwrap() > 0.9, "{}", result["test"]);

    // The checkpoint is whole: no weights, no server, another folder's data.
    task.server.fail(Fault::Busy, 1_000);
    std::fs::remove_dir_all(task.path("vit")).unwrap();
    let unlabelled = "picture,text\npictures/0.png,the hat\npictures/1.png,sun and rain\n";
    std::fs::write(task.path("new.csv"), unlabelled).unwrap();
    let mut predict = task.tcmax();
    predict.env("HF_HUB_OFFLINE", "1").args([
        "predict",
        "longer/seed-0",
        "--dataset",
        "new.csv",
        "--unlabelled",
    ]);
    let output = predict.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn cached_features_give_the_same_bytes() {
    let task = Task::new();
    let frozen = ["encoder.text.frozen-epochs=3", "train.epochs=3"];
    let run = |out: &str, more: &str| {
        let said = task.trained(out, &[&frozen[..], &[more]].concat());
        assert!(!said.contains("error"), "{said}");
        task.model(out)
    };
    let uncached = run("uncached", "train.cache-features=false");
    let features = task.path("cache/tcmax/features");
    assert!(!features.exists());
    assert!(run("computed", "train.cache-features=true") == uncached, "computed features differ");
    let files = std::fs::read_dir(&features).unwrap().count();
    assert_eq!(files, 3, "one of each split");
    assert!(run("cached", "train.cache-features=true") == uncached, "cached features differ");
    // A damaged file is computed again, whether it is cut or one bit of it is another.
    for (n, file) in std::fs::read_dir(&features).unwrap().enumerate() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if n == 0 {
            bytes.truncate(50);
        } else {
            *bytes.last_mut().unwrap() ^= 1;
        }
        std::fs::write(path, bytes).unwrap();
    }
    assert!(run("again", "method.name=tcmax") == uncached, "features differ after damage");
    assert_eq!(std::fs::read_dir(&features).unwrap().count(), files);
}

#[test]
fn what_is_wrong_with_weights_is_said_with_the_key() {
    let task = Task::new();
    let refused = |set: &[&str], words: &[&str]| {
        let output = task.train("refused", set).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in words {
            assert!(said.contains(word), "{said} lacks {word}");
        }
    };
    refused(&["encoder.picture.weights=none"], &["encoder.picture.weights", "none"]);
    refused(&["encoder.text.weights=hub:owner/other"], &["encoder.text.weights", "owner/other"]);
    refused(&["encoder.text.width=32"], &["encoder.text.weights", "[16]", "[32]"]);
    refused(&["encoder.picture.name=gru"], &["encoder.picture.weights", "nobody publishes"]);
    refused(&["encoder.text.tokenizer=none.json"], &["none.json"]);
    refused(&["encoder.text.tokens=2"], &["2 has no room"]);
}
