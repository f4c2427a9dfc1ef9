//! The footer of a Parquet file, written anew before the library reads it.
//!
//! The library does not compare the types that fields claim with those that it reads, and goes through a list of
//! truth values that it does not know without reading a byte of it, as often as the list claims: a few bytes keep
//! it busy for minutes. So the library gets a footer of nothing but the fields that it knows, with the types of
//! the format, and lists that are inside the file. Source: `parquet.thrift` of the Parquet format.

use super::thrift::{LIST, STRUCT, Thrift};

/// A field: number, type, and what is inside structures and lists.
type Field = (i64, u8, &'static Fields);

/// The fields of a structure that the library reads.
enum Fields {
    /// Any of them.
    All(&'static [Field]),
    /// A union: one of them.
    One(&'static [Field]),
    /// No structure: the elements of a list, all of this type.
    Elements(u8),
}

const TRUTH: u8 = 1;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BYTES: u8 = 8;

/// Nothing inside is read.
const PLAIN: &Fields = &Fields::All(&[]);

const TIME_UNIT: &Fields =
    &Fields::One(&[(1, STRUCT, PLAIN), (2, STRUCT, PLAIN), (3, STRUCT, PLAIN)]);
const TIME: &Fields = &Fields::All(&[(1, TRUTH, PLAIN), (2, STRUCT, TIME_UNIT)]);
const LOGICAL_TYPE: &Fields = &Fields::One(&[
    (1, STRUCT, PLAIN),
    (2, STRUCT, PLAIN),
    (3, STRUCT, PLAIN),
    (4, STRUCT, PLAIN),
    (5, STRUCT, &Fields::All(&[(1, I32, PLAIN), (2, I32, PLAIN)])),
    (6, STRUCT, PLAIN),
    (7, STRUCT, TIME),
    (8, STRUCT, TIME),
    (10, STRUCT, &Fields::All(&[(1, I8, PLAIN), (2, TRUTH, PLAIN)])),
    (11, STRUCT, PLAIN),
    (12, STRUCT, PLAIN),
    (13, STRUCT, PLAIN),
    (14, STRUCT, PLAIN),
    (15, STRUCT, PLAIN),
    (16, STRUCT, &Fields::All(&[(1, I8, PLAIN)])),
    (17, STRUCT, &Fields::All(&[(1, BYTES, PLAIN)])),
    (18, STRUCT, &Fields::All(&[(1, BYTES, PLAIN), (2, I32, PLAIN)])),
]);
const SCHEMA_ELEMENT: &Fields = &Fields::All(&[
    (1, I32, PLAIN),
    (2, I32, PLAIN),
    (3, I32, PLAIN),
    (4, BYTES, PLAIN),
    (5, I32, PLAIN),
    (6, I32, PLAIN),
    (7, I32, PLAIN),
    (8, I32, PLAIN),
    (9, I32, PLAIN),
    (10, STRUCT, LOGICAL_TYPE),
]);
const KEY_VALUE: &Fields = &Fields::All(&[(1, BYTES, PLAIN), (2, BYTES, PLAIN)]);
const STATISTICS: &Fields = &Fields::All(&[
    (1, BYTES, PLAIN),
    (2, BYTES, PLAIN),
    (3, I64, PLAIN),
    (4, I64, PLAIN),
    (5, BYTES, PLAIN),
    (6, BYTES, PLAIN),
    (7, TRUTH, PLAIN),
    (8, TRUTH, PLAIN),
    (9, I64, PLAIN),
]);
const BOUNDS: &Fields = &Fields::All(&[
    (1, DOUBLE, PLAIN),
    (2, DOUBLE, PLAIN),
    (3, DOUBLE, PLAIN),
    (4, DOUBLE, PLAIN),
    (5, DOUBLE, PLAIN),
    (6, DOUBLE, PLAIN),
    (7, DOUBLE, PLAIN),
    (8, DOUBLE, PLAIN),
]);
const SIZES: &Fields = &Fields::All(&[
    (1, I64, PLAIN),
    (2, LIST, &Fields::Elements(I64)),
    (3, LIST, &Fields::Elements(I64)),
]);
const GEOMETRY: &Fields = &Fields::All(&[(1, STRUCT, BOUNDS), (2, LIST, &Fields::Elements(I32))]);
const COLUMN_ORDER: &Fields =
    &Fields::One(&[(1, STRUCT, PLAIN), (2, STRUCT, PLAIN), (3, STRUCT, PLAIN)]);
const COLUMN_METADATA: &Fields = &Fields::All(&[
    (1, I32, PLAIN),
    (2, LIST, &Fields::Elements(I32)),
    (3, LIST, &Fields::Elements(BYTES)),
    (4, I32, PLAIN),
    (5, I64, PLAIN),
    (6, I64, PLAIN),
    (7, I64, PLAIN),
    (8, LIST, KEY_VALUE),
    (9, I64, PLAIN),
    (10, I64, PLAIN),
    (11, I64, PLAIN),
    (12, STRUCT, STATISTICS),
    (13, LIST, &Fields::All(&[(1, I32, PLAIN), (2, I32, PLAIN), (3, I32, PLAIN)])),
    (14, I64, PLAIN),
    (15, I32, PLAIN),
    (16, STRUCT, SIZES),
    (17, STRUCT, GEOMETRY),
]);
const COLUMN_CHUNK: &Fields = &Fields::All(&[
    (1, BYTES, PLAIN),
    (2, I64, PLAIN),
    (3, STRUCT, COLUMN_METADATA),
    (4, I64, PLAIN),
    (5, I32, PLAIN),
    (6, I64, PLAIN),
    (7, I32, PLAIN),
    (9, BYTES, PLAIN),
]);
const ROW_GROUP: &Fields = &Fields::All(&[
    (1, LIST, COLUMN_CHUNK),
    (2, I64, PLAIN),
    (3, I64, PLAIN),
    (4, LIST, &Fields::All(&[(1, I32, PLAIN), (2, TRUTH, PLAIN), (3, TRUTH, PLAIN)])),
    (5, I64, PLAIN),
    (6, I64, PLAIN),
    (7, I16, PLAIN),
]);
const FILE_METADATA: &Fields = &Fields::All(&[
    (1, I32, PLAIN),
    (2, LIST, SCHEMA_ELEMENT),
    (3, I64, PLAIN),
    (4, LIST, ROW_GROUP),
    (5, LIST, KEY_VALUE),
    (6, BYTES, PLAIN),
    (7, LIST, COLUMN_ORDER),
]);

/// The bytes of a Parquet file with its footer written anew.
///
/// # Errors
/// When there is no footer, or it is not what the format says.
pub(super) fn with_clean_footer(mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let start = bytes.split_last_chunk::<8>().and_then(|(rest, tail)| {
        let [a, b, c, d, ..] = *tail;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        rest.len().checked_sub(length)
    });
    let clean = start.and_then(|start| {
        let mut out = Vec::new();
        let footer = &bytes[start..bytes.len() - 8];
        structure(&mut Thrift { bytes: footer }, FILE_METADATA, &mut out)?;
        Some((start, out))
    });
    let damaged = || "not a readable Parquet file: its footer is damaged".to_owned();
    let (start, out) = clean.ok_or_else(damaged)?;
    let length = u32::try_from(out.len()).map_err(|_| damaged())?;
    let magic = bytes[bytes.len() - 4..].to_vec();
    bytes.truncate(start);
    bytes.extend(out);
    bytes.extend(length.to_le_bytes());
    bytes.extend(magic);
    Ok(bytes)
}

/// Copies the known fields of a structure; `None` where it is not what it should be.
fn structure(thrift: &mut Thrift<'_>, fields: &Fields, out: &mut Vec<u8>) -> Option<()> {
    let (known, is_union) = match fields {
        Fields::All(known) => (*known, false),
        Fields::One(known) => (*known, true),
        Fields::Elements(_) => return None,
    };
    let (mut id, mut last, mut count) = (0, 0, 0);
    while let Some(kind) = thrift.field(&mut id)? {
        let Some((_, wanted, inside)) = known.iter().find(|(number, ..)| *number == id) else {
            thrift.skip(kind, 0)?;
            continue;
        };
        // A truth value is in the type of its field: 1 or 2.
        if kind != *wanted && !(*wanted == TRUTH && kind == 2) {
            return None;
        }
        write_field(kind, id, last, out);
        last = id;
        count += 1;
        value(thrift, kind, inside, out)?;
    }
    out.push(0);
    (!is_union || count == 1).then_some(())
}

/// Copies the value of a known field.
fn value(thrift: &mut Thrift<'_>, kind: u8, inside: &Fields, out: &mut Vec<u8>) -> Option<()> {
    match (kind, inside) {
        (STRUCT, Fields::All([])) => {
            thrift.skip(STRUCT, 0)?;
            out.push(0);
        }
        (STRUCT, inside) => structure(thrift, inside, out)?,
        (LIST, inside) => {
            let (element, count) = thrift.list()?;
            let wanted = if let Fields::Elements(wanted) = inside { *wanted } else { STRUCT };
            // An empty list may have any type of elements.
            if count > 0 && element != wanted {
                return None;
            }
            out.push(0xf0 | wanted);
            write_variable(count, out);
            for _ in 0..count {
                match inside {
                    Fields::Elements(kind) => copy(thrift, *kind, out)?,
                    inside => structure(thrift, inside, out)?,
                }
            }
        }
        (kind, _) => copy(thrift, kind, out)?,
    }
    Some(())
}

/// Copies a number or bytes.
fn copy(thrift: &mut Thrift<'_>, kind: u8, out: &mut Vec<u8>) -> Option<()> {
    let before = thrift.bytes;
    thrift.skip(kind, 0)?;
    out.extend_from_slice(&before[..before.len() - thrift.bytes.len()]);
    Some(())
}

fn write_field(kind: u8, id: i64, last: i64, out: &mut Vec<u8>) {
    match u8::try_from(id - last) {
        Ok(step @ 1..=15) => out.push(step << 4 | kind),
        _ => {
            out.push(kind);
            write_variable(((id << 1) ^ (id >> 63)) as u64, out);
        }
    }
}

/// Seven bits per byte, the lowest first.
fn write_variable(mut value: u64, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clean footer.
    fn check(footer: &[u8]) -> Result<Vec<u8>, String> {
        let length = (footer.len() as u32).to_le_bytes();
        let clean = with_clean_footer([b"PAR1", footer, &length, b"PAR1"].concat())?;
        let (rest, tail) = clean.split_last_chunk::<8>().unwrap();
        let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
        assert_eq!((&rest[..4], &tail[4..]), (&b"PAR1"[..], &b"PAR1"[..]));
        assert_eq!(rest.len(), 4 + length);
        Ok(rest[4..].to_vec())
    }

    #[test]
    fn footers_with_endless_lists_are_refused() {
        // A field 15 that nobody knows: a list of two billion truth values, in six bytes.
        assert!(check(&[0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0]).is_err());
        assert_eq!(check(&[0x15, 2, 0]).unwrap(), [0x15, 2, 0], "a version and nothing else");
        assert!(check(&[0x15, 2]).is_err(), "cut");
        assert!(with_clean_footer(b"PAR1".to_vec()).is_err());
        let beyond = [&b"PAR1"[..], &u32::MAX.to_le_bytes(), b"PAR1"].concat();
        assert!(with_clean_footer(beyond).is_err());
    }

    #[test]
    fn known_fields_have_the_types_of_the_format() {
        // The version as bytes, in which the library would read what follows as fields.
        assert!(check(&[0x18, 2, 0x0d, 0xf1, 0]).is_err());
        // The schema as a list of numbers, as a list of one empty element, and as an empty list.
        assert!(check(&[0x15, 2, 0x19, 0x15, 4, 0]).is_err());
        assert!(check(&[0x15, 2, 0x19, 0x1c, 0, 0]).is_ok());
        assert!(check(&[0x15, 2, 0x19, 0, 0]).is_ok());
        // Inside an element: its name as a number.
        assert!(check(&[0x15, 2, 0x19, 0x1c, 0x46, 8, 0, 0]).is_err());
        // A field that nobody knows is left out, whatever it is: a list of two words.
        let clean = check(&[0x15, 2, 0xd9, 0x28, 1, 65, 1, 66, 0]).unwrap();
        assert_eq!(clean, [0x15, 2, 0]);
    }

    #[test]
    fn unions_have_one_field_and_empty_structures_are_empty() {
        // The order of one column: by type, by two rules at once, by none.
        let order = |inside: &[u8]| check(&[&[0x79, 0x1c][..], inside, &[0, 0]].concat());
        let clean = order(&[0x1c, 0]).unwrap();
        assert_eq!(clean, [0x79, 0xfc, 1, 0x1c, 0, 0, 0]);
        assert_eq!(order(&[0x1c, 0x15, 2, 0]).unwrap(), clean, "a number where nothing is read");
        assert!(order(&[0x1c, 0, 0x1c, 0]).is_err());
        assert!(order(&[]).is_err());
    }

    #[test]
    fn fields_far_apart_are_written_with_their_numbers() {
        let mut out = Vec::new();
        write_field(I32, 17, 0, &mut out);
        write_field(I32, 18, 17, &mut out);
        let mut thrift = Thrift { bytes: &out };
        let mut id = 0;
        assert_eq!((thrift.field(&mut id), id), (Some(Some(I32)), 17));
        assert_eq!((thrift.field(&mut id), id), (Some(Some(I32)), 18));
    }
}
