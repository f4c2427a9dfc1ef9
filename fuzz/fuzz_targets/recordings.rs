//! Any bytes as the digits' archive: errors, never a panic. They are tried as they are, and packed, so
//! that more than the checksum of gzip is met.

#![no_main]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use tcmax_datasets::av_digits::parse_recordings;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("x.tar.gz");
    let _ = parse_recordings(path, data);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    if encoder.write_all(data).is_ok()
        && let Ok(packed) = encoder.finish()
    {
        let _ = parse_recordings(path, &packed);
    }
});
