//! Whatever the bytes of a file, decoding takes at most 64 MiB and sixteen times what they can describe.

#[path = "../../tcmax-data/tests/counting/mod.rs"]
mod counting;

use std::path::Path;

use tcmax_media::decode::{parse_image, parse_sound};

/// Reads `bytes` as sound and as a picture; refuses to take more than `most` bytes for it.
fn bounded(bytes: &[u8], most: usize, what: &str) {
    let ((), taken) = counting::measure(|| {
        let _ = parse_sound(bytes);
        let _ = parse_image(bytes, |_, _| ());
    });
    assert!(taken <= most, "{what}: {} MiB", taken >> 20);
}

const LEAST: usize = 64 << 20;

// One test: others would be counted, too.
#[test]
fn lying_headers_take_no_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 8);
    for path in files {
        let whole = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The largest of these holds 8,000 samples.
        bounded(&whole, LEAST, &name);
        // Headers, tables and the boxes at the end, each number as large as can be.
        let ends = (0..160).chain(whole.len().saturating_sub(160)..whole.len());
        for start in ends.step_by(3).filter(|start| start + 4 <= whole.len()) {
            for huge in [[0xff; 4], [0x7f, 0xff, 0xff, 0xf0], [0, 0xff, 0xff, 0xff]] {
                let mut file = whole.clone();
                file[start..start + 4].copy_from_slice(&huge);
                bounded(&file, LEAST, &format!("{name}, {huge:?} at {start}"));
            }
        }
    }
    // WAV of every size, rate and number of channels.
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\0\x7d\0\0\0\xf4\x01\0\x04\0\x10\0data\xff\xff\xff\xff".to_vec();
    wav.extend([0; 4_000]);
    for start in 0..44 {
        for huge in [0xff, 0x7f, 0] {
            let mut file = wav.clone();
            file[start..44.min(start + 4)].fill(huge);
            bounded(&file, LEAST, &format!("WAV, {huge} at {start}"));
        }
    }
}
