//! What ARCHITECTURE.md says of the sources is so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files under a folder, without what is built.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line of code has the keyword.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    code.split_inclusive(|c| !of_name(c))
        .any(|word| word.trim_end_matches(|c| !of_name(c)) == KEYWORD)
}

/// In parts, so that this file is not among those found.
const KEYWORD: &str = concat!("un", "safe");

#[test]
fn unsafe_code_is_where_the_table_says() {
    let root = root();
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "benches", "python/src"] {
        sources(&root.join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        if std::fs::read_to_string(&file).unwrap().lines().any(is_unsafe) {
            found.insert(file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"));
        }
    }
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Unsafe code").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert!(!listed.is_empty());
    assert_eq!(found, listed, "left: the sources; right: ARCHITECTURE.md");
}

/// A crate can be packaged only if what is built into it lies in its own folder.
#[test]
fn nothing_is_included_from_outside_its_crate() {
    let mut included = 0;
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path().canonicalize().unwrap();
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for part in text.split("include_str!(\"").skip(1) {
                let path = file.parent().unwrap().join(part.split('"').next().unwrap());
                let path = path.canonicalize().unwrap();
                assert!(
                    path.starts_with(&folder),
                    "{} includes {}",
                    file.display(),
                    path.display()
                );
                included += 1;
            }
        }
    }
    assert!(included > 0);
}

/// `datasets` shows the cards, which lie in the crate that reads them.
#[test]
fn every_card_is_linked_to_in_the_folder_of_data_sets() {
    let cards = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".toml")).collect()
    };
    let (linked, own) = (cards("datasets"), cards("crates/tcmax-datasets/cards"));
    assert!(!own.is_empty());
    assert_eq!(linked, own);
    for name in own {
        let read = |folder: &str| std::fs::read_to_string(root().join(folder).join(&name)).unwrap();
        assert_eq!(read("datasets"), read("crates/tcmax-datasets/cards"), "{name}");
    }
}

/// The crates of the workspace that a manifest's table of dependencies names.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let table = text.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let lines = table.split("\n[").next().unwrap_or_default().lines();
    let names = lines.map(|line| line.split(['.', ' ']).next().unwrap_or_default().to_owned());
    names.filter(|name| name.starts_with("tcmax-")).collect()
}

#[test]
fn crates_depend_on_those_below_them_alone() {
    let root = root();
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let block = text.split("## Layers").nth(1).unwrap().split("```").nth(1).unwrap();
    let mut layer = BTreeMap::new();
    for (number, line) in block.lines().enumerate() {
        // What a layer is for comes after its crates, on the same line or the next.
        let crates = line.split(' ').filter(|word| word.starts_with("tcmax-"));
        layer.extend(crates.map(|name| (name.to_owned(), number)));
    }
    let entries = std::fs::read_dir(root.join("crates")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.collect();
    let listed: BTreeSet<String> = layer.keys().cloned().collect();
    assert_eq!(names, listed, "left: the crates; right: ARCHITECTURE.md");
    for name in &names {
        let folder = root.join("crates").join(name);
        assert!(folder.join("README.md").exists(), "{name} has no README");
        for other in dependencies(&folder.join("Cargo.toml")) {
            assert!(layer[&other] > layer[name], "{name} is not above {other}");
        }
        let subject = format!("`crates/{name}`");
        let has_subject = |line: &str| line.starts_with("### ") && line.contains(&subject);
        assert!(text.lines().any(has_subject), "the code map has no {name}");
    }
}

/// A library that others build on carries no command line, terminal, chart or page with it.
#[test]
fn the_trainer_needs_nothing_that_shows() {
    let manifest = root().join("crates/tcmax-train/Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    for name in ["clap", "indicatif", "comfy-table", "plotters", "maud", "signal-hook"] {
        assert!(!text.contains(name), "{name}");
    }
}

/// Files of a crate that import each other, perhaps through others, cannot be read one after the other.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let names = [
        "crates/tcmax-ops",
        "crates/tcmax-estimators",
        "crates/tcmax-encoders",
        "crates/tcmax-data",
        "crates/tcmax-media",
        "crates/tcmax-datasets",
        "crates/tcmax-report",
        "crates/tcmax-metrics",
        "crates/tcmax-parallel",
        "crates/tcmax-mpi",
        "crates/tcmax-pretrained",
        "python",
    ];
    for name in names {
        let source = root().join(name).join("src");
        let mut files = Vec::new();
        sources(&source, &mut files);
        let modules: BTreeMap<String, PathBuf> =
            files.into_iter().map(|file| (module(&source, &file), file)).collect();
        let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, file) in modules.iter().filter(|(module, _)| !module.is_empty()) {
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let code = code.split("#[cfg(all(test").next().unwrap();
            let imported = imported(code, module);
            let of = |path: &String| {
                let known = modules.keys().filter(|known| is_inside(path, known));
                known.max_by_key(|known| known.len()).map(String::as_str).unwrap()
            };
            let imported: BTreeSet<&str> = imported.iter().map(of).collect();
            assert!(!imported.contains(""), "{} imports from lib.rs", file.display());
            imports.insert(module, imported.into_iter().filter(|other| other != module).collect());
        }
        assert!(imports.values().any(|imported| !imported.is_empty()));
        // Files that import none of those left can be read first.
        while !imports.is_empty() {
            let left: BTreeSet<&str> = imports.keys().copied().collect();
            imports.retain(|_, imported| imported.iter().any(|other| left.contains(other)));
            assert!(imports.len() < left.len(), "{name}: a circle among {left:?}");
        }
    }
}

