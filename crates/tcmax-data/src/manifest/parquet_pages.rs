//! What the pages of a Parquet file claim, checked before the library allocates for them.
//!
//! A page's header says how long the page is unpacked and, of a dictionary, how many values it has; the
//! library believes both, up to 2 GiB of bytes and two billion values. Here the headers
//! (Thrift's compact protocol) are walked first. Source: `parquet.thrift` of the Parquet format.

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Pages have about a megabyte; those of long texts about ten times that.
const LARGEST_PAGE: i64 = 32 << 20;
/// Larger ones may be at most so many times as large as their compressed bytes; text compresses two to
/// five times.
const LARGEST_RATIO: i64 = 12;
/// All pages together, unless the file itself is large.
const LARGEST_TOTAL: i64 = 256 << 20;
const LARGEST_TOTAL_RATIO: i64 = 32;

/// Encodings whose lengths are only known inside the pages.
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const DELTA_BYTE_ARRAY: i64 = 7;

/// Checks that the footer of a Parquet file's `bytes` is made of structures whose lists are inside the file:
/// the library goes through a list of unknown fields as often as it claims, which may be for minutes.
///
/// # Errors
/// When it is not.
pub(super) fn check_footer(bytes: &[u8]) -> Result<(), String> {
    let footer = bytes.split_last_chunk::<8>().and_then(|(rest, tail)| {
        let [a, b, c, d, ..] = *tail;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        rest.get(rest.len().checked_sub(length)?..)
    });
    let read = footer.and_then(|footer| Thrift { bytes: footer }.skip(STRUCT, 0));
    read.ok_or_else(|| "not a readable Parquet file: its footer is damaged".to_owned())
}

/// Checks every page of every column of a Parquet file's `bytes`.
///
/// # Errors
/// What a page claims that is impossible.
pub(super) fn check_pages(bytes: &[u8], metadata: &ParquetMetaData) -> Result<(), String> {
    let mut total = 0i64;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err("a number of rows is negative; the file is damaged".to_owned());
        }
        for column in group.columns() {
            total = total.saturating_add(check_column(bytes, column)?);
        }
    }
    let most = LARGEST_TOTAL.max(LARGEST_TOTAL_RATIO.saturating_mul(bytes.len() as i64));
    if total > most {
        let problem = format!(
            "its {} bytes unpack to {total}, more than the {most} that are read; save it uncompressed",
            bytes.len()
        );
        return Err(problem);
    }
    Ok(())
}

/// Bytes of a column's pages, unpacked.
fn check_column(bytes: &[u8], column: &ColumnChunkMetaData) -> Result<i64, String> {
    let name = column.column_path().string();
    let bad = |what: &str| format!("column '{name}': {what}; the file is damaged");
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let range = usize::try_from(start).ok().zip(usize::try_from(column.compressed_size()).ok());
    let chunk = range
        .and_then(|(start, length)| bytes.get(start..start.checked_add(length)?))
        .filter(|_| column.num_values() >= 0 && column.data_page_offset() >= 0)
        .ok_or_else(|| bad("its pages are not inside the file"))?;
    let mut reader = Thrift { bytes: chunk };
    let mut total = 0;
    while !reader.bytes.is_empty() {
        let page = reader.page().ok_or_else(|| bad("a page's header cannot be read"))?;
        let length = usize::try_from(page.compressed)
            .ok()
            .filter(|&length| length <= reader.bytes.len())
            .ok_or_else(|| bad("a page is not inside its column"))?;
        let stored = column.compression() == Compression::UNCOMPRESSED;
        let most = LARGEST_PAGE.max(LARGEST_RATIO.saturating_mul(page.compressed));
        if page.unpacked < 0 || (stored && page.unpacked != page.compressed) {
            return Err(bad("a page's lengths do not fit each other"));
        }
        if page.unpacked > most {
            return Err(format!(
                "column '{name}': a page of {length} bytes claims to unpack to {}; save it uncompressed",
                page.unpacked
            ));
        }
        let value = value_size(column);
        if page.dictionary_values.saturating_mul(value) > page.unpacked
            || page.dictionary_values < 0
        {
            return Err(bad("a dictionary claims more values than it has bytes"));
        }
        if matches!(page.encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY) {
            return Err(format!(
                "column '{name}' has words in a delta encoding; save it with plain or dictionary encoding"
            ));
        }
        total += page.unpacked;
        reader.bytes = &reader.bytes[length..];
    }
    Ok(total)
}

