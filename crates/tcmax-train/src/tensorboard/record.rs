//! How a message lies in an event file: its length as 8 bytes, a checksum of these, the message, a checksum of it;
//! all little-endian.
//!
//! Source: TensorFlow, "TFRecord and tf.train.Example".

/// The bytes of a record.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(message.len() + 16);
    bytes.extend(length);
    bytes.extend(masked(crc32c::crc32c(&length)).to_le_bytes());
    bytes.extend(message);
    bytes.extend(masked(crc32c::crc32c(message)).to_le_bytes());
    bytes
}

/// A checksum as it is stored: turned and shifted, so that checksums of bytes that hold checksums stay good.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_bytes_that_tensorflow_writes() {
        // RFC 3720, B.4: the CRC-32C of 32 zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        // The first record of every file but for its time: `step` 0 is not written.
        let message = [&[0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 13][..], b"brain.Event:2"].concat();
        let record = framed(&message);
        assert_eq!(record.len(), 24 + 16);
        assert_eq!(record[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(record[12..36], message[..]);
    }
}
