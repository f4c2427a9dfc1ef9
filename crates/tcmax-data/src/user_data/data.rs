//! User data that were opened, and their splits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tcmax_ops::Seed;
use tcmax_registry::Task;

use super::collected::{Collected, CollectedModality, Given};
use super::config::UserDataConfig;
use super::layout::Layout;
use super::named::Named;
use super::targeted::Targeted;
use super::{csv_features, feature_file, warnings};
use crate::dataset::{Dataset, Splits};
use crate::error::{Error, Result};
use crate::labels::class_list;
use crate::partition::{Rows, SplitIndices, SplitRule};
use crate::problems::{Position, Problems};
use crate::shards::{ClipRow, MANIFEST_FILE, Prepared, read_rows};
use crate::split::Split;
use crate::subset::Subset;
use crate::table::TableDataset;
use crate::targets::{Targets, wrong_target};
use crate::words::Words;

/// Opened data, from which the splits of any seed are made.
pub struct UserData {
    path: PathBuf,
    /// Examples as training sees them, with random augmentation if there is any.
    training: Arc<dyn Dataset>,
    /// The same examples as they are tested.
    testing: Arc<dyn Dataset>,
    /// The classes; 0 for each example of other tasks, so that splits are drawn among all of them.
    pub(super) labels: Vec<u32>,
    /// Labels or numbers, where the task is not of classes.
    pub(super) targets: Option<Arc<Targets>>,
    pub(super) groups: Option<Vec<u32>>,
    pub(super) splits: Option<Vec<Split>>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl UserData {
    /// Reads what is at the path of `config`.
    ///
    /// # Errors
    /// Everything that is wrong with the data, at once; or that it is a manifest of media, which has
    /// to be prepared first.
    pub fn open(config: &UserDataConfig) -> Result<Self> {
        let mut problems = Problems::new();
        let layout = Layout::of(&config.path)?;
        let opened = Self::open_layout(&layout, config, &mut problems)?;
        problems.into_result()?;
        opened.ok_or_else(|| Error::bad_file(&config.path, "there are no examples in it"))
    }

    /// As [`UserData::open`], with problems collected; nothing when they leave nothing to use.
    pub(super) fn open_layout(
        layout: &Layout,
        config: &UserDataConfig,
        problems: &mut Problems,
    ) -> Result<Option<Self>> {
        let path = &config.path;
        let collected = match layout {
            Layout::Prepared(folder) => {
                for (option, given) in [("label", &config.label), ("group", &config.group)] {
                    if let Some(name) = given.as_ref().filter(|name| *name != option) {
                        let what = format!(
                            "prepared clips keep the {option}s they were prepared with; leave the option \
                             `{option}` out, or prepare them again with `{option}` {name}"
                        );
                        problems.add(path, Position::File, name, what);
                    }
                }
                return Ok(Some(Self::prepared(folder, config.task.unwrap_or_default())?));
            }
            Layout::FeatureFile(file) => feature_file::read(file, config.names(), problems)?,
            Layout::FeatureTables { path } => csv_features::read(path, config.names(), problems)?,
            Layout::Manifest(_) => {
                let problem = "a manifest names media files: `tcmax prepare` makes clips of them";
                return Err(Error::bad_file(path, problem));
            }
        };
        let opened = collected.and_then(|collected| {
            Self::in_memory(path, collected, config.task.unwrap_or_default(), problems)
        });
        let Some(mut data) = opened else { return Ok(None) };
        data.warnings = warnings::of_examples(data.testing.as_ref(), data.splits.as_deref())?;
        data.warnings.extend(data.targets.iter().flat_map(|targets| warnings::of_targets(targets)));
        Ok(Some(data))
    }

    fn prepared(folder: &Path, task: Task) -> Result<Self> {
        let prepared = Prepared::open_for(folder, task)?;
        let manifest = folder.join(MANIFEST_FILE);
        let rows = read_rows(&manifest, &prepared.description().manifest_sha256)?;
        if rows.iter().all(|row| row.label.is_empty()) {
            let problem = "these clips were made without labels, for predictions; there is nothing to \
                           learn or test by";
            return Err(Error::bad_file(folder, problem));
        }
        let targets = targets_of(&manifest, task, &rows)?.map(Arc::new);
        let mut warnings = match &targets {
            Some(targets) => warnings::of_targets(targets),
            None => {
                let mut counts = vec![0; prepared.classes().len()];
                prepared.labels().iter().for_each(|&label| counts[label as usize] += 1);
                Vec::from_iter(warnings::single_classes(prepared.classes(), &counts))
            }
        };
        warnings.extend(warnings::copies(&digests(rows), prepared.splits()));
        let groups = Words::of(prepared.groups().iter().map(String::as_str)).codes;
        let with_targets = |data: Arc<dyn Dataset>| -> Arc<dyn Dataset> {
            match &targets {
                Some(targets) => Arc::new(Targeted::new(data, targets.clone())),
                None => data,
            }
        };
        let data = Self {
            path: folder.to_owned(),
            labels: prepared.labels().to_vec(),
            groups: Some(groups),
            splits: prepared.splits().map(<[Split]>::to_vec),
            notes: prepared.notes().to_vec(),
            warnings,
            training: with_targets(Arc::new(prepared.augmenting())),
            testing: with_targets(Arc::new(prepared)),
            targets,
        };
        Ok(data)
    }

    fn in_memory(
        path: &Path,
        collected: Collected,
        task: Task,
        problems: &mut Problems,
    ) -> Option<Self> {
        let Collected { modalities, labels, ids, groups, splits } = collected;
        let made = match labels? {
            Given::Targets(targets) => Ok((Vec::new(), Vec::new(), Some(targets))),
            Given::Cells(cells) if task == Task::Classes => {
                class_list(&cells).map(|(classes, labels)| (classes, labels, None))
            }
            Given::Cells(cells) => Targets::of_cells(task, &cells, TARGET)
                .map(|targets| (Vec::new(), Vec::new(), Some(targets))),
        };
        let (classes, mut labels, targets) = match made {
            Ok(made) => made,
            Err(what) => {
                problems.add(path, Position::File, "label", what);
                return None;
            }
        };
        let targets = targets.map(Arc::new);
        if let Some(targets) = &targets {
            labels = vec![0; targets.values.len() / targets.names.len().max(1)];
        }
        let mut table = table_of(modalities, classes, labels.clone(), ids);
        if let Some(targets) = &targets {
            table = Arc::new(Targeted::new(table, targets.clone()));
        }
        let (training, testing) = (table.clone(), table);
        Some(Self {
            path: path.to_owned(),
            training,
            testing,
            labels,
            targets,
            groups: groups.map(|groups| groups.codes),
            splits,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// The splits of one seed.
    ///
    /// # Errors
    /// When the options do not fit the data, a split is empty, or classes are missing from the
    /// training split.
    pub fn splits(&self, config: &UserDataConfig, seed: u64) -> Result<Splits> {
        let seed = Seed::new(seed).stream("split");
        let [train, validation, test] = config.partition().assign(self.rows(), seed)?;
        let may_lack_validation = config.val_fraction == 0.0;
        self.check(&[train.clone(), validation.clone(), test.clone()], may_lack_validation)?;
        let subset = |data: &Arc<dyn Dataset>, rows: Vec<usize>| -> Arc<dyn Dataset> {
            Arc::new(Subset::new(data.clone(), rows))
        };
        Ok(Splits {
            train: subset(&self.training, train),
            validation: subset(&self.testing, validation),
            test: subset(&self.testing, test),
        })
    }

    /// Whether every seed draws training and test examples anew from the same ones, instead of keeping to the
    /// test split that came with the data.
    pub fn draws_test_split(&self, config: &UserDataConfig) -> bool {
        config.partition().rule_for(self.rows()) != SplitRule::Given
    }

    fn rows(&self) -> Rows<'_> {
        let (groups, splits) = (self.groups.as_deref(), self.splits.as_deref());
        Rows { labels: &self.labels, groups, splits }
    }

    /// All examples, as they are tested.
    pub fn examples(&self) -> &Arc<dyn Dataset> {
        &self.testing
    }

    /// All examples, as training sees them: with random crops and flips if there are any.
    pub fn training(&self) -> &Arc<dyn Dataset> {
        &self.training
    }

    /// What a reader should know, such as groups that are in several splits.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What makes results doubtful: copies of examples in several splits, classes of one example,
    /// inputs that never change.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check(&self, splits: &SplitIndices, may_lack_validation: bool) -> Result<()> {
        let mut problems = Problems::new();
        for (split, rows) in Split::ALL.iter().zip(splits) {
            let may_be_empty = may_lack_validation && *split == Split::Validation;
            if rows.is_empty() && !may_be_empty {
                let what = "the split is empty; change the options `split`, `test-fraction` or \
                            `val-fraction`";
                problems.add(&self.path, Position::File, split.name(), what);
            }
        }
        // Rare labels may well be in no training example of a split that is drawn among all.
        let classes = if self.targets.is_none() { self.testing.classes() } else { &[] };
        if self.targets.is_none() && classes.len() < 2 {
            let what = format!("there are {} classes; two are needed", classes.len());
            problems.add(&self.path, Position::File, "label", what);
        }
        let mut learned = vec![false; classes.len()];
        if !learned.is_empty() {
            splits[0].iter().for_each(|&row| learned[self.labels[row] as usize] = true);
        }
        for (class, name) in classes.iter().enumerate().filter(|&(class, _)| !learned[class]) {
            let count = self.labels.iter().filter(|&&label| label as usize == class).count();
            let what = format!(
                "class '{name}' has no training example, but {count} elsewhere; it cannot be learned: \
                 remove it, or choose another split"
            );
            problems.add(&self.path, Position::File, "label", what);
        }
        Ok(problems.into_result()?)
    }
}

/// Examples in memory, called by their ids where they have any.
pub(super) fn table_of(
    modalities: Vec<CollectedModality>,
    classes: Vec<String>,
    labels: Vec<u32>,
    ids: Option<Words>,
) -> Arc<dyn Dataset> {
    let (modalities, columns): (Vec<_>, Vec<_>) =
        modalities.into_iter().map(CollectedModality::into_column).unzip();
    let (modalities, classes) = (Arc::new(modalities), Arc::new(classes));
    let table = TableDataset { modalities, classes, labels, columns, identities: None };
    match ids {
        Some(ids) => Arc::new(Named::new(table, ids)),
        None => Arc::new(table),
    }
}

/// What numbers to predict are called where nothing names them.
const TARGET: &str = "target";

/// The labels or numbers of prepared clips, where the task is not of classes.
fn targets_of(manifest: &Path, task: Task, rows: &[ClipRow]) -> Result<Option<Targets>> {
    if task == Task::Classes {
        return Ok(None);
    }
    let mut problems = Problems::new();
    for (row, clip) in rows.iter().enumerate() {
        if let Some(what) = wrong_target(task, &clip.label) {
            problems.add(manifest, Position::Row(row), "label", what);
        }
    }
    problems.into_result()?;
    let cells = Words::of(rows.iter().map(|row| row.label.as_str()));
    let targets = Targets::of_cells(task, &cells, TARGET);
    targets.map(Some).map_err(|problem| Error::bad_file(manifest, problem))
}

/// The digests of the files that each prepared clip was made of, where there are any.
fn digests(rows: Vec<ClipRow>) -> Vec<Option<String>> {
    let digest = |digest: String| digest.contains(|c: char| c != ';').then_some(digest);
    rows.into_iter().map(|row| digest(row.sha256)).collect()
}
