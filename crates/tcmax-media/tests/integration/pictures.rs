//! Pictures that are cut off, or claim more than they hold, are refused.

use std::path::Path;

use tcmax_data::Area;
use tcmax_media::decode::{parse_image, parse_part, with_part};

fn media(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
    std::fs::read(folder.join(name)).unwrap()
}

const FILES: [&str; 4] = ["baseline.jpg", "progressive.jpg", "restarts.jpg", "gradient.png"];

#[test]
fn whole_pictures_are_read_whatever_follows_them() {
    for name in FILES {
        let mut file = media(name);
        for more in [&b""[..], b"\0\0", b"trailing \xff\xda words"] {
            file.extend(more);
            let corner = |pixels: &[u8], shape: [usize; 3]| {
                assert_eq!((shape, pixels.len()), ([32, 48, 3], 32 * 48 * 3));
                [0, 1, 2].map(|n| pixels[pixels.len() - 3 + n])
            };
            let corner = parse_image(&file, corner).unwrap();
            // 5 x, 8 y and 3 (x + y).
            let near = corner.iter().zip([235, 248, 234]).all(|(x, y)| x.abs_diff(y) < 20);
            assert!(near, "{name}: {corner:?}");
        }
    }
}

#[test]
fn a_part_is_what_the_whole_has_there() {
    let wanted = Area { top: 5, left: 20, height: 11, width: 9 };
    for name in FILES {
        let file = media(name);
        let whole = parse_image(&file, |pixels, _| pixels.to_vec()).unwrap();
        let check = |pixels: &[u8], area: Area, size: [usize; 2]| {
            assert_eq!((size, pixels.len()), ([32, 48], 3 * area.height * area.width));
            for y in wanted.top..wanted.top + wanted.height {
                let start = (y - area.top) * area.width + wanted.left - area.left;
                let of_whole = &whole[3 * (y * 48 + wanted.left)..][..3 * wanted.width];
                assert_eq!(&pixels[3 * start..][..3 * wanted.width], of_whole, "{name}, line {y}");
            }
        };
        parse_part(&file, |_| wanted, check).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name);
        with_part(&path, |_| wanted, check).unwrap();
    }
}

#[test]
fn cut_pictures_are_refused_wherever_they_are_cut() {
    for name in FILES {
        let file = media(name);
        // Without the checksum of its end a PNG is whole.
        let end = file.len() - if name.ends_with("png") { 4 } else { 0 };
        for length in 0..end {
            let read = parse_image(&file[..length], |_, _| ());
            assert!(read.is_err(), "{name}, {length} of {} bytes", file.len());
        }
    }
}

/// A PNG file's start with another size and colour type.
fn png(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let mut file = media("gradient.png");
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    (file[24], file[25]) = (depth, colour);
    let mut crc = flate2::Crc::new();
    crc.update(&file[12..29]);
    file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    file
}

#[test]
fn sizes_that_the_bytes_cannot_hold_are_refused() {
    parse_image(&png(48, 32, 8, 2), |_, _| ()).unwrap();
    for (width, height, depth, colour) in
        [(15_000, 15_000, 16, 6), (20_000, 17_000, 8, 2), (20_001, 1, 8, 2), (5_000, 5_000, 8, 2)]
    {
        let error = parse_image(&png(width, height, depth, colour), |_, _| ()).unwrap_err();
        let expected = ["bytes", "limit", "large", "dimensions"];
        assert!(expected.iter().any(|word| error.to_lowercase().contains(word)), "{error}");
    }
    for name in &FILES[..3] {
        let mut file = media(name);
        // Behind FF C0 or FF C2: length, bits, height, width.
        let start = file.windows(2).position(|p| p == [0xff, 0xc0] || p == [0xff, 0xc2]).unwrap();
        file[start + 5..start + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
        let error = parse_image(&file, |_, _| ()).unwrap_err();
        assert!(error.contains("cannot hold"), "{error}");
    }
}
