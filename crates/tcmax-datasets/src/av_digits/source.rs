//! The data set as one that is chosen by name.

use tcmax_data::Splits;
use tcmax_registry::{Options, read};

use super::config::{AvDigitsConfig, AvDigitsSplit};
use super::data::AvDigits;
use crate::catalog::{card, description_of};
use crate::error::{Error, Result};
use crate::fetch;
use crate::source::{DataSource, DataSpec};

/// The specification of the digits.
pub static AV_DIGITS: DataSpec = DataSpec {
    name: "av-digits",
    description: "spoken and handwritten digits, real; 25 MB to download",
    options: Options::of::<AvDigitsConfig>(),
    paths: &[],
    open: |options, opening| {
        let config: AvDigitsConfig = read(options)?;
        let card = card(AV_DIGITS.name).ok_or_else(|| Error::NoCard { name: AV_DIGITS.name })?;
        let folder = fetch::locate(card, opening.data_dir, opening.downloads)?;
        Ok(Box::new(Digits { data: AvDigits::open(&folder)?, config }))
    },
};

struct Digits {
    data: AvDigits,
    config: AvDigitsConfig,
}

impl DataSource for Digits {
    fn title(&self) -> String {
        AV_DIGITS.name.to_owned()
    }

    fn description(&self) -> String {
        description_of(AV_DIGITS.name)
    }

    fn draws_test_split(&self) -> bool {
        // The standard test recordings are never trained on; the speakers take turns.
        self.config.split == AvDigitsSplit::Speaker
    }

    fn splits(&self, seed: u64) -> Result<Splits> {
        self.data.splits(&self.config, seed)
    }
}
