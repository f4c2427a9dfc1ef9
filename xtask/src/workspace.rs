//! What cargo knows of the workspace and of what it depends on, as the lock file has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The output of `cargo metadata`, as far as it is used.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The packages of the workspace and all that they depend on.
    pub packages: Vec<Package>,
    /// The ids of the workspace's own.
    pub workspace_members: Vec<String>,
    /// Its folder.
    pub workspace_root: PathBuf,
    /// Where cargo builds.
    pub target_directory: PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// What tells it from all others.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The oldest Rust that compiles it, where it says so.
    pub rust_version: Option<String>,
    /// The registries that it may be published to; `None`: all.
    pub publish: Option<Vec<String>>,
}

impl Metadata {
    /// That of the workspace that this program was built from, without a change of the lock file.
    pub fn read() -> anyhow::Result<Self> {
        let output = cargo()
            .args(["metadata", "--locked", "--format-version", "1"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .output()
            .context("cannot start cargo")?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata: {message}");
        serde_json::from_slice(&output.stdout).context("the output of cargo metadata")
    }

    /// The workspace's own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Those that may be published.
    pub fn published(&self) -> impl Iterator<Item = &Package> {
        self.members().filter(|package| package.publish.is_none())
    }
}

/// The cargo that has built this program, if one has started it.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_named() {
        let error = run(Command::new("false").arg("--really")).unwrap_err();
        assert!(error.to_string().contains("--really"), "{error}");
    }

    #[test]
    fn automation_is_not_published() {
        let metadata = Metadata::read().unwrap();
        let names: Vec<&str> = metadata.published().map(|package| package.name.as_str()).collect();
        assert!(names.contains(&"tcmax-cli"), "{names:?}");
        assert!(!names.contains(&"xtask"), "{names:?}");
        assert!(metadata.packages.len() > metadata.workspace_members.len());
    }
}