/// Bytes of the smallest value in a dictionary.
fn value_size(column: &ColumnChunkMetaData) -> i64 {
    match column.column_type() {
        Type::BOOLEAN => 1,
        // The length before it.
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => i64::from(column.column_descr().type_length().max(1)),
    }
}

#[derive(Default)]
struct PageHeader {
    unpacked: i64,
    compressed: i64,
    dictionary_values: i64,
    encoding: i64,
}

/// Thrift's compact protocol.
struct Thrift<'a> {
    bytes: &'a [u8],
}

const STRUCT: u8 = 12;

impl Thrift<'_> {
    fn page(&mut self) -> Option<PageHeader> {
        let mut page = PageHeader { unpacked: -1, compressed: -1, ..PageHeader::default() };
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (2, 5) => page.unpacked = self.integer()?,
                (3, 5) => page.compressed = self.integer()?,
                (5, STRUCT) => page.encoding = self.integer_of(2)?,
                (7, STRUCT) => page.dictionary_values = self.integer_of(1)?,
                (8, STRUCT) => page.encoding = self.integer_of(4)?,
                _ => self.skip(kind, 0)?,
            }
        }
        Some(page)
    }

    /// The integer field `wanted` of a structure; 0 where it is not there.
    fn integer_of(&mut self, wanted: i64) -> Option<i64> {
        let (mut id, mut found) = (0, 0);
        while let Some(kind) = self.field(&mut id)? {
            if id == wanted && (3..=6).contains(&kind) {
                found = self.integer()?;
            } else {
                self.skip(kind, 1)?;
            }
        }
        Some(found)
    }

    /// Type and number of the next field; none at the end of the structure.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.integer()?,
            step => id.checked_add(i64::from(step))?,
        };
        Some(Some(byte & 15))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > 16 {
            return None;
        }
        match kind {
            // Truth values are in the field's type.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.variable()?),
            7 => drop(self.take(8)?),
            8 => {
                let length = self.variable()?;
                self.take(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.variable()?,
                    count => u64::from(count),
                };
                // Of truth values the library skips no bytes, however many there are; nothing in the
                // format has lists of them.
                if matches!(head & 15, 1 | 2) {
                    return None;
                }
                for _ in 0..count {
                    self.skip(head & 15, depth + 1)?;
                }
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    fn take(&mut self, length: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    /// Seven bits per byte, the lowest first.
    fn variable(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// The sign is the lowest bit.
    fn integer(&mut self) -> Option<i64> {
        let value = self.variable()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_cut_ones_are_not() {
        // type 0, unpacked 21, compressed 9, a data page of 3 values in encoding 7, a list to skip.
        let bytes =
            [0x15, 0, 0x15, 42, 0x15, 18, 0x2c, 0x15, 6, 0x15, 14, 0, 0x69, 0x28, 1, 65, 1, 66, 0];
        let page = Thrift { bytes: &bytes }.page().unwrap();
        assert_eq!((page.unpacked, page.compressed, page.encoding), (21, 9, 7));
        assert!((0..bytes.len()).all(|end| Thrift { bytes: &bytes[..end] }.page().is_none()));
    }

    #[test]
    fn footers_with_endless_lists_are_refused() {
        // A field 15 that nobody knows: a list of two billion truth values, in six bytes.
        let list = [0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        let file = |footer: &[u8]| {
            let length = (footer.len() as u32).to_le_bytes();
            [b"PAR1", footer, &length, b"PAR1"].concat()
        };
        assert!(check_footer(&file(&list)).is_err());
        assert!(check_footer(&file(&[0x15, 2, 0])).is_ok(), "a version and nothing else");
        assert!(check_footer(&file(&[0x15, 2])).is_err(), "cut");
        assert!(check_footer(b"PAR1").is_err());
        let beyond = [&b"PAR1"[..], &u32::MAX.to_le_bytes(), b"PAR1"].concat();
        assert!(check_footer(&beyond).is_err());
    }
}
