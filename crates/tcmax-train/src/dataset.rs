//! Opening a data set by its settings, once, and drawing the splits of any seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tcmax_data::shards::PREPARED_FILE;
use tcmax_data::user_data::Layout;
use tcmax_data::{ColumnNames, Dataset, Modality, Splits, UserData, UserDataConfig};
use tcmax_datasets::fetch::{self, DownloadProgress};
use tcmax_datasets::{
    AvDigits, AvDigitsConfig, AvDigitsSplit, SyntheticConfig, card, catalog, synthetic,
};
use tcmax_estimators::JointTable;
use tcmax_media::{PrepareOptions, PrepareProgress, manifest_plan, prepare};

use crate::config::tagged;
use crate::results::{DatasetSummary, InformationTruth};
use crate::{Error, Result};

/// Which data set, with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum DatasetConfig {
    /// Generated clips of known information.
    Synthetic(SyntheticConfig),
    /// Spoken and handwritten digits.
    AvDigits(AvDigitsConfig),
    /// Files or prepared clips of the user.
    Files(UserDataConfig),
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self::Synthetic(SyntheticConfig::default())
    }
}

impl DatasetConfig {
    /// The default options of the data set called `name`, or of the data at the path `name`.
    ///
    /// # Errors
    /// When there is neither.
    pub fn by_name(name: &str) -> Result<Self> {
        match name {
            "synthetic" => Ok(Self::Synthetic(SyntheticConfig::default())),
            "av-digits" => Ok(Self::AvDigits(AvDigitsConfig::default())),
            _ if Path::new(name).exists() => Ok(Self::Files(UserDataConfig::at(Path::new(name)))),
            _ => {
                let ready = catalog().iter().filter(|card| card.prepare.is_none());
                let known: Vec<_> = ready.map(|card| card.name.as_str()).collect();
                let mut problem =
                    format!("no data set '{name}'; choose one of: {}", known.join(", "));
                problem += ", or give the path of a feature file, a manifest or prepared clips";
                if card(name).is_some() {
                    problem = format!(
                        "'{name}' has to be prepared from its media first: tcmax prepare {name} \
                         --root DIR --out CLIPS, then --dataset CLIPS"
                    );
                }
                Err(Error::setting("--dataset", problem))
            }
        }
    }

    /// Reads the table `dataset` of a configuration file.
    pub(crate) fn from_toml(
        value: toml::Spanned<toml::de::DeValue<'_>>,
    ) -> std::result::Result<Self, toml::de::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Name {
            Synthetic,
            AvDigits,
            Files,
        }
        let (name, rest) = tagged(value, "name")?;
        Ok(match name {
            Name::Synthetic => Self::Synthetic(SyntheticConfig::deserialize(rest)?),
            Name::AvDigits => Self::AvDigits(AvDigitsConfig::deserialize(rest)?),
            Name::Files => Self::Files(UserDataConfig::deserialize(rest)?),
        })
    }

    /// The same data, wherever one goes: a relative path starts from the current folder.
    ///
    /// # Errors
    /// When there is no path.
    pub(crate) fn absolute(&self) -> Result<Self> {
        let Self::Files(files) = self else { return Ok(self.clone()) };
        if files.path.as_os_str().is_empty() {
            let problem = "is missing: give the path of the data, or the name of another data set";
            return Err(Error::setting("dataset.path", problem));
        }
        let path = std::path::absolute(&files.path).map_err(crate::error::at(&files.path))?;
        Ok(Self::Files(UserDataConfig { path, ..files.clone() }))
    }

    /// Leaves out where the data are.
    pub(crate) fn forget_path(&mut self) {
        if let Self::Files(files) = self {
            files.path = PathBuf::new();
        }
    }

    /// The data set's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Synthetic(_) => "synthetic",
            Self::AvDigits(_) => "av-digits",
            Self::Files(_) => "files",
        }
    }
}

/// A data set with its files read.
pub enum OpenDataset {
    /// Nothing to read.
    Synthetic(SyntheticConfig),
    /// The decoded recordings and images.
    AvDigits(Box<AvDigits>, AvDigitsConfig),
    /// User data.
    Files(Box<UserData>, UserDataConfig),
}

impl OpenDataset {
    /// Reads the files, downloading them first when no folder is given and the cache lacks them.
    ///
    /// # Errors
    /// When options are out of range, or files are missing or not what they should be.
    pub fn open(
        config: &DatasetConfig,
        data_dir: Option<&Path>,
        progress: &dyn DownloadProgress,
    ) -> Result<Self> {
        Ok(match config {
            DatasetConfig::Synthetic(config) => {
                config.check()?;
                Self::Synthetic(config.clone())
            }
            DatasetConfig::AvDigits(options) => {
                let card = card(config.name()).ok_or_else(|| {
                    Error::setting("--dataset", format!("no card of '{}'", config.name()))
                })?;
                let folder: PathBuf = fetch::locate(card, data_dir, progress)?;
                Self::AvDigits(Box::new(AvDigits::open(&folder)?), options.clone())
            }
            DatasetConfig::Files(options) => {
                let options = match manifest_clips(options, &tcmax_media::NoProgress)? {
                    // The clips were prepared with the labels and groups that the options name.
                    Some(path) => {
                        UserDataConfig { path, label: None, group: None, ..options.clone() }
                    }
                    None => options.clone(),
                };
                Self::Files(Box::new(UserData::open(&options)?), options)
            }
        })
    }

    /// The splits of one seed.
    ///
    /// # Errors
    /// When the options do not fit the data.
    pub fn splits(&self, seed: u64) -> Result<Splits> {
        Ok(match self {
            Self::Synthetic(config) => synthetic::splits(config, seed)?,
            Self::AvDigits(data, config) => data.splits(config, seed)?,
            Self::Files(data, config) => data.splits(config, seed)?,
        })
    }

