//! Numbers that identify examples: see [`Dataset::identity`](crate::Dataset::identity).

use sha2::{Digest, Sha256};

/// The first 64 bits of a SHA-256 digest of some byte strings, each with its length.
///
/// ```
/// use tcmax_data::identity_of;
///
/// assert_eq!(identity_of(&[b"a", b"bc"]), identity_of(&[b"a", b"bc"]));
/// assert_ne!(identity_of(&[b"a", b"bc"]), identity_of(&[b"ab", b"c"]));
/// ```
pub fn identity_of(strings: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for bytes in strings {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// [`identity_of`] the bits of numbers, the same on every machine.
pub fn identity_of_values(values: &[f32]) -> u64 {
    identity_of(&[&bytes_of(values)])
}

/// The bits of numbers.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
