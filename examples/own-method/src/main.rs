//! The `tcmax` command with a method, an encoder and an estimator of its own.

mod binned;
mod blend;
mod pooled;

use std::process::ExitCode;

use tcmax_cli::App;
use tcmax_train::Registry;

fn main() -> anyhow::Result<ExitCode> {
    let mut registry = Registry::default();
    registry.methods.add(&blend::BLEND)?;
    registry.encoders.add(&pooled::POOLED)?;
    registry.estimators.add(&binned::BINNED)?;
    Ok(App::new().with(registry).run())
}