/// The path of a file's module from the root of the crate, which is the empty path.
fn module(source: &Path, file: &Path) -> String {
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let parts = path.iter().map(|part| part.to_str().unwrap());
    parts.filter(|part| !["mod", "lib", "main"].contains(part)).collect::<Vec<_>>().join("::")
}

fn is_inside(path: &str, module: &str) -> bool {
    module.is_empty()
        || path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What the code of `module` uses of its own crate, as paths from the root.
fn imported(code: &str, module: &str) -> Vec<String> {
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = Vec::new();
    let parent =
        module.rsplit_once("::").map_or(String::new(), |(parent, _)| format!("{parent}::"));
    let of_crate =
        paths_after("crate::", &code).into_iter().map(|(path, rest)| (path.to_owned(), rest));
    let of_parent = paths_after("super::", &code).into_iter();
    let of_parent = of_parent.map(|(path, rest)| (format!("{parent}{path}"), rest));
    for (start, rest) in of_crate.chain(of_parent) {
        let names = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        for name in names.unwrap_or_default().split(',') {
            let path = format!("{start}{}", name.trim());
            found.push(path.trim_end_matches("::self").to_owned());
        }
    }
    let children = code.split("mod ").filter_map(|rest| rest.split_once(';'));
    let children = children.map(|(name, _)| format!("{module}::{name}"));
    // Whatever is reached through an imported module.
    for path in found.clone().into_iter().chain(children) {
        let name = path.rsplit("::").next().unwrap_or_default();
        let inside = paths_after(&format!("{name}::"), &code);
        found.extend(inside.into_iter().map(|(rest, _)| format!("{path}::{rest}")));
    }
    found
}

/// The paths that follow `prefix` in the code, each with what comes after it.
fn paths_after<'a>(prefix: &str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    let of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let starts = code.match_indices(prefix).map(|(start, _)| start);
    let starts = starts.filter(|start| !code[..*start].ends_with(of_path));
    let path = |start: usize| {
        let path = &code[start + prefix.len()..];
        path.split_at(path.find(|c| !of_path(c)).unwrap_or(path.len()))
    };
    starts.map(path).collect()
}

#[test]
fn the_keyword_is_told_from_words_around_it() {
    for (line, wanted) in [
        ("    NAME { *pointer }", true),
        ("NAME impl Send for Block<'_> {}", true),
        ("let x = NAME{ f() };", true),
        ("    // NAME is not needed here", false),
        ("#![deny(NAME_code)]", false),
        ("let not_NAME = 1;", false),
    ] {
        assert_eq!(is_unsafe(&line.replace("NAME", KEYWORD)), wanted, "{line}");
    }
}
