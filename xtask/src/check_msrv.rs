//! `cargo xtask check-msrv`: that the oldest Rust that `Cargo.toml` names compiles the workspace.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use tcmax_cli::progress::say;

use crate::workspace::{Metadata, run};

#[derive(Args)]
pub struct CheckMsrv {
    /// Compare what the packages of the lock file say they need, and compile nothing
    #[arg(long)]
    lock_only: bool,
    /// Folder for what is compiled
    #[arg(long, value_name = "DIR", default_value = "target/msrv")]
    out: PathBuf,
}

impl CheckMsrv {
    /// Compares the versions in the lock file, and compiles with the oldest one where it can be installed.
    pub fn run(self) -> anyhow::Result<()> {
        let metadata = Metadata::read()?;
        let oldest = oldest_of_the_workspace(&metadata)?;
        let newer = that_need_more(&metadata, &oldest)?;
        ensure!(
            newer.is_empty(),
            "the workspace says that Rust {oldest} compiles it, and needs packages that say they need more: {}; \
             raise `rust-version` in Cargo.toml, or take older ones (`cargo update --precise`)",
            newer.join(", ")
        );
        let count = metadata.packages.len();
        say(&format!("none of {count} packages says that it needs more than Rust {oldest}"));
        if self.lock_only {
            return Ok(());
        }
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", &oldest, "--profile", "minimal", "--no-self-update"]);
        if let Err(error) = run(&mut install) {
            say(&format!(
                "Rust {oldest} cannot be installed here, so nothing is compiled with it: {error}"
            ));
            return Ok(());
        }
        let mut check = Command::new("rustup");
        check
            .args(["run", &oldest, "cargo", "check", "--workspace", "--locked"])
            .current_dir(&metadata.workspace_root)
            .env("CARGO_TARGET_DIR", std::path::absolute(&self.out)?)
            // Those of the cargo that has started this program.
            .env_remove("CARGO")
            .env_remove("RUSTC");
        run(&mut check)?;
        say(&format!("Rust {oldest} compiles the workspace"));
        Ok(())
    }
}

/// The oldest Rust that all packages of the workspace name.
fn oldest_of_the_workspace(metadata: &Metadata) -> anyhow::Result<String> {
    let mut versions = metadata.members().map(|member| (&member.name, &member.rust_version));
    let (_, first) = versions.next().context("the workspace is empty")?;
    let oldest = first.clone().context("the workspace names no `rust-version`")?;
    for (name, version) in versions {
        let version = version.as_deref().unwrap_or("none");
        ensure!(
            *version == oldest,
            "{name} has the `rust-version` {version}, others have {oldest}"
        );
    }
    Ok(oldest)
}

/// The packages that say they need a newer Rust than `oldest`, with what they say.
fn that_need_more(metadata: &Metadata, oldest: &str) -> anyhow::Result<Vec<String>> {
    let oldest = numbers(oldest)?;
    let mut found = Vec::new();
    for package in &metadata.packages {
        if let Some(version) = &package.rust_version
            && numbers(version)? > oldest
        {
            found.push(format!("{} {} ({version})", package.name, package.version));
        }
    }
    Ok(found)
}

/// The numbers of a version of Rust, of which the last may be left out.
fn numbers(version: &str) -> anyhow::Result<[u32; 3]> {
    let mut numbers = [0; 3];
    ensure!(version.split('.').count() <= 3, "'{version}' is no version of Rust");
    for (number, text) in numbers.iter_mut().zip(version.split('.')) {
        *number = text.parse().with_context(|| format!("'{version}' is no version of Rust"))?;
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn metadata(packages: &[(&str, Option<&str>)], members: usize) -> Metadata {
        let package = |(name, rust): &(&str, Option<&str>)| Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            version: "1.2.3".to_owned(),
            rust_version: rust.map(str::to_owned),
            publish: None,
        };
        Metadata {
            packages: packages.iter().map(package).collect(),
            workspace_members: packages[..members]
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            workspace_root: PathBuf::new(),
            target_directory: PathBuf::new(),
        }
    }

    #[test]
    fn packages_that_need_more_are_named() {
        let found = metadata(
            &[
                ("ours", Some("1.89")),
                ("old", Some("1.9")),
                ("silent", None),
                ("equal", Some("1.89.0")),
                ("newer", Some("1.89.1")),
                ("new", Some("1.100")),
            ],
            1,
        );
        let oldest = oldest_of_the_workspace(&found).unwrap();
        let newer = that_need_more(&found, &oldest).unwrap();
        assert_eq!(newer, ["newer 1.2.3 (1.89.1)", "new 1.2.3 (1.100)"]);
    }

    #[test]
    fn all_members_name_the_same_version() {
        let differs = metadata(&[("one", Some("1.89")), ("other", Some("1.90"))], 2);
        let error = oldest_of_the_workspace(&differs).unwrap_err().to_string();
        assert_eq!(error, "other has the `rust-version` 1.90, others have 1.89");
        let lacks = metadata(&[("one", Some("1.89")), ("other", None)], 2);
        assert!(oldest_of_the_workspace(&lacks).is_err());
    }

    #[test]
    fn what_is_no_version_is_refused() {
        assert!(numbers("1.89-nightly").is_err() && numbers("1.2.3.4").is_err());
        assert_eq!(numbers("1.89").unwrap(), [1, 89, 0]);
    }
}
