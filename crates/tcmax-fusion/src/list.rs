//! The list of heads.

use tcmax_registry::Catalogue;

use crate::bi_gated::BI_GATED;
use crate::clip::CLIP;
use crate::concat::CONCAT;
use crate::film::{FILM, FILM_REVERSED};
use crate::gated::{GATED, GATED_REVERSED};
use crate::shared::SHARED;
use crate::spec::HeadSpec;
use crate::specific::SPECIFIC;
use crate::sum::SUM;

/// The built-in heads, in the order to list them.
pub static HEADS: [&HeadSpec; 10] = [
    &CONCAT,
    &SUM,
    &SHARED,
    &CLIP,
    &SPECIFIC,
    &FILM,
    &FILM_REVERSED,
    &GATED,
    &GATED_REVERSED,
    &BI_GATED,
];

/// A catalogue of the built-in heads, to which others can be added.
pub fn heads() -> Catalogue<HeadSpec> {
    Catalogue::new("fusion head", &HEADS)
}
