//! Where all randomness starts.
//!
//! A [`Seed`] names a point in a tree: every consumer takes its own branch by name
//! ([`Seed::stream`]) or by number ([`Seed::index`]) and draws from the generator there. What one
//! consumer draws never shifts what another sees, so a run does not change when, say, a loader
//! gets more workers or a layer is built earlier.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A point in the tree of random streams.
///
/// ```
/// use rand::Rng;
/// use tcmax_ops::Seed;
///
/// let run = Seed::new(7);
/// let first: u64 = run.stream("shuffle").index(0).rng().random();
/// let again: u64 = Seed::new(7).stream("shuffle").index(0).rng().random();
/// assert_eq!(first, again);
/// assert_ne!(first, run.stream("shuffle").index(1).rng().random::<u64>());
/// assert_ne!(first, run.stream("noise").index(0).rng().random::<u64>());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The root of the tree for a run's seed number.
    pub fn new(number: u64) -> Self {
        Self::derive(b"tcmax", b"root", &number.to_le_bytes())
    }

    /// The branch called `name`.
    pub fn stream(self, name: &str) -> Self {
        Self::derive(&self.0, b"name", name.as_bytes())
    }

    /// The `number`-th branch, for epochs, samples and the like.
    pub fn index(self, number: u64) -> Self {
        Self::derive(&self.0, b"index", &number.to_le_bytes())
    }

    /// A generator that starts at this point (ChaCha8: the same numbers on every machine).
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// What the generator starts from, as its algorithm has it: words of 32 bits.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn words(self) -> [u32; 8] {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        words
    }

    fn derive(parent: &[u8], kind: &[u8], value: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(parent);
        hash.update(kind);
        hash.update(value);
        Self(hash.finalize().into())
    }
}
