//! Damaged and lying npz archives are refused.

use std::io::Write;
use std::path::Path;

use tcmax_data::UserDataConfig;

use crate::features::{folder, problem};

/// An npz whose one member is 20 MB of zeros, deflated to a few kilobytes, and says it has `claimed`
/// bytes.
fn npz_of_zeros(path: &Path, claimed: Option<u32>) {
    let zeros = vec![0u8; 20 << 20];
    let mut deflater =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflater.write_all(&zeros).unwrap();
    let packed = deflater.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(&zeros);
    let size = claimed.unwrap_or(zeros.len() as u32);
    let name = b"a.npy";
    // Method, time, date, checksum, sizes, length of the name, of extras.
    let common = |out: &mut Vec<u8>| {
        for short in [20u16, 0, 8, 0, 0] {
            out.extend(short.to_le_bytes());
        }
        for long in [crc.sum(), packed.len() as u32, size] {
            out.extend(long.to_le_bytes());
        }
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(0u16.to_le_bytes());
    };
    let mut file = b"PK\x03\x04".to_vec();
    common(&mut file);
    file.extend(name);
    file.extend(&packed);
    let directory = file.len() as u32;
    file.extend(b"PK\x01\x02\x14\x00");
    common(&mut file);
    file.extend([0; 14]);
    file.extend(name);
    let length = file.len() as u32 - directory;
    file.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    file.extend(length.to_le_bytes());
    file.extend(directory.to_le_bytes());
    file.extend([0, 0]);
    std::fs::write(path, file).unwrap();
}

#[test]
fn an_npz_that_unpacks_to_more_than_it_says_is_refused() {
    let (_keep, folder) = folder();
    let path = folder.join("x.npz");
    npz_of_zeros(&path, Some(100));
    let message = problem(&UserDataConfig::at(&path));
    assert!(message.contains("does not unpack to the 100 bytes it declares"), "{message}");
    // Honest, it is unpacked, and found to be no array.
    npz_of_zeros(&path, None);
    let message = problem(&UserDataConfig::at(&path));
    assert!(message.contains("not an npy file"), "{message}");
}

/// An npz of uncompressed members.
fn npz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::STORE);
    for (name, bytes) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn flipped_bits_and_two_members_of_one_name_are_refused_in_npz() {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (8,), }\n";
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    array.extend((header.len() as u16).to_le_bytes());
    array.extend(header.as_bytes());
    array.extend([77; 8]);
    let parse = |bytes: &[u8]| tcmax_data::arrays::parse_npz(Path::new("x.npz"), bytes);
    let good = npz(&[("a.npy", &array), ("b.npy", &array)]);
    assert_eq!(parse(&good).unwrap().len(), 2);
    let mut flipped = good.clone();
    let place = flipped.windows(8).position(|bytes| bytes == [77; 8]).unwrap();
    flipped[place + 3] ^= 1;
    let message = parse(&flipped).unwrap_err().to_string();
    assert!(message.contains("'a' has another checksum"), "{message}");
    let mut twice = good;
    while let Some(place) = twice.windows(5).position(|bytes| bytes == b"b.npy") {
        twice[place] = b'a';
    }
    let message = parse(&twice).unwrap_err().to_string();
    assert!(message.contains("the same name"), "{message}");
}
