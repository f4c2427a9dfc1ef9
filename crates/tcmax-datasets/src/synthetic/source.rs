//! The data set as one that is chosen by name.

use tcmax_data::Splits;
use tcmax_registry::{Options, read};

use super::config::SyntheticConfig;
use super::draw;
use crate::catalog::description_of;
use crate::error::Result;
use crate::source::{DataSource, DataSpec};

/// The specification of the generated clips.
pub static SYNTHETIC: DataSpec = DataSpec {
    name: "synthetic",
    description: "generated clips whose information is known; no files needed",
    options: Options::of::<SyntheticConfig>(),
    paths: &[],
    open: |options, _| {
        let config: SyntheticConfig = read(options)?;
        config.check()?;
        Ok(Box::new(config))
    },
};

impl DataSource for SyntheticConfig {
    fn title(&self) -> String {
        SYNTHETIC.name.to_owned()
    }

    fn description(&self) -> String {
        description_of(SYNTHETIC.name)
    }

    fn splits(&self, seed: u64) -> Result<Splits> {
        Ok(draw::splits(self, seed)?)
    }

    fn joint_table(&self) -> Result<Option<(Vec<usize>, Vec<f64>)>> {
        Ok(Some(self.joint_table()?))
    }
}
