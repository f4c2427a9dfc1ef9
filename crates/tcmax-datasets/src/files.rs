//! `files`: data of the user, at a path.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tcmax_data::shards::PREPARED_FILE;
use tcmax_data::user_data::Layout;
use tcmax_data::{ColumnNames, Dataset, Splits, UserData, UserDataConfig};
use tcmax_media::{PrepareOptions, PrepareProgress, manifest_plan, prepare};
use tcmax_registry::{Options, read};

use crate::error::Result;
use crate::fetch;
use crate::source::{DataSource, DataSpec};

/// The specification of user data.
pub static FILES: DataSpec = DataSpec {
    name: "files",
    description: "data of one's own: a feature file, feature tables, a manifest, prepared clips",
    options: Options::of::<UserDataConfig>(),
    paths: &["path"],
    open: |options, opening| {
        let given: UserDataConfig = read(options)?;
        let used = match manifest_clips(&given, opening.clips)? {
            // The clips were prepared with the labels and groups that the options name.
            Some(path) => UserDataConfig { path, label: None, group: None, ..given.clone() },
            None => given.clone(),
        };
        Ok(Box::new(Files { data: UserData::open(&used)?, used, given }))
    },
};

/// User data that were opened.
struct Files {
    data: UserData,
    /// The options they were opened with.
    used: UserDataConfig,
    /// The options that were asked for.
    given: UserDataConfig,
}

impl DataSource for Files {
    fn title(&self) -> String {
        let path = self.given.path.canonicalize().unwrap_or_else(|_| self.given.path.clone());
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
    }

    fn description(&self) -> String {
        let path = self.used.path.canonicalize().unwrap_or_else(|_| self.used.path.clone());
        format!("{} examples of {}.", self.data.examples().len(), path.display())
    }

    fn splits(&self, seed: u64) -> Result<Splits> {
        Ok(self.data.splits(&self.used, seed)?)
    }

    fn draws_test_split(&self) -> bool {
        self.data.draws_test_split(&self.used)
    }

    fn folds(&self) -> Option<usize> {
        self.used.folds
    }

    fn splits_of_fold(&self, seed: u64, fold: usize) -> Result<Splits> {
        Ok(self.data.splits(&UserDataConfig { fold, ..self.used.clone() }, seed)?)
    }

    fn examples(&self) -> Option<Arc<dyn Dataset>> {
        Some(self.data.examples().clone())
    }

    fn notes(&self) -> &[String] {
        self.data.notes()
    }

    fn warnings(&self) -> &[String] {
        self.data.warnings()
    }
}

/// The prepared clips of a manifest of media, made in the user's cache if they are not there; none
/// when the path is no manifest.
///
/// # Errors
/// Everything that is wrong with the manifest or its media, at once.
fn manifest_clips(
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
