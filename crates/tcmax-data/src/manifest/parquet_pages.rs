//! What the pages of a Parquet file claim, checked before the library allocates for them.
//!
//! A page's header says how long the page is unpacked and, of a dictionary, how many values it has; the
//! library believes both, up to 2 GiB of bytes and two billion values. Here the headers
//! (Thrift's compact protocol) are walked first. Source: `parquet.thrift` of the Parquet format.

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::thrift::{STRUCT, Thrift};

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
}
