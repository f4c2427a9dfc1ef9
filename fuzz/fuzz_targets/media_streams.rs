//! Any bytes as what ffmpeg writes: errors, never a panic.

#![no_main]

use tcmax_media::decode::{read_au, read_ppm};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = data;
    while let Ok(Some(picture)) = read_ppm(&mut reader) {
        assert_eq!(picture.bytes.len(), picture.height * picture.width * 3);
    }
    if let Ok(sound) = read_au(&mut &data[..]) {
        assert!(sound.rate > 0 && sound.samples.len() <= data.len());
    }
});
