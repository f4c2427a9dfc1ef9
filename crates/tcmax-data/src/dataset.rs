//! What every data set is: examples of one or more modalities, with labels.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::Seed;
use tcmax_registry::Task;

use crate::error::Result;
use crate::identity::{bytes_of, identity_of};

/// What the numbers of a modality are, for the choice of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModalityKind {
    /// Log-magnitudes of shape \[channels, frequencies, times\].
    Spectrogram,
    /// Pixels of shape \[channels, height, width\], or of a clip's frames, \[channels, frames,
    /// height, width\].
    Image,
    /// A vector without spatial order.
    Features,
    /// Features of steps and a flag, \[steps, features + 1\]: the last column is 1 where a step is there and 0
    /// where the sequence is shorter.
    Sequence,
    /// The numbers of a text's tokens, \[tokens\], and -1 where it is shorter.
    Tokens,
}

/// One modality of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modality {
    /// Its name, such as `audio`.
    pub name: String,
    /// What its numbers are.
    pub kind: ModalityKind,
    /// The shape of one example's input.
    pub shape: Vec<usize>,
}

impl Modality {
    /// Numbers in one example's input.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether an input has no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Examples, each with one input per modality and, but for data to predict, a label.
pub trait Dataset: Send + Sync {
    /// The modalities, in the order of every per-modality list.
    fn modalities(&self) -> &[Modality];

    /// Names of the classes, of which labels are indices; of the labels, or of the numbers to predict, where
    /// [`Dataset::task`] says so.
    fn classes(&self) -> &[String];

    /// What is to be predicted.
    fn task(&self) -> Task {
        Task::Classes
    }

    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the examples have labels. Data without any have no classes of their own, and can only
    /// be predicted.
    fn is_labelled(&self) -> bool {
        !self.classes().is_empty()
    }

    /// The class of example `index`, below `classes().len()`; of no meaning unless
    /// [`Dataset::is_labelled`], and for other tasks than classes. Panics when `index` is not below [`Dataset::len`], as slices do.
    fn label(&self, index: usize) -> u32;

    /// Writes the target of example `index`, a value for each of [`Dataset::classes`]: 1 where it has a class or
    /// label and 0 where it has not, or the numbers to predict. Panics as [`Dataset::label`] does.
    fn target(&self, index: usize, out: &mut [f32]) {
        out.fill(0.0);
        if let Some(own) = out.get_mut(self.label(index) as usize) {
            *own = 1.0;
        }
    }

    /// What example `index` is called where it comes from: its id in a file, otherwise its row, from
    /// 0, in whatever split it is.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }

    /// Whether example `index` has an input of modality `modality`; an absent one reads as zeros.
    fn present(&self, index: usize, modality: usize) -> bool {
        let _ = (index, modality);
        true
    }

    /// Writes one input straight into a batch: `out` has the modality's length.
    /// Random augmentation, if the data set has any, draws from `seed` alone. All modalities of an
    /// example are read with the same seed, so that those which show the same thing can be cropped and
    /// flipped together; independent draws take `seed.index(modality)`.
    ///
    /// # Errors
    /// When the input cannot be read; panics on an index out of range, as slices do.
    fn read(&self, index: usize, modality: usize, seed: Seed, out: &mut [f32]) -> Result<()>;

    /// Whether reading an input of modality `modality` again, with another seed, may give other numbers.
    fn augments(&self, modality: usize) -> bool {
        let _ = modality;
        false
    }

    /// A number that identifies example `index` in whatever data set, split and position it is found:
    /// the same inputs have the same number, others have another (but for one chance in 2^64). Labels
    /// do not count. Checkpoints use it to know which examples a model was trained on.
    ///
    /// The default is a digest of the inputs, which are read for it. A data set that augments at
    /// random, or whose inputs are computed (other machines round differently), has to override it by a
    /// digest of what they are computed from; a subset of other data passes it on.
    ///
    /// # Errors
    /// When the input cannot be read; panics on an index out of range, as slices do.
    fn identity(&self, index: usize) -> Result<u64> {
        identity_of_inputs(self, index)
    }

    /// What else shows whether the inputs are the same, where [`Dataset::identity`] does not cover
    /// how they are stored and computed; nothing by default.
    fn storage_digest(&self) -> String {
        String::new()
    }

    /// What made the inputs of media, in the words of `tcmax-media`, so that others can be made alike;
    /// nothing by default.
    fn recipe(&self) -> Option<String> {
        None
    }
}

/// The three splits of a data set.
#[derive(Clone)]
pub struct Splits {
    /// What is learned from.
    pub train: Arc<dyn Dataset>,
    /// What the epoch to keep is chosen on.
    pub validation: Arc<dyn Dataset>,
    /// What the kept weights are tested on, once.
    pub test: Arc<dyn Dataset>,
}

/// A digest of the inputs of an example, absent ones marked.
pub(crate) fn identity_of_inputs<D: Dataset + ?Sized>(data: &D, index: usize) -> Result<u64> {
    let modalities = data.modalities();
    let mut inputs: Vec<Vec<u8>> = Vec::with_capacity(modalities.len());
    let mut values = Vec::new();
    for (m, modality) in modalities.iter().enumerate() {
        if !data.present(index, m) {
            inputs.push(Vec::new());
            continue;
        }
        values.clear();
        values.resize(modality.len(), 0f32);
        // Nothing is drawn from this seed: data that augment have an identity of their own.
        data.read(index, m, Seed::new(0).stream("identity"), &mut values)?;
        inputs.push(bytes_of(&values));
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    Ok(identity_of(&inputs))
}
