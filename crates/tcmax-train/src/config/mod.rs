//! Settings of a training run: parsed anywhere, checked once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tcmax_encoders::{EncoderSpec, MLP, RESNET_SLIM};
use tcmax_fusion::HeadSpec;
use tcmax_losses::MethodSpec;
use tcmax_registry::{Options, Table};

use crate::dataset::DatasetConfig;
use crate::{Error, Registry, Result, StepDecay};

/// Everything that determines a run but its seed, as it stands in configuration files.
///
/// The defaults are the recipe of the main experiment: small ResNets, SGD with learning rate 0.05,
/// momentum 0.9, weight decay 1e-4, batches of 32, 40 epochs, rate x 0.1 after three quarters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// What to train by, as `tcmax methods` lists them.
    pub method: String,
    /// Fusion head, as `tcmax methods` lists them; empty for the one the method comes with.
    pub head: String,
    /// Modalities to use, by name; empty for all.
    pub modalities: Vec<String>,
    /// The encoder of every modality.
    pub encoder: EncoderConfig,
    /// Units of each layer of the perceptron that encodes feature vectors.
    pub mlp_widths: Vec<usize>,
    /// Bring feature vectors to mean 0 and standard deviation 1 by the training split, entry by entry;
    /// batch norm alone loses features of small numbers.
    pub standardise: bool,
    /// Epochs, at least 1.
    pub epochs: usize,
    /// Examples in a batch, at least 2 (batch statistics need two).
    pub batch_size: usize,
    /// Leave out the last batch of an epoch when it is not full.
    pub drop_last: bool,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Momentum of SGD, in [0, 1).
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Epochs between two drops of the learning rate; absent: once, after three quarters.
    pub lr_step: Option<usize>,
    /// Factor of each drop.
    pub lr_gamma: f64,
    /// Largest norm of all gradients together; absent: no clipping.
    pub clip_norm: Option<f64>,
    /// Loader threads; they never change results, and are no part of what is saved with them.
    #[serde(skip_serializing)]
    pub workers: usize,
    /// Options of methods, by the name of the method; those of others than `method` are not used.
    pub method_options: BTreeMap<String, Table>,
    /// Options of the head.
    pub head_options: Table,
    /// The data set and its options.
    pub dataset: DatasetConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            method: tcmax_losses::methods::tcmax::TCMAX.name.to_owned(),
            head: String::new(),
            modalities: Vec::new(),
            encoder: EncoderConfig::default(),
            mlp_widths: vec![128, 128],
            standardise: true,
            epochs: 40,
            batch_size: 32,
            drop_last: false,
            learning_rate: 0.05,
            momentum: 0.9,
            weight_decay: 1e-4,
            lr_step: None,
            lr_gamma: 0.1,
            clip_norm: None,
            workers: 1,
            method_options: BTreeMap::new(),
            head_options: Table::new(),
            dataset: DatasetConfig::default(),
        }
    }
}

/// The network that encodes every modality whose inputs it takes; feature vectors have a perceptron
/// ([`TrainConfig::mlp_widths`]) otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EncoderConfig {
    /// Its name.
    pub network: String,
    /// Its options.
    #[serde(flatten)]
    pub options: Table,
}

impl EncoderConfig {
    /// The small ResNet with `width` channels in the first stage.
    pub fn resnet_slim(width: u32) -> Self {
        let options = Table::from_iter([("width".to_owned(), width.into())]);
        Self { network: RESNET_SLIM.name.to_owned(), options }
    }
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self { network: RESNET_SLIM.name.to_owned(), options: Table::new() }
    }
}

/// Settings that have been checked; only these can run.
#[derive(Clone, Debug)]
pub struct CheckedConfig {
    config: TrainConfig,
    method: &'static MethodSpec,
    head: &'static HeadSpec,
    encoder: &'static EncoderSpec,
    registry: Registry,
}

/// Most epochs: every one of them is in the checkpoint's header, which may have 100 MB.
const MOST_EPOCHS: usize = 100_000;
/// Most loader threads.
const MOST_WORKERS: usize = 256;

