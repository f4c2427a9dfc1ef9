//! Data of the user's own: feature files, feature tables, manifests, prepared clips.
//!
//! A path is told by what is there ([`Layout`]); reading collects every problem and tells them all at
//! once. Manifests of media are prepared first (`tcmax-media`), features are read into memory.

mod collected;
mod csv_features;
mod feature_file;
mod inspection;
mod labels;
mod layout;
mod lines;
pub mod manifest;
pub mod media_file;
mod parquet_pages;
pub mod partition;
mod subset;
mod table_parquet;
mod table_text;
mod warnings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tcmax_ops::Seed;

use crate::shards::{MANIFEST_FILE, Prepared, read_rows};
use crate::table::TableDataset;
use crate::words::Words;
use crate::{Dataset, Error, Place, Problems, Result, Splits};

use collected::Collected;
pub use csv_features::parse_feature_table;
use feature_file::Names;
pub use inspection::{Inspection, ModalityFindings};
pub(crate) use labels::classes as class_list;
pub use layout::{Layout, PREPARED_FILE};
pub use lines::line_of;
use partition::{Part, Partition, Parts, Rows, SplitRule};
use subset::Subset;

/// Which data, and how they are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnConfig {
    /// A file or folder, see [`Layout`].
    pub path: PathBuf,
    /// Name of the label column or array; absent: `label` and its like.
    pub label: Option<String>,
    /// Name of the column or array of groups; absent: `group` and its like.
    pub group: Option<String>,
    /// How parts are made; absent: the data's own split, or a random one where they have none.
    pub split: Option<SplitRule>,
    /// Folds of a cross-validation.
    pub folds: Option<usize>,
    /// The fold to test on, from 0.
    pub fold: usize,
    /// Fraction for testing, where it is drawn.
    pub test_fraction: f64,
    /// Fraction of the rest for validation, where it is drawn.
    pub val_fraction: f64,
}

impl Default for OwnConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            label: None,
            group: None,
            split: None,
            folds: None,
            fold: 0,
            test_fraction: 0.2,
            val_fraction: 0.2,
        }
    }
}

impl OwnConfig {
    /// The defaults for the data at `path`.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    fn names(&self) -> Names<'_> {
        Names { label: self.label.as_deref(), group: self.group.as_deref() }
    }

    fn partition(&self) -> Partition {
        Partition {
            rule: self.split,
            folds: self.folds.map(|folds| (folds, self.fold)),
            test: self.test_fraction,
            validation: self.val_fraction,
        }
    }
}

