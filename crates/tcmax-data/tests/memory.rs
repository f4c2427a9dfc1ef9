//! Whatever the bytes of a file, memory stays under 64 MiB and 16 times the bytes that it describes:
//! headers that lie, compression bombs and many tiny cells are met, counted by the allocator.

mod counting;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tcmax_data::arrays::{parse_csv, parse_npy, parse_npz, parse_safetensors};
use tcmax_data::manifest::Manifest;
use tcmax_data::user_data::parse_feature_table;
use tcmax_data::{ColumnNames, Problems};

const MIB: usize = 1 << 20;

/// Whether a file should be read or refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Read,
    Refused,
}
use Fate::{Read, Refused};

/// Reads by `read`, which returns whether it went well, and checks fate and memory. `described` are the
/// bytes that the file rightly describes; the file itself is in memory before and counts as such.
fn check(name: &str, bytes: &[u8], described: usize, fate: Fate, read: impl Fn(&[u8]) -> bool) {
    let described = described.max(bytes.len());
    let (went_well, taken) = counting::measure(|| read(bytes));
    let most = 64 * MIB + 16 * described;
    eprintln!(
        "{name}: {:.1} MiB of a file of {:.1} MiB",
        taken as f64 / MIB as f64,
        bytes.len() as f64 / MIB as f64
    );
    assert_eq!(went_well, fate == Read, "{name}");
    assert!(taken <= most, "{name}: {taken} bytes, more than {most}");
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A zip archive of deflated members: name, content, declared size.
fn archive(members: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content, declared) in members {
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflater.write_all(content).unwrap();
        let packed = deflater.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let start = file.len() as u32;
        // Method, time, date, checksum, sizes, length of the name, of extras.
        let mut common = Vec::new();
        for short in [20u16, 0, 8, 0, 0] {
            common.extend(short.to_le_bytes());
        }
        for long in [crc.sum(), packed.len() as u32, *declared] {
            common.extend(long.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0u16.to_le_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// A Parquet file with columns `label` and `words`, every row the same; without `word` it is null.
fn parquet(rows: usize, word: Option<&str>) -> Vec<u8> {
    let message = "message m { required binary label (UTF8); optional binary words (UTF8); }";
    let schema = Arc::new(parse_message_type(message).unwrap());
    let how = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_dictionary_page_size_limit(64 * MIB)
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(how)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let labels = vec![ByteArray::from("x"); rows];
    column.typed::<ByteArrayType>().write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let words =
        vec![ByteArray::from(word.unwrap_or_default()); if word.is_some() { rows } else { 0 }];
    let there = vec![i16::from(word.is_some()); rows];
    column.typed::<ByteArrayType>().write_batch(&words, Some(&there), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn check_safetensors() {
    let read = |bytes: &[u8]| parse_safetensors(Path::new("x.safetensors"), bytes).is_ok();
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    bytes.extend(b"{}");
    check("safetensors, endless header", &bytes, 0, Refused, read);
    let bytes = safetensors(
        r#"{"a":{"dtype":"F64","shape":[1099511627776],"data_offsets":[0,8]}}"#,
        &[0; 8],
    );
    check("safetensors, lying shape", &bytes, 0, Refused, read);
    let zeros = "0,".repeat(3 * MIB);
    let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{zeros}0],"data_offsets":[0,0]}}}}"#);
    check("safetensors, dimensions", &safetensors(&header, &[]), 0, Refused, read);
    let header = format!(r#"{{"a":{{"dtype":"F32",{}"shape":[0]}}}}"#, r#""":0,"#.repeat(3 * MIB));
    check("safetensors, empty names", &safetensors(&header, &[]), 0, Refused, read);
    let tensors: Vec<String> = (0..60_000)
        .map(|n| format!(r#""{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{n},{}]}}"#, n + 1))
        .collect();
    let bytes = safetensors(&format!("{{{}}}", tensors.join(",")), &[0; 60_000]);
    check("safetensors, many tensors", &bytes, 0, Read, read);
    let header =
        format!(r#"{{"a":{{"dtype":"BOOL","shape":[{0}],"data_offsets":[0,{0}]}}}}"#, 16 * MIB);
    check("safetensors, truth values", &safetensors(&header, &vec![1; 16 * MIB]), 0, Read, read);
}

fn check_numpy() {
    let read = |bytes: &[u8]| parse_npy(Path::new("x.npy"), "x", bytes).is_ok();
    check("npy, lying shape", &npy("<f8", "(1000000000, 1000)", &[0; 80]), 0, Refused, read);
    check("npy, lying width", &npy("<U1000000000", "(1,)", &[0; 80]), 0, Refused, read);
    let mut endless = b"\x93NUMPY\x02\x00".to_vec();
    endless.extend(u32::MAX.to_le_bytes());
    check("npy, endless header", &endless, 0, Refused, read);
    let shape = format!("({},)", 16 * MIB);
    check("npy, bytes", &npy("|u1", &shape, &vec![7; 16 * MIB]), 0, Read, read);
    // Two Chinese characters each.
    let characters = (0..2 * MIB).flat_map(|n| [n % 20_000, n / 20_000]);
    let words: Vec<u8> =
        characters.flat_map(|character| (character as u32 + 0x4e00).to_le_bytes()).collect();
    check("npy, distinct words", &npy("<U2", &format!("({},)", 2 * MIB), &words), 0, Read, read);

    let read = |bytes: &[u8]| parse_npz(Path::new("x.npz"), bytes).is_ok();
    let small = npy("|u1", "(4,)", &[1; 4]);
    let bytes = archive(&[("a.npy", &small, 1 << 30)]);
    check("npz, a bomb of 1 GiB", &bytes, 0, Refused, read);
    let bytes = archive(&[("a.npy", &small, 200 << 20)]);
    check("npz, 200 MiB that are not there", &bytes, 0, Refused, read);
    let large = npy("|u1", &format!("({},)", 32 * MIB), &vec![0; 32 * MIB]);
    let bytes = archive(&[("a.npy", &large, large.len() as u32)]);
    check("npz, zeros", &bytes, large.len(), Read, read);
}

fn check_csv() {
    let read = |bytes: &[u8]| parse_csv(Path::new("x.csv"), bytes).is_ok();
    check("csv, one line of commas", &b",".repeat(16 * MIB), 0, Refused, read);
    check("csv, empty cells", &b",,,,,,,\n".repeat(MIB), 0, Read, read);
    check("csv, digits", &b"1,2\n".repeat(2 * MIB), 0, Read, read);
    let words: String = (0..2 * MIB).map(|n| format!("{n:x}y\n")).collect();
    check("csv, distinct words", words.as_bytes(), 0, Read, read);
    let wide = format!("{}a\n{}1\n", "a,".repeat(100_000), "1,".repeat(100_000));
    check("csv, a hundred thousand columns", wide.as_bytes(), 0, Read, read);
    check("csv, one cell", &b"a".repeat(16 * MIB), 0, Refused, read);

    let read = |bytes: &[u8]| {
        let mut problems = Problems::new();
        parse_feature_table(Path::new("x.csv"), bytes, &mut problems);
        problems.is_empty()
    };
    check("features, one line of commas", &b",".repeat(16 * MIB), 0, Refused, read);
    check("features, short rows", &b"1,a\n".repeat(2 * MIB), 0, Read, read);
    check("features, words", &b"a,b,c\n".repeat(2 * MIB), 0, Refused, read);
    let words: String = (0..2 * MIB).map(|n| format!("1,{n:x}y\n")).collect();
    check("features, distinct labels", words.as_bytes(), 0, Read, read);

    let read = |bytes: &[u8]| {
        let mut problems = Problems::new();
        Manifest::parse(Path::new("x.csv"), bytes, ColumnNames::default(), &mut problems);
        problems.is_empty()
    };
    let mut table = b"label,t\n".to_vec();
    table.extend(b"a,b\n".repeat(2 * MIB));
    check("manifest, tiny rows", &table, 0, Refused, read);
    let mut table = b"label,t\n".to_vec();
    table.extend(b",\n".repeat(4 * MIB));
    check("manifest, empty cells", &table, 0, Refused, read);
    let rows: String = (0..200_000).map(|n| format!("{n},audio/{n}.wav,joy,train\n")).collect();
    let table = format!("id,audio,label,split\n{rows}");
    check("manifest, paths", table.as_bytes(), 0, Read, read);
    check("manifest, one line", &b",".repeat(16 * MIB), 0, Refused, read);
}

fn check_parquet() {
    let read = |bytes: &[u8]| {
        let mut problems = Problems::new();
        let path = Path::new("x.parquet");
        let names = ColumnNames::default();
        let read = Manifest::parse_parquet(path, bytes.to_vec(), names, &mut problems);
        read.is_ok() && problems.is_empty()
    };
    check("parquet, words", &parquet(10_000, Some("a fine day")), 0, Read, read);
    // Half a gigabyte of text in a few kilobytes: refused at 256 MiB.
    let long = "x".repeat(MIB);
    check(
        "parquet, one word again and again",
        &parquet(512, Some(&long)),
        256 * MIB,
        Refused,
        read,
    );
    check("parquet, nulls", &parquet(4 * MIB, None), 4 * MIB, Refused, read);
    let mut lying = b"PAR1".to_vec();
    lying.extend([0x15; 64]);
    lying.extend(u32::MAX.to_le_bytes());
    lying.extend(b"PAR1");
    check("parquet, endless footer", &lying, 0, Refused, read);
}

// One test, so that nothing else allocates while it measures.
#[test]
fn memory_stays_within_what_a_file_describes() {
    check_safetensors();
    check_numpy();
    check_csv();
    check_parquet();
}
