//! Any bytes as a JPEG or PNG file: errors, never a panic, and as many pixels as the size says.

#![no_main]

use tcmax_media::decode::parse_image;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = parse_image(data, |pixels, shape| {
        assert_eq!(pixels.len(), shape.iter().product::<usize>());
    });
});
