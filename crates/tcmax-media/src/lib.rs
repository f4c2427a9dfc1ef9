#![doc = include_str!("../README.md")]

mod apply;
pub mod decode;
mod error;
pub mod prepare;
mod recipe;
pub mod signal;
mod text;
mod tokens;
mod transform;

pub use error::{Error, Result};
pub use prepare::{
    ListOptions, NoProgress, PrepareOptions, PrepareProgress, Summary, check, list_plan,
    manifest_plan, model_plan, prepare,
};
pub use recipe::{
    DEFAULT_RECIPE, GroupRule, Lists, ModalityRecipe, Recipe, Validation, ValidationRule, Variant,
};
pub use text::bag_of_words;
pub use transform::{Channel, Order, Pick, Transform, parse_column_recipes};
