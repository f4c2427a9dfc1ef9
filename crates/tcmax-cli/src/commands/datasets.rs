//! `tcmax datasets`.

use clap::Args;
use tcmax_datasets::fetch::cache_folder;
use tcmax_datasets::{DatasetCard, SYNTHETIC, SyntheticConfig, card, catalog};
use tcmax_media::{DEFAULT_RECIPE, Recipe, Transform, Validation};
use tcmax_report::table;
use tcmax_train::{Error, truth};

use super::print;

/// Options of `tcmax datasets`.
#[derive(Args)]
pub struct Datasets {
    /// Print everything about this one
    name: Option<String>,
}

impl Datasets {
    /// Prints the list, or one card.
    pub fn run(self) -> anyhow::Result<()> {
        match self.name {
            None => {
                for card in catalog() {
                    print(&format!("{:<16} {}", card.name, card.description))?;
                }
                Ok(())
            }
            Some(name) => {
                let Some(card) = card(&name) else {
                    let known: Vec<&str> = catalog().iter().map(|c| c.name.as_str()).collect();
                    let problem =
                        format!("no data set '{name}'; choose one of: {}", known.join(", "));
                    return Err(Error::setting("datasets", problem).into());
                };
                print(&describe(card))?;
                if let Some(recipe) = &card.prepare {
                    print(&recipes(recipe))?;
                    print(&format!("\nPrepare it: tcmax prepare {name} --root DIR --out CLIPS"))?;
                    return Ok(());
                }
                if name == SYNTHETIC.name {
                    let options = SyntheticConfig::default();
                    let names: Vec<String> =
                        options.modalities.iter().map(|m| m.name.clone()).collect();
                    if let Some(truth) = truth(&options)? {
                        print("\nWith the default options:")?;
                        print(&table::truth_table(&truth, &names))?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn describe(card: &DatasetCard) -> String {
    let mut text = format!(
        "{} ({})\n\n{}\n\nLicence: {}\nSource: {}\n\n{}",
        card.title, card.name, card.description, card.licence, card.source, card.recipe
    );
    if !card.files.is_empty() {
        text += "\n\nFiles:";
        for file in &card.files {
            text += &format!("\n  {}\n    sha256 {}", file.name, file.sha256);
            for url in &file.urls {
                text += &format!("\n    {url}");
            }
        }
        if let Ok(cache) = cache_folder() {
            let cache = cache.join(&card.name);
            text += &format!(
                "\n\nLooked for in --data-dir, TCMAX_DATA_DIR, or downloaded to {}",
                cache.display()
            );
        }
    }
    text
}

/// The recipes of a data set of media, with everything they set.
fn recipes(recipe: &Recipe) -> String {
    let mut text = "\nRecipes (--recipe NAME)".to_owned();
    let own = recipe.modalities.iter().map(|m| (m.name.as_str(), &m.transform));
    let own: Vec<(&str, &Transform)> = own.collect();
    text += &settings(DEFAULT_RECIPE, "as above", Some(&recipe.validation), &own);
    for (name, variant) in &recipe.variants {
        let transforms: Vec<(&str, &Transform)> =
            variant.transforms.iter().map(|(name, transform)| (name.as_str(), transform)).collect();
        text +=
            &settings(name, variant.description.trim(), variant.validation.as_ref(), &transforms);
    }
    text
}

/// One recipe: a line a setting, as the card has it.
fn settings(
    name: &str,
    description: &str,
    validation: Option<&Validation>,
    transforms: &[(&str, &Transform)],
) -> String {
    let mut text = format!("\n\n{name}: {description}");
    for (modality, transform) in transforms {
        text += &format!("\n  {modality} = {}", inline(transform));
    }
    if let Some(validation) = validation {
        text += &format!("\n  validation = {}", inline(validation));
    }
    text
}

/// A value as an inline table.
fn inline(value: &impl serde::Serialize) -> String {
    // What came from TOML has a form in it.
    toml::Value::try_from(value).map_or_else(|_| String::new(), |value| value.to_string())
}
