//! What data a run was trained on: enough to tell whether others are the same, and which of them it
//! has seen.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tcmax_data::{Dataset, Splits, Task, hexadecimal};

use crate::Result;

/// One split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitIdentity {
    /// Its examples.
    pub examples: usize,
    /// SHA-256 of their inputs, labels and order, and of the modalities.
    pub sha256: String,
}

/// The data of a run, split by split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIdentity {
    /// What was learned from.
    pub train: SplitIdentity,
    /// What the epoch to keep was chosen on.
    pub validation: SplitIdentity,
    /// What was tested on.
    pub test: SplitIdentity,
}

/// The identity of some splits, and a number for each example, in order of train, validation and test
/// (see [`Dataset::identity`]).
#[derive(Clone, Debug)]
pub struct Identified {
    /// What the splits are.
    pub data: DataIdentity,
    /// A number for each example of each split.
    pub examples: [Vec<u64>; 3],
}

impl Identified {
    /// Reads what is needed of every example.
    ///
    /// # Errors
    /// When an example cannot be read.
    pub fn of(splits: &Splits) -> Result<Self> {
        let (train, train_examples) = split(splits.train.as_ref())?;
        let (validation, validation_examples) = split(splits.validation.as_ref())?;
        let (test, test_examples) = split(splits.test.as_ref())?;
        Ok(Self {
            data: DataIdentity { train, validation, test },
            examples: [train_examples, validation_examples, test_examples],
        })
    }
}

impl DataIdentity {
    /// SHA-256 of all splits together.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for split in [&self.train, &self.validation, &self.test] {
            hash.update(split.sha256.as_bytes());
            hash.update((split.examples as u64).to_le_bytes());
        }
        hexadecimal(&hash.finalize())
    }

    /// The splits in which the other data differ, in words; empty when they are the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let splits = [
            ("training", &self.train, &other.train),
            ("validation", &self.validation, &other.validation),
            ("test", &self.test, &other.test),
        ];
        let differing = splits.iter().filter(|(_, own, other)| own != other);
        let words = differing.map(|(name, own, other)| match own.examples == other.examples {
            true => format!("the {name} split has other examples"),
            false => {
                let (now, then) = (other.examples, own.examples);
                format!("the {name} split has {now} examples and had {then}")
            }
        });
        words.collect()
    }
}

fn split(data: &dyn Dataset) -> Result<(SplitIdentity, Vec<u64>)> {
    let examples = identities(data)?;
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for modality in data.modalities() {
        add(modality.name.as_bytes());
        add(format!("{:?} {:?}", modality.kind, modality.shape).as_bytes());
    }
    add(data.storage_digest().as_bytes());
    if data.task() != Task::Classes {
        add(data.task().name().as_bytes());
        data.classes().iter().for_each(|name| add(name.as_bytes()));
    }
    for (index, identity) in examples.iter().enumerate() {
        add(&identity.to_le_bytes());
        match data.task() {
            Task::Classes => {
                // By name: the number of a class changes when another is added.
                let class = data.classes().get(data.label(index) as usize);
                add(class.map_or(&[][..], |name| name.as_bytes()));
            }
            Task::Labels | Task::Regression => {
                let mut target = vec![0f32; data.classes().len()];
                data.target(index, &mut target);
                add(&target.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
        let present = |m| u8::from(data.present(index, m));
        add(&(0..data.modalities().len()).map(present).collect::<Vec<u8>>());
    }
    let sha256 = hexadecimal(&hash.finalize());
    Ok((SplitIdentity { examples: examples.len(), sha256 }, examples))
}

/// A number for each example (see [`Dataset::identity`]).
///
/// # Errors
/// When an example cannot be read.
pub fn identities(data: &dyn Dataset) -> Result<Vec<u64>> {
    let all = (0..data.len()).into_par_iter().map(|index| data.identity(index));
    Ok(all.collect::<tcmax_data::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcmax_datasets::{SyntheticConfig, synthetic};

    fn small(train_size: usize) -> SyntheticConfig {
        SyntheticConfig { train_size, val_size: 4, test_size: 5, ..SyntheticConfig::default() }
    }

    #[test]
    fn the_same_data_have_the_same_identity_and_others_say_where_they_differ() {
        let of = |config: &SyntheticConfig, seed| {
            Identified::of(&synthetic::splits(config, seed).unwrap()).unwrap()
        };
        let first = of(&small(6), 0);
        assert_eq!(first.data, of(&small(6), 0).data);
        let more = of(&small(7), 0);
        assert_eq!(
            first.data.differences(&more.data),
            ["the training split has 7 examples and had 6"]
        );
        assert_eq!(first.examples[0], more.examples[0][..6]);
        let other = of(&small(6), 1);
        assert_eq!(first.data.differences(&other.data).len(), 3);
        assert!(first.examples[0].iter().all(|example| !other.examples[0].contains(example)));
    }
}
