//! The real command on the recorded cases of all crates, and on cases that must not pass.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn xtask() -> Command {
    Command::cargo_bin("xtask").unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn golden(folder: &Path) -> (bool, String) {
    let output = xtask().arg("golden").arg("--dir").arg(folder).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_recorded_case_passes() {
    let crates = [
        "tcmax-losses",
        "tcmax-estimators",
        "tcmax-encoders",
        "tcmax-train",
        "tcmax-ops",
        "tcmax-pretrained",
    ];
    let mut folders: Vec<PathBuf> = crates
        .iter()
        .map(|name| workspace().join("crates").join(name).join("tests/golden"))
        .collect();
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    // The whole set, where it is at hand.
    folders.extend(std::env::var_os("TCMAX_GOLDEN").map(PathBuf::from));
    for folder in folders {
        let (passed, text) = golden(&folder);
        assert!(passed, "{}:\n{text}", folder.display());
    }
}

#[test]
fn a_wrong_number_fails() {
    let folder = tempfile::tempdir().unwrap();
    let name = "qmf_loss.safetensors";
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let mut bytes = std::fs::read(own).unwrap();
    // The last number is an output's or a gradient's: its exponent changes.
    let last = bytes.len() - 2;
    bytes[last] ^= 0x10;
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let (passed, text) = golden(folder.path());
    assert!(!passed && text.contains("FAIL"), "{text}");
}

#[test]
fn an_unknown_kind_and_a_broken_file_fail_and_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ce_unimodal.safetensors");
    let bytes = std::fs::read(own).unwrap();
    let renamed = String::from_utf8_lossy(&bytes[8..300]).replace("ce_unimodal", "xx_unimodal");
    let mut bytes = bytes;
    bytes[8..300].copy_from_slice(&renamed.as_bytes()[..292]);
    std::fs::write(folder.path().join("strange.safetensors"), bytes).unwrap();
    std::fs::write(folder.path().join("torn.safetensors"), b"1234").unwrap();
    let (passed, text) = golden(folder.path());
    assert!(!passed, "{text}");
    assert!(text.contains("unknown kind") && text.contains("torn.safetensors"), "{text}");
    let empty = tempfile::tempdir().unwrap();
    assert!(!golden(empty.path()).0, "an empty folder passes");
}

#[test]
fn a_wrong_token_fails() {
    let folder = tempfile::tempdir().unwrap();
    let own = workspace().join("crates/tcmax-pretrained/tests/golden/bpe_clip");
    let copy = folder.path().join("bpe_clip");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(own.join("tokenizer.json"), copy.join("tokenizer.json")).unwrap();
    let text = std::fs::read_to_string(own.join("vectors.json")).unwrap();
    std::fs::write(copy.join("vectors.json"), text.replacen("522", "521", 1)).unwrap();
    let (passed, text) = golden(folder.path());
    assert!(!passed && text.contains("plain, row 0 differs"), "{text}");
}

#[test]
fn a_wrong_name_and_a_wrong_shape_of_a_published_model_fail() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoint_keys.json");
    let text = std::fs::read_to_string(own).unwrap();
    for (from, to, problem) in [
        ("layer3.0.bn1.bias", "layer3.0.bn1.beta", "'layer3.0.bn1.bias' has no tensor"),
        ("[256,128,3,3]", "[256,128,3,1]", "is [256, 128, 3, 1], the parameter [256, 128, 3, 3]"),
        ("torchvision resnet18", "torchvision resnet19", "unknown model"),
    ] {
        assert!(text.contains(from), "{from}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint_keys.json");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
        let (passed, text) = golden(folder.path());
        assert!(!passed && text.contains(problem), "{text}");
    }
}
