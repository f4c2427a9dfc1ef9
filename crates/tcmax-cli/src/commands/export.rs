//! `tcmax export`.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use tcmax_train::checkpoint::open_model;
use tcmax_train::{ExportOptions, Registry, export};

use super::print;

/// Options of `tcmax export`.
#[derive(Args)]
#[command(
    after_help = "Writes model.safetensors (weights under PyTorch's names and in its layout), config.json (what \
                  they are), model.onnx (the inference graph: an input for each modality, outputs logits and \
                  probabilities) and README.md (the model card)."
)]
pub struct Export {
    /// A run's folder, or its model.safetensors
    model: PathBuf,
    /// The folder to write into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave the inference graph out
    #[arg(long)]
    weights_only: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

impl Export {
    /// Writes the files and lists them.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        let saved = open_model(&self.model, registry, &Device::Cpu)?;
        let options = ExportOptions { weights_only: self.weights_only, force: self.force };
        for file in export(&saved, &self.model, &self.out, options)? {
            print(&file.display().to_string())?;
        }
        Ok(())
    }
}
