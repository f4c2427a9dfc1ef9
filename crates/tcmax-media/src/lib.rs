#![doc = include_str!("../README.md")]

pub mod decode;
mod error;
pub mod prepare;
mod recipe;
mod text;
mod transform;

pub use error::{Error, Result};
pub use prepare::{
    NamedOptions, NoProgress, PrepareOptions, PrepareProgress, Summary, check, manifest_plan,
    named_plan, prepare, recipe_of,
};
pub use recipe::{
    Channel, DEFAULT_RECIPE, GroupRule, Lists, ModalityRecipe, Order, Pick, Recipe, Transform,
    Validation, ValidationRule, Variant, parse_column_recipes,
};
pub use text::bag_of_words;