/// Opened data, from which the splits of any seed are made.
pub struct OwnData {
    path: PathBuf,
    /// Examples as training sees them, with random augmentation if there is any.
    training: Arc<dyn Dataset>,
    /// The same examples as they are tested.
    testing: Arc<dyn Dataset>,
    labels: Vec<u32>,
    groups: Option<Vec<u32>>,
    parts: Option<Vec<Part>>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl OwnData {
    /// Reads what is at the path of `config`.
    ///
    /// # Errors
    /// Everything that is wrong with the data, at once; or that it is a manifest of media, which has
    /// to be prepared first.
    pub fn open(config: &OwnConfig) -> Result<Self> {
        let mut problems = Problems::new();
        let layout = Layout::of(&config.path)?;
        let opened = Self::open_layout(&layout, config, &mut problems)?;
        problems.into_result()?;
        opened.ok_or_else(|| Error::bad_file(&config.path, "there are no examples in it"))
    }

    /// As [`OwnData::open`], with problems collected; nothing when they leave nothing to use.
    pub(crate) fn open_layout(
        layout: &Layout,
        config: &OwnConfig,
        problems: &mut Problems,
    ) -> Result<Option<Self>> {
        let path = &config.path;
        let collected = match layout {
            Layout::Prepared(folder) => {
                for (option, given, own) in
                    [("--label", &config.label, "label"), ("--group", &config.group, "group")]
                {
                    if let Some(name) = given.as_ref().filter(|name| *name != own) {
                        let what = format!(
                            "prepared clips keep the {own}s they were prepared with; leave {option} out, \
                             or prepare them again with {option} {name}"
                        );
                        problems.add(path, Place::File, name, what);
                    }
                }
                return Ok(Some(Self::prepared(folder)?));
            }
            Layout::FeatureFile(file) => feature_file::read(file, config.names(), problems)?,
            Layout::FeatureTables { path } => csv_features::read(path, config.names(), problems)?,
            Layout::Manifest(_) => {
                let problem = "a manifest names media files: `tcmax prepare` makes clips of them";
                return Err(Error::bad_file(path, problem));
            }
        };
        let opened = collected.and_then(|collected| Self::in_memory(path, collected, problems));
        let Some(mut data) = opened else { return Ok(None) };
        data.warnings = warnings::of_examples(data.testing.as_ref(), data.parts.as_deref())?;
        Ok(Some(data))
    }

    fn prepared(folder: &Path) -> Result<Self> {
        let prepared = Prepared::open(folder)?;
        let mut counts = vec![0; prepared.classes().len()];
        prepared.labels().iter().for_each(|&label| counts[label as usize] += 1);
        let mut warnings = Vec::from_iter(warnings::single_classes(prepared.classes(), &counts));
        warnings.extend(warnings::copies(&digests(folder, &prepared)?, prepared.parts()));
        let groups = Words::of(prepared.groups().iter().map(String::as_str)).codes;
        let data = Self {
            path: folder.to_owned(),
            labels: prepared.labels().to_vec(),
            groups: Some(groups),
            parts: prepared.parts().map(<[Part]>::to_vec),
            notes: prepared.notes().to_vec(),
            warnings,
            training: Arc::new(prepared.augmenting()),
            testing: Arc::new(prepared),
        };
        Ok(data)
    }

    fn in_memory(path: &Path, collected: Collected, problems: &mut Problems) -> Option<Self> {
        let Collected { modalities, labels, groups, parts } = collected;
        let (classes, labels) = match labels::classes(&labels) {
            Ok(made) => made,
            Err(what) => {
                problems.add(path, Place::File, "label", what);
                return None;
            }
        };
        if classes.len() < 2 {
            let what = format!("there are {} classes; two are needed", classes.len());
            problems.add(path, Place::File, "label", what);
        }
        let (modalities, columns): (Vec<_>, Vec<_>) =
            modalities.into_iter().map(collected::CollectedModality::into_column).unzip();
        let (modalities, classes) = (Arc::new(modalities), Arc::new(classes));
        let labels_of_rows = labels.clone();
        let table =
            TableDataset { modalities, classes, labels: labels_of_rows, columns, identities: None };
        let table: Arc<dyn Dataset> = Arc::new(table);
        let (training, testing) = (table.clone(), table);
        Some(Self {
            path: path.to_owned(),
            training,
            testing,
            labels,
            groups: groups.map(|groups| groups.codes),
            parts,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// The splits of one seed.
    ///
    /// # Errors
    /// When the options do not fit the data, a part is empty, or classes are missing from the
    /// training part.
    pub fn splits(&self, config: &OwnConfig, seed: u64) -> Result<Splits> {
        let seed = Seed::new(seed).stream("split");
        let [train, validation, test] = config.partition().assign(self.rows(), seed)?;
        self.check(&[train.clone(), validation.clone(), test.clone()])?;
        let part = |data: &Arc<dyn Dataset>, rows: Vec<usize>| -> Arc<dyn Dataset> {
            Arc::new(Subset::new(data.clone(), rows))
        };
        Ok(Splits {
            train: part(&self.training, train),
            validation: part(&self.testing, validation),
            test: part(&self.testing, test),
        })
    }

    fn rows(&self) -> Rows<'_> {
        let (groups, parts) = (self.groups.as_deref(), self.parts.as_deref());
        Rows { labels: &self.labels, groups, parts }
    }

    /// All examples, as they are tested.
    pub fn examples(&self) -> &Arc<dyn Dataset> {
        &self.testing
    }

    /// All examples, as training sees them: with random crops and flips if there are any.
    pub fn training(&self) -> &Arc<dyn Dataset> {
        &self.training
    }

    /// What a reader should know, such as groups that are in several parts.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What makes results doubtful: copies of examples in several parts, classes of one example,
    /// inputs that never change.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check(&self, parts: &Parts) -> Result<()> {
        let mut problems = Problems::new();
        for (part, rows) in [Part::Train, Part::Validation, Part::Test].iter().zip(parts) {
            if rows.is_empty() {
                let what = "the part is empty; change --split, --test-fraction or --val-fraction";
                problems.add(&self.path, Place::File, part.name(), what);
            }
        }
        let classes = self.testing.classes();
        let mut learned = vec![false; classes.len()];
        parts[0].iter().for_each(|&row| learned[self.labels[row] as usize] = true);
        for (class, name) in classes.iter().enumerate().filter(|&(class, _)| !learned[class]) {
            let count = self.labels.iter().filter(|&&label| label as usize == class).count();
            let what = format!(
                "class '{name}' has no training example, but {count} elsewhere; it cannot be learned: \
                 remove it, or choose another split"
            );
            problems.add(&self.path, Place::File, "label", what);
        }
        problems.into_result()
    }
}

/// The digests of the files that each prepared clip was made of, where there are any.
fn digests(folder: &Path, prepared: &Prepared) -> Result<Vec<Option<String>>> {
    let sum = &prepared.description().manifest_sha256;
    let rows = read_rows(&folder.join(MANIFEST_FILE), sum)?;
    let digest = |digest: String| digest.contains(|c: char| c != ';').then_some(digest);
    Ok(rows.into_iter().map(|row| digest(row.sha256)).collect())
}
