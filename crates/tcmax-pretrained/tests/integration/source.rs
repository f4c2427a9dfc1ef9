//! Weights in folders and files.

use std::path::Path;

use tcmax_pretrained::{Files, Result, Source};

fn open(path: &Path) -> Result<Files> {
    Source::parse(path.to_str().unwrap())?.open()
}

#[test]
fn folders_and_files_are_opened_with_what_lies_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["resnet.pth", "config.json", "preprocessor_config.json"] {
        std::fs::write(path(name), "x").unwrap();
    }
    let files = open(folder.path()).unwrap();
    assert_eq!(files.weights, [path("resnet.pth")]);
    assert_eq!(files.config, Some(path("config.json")));
    assert_eq!(files.preprocessor, Some(path("preprocessor_config.json")));
    assert_eq!((files.tokenizer.clone(), files.commit.clone()), (None, None));
    assert_eq!(open(&path("resnet.pth")).unwrap(), files);

    std::fs::write(path("vit.pth"), "x").unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("'resnet.pth', 'vit.pth'; name one"), "{error}");
    std::fs::write(path("model.safetensors"), "x").unwrap();
    assert_eq!(open(folder.path()).unwrap().weights, [path("model.safetensors")]);
}

#[test]
fn shards_lie_beside_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let index = path("pytorch_model.bin.index.json");
    std::fs::write(&index, r#"{"metadata": {}, "weight_map": {"a": "2.bin", "b": "1.bin"}}"#)
        .unwrap();
    std::fs::write(path("1.bin"), "x").unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("2.bin does not exist"));
    std::fs::write(path("2.bin"), "x").unwrap();
    assert_eq!(open(folder.path()).unwrap().weights, [path("1.bin"), path("2.bin")]);
    for (text, wanted) in [
        (r#"{"weight_map": {"a": "../x.bin"}}"#, "'../x.bin' is not a file beside the index"),
        (r#"{"weight_map": {}}"#, "names no shard"),
        ("[]", "not the JSON expected"),
    ] {
        std::fs::write(&index, text).unwrap();
        let error = open(&index).unwrap_err().to_string();
        assert!(error.contains("index.json") && error.contains(wanted), "{error}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| open(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("x.pth")).contains("x.pth does not exist"));
    assert!(message(folder.path()).contains("no weights there"));
    std::fs::write(folder.path().join("a.pth"), "version https://git-lfs.github.com/spec/v1\n")
        .unwrap();
    assert!(message(folder.path()).contains("`git lfs pull`"));
    for text in ["", "hub:", "hub:a//b", "hub:a/..", "hub:a/b@", "hub:a/b@../x", "hub:a b/c"] {
        let error = Source::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("weights '{text}'")), "{error}");
    }
    let branch = Source::parse("hub:a/b@refs/pr/1").unwrap();
    assert_eq!(branch.to_string(), "hub:a/b@refs/pr/1");
}
