//! A comparison as `tcmax compare` makes it, from a program: progress, tables, and a folder with the report.
//!
//! ```text
//! cargo run -p tcmax-cli --example comparison [-- FOLDER]
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::path::PathBuf;

use tcmax_cli::{Comparison, write_results};
use tcmax_train::{Existing, Experiment, Registry, open_data_quietly};

const EXPERIMENT: &str = "
[data]
name = 'regimes'
test-size = 500
[train]
epochs = 5
[compare]
methods = ['joint', 'tcmax weight=0.5']
seeds = [0, 1]
";

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("tcmax-comparison"));
    let experiment = Experiment::from_toml(EXPERIMENT)?;
    let registry = Registry::default();
    let data = open_data_quietly(&experiment.config.clone().check_with(&registry)?)?;
    // A program of one's own may put methods, heads and encoders into the registry first.
    let comparison = Comparison::new(
        "example",
        &experiment,
        data.as_ref(),
        &registry,
        Some(&folder),
        Existing::Replace,
    )?;
    let result = comparison.train(&comparison.progress())?;
    result.complete()?;
    println!("{}", tcmax_report::table::comparison(&result));
    write_results(&folder, &result)
}