impl TrainConfig {
    /// Reads settings as they stand in a configuration file; what is not there has its default.
    ///
    /// ```
    /// let config = tcmax_train::TrainConfig::from_toml("epochs = 3\n[dataset]\nname = \"av-digits\"")?;
    /// assert_eq!(config.epochs, 3);
    /// let error = tcmax_train::TrainConfig::from_toml("\n[dataset]\nname = \"synthetic\"\nval-size = -1");
    /// assert!(error.unwrap_err().to_string().contains("line 4"));
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn from_toml(text: &str) -> std::result::Result<Self, toml::de::Error> {
        // Enums with a tag lose the positions of what is inside, so they are read by hand.
        let read = || {
            let mut root = toml::de::DeTable::parse(text)?;
            let dataset = root.get_mut().remove("dataset");
            let mut config = Self::deserialize(toml::de::Deserializer::from(root))?;
            if let Some(dataset) = dataset {
                config.dataset = DatasetConfig::from_toml(dataset)?;
            }
            Ok(config)
        };
        read().map_err(|mut error: toml::de::Error| {
            error.set_input(Some(text));
            error
        })
    }

    /// The head asked for, or the one that the method comes with.
    ///
    /// # Errors
    /// When there is no such head or method.
    pub fn head(&self, registry: &Registry) -> Result<&'static HeadSpec> {
        Ok(match self.head.as_str() {
            "" => registry.methods.get(&self.method)?.usual_head,
            name => registry.heads.get(name)?,
        })
    }

    /// Options of the perceptron that encodes feature vectors.
    pub(crate) fn mlp_options(&self) -> Table {
        let width = |&width: &usize| toml::Value::Integer(i64::try_from(width).unwrap_or(i64::MAX));
        let widths = self.mlp_widths.iter().map(width).collect();
        Table::from_iter([("widths".to_owned(), toml::Value::Array(widths))])
    }

    /// The decay of the learning rate.
    pub(crate) fn decay(&self) -> StepDecay {
        let three_quarters = (self.epochs * 3).div_ceil(4);
        StepDecay { step: self.lr_step.unwrap_or(three_quarters), gamma: self.lr_gamma }
    }

    /// Checks every setting that can be checked without the data, and fills in the options of method and
    /// head, which are built-in ones.
    ///
    /// # Errors
    /// The first setting that is out of range, with its name on the command line.
    pub fn check(self) -> Result<CheckedConfig> {
        self.check_with(&Registry::default())
    }

    /// As [`TrainConfig::check`], with method and head from `registry`.
    ///
    /// # Errors
    /// As [`TrainConfig::check`].
    pub fn check_with(mut self, registry: &Registry) -> Result<CheckedConfig> {
        let method = registry.methods.get(&self.method)?;
        let head = self.head(registry)?;
        for (name, options) in &mut self.method_options {
            let spec = registry.methods.get(name)?;
            *options = completed(name, spec.options, options)?;
        }
        self.method_options.retain(|name, _| name == method.name);
        let own = self.method_options.entry(method.name.to_owned()).or_default();
        *own = completed(method.name, method.options, own)?;
        self.head_options = completed("head", head.options, &self.head_options)?;
        let encoder = registry.encoders.get(&self.encoder.network)?;
        self.encoder.options = completed("encoder", encoder.options, &self.encoder.options)?;
        at_most(self.epochs, 1, MOST_EPOCHS, "--epochs")?;
        at_most(self.workers, 0, MOST_WORKERS, "--workers")?;
        require(self.batch_size >= 2, "--batch-size", "must be at least 2")?;
        let positive = self.learning_rate.is_finite() && self.learning_rate > 0.0;
        require(positive, "--lr", "must be a positive number")?;
        let fraction = (0.0..1.0).contains(&self.momentum);
        require(fraction, "--momentum", "must be at least 0 and below 1")?;
        let decay = self.weight_decay.is_finite() && self.weight_decay >= 0.0;
        require(decay, "--weight-decay", "must be at least 0")?;
        require(self.lr_step != Some(0), "--lr-step", "must be at least 1 epoch")?;
        let gamma = self.lr_gamma.is_finite() && self.lr_gamma > 0.0;
        require(gamma, "--lr-gamma", "must be a positive number")?;
        let clip = self.clip_norm.is_none_or(|norm| norm.is_finite() && norm > 0.0);
        require(clip, "--clip-norm", "must be a positive number")?;
        MLP.options.complete(&self.mlp_options()).map_err(|error| match error {
            tcmax_registry::Error::OutOfRange { problem, .. } => {
                Error::setting("--mlp-widths", problem)
            }
            other => other.into(),
        })?;
        let dataset = self.dataset.absolute()?;
        let registry = registry.clone();
        Ok(CheckedConfig { config: Self { dataset, ..self }, method, head, encoder, registry })
    }
}

