//! What a saved model is tested on: the data of its run, or others, and never by accident what it was
//! trained on.
//!
//! A checkpoint says what its data were ([`DataIdentity`](crate::identity::DataIdentity)) and which
//! examples were learned from. Splits are drawn again from the run's seed, so rows that were added to
//! a file since then would move examples between them: that is refused. Other data are conformed to the
//! model's modalities and classes, both by name. Data without labels can only be predicted
//! ([`open_unlabelled_for`]).

mod chained;
mod conformed;

use std::path::Path;
use std::sync::Arc;

use tcmax_data::{Dataset, Modality, Splits};
use tcmax_datasets::fetch::DownloadProgress;
use tcmax_datasets::{DataSource, FILES, Opening, Unlabelled, open_unlabelled};
use tcmax_media::PrepareProgress;
use tcmax_registry::{Choice, Table};

use crate::checkpoint::SavedModel;
use crate::config::{CheckedConfig, TrainConfig};
use crate::dataset::{choose_data, open_data};
use crate::identity::{Identified, identities};
use crate::{Error, Result, Task};
use chained::Chained;
use conformed::{Conformed, Labels};

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestedPart {
    /// The training split.
    Train,
    /// The validation split.
    Validation,
    /// The test split.
    Test,
    /// Every example.
    All,
}

/// Which data to test a model on.
#[derive(Clone, Debug, Default)]
pub struct TestedData<'a> {
    /// Name or path of other data than the run's.
    pub dataset: Option<&'a str>,
    /// Folder with the files of a named data set.
    pub data_dir: Option<&'a Path>,
    /// The label column of other data; absent: called as in the run's.
    pub label: Option<&'a str>,
    /// Which part; absent: the test split of the run's data, all of others.
    pub part: Option<TestedPart>,
    /// Modalities that other data may lack.
    pub without: &'a [String],
    /// Go on although the data have changed or were learned from.
    pub force: bool,
}

/// What a model is to be tested on.
pub struct Tested {
    /// The examples, with the model's modalities and classes.
    pub data: Arc<dyn Dataset>,
    /// What a reader of the numbers should know.
    pub notes: Vec<String>,
}

impl TestedData<'_> {
    /// Opens the data for a model; `path` is the model's, for messages.
    ///
    /// # Errors
    /// When the data cannot be opened, do not fit the model, are no longer those of the run, or hold
    /// examples that it was trained or chosen on.
    pub fn open(
        &self,
        saved: &SavedModel,
        path: &Path,
        progress: &dyn DownloadProgress,
    ) -> Result<Tested> {
        let config = self.config(saved)?;
        let opening = Opening {
            data_dir: self.data_dir,
            downloads: progress,
            clips: &tcmax_media::NoProgress,
            recipe: saved.card.recipe.as_deref(),
        };
        let opened = open_data(&config, &opening)?;
        let is_own = self.dataset.is_none();
        let splits = opened.splits(saved.card.seed).map_err(Error::from);
        let identified = match &splits {
            Ok(splits) if fits(splits, saved) => Some(Identified::of(splits)?),
            _ => None,
        };
        let differences = match (&identified, is_own) {
            (Some(identified), _) => saved.card.data.differences(&identified.data),
            (None, _) => vec!["the modalities, classes or splits are others".to_owned()],
        };
        let unchanged = differences.is_empty();
        let part = match self.part {
            Some(part) => part,
            None if is_own || unchanged => TestedPart::Test,
            None => TestedPart::All,
        };
        let mut notes = Vec::new();
        if is_own && !unchanged {
            let problem =
                format!("the data have changed since the run: {}", differences.join(", "));
            if !self.force {
                let remedy =
                    "test it on the data of the run, or on others with `dataset`; `force` goes on";
                return Err(Error::bad_file(path, format!("{problem}; {remedy}")));
            }
            notes.push(problem);
        }
        let data = match part {
            TestedPart::All => everything(opened.as_ref(), splits)?,
            TestedPart::Train => splits?.train,
            TestedPart::Validation => splits?.validation,
            TestedPart::Test => splits?.test,
        };
        let learned_on_purpose = unchanged && part != TestedPart::All && self.part.is_some();
        let the_runs_own_test = unchanged && part == TestedPart::Test;
        if !the_runs_own_test && !learned_on_purpose {
            let seen = identities(data.as_ref())?;
            let seen = seen.iter().filter(|row| saved.learned.binary_search(row).is_ok()).count();
            if seen > 0 {
                let total = data.len();
                let problem =
                    format!("the model was trained or chosen on {seen} of {total} examples");
                if !self.force {
                    let remedy = "how well they are predicted says nothing about others; `split` test \
                                takes the run's own test split, `force` goes on";
                    return Err(Error::bad_file(path, format!("{problem}; {remedy}")));
                }
                notes.push(problem);
            }
        }
        let file = self.dataset.map_or(path, Path::new);
        let data = Conformed::new(data, saved, self.without, Labels::Read)
            .map_err(|problem| Error::bad_file(file, problem))?;
        Ok(Tested { data: Arc::new(data), notes })
    }

    /// The settings with the data to open.
    fn config(&self, saved: &SavedModel) -> Result<CheckedConfig> {
        let registry = saved.config.registry();
        let own = &saved.card.config.data;
        let mut data = match self.dataset {
            None => own.clone(),
            Some(name) if name == own.name => own.clone(),
            Some(name) => {
                let other = choose_data(name, registry)?;
                match other.name == own.name {
                    // Labels, groups and splits are as in the run's.
                    true => Choice { options: both(&own.options, other.options), ..other },
                    false => other,
                }
            }
        };
        if let Some(label) = self.label {
            data = data.with("label", label);
        }
        // What a file shows may be otherwise in another one.
        if data.name == FILES.name && saved.card.task != Task::Classes {
            data = data.with("task", saved.card.task.name());
        }
        TrainConfig { data, ..saved.card.config.clone() }.check_with(registry)
    }
}

/// Data without labels, with the modalities of a model, to be predicted: every example of `data`, whose
/// labels, if it has any, are not read. `without` are modalities that it may lack.
///
/// # Errors
/// When the data cannot be opened or do not fit the model.
pub fn open_unlabelled_for(
    saved: &SavedModel,
    data: Unlabelled<'_>,
    without: &[String],
    progress: &dyn PrepareProgress,
) -> Result<Arc<dyn Dataset>> {
    let path = match &data {
        Unlabelled::Path(path) | Unlabelled::Manifest(path, _) => path.to_path_buf(),
    };
    let modalities = &saved.card.modalities;
    let used: Vec<Modality> =
        saved.model.used_modalities().iter().map(|&m| modalities[m].clone()).collect();
    let opened = open_unlabelled(data, &used, saved.card.recipe.as_deref(), progress)?;
    let data = Conformed::new(opened, saved, without, Labels::LeaveOut);
    Ok(Arc::new(data.map_err(|problem| Error::bad_file(&path, problem))?))
}

/// Options with others on top.
fn both(options: &Table, more: Table) -> Table {
    options.clone().into_iter().chain(more).collect()
}

fn fits(splits: &Splits, saved: &SavedModel) -> bool {
    let data = &splits.test;
    data.task() == saved.card.task
        && data.modalities() == saved.card.modalities
        && data.classes() == saved.card.classes
}

/// Every example, as it is tested.
fn everything(opened: &dyn DataSource, splits: Result<Splits>) -> Result<Arc<dyn Dataset>> {
    if let Some(examples) = opened.examples() {
        return Ok(examples);
    }
    let Splits { train, validation, test } = splits?;
    Ok(Arc::new(Chained::new(vec![train, validation, test])))
}
