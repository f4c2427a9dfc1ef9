//! `tcmax examples`.

mod files;

use std::path::PathBuf;

use clap::Args;
use files::write_examples;

/// Options of `tcmax examples`.
#[derive(Args)]
pub struct Examples {
    /// Where the files go: a folder, made if it is not there
    folder: PathBuf,
}

impl Examples {
    /// Writes the files and prints what each is for.
    pub fn run(self) -> anyhow::Result<()> {
        write_examples(&self.folder)?;
        let at = self.folder.display();
        super::print(&format!(
            "{at}/features.npz  a feature file:    tcmax train --dataset {at}/features.npz\n\
             {at}/tables        feature tables:    tcmax train --dataset {at}/tables\n\
             {at}/posts.csv     a manifest:        tcmax prepare {at}/posts.csv --out clips\n\
             {at}/table.csv     variables:         tcmax estimate {at}/table.csv --all-pairs"
        ))
    }
}
