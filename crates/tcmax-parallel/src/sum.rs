//! Sums of vectors in one order, that of a binary tree, and numbers as bytes.

use std::ops::Add;

use crate::error::{Error, Result};

/// What can be added: `f32` and `f64`.
pub(crate) trait Number:
    Copy + Add<Output = Self> + Default + Send + Sync + 'static
{
    /// Bytes of one.
    const BYTES: usize;

    /// Their bytes, at the end of others.
    fn write(numbers: &[Self], bytes: &mut Vec<u8>);

    /// The numbers with these bytes; a part of a number at the end is left out.
    fn read(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const BYTES: usize = size_of::<Self>();

            fn write(numbers: &[Self], bytes: &mut Vec<u8>) {
                let start = bytes.len();
                bytes.resize(start + numbers.len() * Self::BYTES, 0);
                let (places, _) = bytes[start..].as_chunks_mut::<{ size_of::<Self>() }>();
                for (place, number) in places.iter_mut().zip(numbers) {
                    *place = number.to_le_bytes();
                }
            }

            fn read(bytes: &[u8]) -> Vec<Self> {
                let (numbers, _) = bytes.as_chunks::<{ size_of::<Self>() }>();
                numbers.iter().map(|bytes| Self::from_le_bytes(*bytes)).collect()
            }
        }
    };
}

number!(f32);
number!(f64);

/// Numbers that are added at a time, so that sums of parts stay in the cache.
const BLOCK: usize = 1 << 12;

/// The elementwise sum of equally long vectors in the order of a binary tree: the first half, then the second.
pub(crate) fn add_tree<T: Number>(vectors: &[&[T]], sums: &mut [T]) {
    for (block, sums) in sums.chunks_mut(BLOCK).enumerate() {
        let start = block * BLOCK;
        let parts: Vec<&[T]> = vectors.iter().map(|v| &v[start..start + sums.len()]).collect();
        add_halves(&parts, sums);
    }
}

fn add_halves<T: Number>(vectors: &[&[T]], sums: &mut [T]) {
    match vectors {
        [] => {}
        [one] => sums.copy_from_slice(one),
        _ => {
            let (first, second) = vectors.split_at(vectors.len() / 2);
            add_halves(first, sums);
            let mut others = vec![T::default(); sums.len()];
            add_halves(second, &mut others);
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum = *sum + other;
            }
        }
    }
}

/// A range of the numbers of several vectors.
pub(crate) fn to_bytes<T: Number>(vectors: &[&[T]], range: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(vectors.len() * range.len() * T::BYTES);
    for vector in vectors {
        T::write(&vector[range.clone()], &mut bytes);
    }
    bytes
}

/// The `wanted` numbers that member `rank` gave.
pub(crate) fn to_numbers<T: Number>(bytes: &[u8], rank: usize, wanted: usize) -> Result<Vec<T>> {
    if bytes.len() != wanted * T::BYTES {
        let problem = "members add vectors of different lengths";
        return Err(Error::Damaged { rank, bytes: bytes.len(), problem });
    }
    Ok(T::read(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_a_tree_of_halves() {
        // 1e16 swallows a 1 that comes alone, and not two of them.
        let vectors: [&[f64]; 4] = [&[1e16], &[-1e16], &[1.0], &[1.0]];
        let mut sum = [0.0];
        add_tree(&vectors, &mut sum);
        assert_eq!(sum, [2.0]);
        let vectors: [&[f64]; 3] = [&[1e16], &[1.0], &[1.0]];
        add_tree(&vectors, &mut sum);
        assert_eq!(sum, [1e16 + 2.0]);
    }

    #[test]
    fn blocks_change_nothing() {
        let long: Vec<Vec<f32>> = (0..5)
            .map(|i| (0..2 * BLOCK + 7).map(|j| (i * 31 + j) as f32 / 7.0).collect())
            .collect();
        let vectors: Vec<&[f32]> = long.iter().map(Vec::as_slice).collect();
        let mut sums = vec![0.0; 2 * BLOCK + 7];
        add_tree(&vectors, &mut sums);
        for (j, sum) in sums.iter().enumerate() {
            let v = |i: usize| long[i][j];
            assert_eq!(*sum, (v(0) + v(1)) + (v(2) + (v(3) + v(4))), "{j}");
        }
    }
}
