//! The footer of a Parquet file, checked before the library reads it.
//!
//! The library does not compare the types that fields claim with those that it reads, and goes through a list of
//! truth values that it does not know without reading a byte of it, as often as the list claims: a few bytes keep
//! it busy for minutes. Here the fields have the types of the format, so that both read the same bytes as the
//! same things, and lists are inside the file. Source: `parquet.thrift` of the Parquet format.

use super::thrift::{LIST, STRUCT, Thrift};

/// The fields of a structure that the library reads: number, type, and what is inside structures and lists of
/// them.
struct Fields(&'static [(i64, u8, &'static Fields)]);

const TRUTH: u8 = 1;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BYTES: u8 = 8;

/// Nothing inside is read, or there are no structures inside.
const PLAIN: &Fields = &Fields(&[]);

const TIME_UNIT: &Fields = &Fields(&[(1, STRUCT, PLAIN), (2, STRUCT, PLAIN), (3, STRUCT, PLAIN)]);
const TIME: &Fields = &Fields(&[(1, TRUTH, PLAIN), (2, STRUCT, TIME_UNIT)]);
const LOGICAL_TYPE: &Fields = &Fields(&[
    (1, STRUCT, PLAIN),
    (2, STRUCT, PLAIN),
    (3, STRUCT, PLAIN),
    (4, STRUCT, PLAIN),
    (5, STRUCT, &Fields(&[(1, I32, PLAIN), (2, I32, PLAIN)])),
    (6, STRUCT, PLAIN),
    (7, STRUCT, TIME),
    (8, STRUCT, TIME),
    (10, STRUCT, &Fields(&[(1, I8, PLAIN), (2, TRUTH, PLAIN)])),
    (11, STRUCT, PLAIN),
    (12, STRUCT, PLAIN),
    (13, STRUCT, PLAIN),
    (14, STRUCT, PLAIN),
    (15, STRUCT, PLAIN),
    (16, STRUCT, &Fields(&[(1, I8, PLAIN)])),
    (17, STRUCT, &Fields(&[(1, BYTES, PLAIN)])),
    (18, STRUCT, &Fields(&[(1, BYTES, PLAIN), (2, I32, PLAIN)])),
]);
const SCHEMA_ELEMENT: &Fields = &Fields(&[
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
const KEY_VALUE: &Fields = &Fields(&[(1, BYTES, PLAIN), (2, BYTES, PLAIN)]);
const STATISTICS: &Fields = &Fields(&[
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
const BOUNDS: &Fields = &Fields(&[
    (1, DOUBLE, PLAIN),
    (2, DOUBLE, PLAIN),
    (3, DOUBLE, PLAIN),
    (4, DOUBLE, PLAIN),
    (5, DOUBLE, PLAIN),
    (6, DOUBLE, PLAIN),
    (7, DOUBLE, PLAIN),
    (8, DOUBLE, PLAIN),
]);
const COLUMN_METADATA: &Fields = &Fields(&[
    (1, I32, PLAIN),
    (2, LIST, PLAIN),
    (3, LIST, PLAIN),
    (4, I32, PLAIN),
    (5, I64, PLAIN),
    (6, I64, PLAIN),
    (7, I64, PLAIN),
    (8, LIST, KEY_VALUE),
    (9, I64, PLAIN),
    (10, I64, PLAIN),
    (11, I64, PLAIN),
    (12, STRUCT, STATISTICS),
    (13, LIST, &Fields(&[(1, I32, PLAIN), (2, I32, PLAIN), (3, I32, PLAIN)])),
    (14, I64, PLAIN),
    (15, I32, PLAIN),
    (16, STRUCT, &Fields(&[(1, I64, PLAIN), (2, LIST, PLAIN), (3, LIST, PLAIN)])),
    (17, STRUCT, &Fields(&[(1, STRUCT, BOUNDS), (2, LIST, PLAIN)])),
]);
const COLUMN_CHUNK: &Fields = &Fields(&[
    (1, BYTES, PLAIN),
    (2, I64, PLAIN),
    (3, STRUCT, COLUMN_METADATA),
    (4, I64, PLAIN),
    (5, I32, PLAIN),
    (6, I64, PLAIN),
    (7, I32, PLAIN),
    (8, STRUCT, PLAIN),
    (9, BYTES, PLAIN),
]);
const ROW_GROUP: &Fields = &Fields(&[
    (1, LIST, COLUMN_CHUNK),
    (2, I64, PLAIN),
    (3, I64, PLAIN),
    (4, LIST, &Fields(&[(1, I32, PLAIN), (2, TRUTH, PLAIN), (3, TRUTH, PLAIN)])),
    (5, I64, PLAIN),
    (6, I64, PLAIN),
    (7, I16, PLAIN),
]);
const FILE_METADATA: &Fields = &Fields(&[
    (1, I32, PLAIN),
    (2, LIST, SCHEMA_ELEMENT),
    (3, I64, PLAIN),
    (4, LIST, ROW_GROUP),
    (5, LIST, KEY_VALUE),
    (6, BYTES, PLAIN),
    (7, LIST, &Fields(&[(1, STRUCT, PLAIN), (2, STRUCT, PLAIN)])),
    (8, STRUCT, PLAIN),
    (9, BYTES, PLAIN),
]);

/// Checks the footer in a Parquet file's `bytes`.
///
/// # Errors
/// When it is not there, or is not what the format says.
pub(super) fn check_footer(bytes: &[u8]) -> Result<(), String> {
    let footer = bytes.split_last_chunk::<8>().and_then(|(rest, tail)| {
        let [a, b, c, d, ..] = *tail;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        rest.get(rest.len().checked_sub(length)?..)
    });
    let read = footer.and_then(|footer| structure(&mut Thrift { bytes: footer }, FILE_METADATA));
    read.ok_or_else(|| "not a readable Parquet file: its footer is damaged".to_owned())
}

/// Walks a structure; `None` where it is not what it should be.
fn structure(thrift: &mut Thrift<'_>, fields: &Fields) -> Option<()> {
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        let known = fields.0.iter().find(|(number, ..)| *number == id);
        let Some((_, wanted, inside)) = known else {
            thrift.skip(kind, 0)?;
            continue;
        };
        // A truth value is in the type of its field: 1 or 2.
        if kind != *wanted && !(*wanted == TRUTH && kind == 2) {
            return None;
        }
        match kind {
            STRUCT => structure(thrift, inside)?,
            LIST if !inside.0.is_empty() => {
                let (element, count) = thrift.list()?;
                // An empty list may have any type of elements.
                if count > 0 && element != STRUCT {
                    return None;
                }
                (0..count).try_for_each(|_| structure(thrift, inside))?;
            }
            kind => thrift.skip(kind, 0)?,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(footer: &[u8]) -> Result<(), String> {
        let length = (footer.len() as u32).to_le_bytes();
        check_footer(&[b"PAR1", footer, &length, b"PAR1"].concat())
    }

    #[test]
    fn footers_with_endless_lists_are_refused() {
        // A field 15 that nobody knows: a list of two billion truth values, in six bytes.
        assert!(check(&[0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0]).is_err());
        assert!(check(&[0x15, 2, 0]).is_ok(), "a version and nothing else");
        assert!(check(&[0x15, 2]).is_err(), "cut");
        assert!(check_footer(b"PAR1").is_err());
        let beyond = [&b"PAR1"[..], &u32::MAX.to_le_bytes(), b"PAR1"].concat();
        assert!(check_footer(&beyond).is_err());
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
        // A field that nobody knows is skipped, whatever it is: a list of two words.
        assert!(check(&[0x15, 2, 0xd9, 0x28, 1, 65, 1, 66, 0]).is_ok());
    }
}
