//! What a data set is chosen by, and what an opened one can do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tcmax_data::{Dataset, Splits};
use tcmax_media::PrepareProgress;
use tcmax_registry::{Choice, Options, Spec, Table};

use crate::error::Result;
use crate::fetch::DownloadProgress;

/// An opened data set, from which the splits of any seed are made.
pub trait DataSource: Send + Sync {
    /// What to call it in reports.
    fn title(&self) -> String;

    /// What it is, one or two sentences.
    fn description(&self) -> String;

    /// The splits of one seed.
    ///
    /// # Errors
    /// When the options do not fit the data.
    fn splits(&self, seed: u64) -> Result<Splits>;

    /// Whether every seed draws its test split from the examples that others train on.
    fn draws_test_split(&self) -> bool {
        false
    }

    /// The number of folds of a cross-validation, where the options ask for one.
    fn folds(&self) -> Option<usize> {
        None
    }

    /// The splits of one seed that test on fold `fold` (from 0) of [`DataSource::folds`].
    ///
    /// # Errors
    /// As [`DataSource::splits`], and when there is no such fold.
    fn splits_of_fold(&self, seed: u64, fold: usize) -> Result<Splits> {
        let _ = seed;
        Err(tcmax_data::Error::option("fold", format!("there is no fold {fold}")).into())
    }

    /// Every example once, as it is tested; `None` where the splits of a seed are all there is.
    fn examples(&self) -> Option<Arc<dyn Dataset>> {
        None
    }

    /// What a reader should know, such as speakers in several splits.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// What makes results doubtful, such as copies of training examples in the test split.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// The joint distribution of what the modalities show and the label, where it is known: sizes of the
    /// variables, the label's last, and the probabilities with the last variable running fastest.
    ///
    /// # Errors
    /// When the options are out of range.
    fn joint_table(&self) -> Result<Option<(Vec<usize>, Vec<f64>)>> {
        Ok(None)
    }
}

/// What opening may need beside the options.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The folder with the files of a named data set; absent: they are downloaded into the cache.
    pub data_dir: Option<&'a Path>,
    /// Told of downloads.
    pub downloads: &'a dyn DownloadProgress,
    /// Told of clips that are made.
    pub clips: &'a dyn PrepareProgress,
    /// What made the inputs of a model ([`Dataset::recipe`]), where media are to become such inputs.
    pub recipe: Option<&'a str>,
}

/// The specification of a data set: a constant in the data set's file.
pub struct DataSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it is.
    pub description: &'static str,
    /// Its options.
    pub options: Options,
    /// Options that are paths; where data are does not count for what they are.
    pub paths: &'static [&'static str],
    /// Opens it with these options.
    pub open: OpenData,
}

/// Opens a data set.
pub type OpenData = fn(&Table, &Opening<'_>) -> Result<Box<dyn DataSource>>;

impl DataSpec {
    /// The same data from wherever one is: relative paths start from the current folder.
    ///
    /// # Errors
    /// When a path is missing, or the system does not know the current folder.
    pub fn absolute(&self, mut options: Table) -> Result<Table> {
        for name in self.paths {
            let given = options.get(*name).and_then(toml::Value::as_str).unwrap_or_default();
            if given.is_empty() {
                let problem =
                    "is missing: give the path of the data, or the name of another data set";
                return Err(tcmax_data::Error::option(name, problem).into());
            }
            let given = PathBuf::from(given);
            let path = std::path::absolute(&given).map_err(tcmax_data::Error::io(&given))?;
            let path = path.to_str().ok_or_else(|| {
                let problem = "the path is not valid Unicode, which files of settings need to be";
                tcmax_data::Error::bad_file(&path, problem)
            })?;
            options.insert((*name).to_owned(), path.into());
        }
        Ok(options)
    }

    /// The same choice without where the data are.
    pub fn without_paths(&self, mut choice: Choice) -> Choice {
        choice.options.retain(|name, _| !self.paths.iter().any(|path| **path == *name));
        choice
    }
}

impl Spec for DataSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
