//! The catalogue: the cards of `cards/*.toml`, to which the workspace's folder `datasets` links.

use std::sync::OnceLock;

use serde::Deserialize;
use tcmax_media::Recipe;

use crate::error::Result;

/// What is known of a data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DatasetCard {
    /// Its name.
    pub name: String,
    /// A few words.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// Terms of use.
    pub licence: String,
    /// Where it was published.
    pub source: String,
    /// What is done to the files.
    pub recipe: String,
    /// Files to fetch; none for generated data.
    #[serde(default)]
    pub files: Vec<RemoteFile>,
    /// How clips are made of its media, with all variants; none when nothing has to be prepared.
    #[serde(default)]
    pub prepare: Option<Recipe>,
}

/// One file of a data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RemoteFile {
    /// Its name on disk.
    pub name: String,
    /// Addresses, tried in order.
    pub urls: Vec<String>,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Digest of what is inside; see `datasets/README.md`.
    pub content_sha256: Option<String>,
    /// More bytes than this are refused.
    pub largest_bytes: u64,
    /// Where the Hugging Face hub has its content (feature `hub`).
    pub hub: Option<HubFile>,
}

/// Content that the Hugging Face hub has in another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HubFile {
    /// The 10,000 MNIST test images.
    MnistTestImages,
    /// Their labels.
    MnistTestLabels,
}

const CARDS: [&str; 10] = [
    include_str!("../cards/synthetic.toml"),
    include_str!("../cards/regimes.toml"),
    include_str!("../cards/av-digits.toml"),
    include_str!("../cards/crema-d.toml"),
    include_str!("../cards/kinetics-sounds.toml"),
    include_str!("../cards/ave.toml"),
    include_str!("../cards/vggsound.toml"),
    include_str!("../cards/ucf101.toml"),
    include_str!("../cards/food-101.toml"),
    include_str!("../cards/mvsa.toml"),
];

/// Every data set there is.
pub fn catalog() -> &'static [DatasetCard] {
    static CATALOG: OnceLock<Vec<DatasetCard>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        // The cards are part of the program, and a test reads them all.
        CARDS.iter().map(|card| toml::from_str(card).expect("a built-in card is valid")).collect()
    })
}

/// The card called `name`.
pub fn card(name: &str) -> Option<&'static DatasetCard> {
    catalog().iter().find(|card| card.name == name)
}

/// What the data set called `name` is, by its card.
pub(crate) fn description_of(name: &str) -> String {
    card(name).map_or_else(String::new, |card| card.description.clone())
}

/// The recipe on a data set's card, with its variants.
///
/// # Errors
/// When there is no card of this name, or nothing has to be prepared.
pub fn recipe_of(name: &str) -> Result<&'static Recipe> {
    let Some(recipe) = card(name).and_then(|card| card.prepare.as_ref()) else {
        let cards = catalog().iter().filter(|card| card.prepare.is_some());
        let known: Vec<&str> = cards.map(|card| card.name.as_str()).collect();
        let problem = format!(
            "no recipe for '{name}'; choose one of: {}, or give a manifest",
            known.join(", ")
        );
        return Err(tcmax_data::Error::option("prepare", problem).into());
    };
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_is_complete() {
        assert!(card("synthetic").is_some_and(|card| card.files.is_empty()));
        for file in catalog().iter().flat_map(|card| &card.files) {
            let digests = [Some(&file.sha256), file.content_sha256.as_ref()];
            for digest in digests.into_iter().flatten() {
                assert_eq!(digest.len(), 64, "{}", file.name);
                assert!(digest.chars().all(|c| c.is_ascii_hexdigit()), "{}", file.name);
            }
            assert!(file.urls.iter().all(|url| url.starts_with("https://")), "{}", file.name);
        }
    }

    #[test]
    fn every_recipe_is_complete() {
        let names: Vec<&str> = catalog()
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
            let own = recipe.modalities.iter().map(|m| (&m.name, &m.transform));
            let others = recipe.variants.values().flat_map(|variant| &variant.transforms);
            own.chain(others).for_each(|(name, transform)| transform.check(name).unwrap());
            for variant in recipe.variants.keys() {
                recipe.clone().variant(Some(variant)).unwrap();
            }
        }
        let error = recipe_of("imagenet").unwrap_err().to_string();
        assert!(error.contains("crema-d"), "{error}");
    }
}
