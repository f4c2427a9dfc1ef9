//! What is published describes itself, has the licences, and needs no more than it says; examples can be found and run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `cargo metadata` of the lock file.
fn metadata(arguments: &[&str]) -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--format-version", "1"]).args(arguments);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The packages of the workspace that may be published.
fn published() -> Vec<Value> {
    let mut packages = metadata(&["--no-deps"]);
    packages.retain(|package| package["publish"].is_null());
    assert!(packages.len() > 15);
    packages
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(text).collect()
}

/// Categories of crates.io that are used; it refuses those that it does not know.
const CATEGORIES: [&str; 14] = [
    "algorithms",
    "command-line-utilities",
    "computer-vision",
    "concurrency",
    "config",
    "encoding",
    "mathematics",
    "multimedia::audio",
    "multimedia::images",
    "multimedia::video",
    "parser-implementations",
    "rust-patterns",
    "science",
    "visualization",
];

#[test]
fn every_crate_describes_itself() {
    let mut seen = BTreeSet::new();
    for package in published() {
        let name = text(&package["name"]);
        assert!(text(&package["description"]).len() > 40, "{name}");
        assert_eq!(text(&package["documentation"]), format!("https://docs.rs/{name}"));
        assert_eq!(text(&package["readme"]), "README.md", "{name}");
        let keywords = texts(&package["keywords"]);
        assert!((3..=5).contains(&keywords.len()), "{name}: crates.io takes five keywords");
        for keyword in &keywords {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-+".contains(c);
            assert!(keyword.len() <= 20 && keyword.chars().all(is_allowed), "{name}: {keyword}");
        }
        let categories = texts(&package["categories"]);
        assert!((1..=5).contains(&categories.len()), "{name}");
        for category in categories {
            assert!(CATEGORIES.contains(&category), "{name}: {category}");
        }
        let keywords: Vec<String> = keywords.into_iter().map(str::to_owned).collect();
        assert!(seen.insert(keywords), "{name} has the keywords of another crate");
    }
}

/// Cargo packages what lies in the crate's own folder alone, and follows links.
#[test]
fn every_crate_has_the_licences() {
    for package in published() {
        let folder = Path::new(text(&package["manifest_path"])).parent().unwrap();
        for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let own = std::fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(
                own,
                std::fs::read_to_string(root().join(name)).unwrap(),
                "{}",
                folder.display()
            );
        }
    }
}

/// An example says first how it is run. Cargo puts all into one folder, so no two may have the same name.
#[test]
fn every_crate_has_an_example_that_says_how_it_is_run() {
    let mut names = BTreeMap::new();
    for package in published() {
        let name = text(&package["name"]);
        let targets = package["targets"].as_array().unwrap().iter();
        let examples: Vec<&Value> =
            targets.filter(|target| texts(&target["kind"]).contains(&"example")).collect();
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            let called = text(&example["name"]).to_owned();
            let source = std::fs::read_to_string(text(&example["src_path"])).unwrap();
            let top: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
            let runs = format!("cargo run -p {name} --example {called}");
            assert!(top.contains(&runs) || top.contains("mpirun -n 2"), "{name}: {called}: {top}");
            let other = names.insert(called.clone(), name.to_owned());
            assert_eq!(other, None, "{called} of {name}");
        }
    }
}

#[test]
fn no_package_says_that_it_needs_a_newer_rust() {
    let mut xtask = assert_cmd::Command::cargo_bin("xtask").unwrap();
    let output = xtask.args(["check-msrv", "--lock-only"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What `cargo deny check licenses` says, where cargo-deny is not installed.
#[test]
fn every_licence_is_allowed() {
    let deny: toml::Table =
        std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let names = |list: &toml::Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let allowed = names(&deny["licenses"]["allow"]);
    let exceptions = deny["licenses"]["exceptions"].as_array().unwrap().iter();
    let exceptions: BTreeMap<&str, Vec<String>> =
        exceptions.map(|one| (one["crate"].as_str().unwrap(), names(&one["allow"]))).collect();
    let packages = metadata(&[]);
    assert!(packages.len() > 200);
    for package in packages {
        let (name, licence) = (text(&package["name"]), text(&package["license"]));
        let more = exceptions.get(name).into_iter().flatten();
        let allowed: Vec<&str> = allowed.iter().chain(more).map(String::as_str).collect();
        assert!(is_allowed(licence, &allowed), "{name}: '{licence}' is not in deny.toml");
    }
}

/// Whether a licence is among those allowed: `A OR B` (`A/B`, as it was written once) is where one of both is,
/// `A AND B` where both are.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    let all = licence.split(" AND ");
    let mut all = all.map(|one| one.trim_start_matches('(').trim_end_matches(')'));
    let any = |one: &str| {
        let one = one.replace('/', " OR ");
        one.split(" OR ").any(|name| allowed.contains(&name.trim()))
    };
    // Without parentheses the two would have to be told apart.
    let is_plain = !licence.contains(" AND ") || !licence.contains(" OR ") || licence.contains('(');
    is_plain && all.all(any)
}

#[test]
fn licences_are_read() {
    let allowed = ["MIT", "Unicode-3.0"];
    for (licence, wanted) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT AND ISC", false),
        ("GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(licence, &allowed), wanted, "{licence}");
    }
}
