//! `files`: data of the user, at a path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tcmax_data::shards::PREPARED_FILE;
use tcmax_data::user_data::{Layout, open_to_predict};
use tcmax_data::{ColumnNames, Dataset, Modality, Splits, UserData, UserDataConfig};
use tcmax_media::prepare::Plan;
use tcmax_media::{PrepareOptions, PrepareProgress, Transform, manifest_plan, model_plan, prepare};
use tcmax_registry::{Options, read};

use crate::error::Result;
use crate::fetch;
use crate::source::{DataSource, DataSpec, Opening};

/// The specification of user data.
pub static FILES: DataSpec = DataSpec {
    name: "files",
    description: "data of one's own: a feature file, feature tables, a manifest, prepared clips",
    options: Options::of::<UserDataConfig>(),
    paths: &["path"],
    open: |options, opening| {
        let given: UserDataConfig = read(options)?;
        let used = match manifest_clips(&given, opening)? {
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
fn manifest_clips(options: &UserDataConfig, opening: &Opening<'_>) -> Result<Option<PathBuf>> {
    let Layout::Manifest(manifest) = Layout::of(&options.path)? else { return Ok(None) };
    let names = ColumnNames {
        label: options.label.as_deref(),
        group: options.group.as_deref(),
        task: options.task,
        ..ColumnNames::default()
    };
    let plan = match opening.recipe {
        Some(recipe) => model_plan(&manifest, None, names, recipe, opening.clips)?,
        None => manifest_plan(&manifest, None, names, &tokenizers(options), opening.clips)?,
    };
    cached_clips(&plan, opening.clips).map(Some)
}

/// What to make of the text columns that have a tokenizer.
fn tokenizers(options: &UserDataConfig) -> BTreeMap<String, Transform> {
    /// Where nothing is said of it.
    const USUAL_TOKENS: usize = 64;
    let of_column = |(column, tokenizer): (&String, &String)| {
        let tokens = options.tokens.get(column).copied().unwrap_or(USUAL_TOKENS);
        let transform = Transform::Tokens { tokenizer: tokenizer.clone(), tokens, sha256: None };
        (column.clone(), transform)
    };
    options.tokenizers.iter().map(of_column).collect()
}

/// The clips of a plan in the user's cache, made if they are not there.
fn cached_clips(plan: &Plan, progress: &dyn PrepareProgress) -> Result<PathBuf> {
    let how = PrepareOptions::default();
    let folder = fetch::cache_folder()?.join("prepared").join(plan.fingerprint(&how));
    if !folder.join(PREPARED_FILE).is_file() {
        prepare(plan, &folder, &how, progress)?;
    }
    Ok(folder)
}

/// Where data without labels come from.
pub enum Unlabelled<'a> {
    /// A file or folder, as those that [`FILES`] opens, but without labels.
    Path(&'a Path),
    /// The bytes of a manifest from elsewhere, whose paths start from the current folder, and what to call
    /// it in messages.
    Manifest(&'a Path, Vec<u8>),
}

/// Data to predict: every example with those of `modalities` that are there. Media are made into inputs by
/// `recipe` ([`Dataset::recipe`]), in the user's cache. Labels are not read.
///
/// # Errors
/// Everything that is wrong with the data or its media, at once.
pub fn open_unlabelled(
    data: Unlabelled<'_>,
    modalities: &[Modality],
    recipe: Option<&str>,
    progress: &dyn PrepareProgress,
) -> Result<Arc<dyn Dataset>> {
    let (path, bytes) = match data {
        Unlabelled::Manifest(path, bytes) => (path.to_owned(), Some(bytes)),
        Unlabelled::Path(path) => match Layout::of(path)? {
            Layout::Manifest(manifest) => (manifest, None),
            _ => return Ok(open_to_predict(path, modalities)?),
        },
    };
    let only: Vec<String> = modalities.iter().map(|modality| modality.name.clone()).collect();
    let names = ColumnNames { only: Some(&only), ..ColumnNames::default() };
    let plan = model_plan(&path, bytes, names, recipe.unwrap_or_default(), progress)?;
    Ok(open_to_predict(&cached_clips(&plan, progress)?, modalities)?)
}
