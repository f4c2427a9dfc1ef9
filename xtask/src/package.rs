//! `cargo xtask package`: the archives that would be published, and whether they hold what they should.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use flate2::read::GzDecoder;
use tcmax_cli::progress::say;

use crate::workspace::{Metadata, Package, cargo, run};

/// Bytes of the largest archive that crates.io takes.
const LARGEST: u64 = 10 << 20;
/// Texts that every archive holds, each the same as in the root of the repository.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

#[derive(Args)]
pub struct PackageCrates {
    /// Compile every crate from its archive, as those who install it will: a whole build, about fifteen minutes on two
    /// cores
    #[arg(long)]
    verify: bool,
    /// These crates alone, names with commas between them; with --verify, those they depend on too
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    crates: Vec<String>,
}

impl PackageCrates {
    /// Makes the archives, checks them, and prints their sizes.
    pub fn run(self) -> anyhow::Result<()> {
        let metadata = Metadata::read()?;
        let known: Vec<&Package> = metadata.published().collect();
        for name in &self.crates {
            let is_known = known.iter().any(|package| package.name == *name);
            ensure!(is_known, "--crates: there is no {name} that is published");
        }
        let is_wanted =
            |package: &&&Package| self.crates.is_empty() || self.crates.contains(&package.name);
        let wanted: Vec<&Package> = known.iter().filter(is_wanted).copied().collect();

        let mut command = cargo();
        command.current_dir(&metadata.workspace_root).args([
            "package",
            "--locked",
            "--allow-dirty",
        ]);
        if !self.verify {
            // Without the warning that each test stays in the repository.
            command.args(["--no-verify", "--quiet"]);
        }
        for package in &wanted {
            command.args(["--package", &package.name]);
        }
        run(&mut command)?;

        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["crate", "files", "KiB packed", "KiB unpacked"]);
        for package in wanted {
            let path = archive_of(&metadata, package);
            let contents = Contents::read(&path)?;
            contents.check(&metadata.workspace_root).with_context(|| path.display().to_string())?;
            let kib = |bytes: u64| bytes.div_ceil(1024).to_string();
            let row =
                [contents.files.len().to_string(), kib(contents.packed), kib(contents.unpacked)];
            table.add_row([package.name.clone()].into_iter().chain(row));
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        say(&table.to_string());
        Ok(())
    }
}

/// Where cargo leaves a package's archive.
fn archive_of(metadata: &Metadata, package: &Package) -> PathBuf {
    let name = format!("{}-{}.crate", package.name, package.version);
    metadata.target_directory.join("package").join(name)
}

/// What is in an archive.
#[derive(Debug, Default)]
struct Contents {
    /// Bytes of the archive.
    packed: u64,
    /// Bytes of its files.
    unpacked: u64,
    /// The names of its files.
    files: BTreeSet<String>,
    /// Links, which other systems may not unpack.
    links: Vec<String>,
    /// The licences that are there, with their texts.
    licences: Vec<(String, String)>,
}

impl Contents {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::of(&bytes).with_context(|| path.display().to_string())
    }

    fn of(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut contents = Self { packed: bytes.len() as u64, ..Self::default() };
        let mut archive = tar::Archive::new(GzDecoder::new(bytes));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            // Every name begins with the crate's and its version.
            let name = path.components().skip(1).collect::<PathBuf>().display().to_string();
            if !entry.header().entry_type().is_file() {
                contents.links.push(name);
                continue;
            }
            contents.unpacked += entry.size();
            if LICENCES.contains(&name.as_str()) {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                contents.licences.push((name.clone(), text));
            }
            contents.files.insert(name);
        }
        Ok(contents)
    }

    /// Whether it can be published.
    fn check(&self, root: &Path) -> anyhow::Result<()> {
        ensure!(self.packed <= LARGEST, "{} bytes, and crates.io takes {LARGEST}", self.packed);
        ensure!(self.links.is_empty(), "links in place of files: {}", self.links.join(", "));
        for needed in ["README.md", "src/lib.rs"] {
            ensure!(self.files.contains(needed), "there is no {needed}");
        }
        for name in LICENCES {
            let wanted = std::fs::read_to_string(root.join(name)).context(name)?;
            let has = |(other, text): &(String, String)| other == name && *text == wanted;
            ensure!(
                self.licences.iter().any(has),
                "{name} is not there, or not that of the repository"
            );
        }
        let recorded = self.files.iter().find(|name| name.starts_with("tests/"));
        ensure!(recorded.is_none(), "{} is there: tests stay in the repository", recorded.unwrap());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn archive(files: &[(&str, &str)], link: Option<&str>) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            let path = format!("crate-1.0.0/{name}");
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        if let Some(name) = link {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let path = format!("crate-1.0.0/{name}");
            builder.append_link(&mut header, path, "../../LICENSE-MIT").unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn what_an_archive_lacks_or_should_not_have_is_found() {
        let root = tempfile::tempdir().unwrap();
        for name in LICENCES {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        let [apache, mit] = LICENCES.map(|name| (name, name));
        let good = [("README.md", ""), ("src/lib.rs", "//!"), apache, mit];
        let problem = |files: &[(&str, &str)], link: Option<&str>| {
            let contents = Contents::of(&archive(files, link)).unwrap();
            contents.check(root.path()).err().map(|error| error.to_string())
        };
        assert_eq!(problem(&good, None), None);
        assert_eq!(
            problem(&good[..3], None).unwrap(),
            "LICENSE-MIT is not there, or not that of the repository"
        );
        let linked = problem(&good[..3], Some("LICENSE-MIT")).unwrap();
        assert_eq!(linked, "links in place of files: LICENSE-MIT");
        let other = [good[0], good[1], apache, ("LICENSE-MIT", "../../LICENSE-MIT")];
        assert!(problem(&other, None).is_some());
        assert_eq!(problem(&good[1..], None).unwrap(), "there is no README.md");
        let tests = [good[0], good[1], apache, mit, ("tests/golden/a.json", "{}")];
        assert!(problem(&tests, None).unwrap().starts_with("tests/golden/a.json"));
    }
}