/// Takes the entry `tag` out of a table: what it says, and the rest of the table.
pub(crate) fn tagged<'a, T: Deserialize<'a>>(
    mut value: toml::Spanned<toml::de::DeValue<'a>>,
    tag: &str,
) -> std::result::Result<(T, toml::de::ValueDeserializer<'a>), toml::de::Error> {
    /// For the message that a table was expected, with its position.
    #[derive(Deserialize)]
    struct Table {}
    let toml::de::DeValue::Table(table) = value.get_mut() else {
        let value = toml::de::ValueDeserializer::from(value);
        let message = match Table::deserialize(value) {
            Err(error) => error,
            Ok(_) => serde::de::Error::custom("expected a table"),
        };
        return Err(message);
    };
    let Some(kind) = table.remove(tag) else {
        return Err(serde::de::Error::custom(format!("a table needs the entry '{tag}'")));
    };
    let kind = T::deserialize(toml::de::ValueDeserializer::from(kind))?;
    Ok((kind, toml::de::ValueDeserializer::from(value)))
}

/// The options of `owner` with their defaults.
fn completed(owner: &str, options: Options, given: &Table) -> Result<Table> {
    options.complete(given).map_err(|error| match error {
        tcmax_registry::Error::OutOfRange { option, problem } => {
            Error::setting(format!("{owner}.{option}"), problem)
        }
        other => Error::setting(owner, other.to_string()),
    })
}

fn at_most(value: usize, least: usize, most: usize, field: &str) -> Result<()> {
    require((least..=most).contains(&value), field, &format!("must be {least} to {most}"))
}

fn require(holds: bool, field: &str, problem: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::setting(field, problem)) }
}

