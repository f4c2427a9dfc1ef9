//! Plans of the data sets that have a card.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tcmax_data::Place;
use tcmax_data::fetch;
use tcmax_data::own::manifest::leads_out;
use tcmax_data::own::partition::Part;
use tcmax_data::split_list::overlaps;

use super::lists::{Listed, read_lists};
use super::plan::{Item, Plan, Source};
use super::validation::{self, Candidate};
use crate::recipe::{Recipe, Transform, Validation};
use crate::{Error, Result};

/// What to prepare of a data set that has a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedOptions {
    /// A further folder to look for its lists in.
    pub lists: Option<PathBuf>,
    /// Some modalities by name; all when it is empty.
    pub modalities: Vec<String>,
    /// The recipe; absent: the card's own.
    pub recipe: Option<String>,
}

/// The plan of the data set called `name` from its media in `root`.
///
/// # Errors
/// When there is no such data set, lists are missing or damaged, or the root holds none of its media.
pub fn named_plan(name: &str, root: &Path, options: &NamedOptions) -> Result<Plan> {
    let NamedOptions { lists, modalities, recipe } = options;
    let recipe = recipe_of(name)?.variant(recipe.as_deref())?;
    if !root.is_dir() {
        let mend = format!("give the folder with the media of '{name}' with --root");
        return Err(tcmax_data::Error::Missing { path: root.to_owned(), mend }.into());
    }
    let folders: Vec<PathBuf> =
        lists.iter().cloned().chain([root.to_owned(), root.join("splits")]).collect();
    let (read, listed) = read_lists(&recipe.lists, &folders)?;
    let notes = overlaps(&read, |id| recipe.group.group(id));
    let chosen = choose(&recipe, modalities)?;
    let mut items = listed
        .into_iter()
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
        return Err(Error::option("--root", problem));
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

/// The recipe on a data set's card, with its variants.
///
/// # Errors
/// When there is no card of this name, or nothing has to be prepared.
pub fn recipe_of(name: &str) -> Result<Recipe> {
    let cards = fetch::catalog().iter().filter(|card| card.prepare.is_some());
    let Some(table) = fetch::card(name).and_then(|card| card.prepare.clone()) else {
        let known: Vec<&str> = cards.map(|card| card.name.as_str()).collect();
        let problem = format!(
            "no recipe for '{name}'; choose one of: {}, or give a manifest",
            known.join(", ")
        );
        return Err(Error::option("prepare", problem));
    };
    let recipe: Recipe = table
        .try_into()
        .map_err(|e: toml::de::Error| Error::option(format!("card of {name}"), e.to_string()))?;
    let own = recipe.modalities.iter().map(|modality| (&modality.name, &modality.transform));
    let others = recipe.variants.values().flat_map(|variant| &variant.transforms);
    for (modality, transform) in own.chain(others) {
        transform.check(modality)?;
    }
    Ok(recipe)
}

fn choose(recipe: &Recipe, names: &[String]) -> Result<Vec<usize>> {
    let position = |name: &String| {
        recipe.modalities.iter().position(|modality| modality.name == *name).ok_or_else(|| {
            let known: Vec<&str> = recipe.modalities.iter().map(|m| m.name.as_str()).collect();
            let problem = format!("no modality '{name}'; the recipe has {}", known.join(", "));
            Error::option("--modalities", problem)
        })
    };
    match names.is_empty() {
        true => Ok((0..recipe.modalities.len()).collect()),
        false => names.iter().map(position).collect(),
    }
}

/// Makes some of the train list the validation part, where there is none.
fn add_validation(items: &mut [Item], validation: &Validation) {
    if items.iter().any(|item| item.part == Some(Part::Validation)) {
        return;
    }
    let mut train: Vec<&mut Item> =
        items.iter_mut().filter(|item| item.part == Some(Part::Train)).collect();
    let candidate = |item: &&mut Item| Candidate {
        label: item.label.clone(),
        group: item.group.clone(),
        whole: !item.sources.iter().any(|source| matches!(source, Source::Missing(_))),
    };
    let candidates: Vec<Candidate> = train.iter().map(candidate).collect();
    let chosen = validation::choose(&candidates, validation);
    for (item, _) in train.iter_mut().zip(chosen).filter(|(_, validates)| *validates) {
        item.part = Some(Part::Validation);
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
        part: listed.part,
        label: listed.label,
        place: Place::Line(listed.line),
    }
}

/// The first of the paths that is there.
fn find(root: &Path, paths: &[String], listed: &Listed) -> Source {
    let part = match listed.part {
        Some(Part::Test) => "test",
        _ => "train",
    };
    let fill = |path: &String| {
        path.replace("{id}", &listed.id).replace("{label}", &listed.label).replace("{part}", part)
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
            item.id += item.part.map_or("@again", |part| match part {
                Part::Train => "@train",
                Part::Validation => "@validation",
                Part::Test => "@test",
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_complete() {
        let names: Vec<&str> = fetch::catalog()
            .iter()
            .filter(|card| card.prepare.is_some())
            .map(|card| card.name.as_str())
            .collect();
        assert_eq!(
            names,
            ["crema-d", "kinetics-sounds", "ave", "vggsound", "ucf101", "food-101", "mvsa"]
        );
        for name in names {
            let recipe = recipe_of(name).unwrap();
            assert!(recipe.modalities.len() >= 2, "{name}");
            for variant in recipe.variants.keys() {
                recipe.clone().variant(Some(variant)).unwrap();
            }
        }
        let error = recipe_of("imagenet").unwrap_err().to_string();
        assert!(error.contains("crema-d"), "{error}");
    }
}
