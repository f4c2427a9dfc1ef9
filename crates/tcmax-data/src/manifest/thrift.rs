//! Thrift's compact protocol, in which Parquet files describe themselves: enough to walk structures.

/// Bytes that are read from the front.
pub(super) struct Thrift<'a> {
    pub(super) bytes: &'a [u8],
}

/// The type of a structure.
pub(super) const STRUCT: u8 = 12;

/// The type of a list.
pub(super) const LIST: u8 = 9;

impl Thrift<'_> {
    /// Type and number of the next field; none at the end of the structure.
    pub(super) fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.integer()?,
            step => id.checked_add(i64::from(step))?,
        };
        // Numbers have 16 bits: of others only these would count.
        i16::try_from(*id).ok()?;
        Some(Some(byte & 15))
    }

    /// Type and number of the elements of a list.
    pub(super) fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.variable()?,
            count => u64::from(count),
        };
        Some((head & 15, count))
    }

    /// Passes over a value of some type.
    pub(super) fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
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
                let (element, count) = self.list()?;
                // Of truth values the library skips no bytes, however many there are; nothing in the
                // format has lists of them.
                if matches!(element, 1 | 2) {
                    return None;
                }
                for _ in 0..count {
                    self.skip(element, depth + 1)?;
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

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    fn take(&mut self, length: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    /// Seven bits per byte, the lowest first.
    pub(super) fn variable(&mut self) -> Option<u64> {
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
    pub(super) fn integer(&mut self) -> Option<i64> {
        let value = self.variable()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
