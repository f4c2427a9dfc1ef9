//! What tests read of Markdown: links, headings and code blocks.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a file, by its path from the root.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages of the book, by their paths from the root, in alphabetical order.
pub fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("docs/src")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/src/{name}"));
    let mut pages: Vec<String> = pages.collect();
    pages.sort();
    pages
}

/// A fenced block.
pub struct Block {
    /// What is written after the fence, such as `toml`.
    pub language: String,
    /// Its lines.
    pub lines: Vec<String>,
}

/// The fenced blocks of a text, and the lines outside of them.
pub fn blocks(text: &str) -> (Vec<Block>, Vec<&str>) {
    let (mut blocks, mut outside) = (Vec::new(), Vec::new());
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), lines: Vec::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line.to_owned()),
            (None, None) => outside.push(line),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    (blocks, outside)
}

/// The targets of the links and pictures of a text, outside of code.
pub fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in blocks(text).1 {
        // Every other piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in prose.split("](").skip(1) {
            found.push(part.split(')').next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// The inline code of a text.
pub fn inline_code(text: &str) -> Vec<String> {
    let lines = blocks(text).1.into_iter();
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The anchors of a text's headings, as mdBook and GitHub make them.
pub fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in blocks(text).1.into_iter().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = found.iter().filter(|other| **other == anchor).count();
        found.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
    }
    found
}
