//! `cargo xtask bench-encoders`: the times of every encoder beside PyTorch's, as a column of the table in the README of
//! `tcmax-encoders`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tcmax_benches::encoders::CASES;

use super::{BenchPeers, Line, say};

/// The head of the column.
const HEAD: &str = "ms per step: ours, PyTorch";

/// Options of `cargo xtask bench-encoders`.
#[derive(Args)]
pub struct BenchEncoders {
    /// A Python for it: python3 -m venv DIR && DIR/bin/pip install torch torchvision transformers
    #[arg(long, env = "TCMAX_TORCH_PYTHON", value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Times each side is run in turn; the medians over rounds are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only this encoder
    #[arg(long, value_name = "ENCODER")]
    only: Option<String>,
    /// Write the column into the table of crates/tcmax-encoders/README.md
    #[arg(long)]
    write: bool,
}

impl BenchEncoders {
    /// Times all encoders on one thread, and prints the table with the column.
    pub fn run(self) -> anyhow::Result<()> {
        let readme =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/tcmax-encoders/README.md");
        let text =
            std::fs::read_to_string(&readme).with_context(|| readme.display().to_string())?;
        let peers = BenchPeers {
            python: self.python,
            rounds: self.rounds,
            threads: vec![1],
            only: None,
            out: PathBuf::new(),
        };
        let script = peers.script()?;
        let mut cells = BTreeMap::new();
        for case in CASES {
            let name = case.name.trim_start_matches("encoder-");
            if self.only.as_deref().is_some_and(|only| only != name) {
                continue;
            }
            let line = peers.compare(case, 1, &script)?;
            say(&line.text());
            cells.insert(name, cell(&line));
        }
        let (start, table, end) = parts(&text).context("the README has no table of encoders")?;
        let table = with_column(table, &cells);
        say(&format!("\n{table}"));
        if self.write {
            std::fs::write(&readme, format!("{start}{table}{end}"))
                .with_context(|| readme.display().to_string())?;
        }
        Ok(())
    }
}

/// Milliseconds of both sides; PyTorch's in its faster layout.
fn cell(line: &Line) -> String {
    let torch = line.channels_last.map_or(line.torch, |last| last.min(line.torch));
    format!("{}, {}", milliseconds(line.ours), milliseconds(torch))
}

/// Three digits, as far as they are before or behind the point.
fn milliseconds(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// What is before the table of encoders, the table, and what is after it.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("| name | input |")?;
    let end = text[start..].find("\n\n").map_or(text.len(), |end| start + end + 1);
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// The table with the column at its end, in the place of an earlier one. Encoders that were not measured keep
/// their cell, or get a dash.
fn with_column(table: &str, cells: &BTreeMap<&str, String>) -> String {
    let has_column = table.lines().next().is_some_and(|head| head.contains(HEAD));
    let mut lines = Vec::new();
    for (number, line) in table.lines().enumerate() {
        let row = line.trim().trim_end_matches('|').trim_end();
        let (row, before) = match row.rsplit_once('|') {
            Some((row, last)) if has_column => (row.trim_end(), Some(last.trim())),
            _ => (row, None),
        };
        let name = row.split('`').nth(1).unwrap_or_default();
        let cell = match number {
            0 => HEAD,
            1 => "---",
            _ => cells.get(name).map(String::as_str).or(before).unwrap_or("–"),
        };
        // The line under the head has no spaces.
        lines.push(if number == 1 {
            format!("{row}|{cell}|")
        } else {
            format!("{row} | {cell} |")
        });
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "| name | input |\n|---|---|\n| `gru` | sequences |\n| `mean` | sequences |\n";

    #[test]
    fn a_column_is_added_and_replaced() {
        let cells = |text: &str| BTreeMap::from([("gru", text.to_owned())]);
        let once = with_column(TABLE, &cells("1.20, 3.40"));
        let wanted = "| name | input | ms per step: ours, PyTorch |\n|---|---|---|\n| `gru` | sequences | 1.20, \
                      3.40 |\n| `mean` | sequences | – |\n";
        assert_eq!(once, wanted);
        assert_eq!(with_column(&once, &cells("5, 6")), wanted.replace("1.20, 3.40", "5, 6"));
        assert_eq!(with_column(&once, &BTreeMap::new()), wanted);
        let text = format!("before\n\n{TABLE}\nafter\n");
        assert_eq!(parts(&text), Some(("before\n\n", TABLE, "\nafter\n")));
    }

    #[test]
    fn every_case_is_an_encoder_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/tcmax-encoders/README.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, table, _) = parts(&text).unwrap();
        for case in CASES {
            let name = case.name.strip_prefix("encoder-").unwrap();
            assert!(table.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
