//! Any bytes as descriptions, manifests and headers of prepared clips: errors, never a panic.

#![no_main]

use tcmax_data::shards::{Description, parse_header, parse_rows};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = parse_header(data);
    let _ = parse_rows(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(description) = Description::parse(text)
    {
        for modality in &description.modalities {
            assert!(modality.modality().len() > 0);
        }
    }
});
