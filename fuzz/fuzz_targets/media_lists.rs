//! Any bytes as published lists of media: errors, never a panic.

#![no_main]

use std::path::Path;

use tcmax_data::Split;
use tcmax_media::prepare::{ListFormat, parse_list};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for format in [
        ListFormat::IdLabel(Split::Train),
        ListFormat::Combined,
        ListFormat::Titles(Split::Train),
        ListFormat::Sentiments,
    ] {
        if let Ok(listed) = parse_list(format, Path::new("x.csv"), data) {
            assert!(listed.iter().all(|entry| !entry.id.is_empty() && !entry.label.is_empty()));
        }
    }
});
