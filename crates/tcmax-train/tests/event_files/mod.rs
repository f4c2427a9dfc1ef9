//! A reader of event files that shares nothing with what writes them: protocol buffers and checksums by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A message: its fields by number, in order.
type Fields = Vec<(u64, Field)>;

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Whole(u64),
    Eight([u8; 8]),
    Bytes(Vec<u8>),
    Four([u8; 4]),
}

/// The event files of a folder, in the order of their names.
pub fn event_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.to_str().unwrap().contains("/events.out.tfevents.");
    let mut files: Vec<PathBuf> = entries.filter(named).collect();
    files.sort();
    files
}

/// Curves by their names: steps and values.
pub type Curves = BTreeMap<String, Vec<(u64, f32)>>;

/// The curves that a folder shows: a start replaces what was there from its step on.
pub fn curves(folder: &Path) -> Curves {
    let mut curves = Curves::new();
    for file in event_files(folder) {
        let mut records = records(&std::fs::read(&file).unwrap()).into_iter();
        let first = records.next().expect("an event file is never empty");
        assert_eq!(first[1], (3, Field::Bytes(b"brain.Event:2".to_vec())));
        for event in records {
            read_event(&event, &mut curves);
        }
    }
    curves
}

fn read_event(event: &Fields, curves: &mut Curves) {
    let Field::Eight(time) = event[0].1 else { panic!("{event:?}") };
    assert!(event[0].0 == 1 && f64::from_le_bytes(time) > 1.7e9, "no time of day: {event:?}");
    let (2, Field::Whole(step)) = event[1] else { panic!("{event:?}") };
    match &event[2] {
        // The status START.
        (7, Field::Bytes(session)) => {
            assert_eq!(fields(session), [(1, Field::Whole(1))]);
            curves.values_mut().for_each(|curve| curve.retain(|(old, _)| *old < step));
        }
        (5, Field::Bytes(summary)) => {
            for (number, value) in fields(summary) {
                let (1, Field::Bytes(value)) = (number, value) else { panic!("{event:?}") };
                let value = fields(&value);
                let [(1, Field::Bytes(tag)), (2, Field::Four(number))] = &value[..] else {
                    panic!("{value:?}");
                };
                let tag = String::from_utf8(tag.clone()).unwrap();
                curves.entry(tag).or_default().push((step, f32::from_le_bytes(*number)));
            }
        }
        other => panic!("{other:?}"),
    }
}

/// The messages of a file up to a record that is not whole; checksums must be right.
fn records(mut bytes: &[u8]) -> Vec<Fields> {
    let mut records = Vec::new();
    while bytes.len() >= 12 {
        let (length, rest) = bytes.split_at(8);
        let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        if rest.len() < size + 8 {
            break;
        }
        let checked = |data: &[u8], sum: &[u8]| {
            let wanted = u32::from_le_bytes(sum.try_into().unwrap());
            assert_eq!(masked(crc32c(data)), wanted, "a wrong checksum");
        };
        checked(length, &rest[..4]);
        let message = &rest[4..4 + size];
        checked(message, &rest[4 + size..8 + size]);
        records.push(fields(message));
        bytes = &rest[8 + size..];
    }
    records
}

fn fields(mut bytes: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Whole(varint(&mut bytes)),
            1 => Field::Eight(take(&mut bytes, 8).try_into().unwrap()),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length).to_vec())
            }
            5 => Field::Four(take(&mut bytes, 4).try_into().unwrap()),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// CRC-32C bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
