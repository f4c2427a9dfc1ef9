//! JPEG files by libjpeg-turbo.

#![cfg(feature = "turbojpeg")]

use image::codecs::jpeg::JpegEncoder;
use tcmax_data::Area;
use tcmax_media::decode;
use turbojpeg::{Compressor, PixelFormat, Subsamp};

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

/// A file of every way in which colours have fewer pixels, one after the other or progressively.
fn coded(subsampling: Subsamp, progressive: bool) -> Vec<u8> {
    let pixel = |x: usize, y: usize| [x * 2, y * 3, (x * y) % 256].map(|value| value as u8);
    let pixels: Vec<u8> =
        (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| pixel(x, y))).collect();
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(90).unwrap();
    compressor.set_subsamp(subsampling).unwrap();
    let picture = turbojpeg::Image {
        pixels: &pixels[..],
        width: WIDTH,
        pitch: 3 * WIDTH,
        height: HEIGHT,
        format: PixelFormat::RGB,
    };
    let file = compressor.compress_to_vec(picture).unwrap();
    let mut transform = turbojpeg::Transform::default();
    transform.progressive = progressive;
    turbojpeg::transform(&transform, &file).unwrap().to_vec()
}

#[test]
fn a_part_has_the_pixels_of_the_whole() {
    use Subsamp::{Gray, None, Sub1x2, Sub2x1, Sub2x2, Sub4x1};
    let parts =
        [[0, 0, HEIGHT, WIDTH], [0, 0, 1, 1], [76, 122, 1, 1], [13, 31, 40, 57], [1, 64, 9, 59]];
    for subsampling in [None, Gray, Sub1x2, Sub2x1, Sub2x2, Sub4x1] {
        for progressive in [false, true] {
            let file = coded(subsampling, progressive);
            let whole = decode::parse_image(&file, |bytes, _| bytes.to_vec()).unwrap();
            let every = (0..HEIGHT).map(|top| [top, top / 2, HEIGHT - top, WIDTH - top]);
            for [top, left, height, width] in parts.into_iter().chain(every) {
                let wanted = Area { top, left, height, width };
                decode::parse_part(&file, |_| wanted, |bytes, area, size| {
                    assert_eq!(size, [HEIGHT, WIDTH]);
                    assert_eq!(bytes.len(), 3 * area.height * area.width);
                    // At most three columns of blocks more than was asked for.
                    assert!(area.height <= height && area.width < width + 96, "{area:?}");
                    for y in 0..height {
                        let of_part = &bytes[3 * ((top + y - area.top) * area.width + left - area.left)..];
                        let of_whole = &whole[3 * ((top + y) * WIDTH + left)..];
                        assert!(
                            of_part[..3 * width] == of_whole[..3 * width],
                            "line {y} of {wanted:?}, {subsampling:?}, progressive: {progressive}"
                        );
                    }
                })
                .unwrap();
            }
        }
    }
}

#[test]
fn what_lies_outside_of_a_picture_is_left_out() {
    let file = coded(Subsamp::Sub2x2, false);
    for [top, left, height, width] in [[0, 0, 1_000, usize::MAX], [90, 200, 5, 5], [70, 100, 0, 0]]
    {
        let wanted = Area { top, left, height, width };
        let area = decode::parse_part(&file, |_| wanted, |_, area, _| area).unwrap();
        assert!(area.height >= 1 && area.top + area.height <= HEIGHT, "{area:?}");
        assert!(area.width >= 1 && area.left + area.width <= WIDTH, "{area:?}");
    }
}

#[test]
fn a_part_of_a_damaged_file_is_refused_and_the_next_file_is_not() {
    let file = coded(Subsamp::Sub2x2, false);
    let upper = |_: [usize; 2]| Area { top: 0, left: 20, height: 70, width: 40 };
    let mut broken = file.clone();
    let middle = file.len() / 2;
    broken.drain(middle..middle + 300);
    assert!(decode::parse_part(&broken, upper, |_, _, _| ()).is_err());
    let mut cut = file.clone();
    cut.truncate(middle);
    let reason = decode::parse_part(&cut, upper, |_, _, _| ()).unwrap_err();
    assert!(reason.contains("end is missing"), "{reason}");
    decode::parse_part(&file, upper, |_, _, _| ()).unwrap();
    // After a part the whole is the whole.
    let shape = decode::parse_image(&file, |_, shape| shape).unwrap();
    assert_eq!(shape, [HEIGHT, WIDTH, 3]);
}
