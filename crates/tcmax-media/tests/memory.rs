//! Whatever the bytes of a file, decoding takes at most 64 MiB and sixteen times what they can describe.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tcmax_media::decode::{parse_image, parse_sound};

/// Bytes allocated now, and the most since it was last reset.
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: hands everything to the system's allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads `bytes` as sound and as a picture; refuses to take more than `most` bytes for it.
fn bounded(bytes: &[u8], most: usize, what: &str) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let _ = parse_sound(bytes);
    let _ = parse_image(bytes, |_, _| ());
    let taken = PEAK.load(Ordering::Relaxed) - before;
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
