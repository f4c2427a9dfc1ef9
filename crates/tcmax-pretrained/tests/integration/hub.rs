//! Downloads from a server in the hub's layout: cached, resumed, checked.

#![cfg(feature = "hub")]

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use tcmax_pretrained::{DownloadProgress, Error, Files, Hub, NoProgress, Result, Source};

use crate::server::{COMMIT, Fault, Server, sha256};

const WEIGHTS: &[u8] = &[7; 200_000];

fn serve() -> Server {
    Server::start(&[
        ("config.json", b"{}"),
        ("model.safetensors", WEIGHTS),
        ("pytorch_model.bin", b"pickle"),
        ("tokenizer.json", b"{\"model\": {}}"),
        ("README.md", b"about"),
    ])
}

fn open(hub: &Hub, source: &str) -> Result<Files> {
    Source::parse(source)?.open_with(hub, &NoProgress)
}

/// What a cache holds as downloaded and right, and what as incomplete.
fn blobs(cache: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let folder = cache.join("models--owner--name/blobs");
    let paths = std::fs::read_dir(folder)
        .map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect());
    paths.into_iter().partition(|path| path.extension().is_none_or(|end| end != "incomplete"))
}

#[test]
fn files_are_downloaded_once() {
    let server = serve();
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.url, cache.path());
    let files = open(&hub, "hub:owner/name").unwrap();
    assert_eq!(std::fs::read(&files.weights[0]).unwrap(), WEIGHTS);
    let folder = cache.path().join("models--owner--name");
    let snapshot = folder.join("snapshots").join(COMMIT);
    assert_eq!(files.weights, [snapshot.join("model.safetensors")]);
    assert_eq!(files.config, Some(snapshot.join("config.json")));
    assert_eq!(files.tokenizer, Some(snapshot.join("tokenizer.json")));
    assert_eq!((files.preprocessor.clone(), files.commit.as_deref()), (None, Some(COMMIT)));
    // The layout of the hub's own programs.
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert!(folder.join("blobs").join(sha256(WEIGHTS)).is_file());
    assert_eq!(blobs(cache.path()).0.len(), 3);

    let requests = server.count();
    assert_eq!(open(&hub, "hub:owner/name").unwrap(), files);
    assert_eq!(open(&hub, &format!("hub:owner/name@{COMMIT}")).unwrap(), files);
    // Listings alone.
    assert_eq!(server.count(), requests + 2);
    // One file of several.
    let pickle = open(&hub, "hub:owner/name/pytorch_model.bin@main").unwrap();
    assert_eq!(std::fs::read(&pickle.weights[0]).unwrap(), b"pickle");
}

#[test]
fn offline_the_cache_is_enough_or_an_error() {
    let server = serve();
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.url, cache.path());
    let message = |source: &str| open(&hub.clone().offline(), source).unwrap_err().to_string();
    let error = message("hub:owner/name");
    assert!(error.contains("HF_HUB_OFFLINE") && error.contains("owner/name"), "{error}");
    let files = open(&hub, "hub:owner/name").unwrap();
    let requests = server.count();
    assert_eq!(open(&hub.clone().offline(), "hub:owner/name").unwrap(), files);
    assert_eq!(open(&hub.clone().offline(), &format!("hub:owner/name@{COMMIT}")).unwrap(), files);
    assert!(message("hub:owner/name@v2").contains("'v2'"));
    assert!(message("hub:owner/name/pytorch_model.bin").contains("no file 'pytorch_model.bin'"));
    assert_eq!(server.count(), requests);
}

#[derive(Default)]
struct Recorder(RefCell<Vec<(String, u64, Option<u64>)>>);

impl DownloadProgress for Recorder {
    fn started(&self, name: &str, done: u64, total: Option<u64>) {
        self.0.borrow_mut().push((name.to_owned(), done, total));
    }
    fn received(&self, _: u64) {}
    fn finished(&self) {}
}

