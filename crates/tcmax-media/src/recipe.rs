//! How the clips of a published data set are made, as its card writes it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::transform::Transform;

/// What a card's own recipe is called beside its variants.
pub const DEFAULT_RECIPE: &str = "default";

/// How clips are made of a data set's media: the `[prepare]` table of its card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Where ids, labels and splits come from.
    pub lists: Lists,
    /// How a clip's group follows from its id.
    pub group: GroupRule,
    /// Which clips of the train list validate, where there is no validation list.
    pub validation: Validation,
    /// What is made of each clip.
    pub modalities: Vec<ModalityRecipe>,
    /// Other recipes of the data set, by name.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
}

/// Another recipe of a data set: what it does differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// What it is and how it differs, in words.
    pub description: String,
    /// Which clips validate.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// What is made of some modalities, by name.
    #[serde(default)]
    pub transforms: BTreeMap<String, Transform>,
}

impl Recipe {
    /// The recipe called `name`; absent: the card's own, which is called [`DEFAULT_RECIPE`].
    ///
    /// # Errors
    /// When there is no such recipe, or it names a modality that the card does not have.
    pub fn variant(mut self, name: Option<&str>) -> Result<Self> {
        let Some(name) = name.filter(|name| *name != DEFAULT_RECIPE) else { return Ok(self) };
        let Some(variant) = self.variants.remove(name) else {
            let known: Vec<&str> = self.variants.keys().map(String::as_str).collect();
            let problem = format!(
                "no recipe '{name}' of this data set; choose one of: {}",
                [&[DEFAULT_RECIPE], &known[..]].concat().join(", ")
            );
            return Err(Error::option("recipe", problem));
        };
        self.validation = variant.validation.unwrap_or(self.validation);
        for (modality, transform) in variant.transforms {
            let found = self.modalities.iter_mut().find(|recipe| recipe.name == modality);
            let Some(found) = found else {
                let problem = format!("the recipe has no modality '{modality}'");
                return Err(Error::option(format!("recipe {name}"), problem));
            };
            found.transform = transform;
        }
        Ok(self)
    }
}

/// Which clips of a train list validate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Validation {
    /// Their fraction of the list, at least 0 and below 1.
    pub fraction: f64,
    /// How they are chosen.
    pub rule: ValidationRule,
}

/// How validation clips are chosen from a train list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationRule {
    /// Drawn once and for all, within each class.
    Stratified,
    /// Drawn once and for all, groups as a whole, classes balanced as well as that allows.
    Grouped,
    /// The last of the clips whose files are there, as the paper's code has it: only for lists that
    /// are in random order.
    Last,
}

/// Lists of a data set. Every name is looked for in the folder of lists and in that of the media; the
/// first found of several is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "format"
)]
pub enum Lists {
    /// Files of `id,label` lines.
    IdLabel {
        /// Train lists.
        train: Vec<String>,
        /// Validation lists; may be empty.
        #[serde(default)]
        validation: Vec<String>,
        /// Test lists.
        test: Vec<String>,
        /// One file of `video,start,label,split` lines, as VGGSound has it, instead of a train list.
        #[serde(default)]
        combined: Vec<String>,
    },
    /// Files of `picture,title,label` lines: the title is the text.
    Titles {
        /// Train lists.
        train: Vec<String>,
        /// Test lists.
        test: Vec<String>,
    },
    /// MVSA's `id<TAB>text,image` lines of sentiments, of one or more annotators.
    Sentiments {
        /// The file.
        labels: Vec<String>,
    },
}

/// How a clip's group (speaker, source video) follows from its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GroupRule {
    /// How many of the id's words between underscores are kept from the front; absent: all.
    pub keep: Option<usize>,
    /// How many are left out at the back.
    #[serde(default)]
    pub drop: usize,
}

impl GroupRule {
    /// The group of an id.
    ///
    /// ```
    /// use tcmax_media::GroupRule;
    ///
    /// let speaker = GroupRule { keep: Some(1), drop: 0 };
    /// assert_eq!(speaker.group("1001_DFA_ANG_XX"), "1001");
    /// let video = GroupRule { keep: None, drop: 2 };
    /// assert_eq!(video.group("a_b-c_000034_000044"), "a_b-c");
    /// ```
    pub fn group(&self, id: &str) -> String {
        let words: Vec<&str> = id.split('_').collect();
        let most = words.len().saturating_sub(self.drop).max(1);
        words[..self.keep.unwrap_or(most).clamp(1, most)].join("_")
    }
}

/// One modality of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModalityRecipe {
    /// Its name.
    pub name: String,
    /// Where its file is below the root, with `{id}`, `{label}`, `{split}`; the first that exists.
    /// Empty when the text comes from the list.
    #[serde(default)]
    pub path: Vec<String>,
    /// What is made of it.
    pub transform: Transform,
}
