//! The published lists of clips of data sets.

mod formats;
mod list;

use std::path::PathBuf;

use tcmax_data::Split;

use crate::error::{Error, Result};
use crate::recipe::Lists;

pub use formats::{ListFormat, Listed, parse_list};
pub use list::{List, overlaps};

/// Reads the lists, which are looked for in `folders`.
pub(super) fn read_lists(lists: &Lists, folders: &[PathBuf]) -> Result<Vec<List>> {
    let read = |format, names| List::read(format, &must_find(folders, names)?);
    match lists {
        Lists::IdLabel { train, validation, test, combined } => {
            if find(folders, train).is_none()
                && let Some(path) = find(folders, combined)
            {
                return Ok(vec![List::read(ListFormat::Combined, &path)?]);
            }
            let mut found = vec![read(ListFormat::IdLabel(Split::Train), train)?];
            if let Some(path) = find(folders, validation) {
                found.push(List::read(ListFormat::IdLabel(Split::Validation), &path)?);
            }
            found.push(read(ListFormat::IdLabel(Split::Test), test)?);
            Ok(found)
        }
        Lists::Titles { train, test } => Ok(vec![
            read(ListFormat::Titles(Split::Train), train)?,
            read(ListFormat::Titles(Split::Test), test)?,
        ]),
        Lists::Sentiments { labels } => Ok(vec![read(ListFormat::Sentiments, labels)?]),
    }
}

fn find(folders: &[PathBuf], names: &[String]) -> Option<PathBuf> {
    let paths = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

fn must_find(folders: &[PathBuf], names: &[String]) -> Result<PathBuf> {
    find(folders, names).ok_or_else(|| {
        let paths: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let problem = format!(
            "none of the lists {} is in {}; give the folder with the lists",
            names.join(", "),
            paths.join(", ")
        );
        Error::option("lists", problem)
    })
}
