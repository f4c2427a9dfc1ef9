//! Plans of data sets with published lists.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tcmax_data::manifest::leads_out;
use tcmax_data::{Position, Split};

use super::lists::{List, Listed, overlaps, read_lists};
use super::plan::{Item, Plan, Source};
use super::validation::{self, Candidate};
use crate::error::{Error, Result};
use crate::recipe::{Recipe, Validation};
use crate::transform::Transform;

/// What to prepare of a data set with published lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// A further folder to look for its lists in.
    pub lists: Option<PathBuf>,
    /// Some modalities by name; all when it is empty.
    pub modalities: Vec<String>,
    /// The recipe; absent: the card's own.
    pub recipe: Option<String>,
}

/// The plan of the data set called `name` from its media in `root`; `recipe` is that of its card, with all
/// variants.
///
/// # Errors
/// When lists are missing or damaged, or the root holds none of its media.
pub fn list_plan(name: &str, recipe: Recipe, root: &Path, options: &ListOptions) -> Result<Plan> {
    let ListOptions { lists, modalities, recipe: variant } = options;
    let recipe = recipe.variant(variant.as_deref())?;
    if !root.is_dir() {
        let fix = format!("give the folder with the media of '{name}'");
        return Err(tcmax_data::Error::Missing { path: root.to_owned(), fix }.into());
    }
    let folders: Vec<PathBuf> =
        lists.iter().cloned().chain([root.to_owned(), root.join("splits")]).collect();
    let lists = read_lists(&recipe.lists, &folders)?;
    let notes = overlaps(&lists, |id| recipe.group.group(id));
    let chosen = choose(&recipe, modalities)?;
    let mut items = lists
        .into_iter()
        .flat_map(|List { entries, .. }| entries)
        .map(|listed| item(&recipe, &chosen, root, listed))
        .collect::<Vec<Item>>();
    add_validation(&mut items, &recipe.validation);
    unique_ids(&mut items);
    let found = |item: &Item| {
        item.sources.iter().any(|source| matches!(source, Source::File(_) | Source::Words(_)))
    };
    if !items.iter().any(found) {
        let paths = chosen.iter().flat_map(|&m| &recipe.modalities[m].path).cloned();
        let problem = format!(
            "none of the {} clips is in {}; looked for {}",
            items.len(),
            root.display(),
            paths.collect::<Vec<_>>().join(", ")
        );
        return Err(Error::option("root", problem));
    }
    let modality =
        |&m: &usize| (recipe.modalities[m].name.clone(), recipe.modalities[m].transform.clone());
    Ok(Plan {
        name: name.to_owned(),
        root: root.to_owned(),
        modalities: chosen.iter().map(modality).collect(),
        items,
        notes,
        manifest: None,
    })
}

fn choose(recipe: &Recipe, names: &[String]) -> Result<Vec<usize>> {
    let position = |name: &String| {
        recipe.modalities.iter().position(|modality| modality.name == *name).ok_or_else(|| {
            let known: Vec<&str> = recipe.modalities.iter().map(|m| m.name.as_str()).collect();
            let problem = format!("no modality '{name}'; the recipe has {}", known.join(", "));
            Error::option("modalities", problem)
        })
    };
    match names.is_empty() {
        true => Ok((0..recipe.modalities.len()).collect()),
        false => names.iter().map(position).collect(),
    }
}

/// Makes some of the train list the validation split, where there is none.
fn add_validation(items: &mut [Item], validation: &Validation) {
    if items.iter().any(|item| item.split == Some(Split::Validation)) {
        return;
    }
    let mut train: Vec<&mut Item> =
        items.iter_mut().filter(|item| item.split == Some(Split::Train)).collect();
    let candidate = |item: &&mut Item| Candidate {
        label: item.label.clone(),
        group: item.group.clone(),
        whole: !item.sources.iter().any(|source| matches!(source, Source::Missing(_))),
    };
    let candidates: Vec<Candidate> = train.iter().map(candidate).collect();
    let chosen = validation::choose(&candidates, validation);
    for (item, _) in train.iter_mut().zip(chosen).filter(|(_, validates)| *validates) {
        item.split = Some(Split::Validation);
    }
}

fn item(recipe: &Recipe, chosen: &[usize], root: &Path, listed: Listed) -> Item {
    let source = |&m: &usize| {
        let modality = &recipe.modalities[m];
        match (&modality.transform, &listed.text) {
            (Transform::Text { .. }, Some(text)) => Source::Words(text.clone()),
            _ => find(root, &modality.path, &listed),
        }
    };
    Item {
        sources: chosen.iter().map(source).collect(),
        group: recipe.group.group(&listed.id),
        id: listed.id,
        split: listed.split,
        label: listed.label,
        position: Position::Line(listed.line),
    }
}

/// The first of the paths that is there.
fn find(root: &Path, paths: &[String], listed: &Listed) -> Source {
    let split = match listed.split {
        Some(Split::Test) => "test",
        _ => "train",
    };
    let fill = |path: &String| {
        path.replace("{id}", &listed.id).replace("{label}", &listed.label).replace("{split}", split)
    };
    let names: Vec<String> = paths.iter().map(fill).collect();
    if let Some(name) = names.iter().find(|name| leads_out(name)) {
        return Source::Missing(format!("'{name}' leads out of the root"));
    }
    match names.iter().find(|name| root.join(name).is_file()) {
        Some(name) => Source::File(name.clone()),
        None => Source::Missing("there is no such file".to_owned()),
    }
}

/// An id that is in two lists names two clips; the later ones say so.
fn unique_ids(items: &mut [Item]) {
    let mut seen = HashSet::new();
    for item in items {
        while !seen.insert(item.id.clone()) {
            let split = item.split.map_or("again", Split::name);
            item.id += &format!("@{split}");
        }
    }
}
