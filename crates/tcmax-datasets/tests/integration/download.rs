//! Downloads from a real server on this machine: complete, resumed, cut off, wrong, missing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tcmax_data::sha256_of;
use tcmax_datasets::fetch::{NoProgress, fetch_into};
use tcmax_datasets::{DatasetCard, RemoteFile};

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Knows ranges.
    Ranges,
    /// Always sends everything.
    Whole,
    /// Knows ranges, and breaks off after 1,000 bytes.
    BreaksOff,
    /// Has nothing.
    NotFound,
}

struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<String>>>,
}

fn serve(content: Vec<u8>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let server = Server { url, requests: requests.clone(), ranges: ranges.clone() };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            requests.fetch_add(1, Ordering::SeqCst);
            // A client that hangs up is no fault of the server's.
            let _ = answer(stream.unwrap(), &content, manner, &ranges);
        }
    });
    server
}

fn answer(
    mut stream: TcpStream,
    content: &[u8],
    manner: Manner,
    ranges: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut start = 0;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            ranges.lock().unwrap().push(range.to_owned());
            start = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    if manner == Manner::NotFound {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    if manner == Manner::Whole {
        start = 0;
    }
    let rest = &content[start.min(content.len())..];
    let (code, total) = (if start > 0 { "206 Partial Content" } else { "200 OK" }, content.len());
    let range = format!("Content-Range: bytes {start}-{}/{total}\r\n", total - 1);
    let range = if start > 0 { range } else { String::new() };
    write!(
        stream,
        "HTTP/1.1 {code}\r\n{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    let sent = if manner == Manner::BreaksOff { rest.len().min(1_000) } else { rest.len() };
    stream.write_all(&rest[..sent])
}

fn content() -> Vec<u8> {
    (0..3_500u32).map(|i| (i * i % 251) as u8).collect()
}

fn card(url: &str, content: &[u8]) -> DatasetCard {
    let text = String::new;
    DatasetCard {
        name: "test".to_owned(),
        title: text(),
        description: text(),
        licence: text(),
        source: text(),
        recipe: text(),
        files: vec![RemoteFile {
            name: "file.bin".to_owned(),
            urls: vec![url.to_owned()],
            sha256: sha256_of(content),
            content_sha256: None,
            largest_bytes: 10_000,
            hub: None,
        }],
        prepare: None,
    }
}

#[test]
fn a_file_is_fetched_once() {
    for manner in [Manner::Ranges, Manner::Whole] {
        let (folder, server) = (tempfile::tempdir().unwrap(), serve(content(), manner));
        let card = card(&server.url, &content());
        fetch_into(&card, folder.path(), &NoProgress).unwrap();
        fetch_into(&card, folder.path(), &NoProgress).unwrap();
        assert_eq!(std::fs::read(folder.path().join("file.bin")).unwrap(), content());
        assert!(!folder.path().join("file.bin.part").exists());
        assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn an_interrupted_download_is_resumed() {
    let part = &content()[..700];
    for (manner, asked) in [(Manner::Ranges, 1), (Manner::Whole, 1)] {
        let (folder, server) = (tempfile::tempdir().unwrap(), serve(content(), manner));
        std::fs::write(folder.path().join("file.bin.part"), part).unwrap();
        fetch_into(&card(&server.url, &content()), folder.path(), &NoProgress).unwrap();
        assert_eq!(std::fs::read(folder.path().join("file.bin")).unwrap(), content());
        assert_eq!(*server.ranges.lock().unwrap(), vec!["700-"; asked]);
    }
}

#[test]
fn a_server_that_breaks_off_is_asked_for_the_rest() {
    let (folder, server) = (tempfile::tempdir().unwrap(), serve(content(), Manner::BreaksOff));
    fetch_into(&card(&server.url, &content()), folder.path(), &NoProgress).unwrap();
    assert_eq!(std::fs::read(folder.path().join("file.bin")).unwrap(), content());
    assert_eq!(*server.ranges.lock().unwrap(), ["1000-", "2000-", "3000-"]);
}

#[test]
fn a_server_that_always_breaks_off_leaves_what_came() {
    let long: Vec<u8> = content().into_iter().cycle().take(9_000).collect();
    let (folder, server) = (tempfile::tempdir().unwrap(), serve(long.clone(), Manner::BreaksOff));
    let error = fetch_into(&card(&server.url, &long), folder.path(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("resume"), "{error}");
    let mut part = Vec::new();
    let file = std::fs::File::open(folder.path().join("file.bin.part")).unwrap();
    file.take(u64::MAX).read_to_end(&mut part).unwrap();
    assert_eq!(part, long[..part.len()]);
    // The next call goes on where this one ended.
    let error = fetch_into(&card(&server.url, &long), folder.path(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("resume"), "{error}");
    fetch_into(&card(&server.url, &long), folder.path(), &NoProgress).unwrap();
    assert_eq!(std::fs::read(folder.path().join("file.bin")).unwrap(), long);
}

#[test]
fn wrong_bytes_are_deleted_and_reported() {
    let (folder, server) = (tempfile::tempdir().unwrap(), serve(vec![1; 3_500], Manner::Ranges));
    let error = fetch_into(&card(&server.url, &content()), folder.path(), &NoProgress).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(&server.url) && message.contains("SHA-256"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn too_large_and_missing_files_are_refused() {
    let (folder, server) = (tempfile::tempdir().unwrap(), serve(vec![1; 20_000], Manner::Ranges));
    let error = fetch_into(&card(&server.url, &content()), folder.path(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("more than 10000 bytes"), "{error}");
    let server = serve(content(), Manner::NotFound);
    let folder = tempfile::tempdir().unwrap();
    let error = fetch_into(&card(&server.url, &content()), folder.path(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert!(!folder.path().join("file.bin").exists());
}

#[test]
fn the_second_address_is_tried_when_the_first_fails() {
    let (missing, server) = (serve(content(), Manner::NotFound), serve(content(), Manner::Ranges));
    let mut card = card(&missing.url, &content());
    card.files[0].urls.push(server.url.clone());
    let folder = tempfile::tempdir().unwrap();
    fetch_into(&card, folder.path(), &NoProgress).unwrap();
    assert_eq!(std::fs::read(folder.path().join("file.bin")).unwrap(), content());
}
