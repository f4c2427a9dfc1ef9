//! Data with the features of a frozen encoder in place of one modality's inputs.

use std::sync::Arc;

use tcmax_data::{Dataset, Modality, ModalityKind, Result, Task};
use tcmax_ops::Seed;

/// A data set of which one modality was encoded.
pub(crate) struct EncodedData {
    data: Arc<dyn Dataset>,
    modalities: Vec<Modality>,
    /// Which modality.
    encoded: usize,
    /// Features of all examples, one after the other.
    features: Vec<f32>,
}

impl EncodedData {
    /// `data` with `width` features of each example as modality `encoded`.
    pub(crate) fn new(
        data: Arc<dyn Dataset>,
        encoded: usize,
        width: usize,
        features: Vec<f32>,
    ) -> Self {
        let mut modalities = data.modalities().to_vec();
        modalities[encoded].kind = ModalityKind::Features;
        modalities[encoded].shape = vec![width];
        Self { data, modalities, encoded, features }
    }
}

impl Dataset for EncodedData {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    fn classes(&self) -> &[String] {
        self.data.classes()
    }

    fn task(&self) -> Task {
        self.data.task()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn is_labelled(&self) -> bool {
        self.data.is_labelled()
    }

    fn label(&self, index: usize) -> u32 {
        self.data.label(index)
    }

    fn target(&self, index: usize, out: &mut [f32]) {
        self.data.target(index, out);
    }

    fn id(&self, index: usize) -> String {
        self.data.id(index)
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.data.present(index, modality)
    }

    fn read(&self, index: usize, modality: usize, seed: Seed, out: &mut [f32]) -> Result<()> {
        if modality != self.encoded {
            return self.data.read(index, modality, seed, out);
        }
        out.copy_from_slice(&self.features[index * out.len()..][..out.len()]);
        Ok(())
    }

    fn augments(&self, modality: usize) -> bool {
        modality != self.encoded && self.data.augments(modality)
    }

    fn identity(&self, index: usize) -> Result<u64> {
        self.data.identity(index)
    }

    fn storage_digest(&self) -> String {
        self.data.storage_digest()
    }

    fn recipe(&self) -> Option<String> {
        self.data.recipe()
    }
}
