//! The list of data sets.

use tcmax_registry::Catalogue;

use crate::av_digits::AV_DIGITS;
use crate::files::FILES;
use crate::regimes::REGIMES;
use crate::source::DataSpec;
use crate::synthetic::SYNTHETIC;

/// The data sets one can train on at once, in the order to list them.
pub static DATA: [&DataSpec; 4] = [&SYNTHETIC, &REGIMES, &AV_DIGITS, &FILES];

/// A catalogue of the built-in data sets, to which others can be added.
pub fn data() -> Catalogue<DataSpec> {
    Catalogue::new("data set", &DATA)
}
