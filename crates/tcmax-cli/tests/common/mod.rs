//! A small task that the real binary trains in seconds.

#![allow(dead_code, reason = "each test uses its own part")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

pub use crate::binary::tcmax;

/// Settings of two epochs on a few generated clips.
pub const SETTINGS: &str = r#"
[train]
epochs = 2
batch-size = 16

[encoder]
name = "resnet-slim"
width = 2

[data]
name = "synthetic"
classes = 3
train-size = 48
val-size = 24
test-size = 30
"#;

/// A folder with `settings.toml`.
pub fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    (folder, settings)
}

/// Trains with the small settings and more arguments.
pub fn train(settings: &Path, arguments: &[&str]) -> Command {
    let mut command = tcmax();
    command.arg("train").arg("--config").arg(settings).args(arguments);
    command
}

/// Sends a signal, such as `TERM`, to a process of ours.
#[cfg(unix)]
pub fn signal(process: u32, name: &str) {
    let command = format!("kill -{name} {process}");
    // It may be over already.
    std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
}
