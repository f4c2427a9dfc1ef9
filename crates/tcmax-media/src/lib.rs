#![doc = include_str!("../README.md")]

pub mod decode;
mod error;
pub mod prepare;
mod recipe;
mod text;
mod transform;

pub use error::{Error, Result};
pub use prepare::{
    NoProgress, PrepareOptions, PrepareProgress, Summary, check, manifest_plan, named_plan, prepare,
};
pub use recipe::{GroupRule, Lists, ModalityRecipe, Recipe, Transform};
pub use text::bag_of_words;
