//! Features of encoders that never learn, computed once instead of every epoch.
//!
//! They are kept in the user's cache, under a name that says what they are of: the network's values, its settings,
//! and the split. So ten methods on frozen features cost what their heads cost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use tcmax_data::{Dataset, Splits, hexadecimal, write_whole};
use tcmax_datasets::fetch::cache_folder;

use super::agreed::said_by_all;
use super::loaders::{evaluation_loader, training_loader};
use super::run::Run;
use crate::config::Precision;
use crate::dealt::in_turn;
use crate::encoded_data::EncodedData;
use crate::{Model, Result};

/// What the features are called in their file.
const FEATURES: &str = "features";

/// What SHA-256 of the features is called in the header.
const DIGEST: &str = "sha256";

impl Run<'_> {
    /// Computes the features of every encoder that stays frozen in all epochs, of inputs that are the same in
    /// each, or takes them from the cache, which changes nothing: they are always those of batches in the order
    /// of the split.
    pub(super) fn encode_frozen(&mut self) -> Result<()> {
        let epochs = self.config.config().train.epochs;
        let is_frozen =
            |position: &usize| self.model.choices()[*position].1.training.frozen_epochs >= epochs;
        let frozen: Vec<usize> =
            (0..self.model.used_modalities().len()).filter(is_frozen).collect();
        for position in frozen {
            let m = self.model.used_modalities()[position];
            let all = [&self.splits.train, &self.splits.validation, &self.splits.test];
            if all.iter().any(|split| split.augments(m)) {
                continue;
            }
            let digests = [&self.data.data.train, &self.data.data.validation, &self.data.data.test];
            let network = digest_of_network(&self.model, position)?;
            let [train, validation, test] = [0, 1, 2]
                .map(|which| self.encode(all[which], position, &network, &digests[which].sha256));
            self.splits = Splits { train: train?, validation: validation?, test: test? };
            self.model.set_encoded(position);
            if let Some(teacher) = &mut self.teacher {
                teacher.set_encoded(position);
            }
        }
        self.train = training_loader(self.config, self.splits.train.clone(), self.device)?;
        let validation = self.splits.validation.clone();
        self.validation = (!validation.is_empty())
            .then(|| evaluation_loader(self.config, validation, self.device))
            .transpose()?;
        Ok(())
    }

    /// A split with features in place of one modality's inputs.
    fn encode(
        &self,
        split: &Arc<dyn Dataset>,
        position: usize,
        network: &str,
        data: &str,
    ) -> Result<Arc<dyn Dataset>> {
        let m = self.model.used_modalities()[position];
        let width = self.model.encoder(position).feature_width();
        let name = &split.modalities()[m].name;
        let is_cached = self.config.config().train.cache_features;
        let file = file_of(&[network, data, name]).filter(|_| is_cached);
        let expected = split.len() * width;
        let kept = file.as_deref().and_then(|file| read(file, expected));
        // Members compute them together, unless none has to.
        let group = self.model.members().group();
        let has_all = said_by_all(group, kept.is_some())?;
        let features = match kept {
            Some(features) if has_all => features,
            _ => {
                let features = self.features_of(split, position)?;
                if let Some(file) = &file {
                    // Without the cache they are computed again by the next run.
                    let _ = write(file, &features, [split.len(), width]);
                }
                features
            }
        };
        Ok(Arc::new(EncodedData::new(split.clone(), m, width, features)))
    }

    /// The features of all examples of a split, one after the other.
    fn features_of(&self, split: &Arc<dyn Dataset>, position: usize) -> Result<Vec<f32>> {
        if split.is_empty() {
            return Ok(Vec::new());
        }
        // Nothing is drawn from this seed: the inputs are the same for all.
        let seed = tcmax_ops::Seed::new(0).stream("frozen");
        let loader = evaluation_loader(self.config, split.clone(), self.device)?;
        let (members, width) = (self.model.members(), self.model.encoder(position).feature_width());
        let features = in_turn(members, (&loader, seed), &[width], |batch| {
            Ok(vec![self.model.encoded(batch, position)?.to_device(&Device::Cpu)?])
        })?;
        Ok(features[0].flatten_all()?.to_vec1::<f32>()?)
    }
}

/// SHA-256 of everything that an encoder's features depend on, but for its inputs.
fn digest_of_network(model: &Model, position: usize) -> Result<String> {
    let (prefix, choice) = &model.choices()[position];
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(choice.spec.name.as_bytes());
    add(choice.options.to_string().as_bytes());
    let training = &choice.training;
    if model.precision() != Precision::default() {
        add(format!("{:?}", model.precision()).as_bytes());
    }
    add(format!("{:?} {:?}", training.input_scale, training.input_shift).as_bytes());
    let prefix = format!("{prefix}.");
    for (name, var) in model.params().trainable().chain(model.params().buffers()) {
        if name.starts_with(&prefix) {
            add(name.as_bytes());
            let values =
                var.as_tensor().to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            add(&bytes);
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// The file of features in the user's cache, if there is a cache.
fn file_of(parts: &[&str]) -> Option<PathBuf> {
    let key = hexadecimal(&Sha256::digest(parts.join("\n")));
    Some(cache_folder().ok()?.join("features").join(format!("{key}.safetensors")))
}

/// So many features of a file; none where it is missing or damaged.
fn read(file: &Path, count: usize) -> Option<Vec<f32>> {
    let bytes = std::fs::read(file).ok()?;
    let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
    let wanted = header.metadata().as_ref()?.get(DIGEST)?.clone();
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let data = tensors.tensor(FEATURES).ok()?.data();
    let (numbers, rest) = data.as_chunks::<4>();
    let features: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let is_whole = rest.is_empty() && features.len() == count;
    (is_whole && hexadecimal(&Sha256::digest(data)) == wanted).then_some(features)
}

fn write(file: &Path, features: &[f32], shape: [usize; 2]) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(tcmax_data::Error::io(folder))?;
    let tensor = Tensor::from_slice(features, &shape, &Device::Cpu)?;
    let data: Vec<u8> = features.iter().flat_map(|value| value.to_le_bytes()).collect();
    let digest = HashMap::from([(DIGEST.to_owned(), hexadecimal(&Sha256::digest(&data)))]);
    let bytes = safetensors::serialize([(FEATURES, &tensor)], Some(digest))
        .map_err(|error| crate::Error::bad_file(file, error.to_string()))?;
    // Several runs may write the same features at the same time: each under a name of its own.
    let mut own = file.as_os_str().to_owned();
    own.push(format!(".{}-{:?}", std::process::id(), std::thread::current().id()));
    let own = PathBuf::from(own);
    write_whole(&own, &bytes)?;
    std::fs::rename(&own, file).map_err(|error| tcmax_data::Error::io(file)(error).into())
}
