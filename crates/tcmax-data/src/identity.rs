//! Numbers that stand for examples: see [`Dataset::identity`].

use sha2::{Digest, Sha256};
use tcmax_ops::Seed;

use crate::{Dataset, Result};

/// The first 64 bits of a SHA-256 digest of some parts, each with its length.
///
/// ```
/// use tcmax_data::identity_of;
///
/// assert_eq!(identity_of(&[b"a", b"bc"]), identity_of(&[b"a", b"bc"]));
/// assert_ne!(identity_of(&[b"a", b"bc"]), identity_of(&[b"ab", b"c"]));
/// ```
pub fn identity_of(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// The bits of numbers, the same on every machine.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A digest of the inputs of an example, absent ones marked.
pub(crate) fn of_inputs<D: Dataset + ?Sized>(data: &D, index: usize) -> Result<u64> {
    let modalities = data.modalities();
    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(modalities.len());
    let mut values = Vec::new();
    for (m, modality) in modalities.iter().enumerate() {
        if !data.present(index, m) {
            parts.push(Vec::new());
            continue;
        }
        values.clear();
        values.resize(modality.len(), 0f32);
        // Nothing is drawn from this seed: data that augment have an identity of their own.
        data.read(index, m, Seed::new(0).stream("identity"), &mut values)?;
        parts.push(bytes_of(&values));
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(identity_of(&parts))
}
