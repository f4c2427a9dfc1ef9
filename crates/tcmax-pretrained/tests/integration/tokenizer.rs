//! Texts have the tokens that the tokenizers library recorded.

use std::path::{Path, PathBuf};

use candle_core::Device;
use tcmax_pretrained::{Length, Tokenizer, check_recorded};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn tokens_are_those_recorded() {
    for name in ["wordpiece_uncased", "bpe_clip"] {
        assert_eq!(check_recorded(&golden(name)).unwrap(), 105, "{name}");
    }
}

#[test]
fn a_difference_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let from = golden("wordpiece_uncased");
    std::fs::copy(from.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let text = std::fs::read_to_string(from.join("vectors.json")).unwrap();
    let mut vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    vectors["truncate_fixed"]["rows"][3]["attention_mask"][0] = 0.into();
    std::fs::write(folder.path().join("vectors.json"), vectors.to_string()).unwrap();
    let error = check_recorded(folder.path()).unwrap_err().to_string();
    assert!(error.contains("truncate_fixed, row 3 differs"), "{error}");
}

#[test]
fn rows_have_one_length() {
    let tokenizer = Tokenizer::open(&golden("bpe_clip/tokenizer.json")).unwrap();
    let texts = ["the", "", "the violin the violin the violin the violin"];
    let encoded = tokenizer.encode(&texts, Length::Fixed(5)).unwrap();
    let (ids, mask) = encoded.tensors(&Device::Cpu).unwrap();
    assert_eq!((ids.dims(), mask.dims()), (&[3, 5][..], &[3, 5][..]));
    let (start, end) =
        (tokenizer.id("<|startoftext|>").unwrap(), tokenizer.id("<|endoftext|>").unwrap());
    // Without a token of its own for padding, the end pads.
    assert_eq!(tokenizer.pad(), end);
    assert_eq!(encoded.ids[5..10], [start, end, end, end, end]);
    assert_eq!(encoded.mask, [1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
    assert_eq!((encoded.ids[10], encoded.ids[14]), (start, end));
    let longest = tokenizer.encode(&texts[..2], Length::Longest(5)).unwrap();
    assert_eq!((longest.rows, longest.length), (2, 3));
    let none: [&str; 0] = [];
    assert!(tokenizer.encode(&none, Length::Longest(5)).unwrap().ids.is_empty());
    let error = tokenizer.encode(&texts, Length::Fixed(2)).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("at least 3"), "{error}");
}

/// A word-level tokenizer with the given vocabulary.
fn write(folder: &Path, vocabulary: &str, more: &str) -> PathBuf {
    let path = folder.join("tokenizer.json");
    let text = format!(
        r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {{"type": "Whitespace"}},
            "model": {{"type": "WordLevel", "vocab": {vocabulary}, "unk_token": "?"}}{more}}}"#
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_token_that_pads_is_named_or_found() {
    let folder = tempfile::tempdir().unwrap();
    let pad = |path: &Path| Tokenizer::open(path).map(|tokenizer| tokenizer.pad());
    let vocabulary = r#"{"a": 0, "<pad>": 1, "[PAD]": 2, "x": 3, "y": 4}"#;
    assert_eq!(pad(&write(folder.path(), vocabulary, "")).unwrap(), 2);
    let config = folder.path().join("tokenizer_config.json");
    std::fs::write(&config, r#"{"pad_token": {"content": "x"}}"#).unwrap();
    assert_eq!(pad(&write(folder.path(), vocabulary, "")).unwrap(), 3);
    let named = r#", "padding": {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": 8,
                    "pad_id": 4, "pad_type_id": 0, "pad_token": "y"},
                    "truncation": {"max_length": 1, "strategy": "LongestFirst", "stride": 0}"#;
    let path = write(folder.path(), vocabulary, named);
    assert_eq!(pad(&path).unwrap(), 4);
    // What the file says of lengths and sides is replaced.
    let encoded = Tokenizer::open(&path).unwrap().encode(&["a x"], Length::Fixed(3)).unwrap();
    assert_eq!((encoded.ids, encoded.mask), (vec![0, 3, 4], vec![1, 1, 0]));
    std::fs::remove_file(config).unwrap();
    let error = pad(&write(folder.path(), r#"{"a": 0}"#, "")).unwrap_err().to_string();
    assert!(error.contains("no token pads"), "{error}");
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| Tokenizer::open(path).unwrap_err().to_string();
    let error = message(&write(folder.path(), "{}", ""));
    assert!(error.contains("vocabulary is empty"), "{error}");
    let whole = std::fs::read(golden("bpe_clip/tokenizer.json")).unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(message(&path).contains("tokenizer.json: not a readable tokenizer.json"));
    std::fs::write(&path, r#"{"model": {"dropout": 0.5}}"#).unwrap();
    assert!(message(&path).contains("tokenizer.json: not a readable tokenizer.json"));
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert!(message(&path).contains("git lfs pull"));
    assert!(message(&folder.path().join("x.json")).contains("x.json does not exist"));
    // A word that is unknown where nothing stands for unknown words.
    let path = write(folder.path(), r#"{"a": 0, "<pad>": 1}"#, "");
    let error = Tokenizer::open(&path).unwrap().encode(&["b"], Length::Fixed(3)).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json: a text cannot be encoded"), "{error}");
}

#[test]
fn dropout_of_merges_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(golden("bpe_clip/tokenizer.json")).unwrap();
    let text = text.replace(r#""dropout":null"#, r#""dropout":0.9"#);
    assert!(text.contains("0.9"));
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, text).unwrap();
    std::fs::copy(golden("bpe_clip/vectors.json"), folder.path().join("vectors.json")).unwrap();
    assert!(check_recorded(folder.path()).is_ok());
}
