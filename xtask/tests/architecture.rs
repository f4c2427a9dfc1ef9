//! What ARCHITECTURE.md says of the sources is so.

use std::collections::BTreeSet;
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
    for folder in ["crates", "xtask", "benches"] {
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