#[test]
fn interrupted_downloads_are_resumed() {
    let server = serve();
    server.fail(Fault::CutAfter(70_000), 2);
    let cache = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let source = Source::parse("hub:owner/name").unwrap();
    let files = source.open_with(&Hub::new(&server.url, cache.path()), &recorder).unwrap();
    assert_eq!(std::fs::read(&files.weights[0]).unwrap(), WEIGHTS);
    let range = |start: usize| Some(format!("bytes={start}-"));
    assert_eq!(server.ranges(), [None, range(70_000), range(140_000)]);
    let started: Vec<_> = recorder.0.borrow().iter().take(3).cloned().collect();
    let of = |done| ("model.safetensors".to_owned(), done, Some(200_000));
    assert_eq!(started, [of(0), of(70_000), of(140_000)]);
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_was_given_up() {
    let server = serve();
    server.fail(Fault::CutAfter(10_000), 4);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.url, cache.path());
    let error = open(&hub, "hub:owner/name").unwrap_err().to_string();
    assert!(error.contains("at 40000 of 200000 bytes") && error.contains("to resume"), "{error}");
    let (whole, incomplete) = blobs(cache.path());
    assert_eq!((whole.len(), incomplete.len()), (0, 1));
    assert!(open(&hub.clone().offline(), "hub:owner/name").is_err());
    let files = open(&hub, "hub:owner/name").unwrap();
    assert_eq!(std::fs::read(&files.weights[0]).unwrap(), WEIGHTS);
    assert_eq!(server.ranges().last().unwrap().as_deref(), Some("bytes=40000-"));
    assert!(blobs(cache.path()).1.is_empty());
}

#[test]
fn a_server_without_ranges_starts_again() {
    let server = serve();
    server.state.lock().unwrap().ranges = false;
    server.fail(Fault::CutAfter(70_000), 1);
    let cache = tempfile::tempdir().unwrap();
    let files = open(&Hub::new(&server.url, cache.path()), "hub:owner/name").unwrap();
    assert_eq!(std::fs::read(&files.weights[0]).unwrap(), WEIGHTS);
    server.fail(Fault::Busy, 2);
    let other = tempfile::tempdir().unwrap();
    assert!(open(&Hub::new(&server.url, other.path()), "hub:owner/name").is_ok());
}

#[test]
fn wrong_bytes_are_not_kept() {
    let server = serve();
    server.fail(Fault::Corrupt, 1);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.url, cache.path());
    let error = open(&hub, "hub:owner/name").unwrap_err();
    assert!(matches!(&error, Error::Checksum { file, .. } if file == "model.safetensors"));
    assert!(error.to_string().contains(&sha256(WEIGHTS)), "{error}");
    assert_eq!(blobs(cache.path()), (vec![], vec![]));
    assert!(open(&hub.clone().offline(), "hub:owner/name").is_err());
    assert!(open(&hub, "hub:owner/name").is_ok());
}

#[test]
fn a_damaged_beginning_is_downloaded_anew() {
    let server = serve();
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("models--owner--name/blobs");
    std::fs::create_dir_all(&folder).unwrap();
    let partial = folder.join(format!("{}.incomplete", sha256(WEIGHTS)));
    std::fs::write(&partial, [8; 100]).unwrap();
    let files = open(&Hub::new(&server.url, cache.path()), "hub:owner/name").unwrap();
    assert_eq!(std::fs::read(&files.weights[0]).unwrap(), WEIGHTS);
    assert_eq!(server.ranges(), [Some("bytes=100-".to_owned()), None]);
}

#[test]
fn what_is_not_there_is_named() {
    let server = serve();
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.url, cache.path());
    let message = |source: &str| open(&hub, source).unwrap_err().to_string();
    let error = message("hub:owner/other");
    assert!(error.contains("no repository 'owner/other'") && error.contains("HF_TOKEN"), "{error}");
    assert!(message("hub:owner/name@v2").contains("no branch, tag or commit 'v2'"));
    assert!(message("hub:owner/name/x.pth").contains("no file 'x.pth'"));
    server.state.lock().unwrap().files.retain(|name, _| name.ends_with(".json"));
    assert!(message("hub:owner/name").contains("no weights there"));
    let closed = Hub::new("http://127.0.0.1:1", cache.path());
    let error = open(&closed, "hub:owner/name").unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE=1"), "{error}");
}

#[test]
fn shards_come_with_their_index() {
    let index = br#"{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}"#;
    let server = Server::start(&[
        ("model.safetensors.index.json", index),
        ("m-1.safetensors", b"one"),
        ("m-2.safetensors", b"two"),
        ("preprocessor_config.json", b"{}"),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let files = open(&Hub::new(&server.url, cache.path()), "hub:owner/name").unwrap();
    let read: Vec<_> = files.weights.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert_eq!(read, [b"one", b"two"]);
    assert!(files.preprocessor.is_some());
}

#[test]
fn a_mirror_of_files_alone_is_enough() {
    let server = serve();
    server.state.lock().unwrap().listing = false;
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.url, cache.path());
    let files = open(&hub, "hub:owner/name").unwrap();
    assert_eq!(std::fs::read(&files.weights[0]).unwrap(), WEIGHTS);
    assert_eq!(open(&hub.clone().offline(), "hub:owner/name").unwrap(), files);
    let error = open(&hub, "hub:owner/other").unwrap_err().to_string();
    assert!(error.contains("no repository 'owner/other'"), "{error}");
}
