//! The data set as one that is chosen by name.

use tcmax_data::Splits;
use tcmax_registry::{Options, read};

use super::config::RegimesConfig;
use super::draw;
use super::plan::modalities;
use crate::catalog::description_of;
use crate::error::Result;
use crate::source::{DataSource, DataSpec};

/// The specification of the generated regimes.
pub static REGIMES: DataSpec = DataSpec {
    name: "regimes",
    description: "generated vectors in which modalities compete, share noise or tell nothing",
    options: Options::of::<RegimesConfig>(),
    paths: &[],
    open: |options, _| {
        let config: RegimesConfig = read(options)?;
        config.check(modalities(&config).iter().map(|modality| modality.width).sum())?;
        Ok(Box::new(config))
    },
};

impl DataSource for RegimesConfig {
    fn title(&self) -> String {
        REGIMES.name.to_owned()
    }

    fn description(&self) -> String {
        description_of(REGIMES.name)
    }

    fn splits(&self, seed: u64) -> Result<Splits> {
        Ok(draw::splits(self, seed)?)
    }
}