impl CheckedConfig {
    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// What to train by.
    pub fn method(&self) -> &'static MethodSpec {
        self.method
    }

    /// The options of the method, all of them.
    pub fn method_options(&self) -> &Table {
        // `check` put them there.
        &self.config.method_options[self.method.name]
    }

    /// The fusion head.
    pub fn head(&self) -> &'static HeadSpec {
        self.head
    }

    /// The encoder of all modalities whose inputs it takes.
    pub fn encoder(&self) -> &'static EncoderSpec {
        self.encoder
    }

    /// What its names are looked up in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The decay of the learning rate.
    pub fn decay(&self) -> StepDecay {
        self.config.decay()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut TrainConfig)) -> String {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_valid_and_drop_the_rate_at_epoch_30_of_40() {
        let checked = TrainConfig::default().check().unwrap();
        assert_eq!(checked.decay(), StepDecay { step: 30, gamma: 0.1 });
    }

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(problem(|c| c.epochs = 0).starts_with("--epochs"));
        assert!(problem(|c| c.batch_size = 1).starts_with("--batch-size"));
        assert!(problem(|c| c.learning_rate = f64::NAN).starts_with("--lr"));
        assert!(problem(|c| c.momentum = 1.0).starts_with("--momentum"));
        assert!(problem(|c| c.clip_norm = Some(0.0)).starts_with("--clip-norm"));
        assert!(problem(|c| c.method = "magic".into()).contains("joint, unimodal, tcmax, ogm"));
        assert!(problem(|c| c.head = "magic".into()).contains("concat, sum, shared"));
    }

    #[test]
    fn sizes_beyond_every_machine_are_refused_with_the_bound() {
        let slim = EncoderConfig::resnet_slim;
        assert_eq!(problem(|c| c.encoder = slim(100_000)), "encoder.width: must be 1 to 2048");
        assert_eq!(problem(|c| c.encoder = slim(u32::MAX)), "encoder.width: must be 1 to 2048");
        for width in [1_000_000_000, usize::MAX, 0] {
            let problem = problem(|c| c.mlp_widths = vec![128, width]);
            assert_eq!(problem, "--mlp-widths: must be 1 to 16384");
        }
        assert!(problem(|c| c.mlp_widths = vec![8; 65]).contains("1 to 64 widths"));
        assert!(problem(|c| c.epochs = usize::MAX).contains("1 to 100000"));
        assert!(problem(|c| c.workers = 100_000).contains("0 to 256"));
        let hidden = problem(|c| {
            c.head = "gated".into();
            c.head_options.insert("hidden".to_owned(), 100_000.into());
        });
        assert!(hidden.contains("head.hidden: must be 1 to 16384"));
    }

    #[test]
    fn a_configuration_file_names_the_line_that_is_wrong() {
        for (text, line, words) in [
            ("epochs = -1", 1, "epochs"),
            ("\n[dataset]\nname = \"synthetic\"\ntrain-size = -1", 4, "train-size = -1"),
            ("[dataset]\nname = \"synthetic\"\n\ntrain-sise = 1", 4, "train-sise"),
            ("[dataset]\nname = \"magic\"", 2, "magic"),
            ("[dataset]\nname = \"files\"\nfolds = 1.5", 3, "folds"),
            ("dataset = 3", 1, "dataset"),
        ] {
            let error = TrainConfig::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line},")), "{text}: {error}");
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn wrong_options_of_encoders_methods_and_heads_are_named() {
        for (text, words) in [
            ("[encoder]\nnetwork = \"resnet-slim\"\nwidth = \"wide\"", "encoder: invalid type"),
            ("[encoder]\nnetwork = \"resnet18\"\nwidth = 3", "unknown field `width`"),
            ("[encoder]\nnetwork = \"vgg\"", "no encoder 'vgg'; choose one of: resnet-slim"),
            ("method = \"ogm\"\n[method-options.ogm]\nalpha = -1", "ogm.alpha: must be"),
            ("[method-options.ogm]\nbeta = 1", "ogm: unknown field `beta`"),
            ("[method-options.magic]\nbeta = 1", "no method 'magic'"),
            ("head = \"clip\"\n[head-options]\ntemperature = 0", "head.temperature: must be"),
        ] {
            let error = TrainConfig::from_toml(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for encoder in [EncoderConfig::default(), EncoderConfig::resnet_slim(3)] {
            for name in ["synthetic", "av-digits"] {
                let (encoder, dataset) = (encoder.clone(), DatasetConfig::by_name(name).unwrap());
                let config = TrainConfig { encoder, dataset, ..TrainConfig::default() };
                let text = toml::to_string(&config).unwrap();
                assert!(!text.contains("workers"), "{text}");
                assert_eq!(TrainConfig::from_toml(&text).unwrap(), config);
            }
        }
    }

    #[test]
    fn the_place_of_data_does_not_depend_on_the_folder_one_is_in() {
        let files = |path: &str| {
            let dataset = DatasetConfig::Files(tcmax_data::UserDataConfig::at(path.as_ref()));
            TrainConfig { dataset, ..TrainConfig::default() }.check()
        };
        let checked = files("x.npz").unwrap();
        let DatasetConfig::Files(own) = &checked.config().dataset else { panic!("files") };
        assert_eq!(own.path, std::env::current_dir().unwrap().join("x.npz"));
        assert!(files("").unwrap_err().to_string().contains("dataset.path"));
    }
}
