//! Line numbers of CSV records.

/// The line, from 1, on which `record` begins in the `bytes` it was read from.
///
/// The reader's own count is that before the end of the last line is wholly taken: it lags where
/// lines end in a carriage return and a line feed, and where lines are empty.
pub fn line_of(bytes: &[u8], record: &csv::ByteRecord) -> u64 {
    let Some(position) = record.position() else { return 1 };
    let rest = usize::try_from(position.byte()).ok().and_then(|start| bytes.get(start..));
    let between = rest.unwrap_or_default().iter().take_while(|byte| b"\r\n".contains(byte));
    position.line() + between.filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for text in ["a,1\n\nb,2\nc,3\n", "a,1\r\n\r\nb,2\r\nc,3\r\n"] {
            let mut reader =
                csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
            let lines: Vec<u64> = reader
                .byte_records()
                .map(|record| line_of(text.as_bytes(), &record.unwrap()))
                .collect();
            assert_eq!(lines, [1, 3, 4], "{text:?}");
        }
    }
}
