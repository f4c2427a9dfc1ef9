//! Opens a folder of feature tables, one CSV per modality with the label in the last column; without a folder, one
//! that is written first.
//!
//! ```text
//! cargo run -p tcmax-data --example tables [-- FOLDER]
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tcmax_data::{Loader, LoaderOptions, UserData, UserDataConfig};
use tcmax_ops::Seed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let folder = std::env::temp_dir().join("tcmax-tables");
            std::fs::create_dir_all(&folder)?;
            write_tables(&folder)?;
            folder
        }
    };
    let config = UserDataConfig::at(&folder);
    // Everything that is wrong with the data is in one error.
    let data = UserData::open(&config)?;
    let examples = data.examples();
    println!("{}: {} examples of {:?}", folder.display(), examples.len(), examples.classes());
    for modality in examples.modalities() {
        println!("  {}: {:?}", modality.name, modality.shape);
    }
    for remark in data.notes().iter().chain(data.warnings()) {
        println!("  {remark}");
    }
    let splits = data.splits(&config, 0)?;
    let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
    println!("training, validation and test: {sizes:?}");
    let options = LoaderOptions { shuffle: true, ..LoaderOptions::in_order(16) };
    let loader = Loader::new(splits.train, options, &Device::Cpu)?;
    for batch in loader.epoch(Seed::new(0)).take(2) {
        let batch = batch?;
        let shapes: Vec<_> = batch.inputs.iter().map(Tensor::dims).collect();
        println!("a batch: {shapes:?}, labels {:?}", batch.labels.to_vec1::<u32>()?);
    }
    Ok(())
}

/// Sixty examples of two modalities with three and two columns.
fn write_tables(folder: &Path) -> std::io::Result<()> {
    for (name, columns) in [("sound", 3), ("sight", 2)] {
        let mut text = String::new();
        for example in 0..60 {
            for column in 0..columns {
                let value = f64::from(example * (column + 2)).sin() + f64::from(example % 3);
                let _ = write!(text, "{value:.4},");
            }
            let _ = writeln!(text, "{}", ["bird", "car", "rain"][example as usize % 3]);
        }
        std::fs::write(folder.join(name).with_extension("csv"), text)?;
    }
    Ok(())
}
