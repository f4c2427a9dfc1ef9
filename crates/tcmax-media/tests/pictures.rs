//! JPEG files by libjpeg-turbo.

#![cfg(feature = "turbojpeg")]

use image::codecs::jpeg::JpegEncoder;
use tcmax_media::decode;

const WIDTH: usize = 123;
const HEIGHT: usize = 77;

fn file() -> Vec<u8> {
    let pixel = |x: usize, y: usize| [x * 2, y * 3, (x * y) % 256].map(|value| value as u8);
    let bytes: Vec<u8> =
        (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| pixel(x, y))).collect();
    let mut file = Vec::new();
    let colour = image::ExtendedColorType::Rgb8;
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
    encoder.encode(&bytes, WIDTH as u32, HEIGHT as u32, colour).unwrap();
    file
}

#[test]
fn pixels_are_right_to_a_few_grey_levels() {
    let file = file();
    let wanted = image::load_from_memory(&file).unwrap().into_rgb8().into_raw();
    let gaps: Vec<u8> = decode::parse_image(&file, |bytes, shape| {
        assert_eq!(shape, [HEIGHT, WIDTH, 3]);
        bytes.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).collect()
    })
    .unwrap();
    let mean = gaps.iter().map(|gap| f64::from(*gap)).sum::<f64>() / gaps.len() as f64;
    assert_eq!(gaps.len(), wanted.len());
    assert!(mean < 0.2 && gaps.iter().all(|gap| *gap <= 4), "{mean} on average");
    // Not the same decoder under two names.
    assert!(mean > 0.0);
}

#[test]
fn a_cut_file_is_refused_by_the_right_reason() {
    let mut file = file();
    file.truncate(file.len() / 2);
    let reason = decode::parse_image(&file, |_, _| ()).unwrap_err();
    assert!(reason.contains("end is missing"), "{reason}");
    // With an end, but without what is before it.
    file.extend([0xff, 0xd9]);
    assert!(decode::parse_image(&file, |_, _| ()).is_err());
    let mut broken = self::file();
    broken[200..220].fill(0);
    assert!(decode::parse_image(&broken, |_, _| ()).is_err());
}
