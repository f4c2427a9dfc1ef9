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
use crate::recipe::{Recipe, Transform};
use crate::{Error, Result};

/// The plan of the data set called `name` from its media in `root`; `lists` is a further folder to
/// look for its lists in, `modalities` chooses some by name, or all when it is empty.
///
/// # Errors
/// When there is no such data set, lists are missing or damaged, or the root holds none of its media.
pub fn named_plan(
    name: &str,
    root: &Path,
    lists: Option<&Path>,
    modalities: &[String],
) -> Result<Plan> {
    let recipe = recipe_of(name)?;
    if !root.is_dir() {
        let mend = format!("give the folder with the media of '{name}' with --root");
        return Err(tcmax_data::Error::Missing { path: root.to_owned(), mend }.into());
    }
    let folders: Vec<PathBuf> =
        lists.into_iter().chain([root]).map(Path::to_owned).chain([root.join("splits")]).collect();
    let (read, listed) = read_lists(&recipe.lists, &folders)?;
    let notes = overlaps(&read, |id| recipe.group.group(id));
    let chosen = choose(&recipe, modalities)?;
    let mut items = with_validation(listed, recipe.validation)
        .into_iter()
        .map(|listed| item(&recipe, &chosen, root, listed))
        .collect::<Vec<Item>>();
    unique_ids(&mut items);
    let found = |item: &Item| item.sources.iter().any(|source| matches!(source, Source::File(_)));
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

/// The recipe on a data set's card.
pub(crate) fn recipe_of(name: &str) -> Result<Recipe> {
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
    for modality in &recipe.modalities {
        modality.transform.check(&modality.name)?;
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

/// Makes the last part of the train list the validation part, where there is none.
fn with_validation(mut listed: Vec<Listed>, fraction: f64) -> Vec<Listed> {
    if listed.iter().any(|entry| entry.part == Some(Part::Validation)) {
        return listed;
    }
    let train = listed.iter().filter(|entry| entry.part == Some(Part::Train)).count();
    let first = train - (fraction * train as f64).round() as usize;
    let entries = listed.iter_mut().filter(|entry| entry.part == Some(Part::Train));
    entries.skip(first).for_each(|entry| entry.part = Some(Part::Validation));
    listed
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
        }
        let error = recipe_of("imagenet").unwrap_err().to_string();
        assert!(error.contains("crema-d"), "{error}");
    }

    #[test]
    fn the_last_fifth_of_the_train_list_validates() {
        let listed = |n: usize, part| Listed {
            id: n.to_string(),
            label: "x".to_owned(),
            part: Some(part),
            text: None,
            line: n as u64,
        };
        let mut all: Vec<Listed> = (0..10).map(|n| listed(n, Part::Train)).collect();
        all.insert(3, listed(99, Part::Test));
        let split = with_validation(all, 0.2);
        let validation: Vec<&str> = split
            .iter()
            .filter(|entry| entry.part == Some(Part::Validation))
            .map(|entry| entry.id.as_str())
            .collect();
        assert_eq!(validation, ["8", "9"]);
    }
}
