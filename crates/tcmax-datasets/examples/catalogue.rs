//! Which data sets there are, and what is in the examples of those that are generated.
//!
//! ```text
//! cargo run -p tcmax-datasets --example catalogue
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use tcmax_data::Dataset;
use tcmax_datasets::{Regime, RegimesConfig, SyntheticConfig, catalog, regimes, synthetic};

fn main() -> tcmax_data::Result<()> {
    for card in catalog() {
        let from = match (&card.files[..], &card.prepare) {
            ([], Some(_)) => "prepared from media that you have".to_owned(),
            ([], None) => "generated".to_owned(),
            (files, _) => format!("{} files, downloaded", files.len()),
        };
        println!("{:16} {}, {from}; {}", card.name, card.title, card.licence);
    }
    println!();
    let small =
        SyntheticConfig { train_size: 20, val_size: 10, test_size: 10, ..Default::default() };
    describe("synthetic", synthetic::splits(&small, 0)?.train.as_ref());
    for regime in Regime::ALL {
        let config = RegimesConfig { regime, ..RegimesConfig::default() };
        let splits = regimes::splits(&config, 0)?;
        describe(&format!("regimes, {regime:?}"), splits.train.as_ref());
    }
    Ok(())
}

/// One line on the examples of a split.
fn describe(name: &str, split: &dyn Dataset) {
    let modalities = split.modalities().iter();
    let shapes: Vec<String> = modalities.map(|m| format!("{} {:?}", m.name, m.shape)).collect();
    let (examples, classes) = (split.len(), split.classes().len());
    println!("{name}: {examples} examples of {classes} classes: {}", shapes.join(", "));
}
