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

/// The paragraphs of a text outside of blocks, each in one line and split at its backticks: code is every other
/// piece.
fn paragraphs(text: &str) -> Vec<Vec<String>> {
    let prose = blocks(text).1.join("\n");
    let pieces =
        |paragraph: &str| paragraph.replace('\n', " ").split('`').map(str::to_owned).collect();
    prose.split("\n\n").map(pieces).collect()
}

/// The targets of the links and pictures of a text, outside of code.
pub fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for pieces in paragraphs(text) {
        let prose: Vec<&str> = pieces.iter().map(String::as_str).step_by(2).collect();
        for part in prose.join("`").split("](").skip(1) {
            found.push(part.split(')').next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// The inline code of a text.
pub fn inline_code(text: &str) -> Vec<String> {
    let code = |pieces: Vec<String>| pieces.into_iter().skip(1).step_by(2).collect::<Vec<_>>();
    paragraphs(text).into_iter().flat_map(code).collect()
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

/// The words of a command line, with quotes as a shell takes them; without comments and what a shell does with
/// the output.
pub fn words(line: &str) -> Vec<String> {
    let line = line.split("  ").next().unwrap();
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    assert!(quote.is_none(), "a quote is not closed: {line}");
    words.push(word);
    words.retain(|word| !word.is_empty());
    let end = words.iter().position(|word| ["|", ">", "2>", "&&", "#", "<"].contains(&&**word));
    words.truncate(end.unwrap_or(words.len()));
    words
}

/// The commands in the blocks of a text that begin with these words: after a `$` where output is shown, or lines of
/// plain text. One that goes on after a backslash is one.
pub fn commands(text: &str, first: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for block in blocks(text).0 {
        let prompt = match &*block.language {
            "console" => "$ ",
            "text" => "",
            _ => continue,
        };
        for line in block.lines.join("\n").replace("\\\n    ", "").lines() {
            let command = line.strip_prefix(prompt).filter(|line| line.starts_with(first));
            if command.is_some_and(|line| line[first.len()..].starts_with(' ')) {
                found.extend(command.map(words));
            }
        }
    }
    found
}
