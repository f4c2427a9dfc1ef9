//! Whatever the bytes of a file of av-digits, memory stays under 64 MiB and 16 times the file.

#[path = "../../tcmax-data/tests/counting/mod.rs"]
mod counting;

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tcmax_datasets::av_digits::{idx_items, parse_recordings};

const MIB: usize = 1 << 20;

/// Reads by `read`, which must refuse the file.
fn check(name: &str, bytes: &[u8], read: impl Fn(&[u8]) -> bool) {
    let (went_well, taken) = counting::measure(|| read(bytes));
    let most = 64 * MIB + 16 * bytes.len();
    eprintln!(
        "{name}: {:.1} MiB of a file of {:.1} MiB",
        taken as f64 / MIB as f64,
        bytes.len() as f64 / MIB as f64
    );
    assert!(!went_well, "{name}");
    assert!(taken <= most, "{name}: {taken} bytes, more than {most}");
}

/// A tar archive's member with any size in its header.
fn tar_member(name: &str, kind: tar::EntryType, claimed: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(claimed);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

// One test, so that nothing else allocates while it measures.
#[test]
fn memory_stays_within_what_a_file_describes() {
    let read = |bytes: &[u8]| idx_items(Path::new("x"), bytes, 0x803, &[28, 28]).is_ok();
    let mut bytes = Vec::new();
    for word in [0x803u32, 100_000, 28, 28] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend([0; 1000]);
    check("idx, images that are not there", &bytes, read);
    bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    check("idx, four billion images", &bytes, read);

    let read = |bytes: &[u8]| parse_recordings(Path::new("x.tar.gz"), bytes).is_ok();
    let regular = tar::EntryType::Regular;
    let name = "recordings/0_ann_0.wav";
    check("tar, a lying member", &gz(&tar_member(name, regular, 1 << 40, &[0; 100])), read);
    let zeros = vec![0; 32 * MIB];
    let bomb = gz(&tar_member(name, regular, zeros.len() as u64, &zeros));
    check("tar, a recording of 32 MiB", &bomb, read);
    for kind in
        [tar::EntryType::GNULongName, tar::EntryType::XHeader, tar::EntryType::XGlobalHeader]
    {
        let bomb = gz(&tar_member("long", kind, zeros.len() as u64, &zeros));
        check("tar, a name of 32 MiB", &bomb, read);
    }
}