    /// What is known of the data set, with the sizes of the splits given.
    pub fn summary(&self, splits: &Splits) -> DatasetSummary {
        let (name, description) = match self {
            Self::Synthetic(_) => ("synthetic".to_owned(), card_text("synthetic")),
            Self::AvDigits(..) => ("av-digits".to_owned(), card_text("av-digits")),
            Self::Files(data, config) => user_text(data, config),
        };
        DatasetSummary {
            name,
            description,
            modalities: splits.train.modalities().iter().map(|m| m.name.clone()).collect(),
            classes: splits.train.classes().to_vec(),
            sizes: [splits.train.len(), splits.validation.len(), splits.test.len()],
            notes: self.notes().iter().cloned().chain(missing(splits)).collect(),
            warnings: self.warnings().to_vec(),
            resampled: self.draws_test_split(),
        }
    }

    /// Whether every seed draws its test split from the examples that others train on.
    fn draws_test_split(&self) -> bool {
        match self {
            // Every seed generates clips of its own.
            Self::Synthetic(_) => false,
            // The standard test recordings are never trained on; the speakers take turns.
            Self::AvDigits(_, config) => config.split == AvDigitsSplit::Speaker,
            Self::Files(data, config) => data.draws_test_split(config),
        }
    }

    /// The information in the data, where it is known.
    ///
    /// # Errors
    /// Only if the latent model's table were not a distribution.
    pub fn truth(&self) -> Result<Option<InformationTruth>> {
        match self {
            Self::Synthetic(config) => Ok(Some(synthetic_truth(config)?)),
            Self::AvDigits(..) | Self::Files(..) => Ok(None),
        }
    }

    /// What makes results doubtful, such as copies of training examples in the test split.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Files(data, _) => data.warnings(),
            _ => &[],
        }
    }

    /// What a reader should know before training, such as speakers in both train and test.
    pub fn notes(&self) -> &[String] {
        match self {
            Self::Files(data, _) => data.notes(),
            _ => &[],
        }
    }
}

/// The prepared clips of a manifest of media, made in the user's cache if they are not there; none
/// when the path is no manifest.
///
/// # Errors
/// Everything that is wrong with the manifest or its media, at once.
pub fn manifest_clips(
    options: &UserDataConfig,
    progress: &dyn PrepareProgress,
) -> Result<Option<PathBuf>> {
    let Layout::Manifest(manifest) = Layout::of(&options.path)? else { return Ok(None) };
    let names = ColumnNames { label: options.label.as_deref(), group: options.group.as_deref() };
    let plan = manifest_plan(&manifest, None, names, &BTreeMap::new(), progress)?;
    let how = PrepareOptions::default();
    let folder = fetch::cache_folder()?.join("prepared").join(plan.fingerprint(&how));
    if !folder.join(PREPARED_FILE).is_file() {
        prepare(&plan, &folder, &how, progress)?;
    }
    Ok(Some(folder))
}

fn card_text(name: &str) -> String {
    card(name).map_or_else(String::new, |card| card.description.clone())
}

/// Which modalities some examples lack, one sentence each.
fn missing(splits: &Splits) -> Vec<String> {
    let splits = [&splits.train, &splits.validation, &splits.test];
    let total: usize = splits.iter().map(|split| split.len()).sum();
    let of_modality = |(m, modality): (usize, &Modality)| {
        let lacking = |split: &&Arc<dyn Dataset>| {
            (0..split.len()).filter(|&index| !split.present(index, m)).count()
        };
        let count: usize = splits.iter().map(lacking).sum();
        let name = &modality.name;
        (count > 0).then(|| format!("'{name}' is missing in {count} of {total} examples"))
    };
    splits[0].modalities().iter().enumerate().filter_map(of_modality).collect()
}

/// Name and description of user data.
fn user_text(data: &UserData, config: &UserDataConfig) -> (String, String) {
    let path = config.path.canonicalize().unwrap_or_else(|_| config.path.clone());
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    (name, format!("{} examples of {}.", data.examples().len(), path.display()))
}

fn synthetic_truth(config: &SyntheticConfig) -> Result<InformationTruth> {
    let (sizes, probabilities) = config.joint_table()?;
    let table = JointTable::new(sizes, probabilities)?;
    let label = config.modalities.len();
    let modalities: Vec<usize> = (0..label).collect();
    let all: Vec<usize> = (0..=label).collect();
    let label_information = modalities
        .iter()
        .map(|&m| table.mutual_information(&[m], &[label]))
        .collect::<tcmax_estimators::Result<Vec<f64>>>()?;
    let bayes_modality_accuracy = modalities
        .iter()
        .map(|&m| table.bayes_accuracy(label, &[m]))
        .collect::<tcmax_estimators::Result<Vec<f64>>>()?;
    let total_correlation = table.total_correlation(&all)?;
    let additive: f64 = label_information.iter().sum();
    Ok(InformationTruth {
        label_entropy: table.entropy(&[label])?,
        joint_information: table.mutual_information(&modalities, &[label])?,
        total_correlation,
        // The best additive critic recovers the distribution in which modalities are independent
        // given the label, whose total correlation is the sum of the I(y; x_m).
        additive_gap: (total_correlation - additive).max(0.0),
        bayes_accuracy: table.bayes_accuracy(label, &modalities)?,
        label_information,
        bayes_modality_accuracy,
        matching_auc: table.matching_auc(&modalities, None)?,
        additive_matching_auc: table.matching_auc(&modalities, Some(label))?,
    })
}
