//! `cargo xtask bench-encoders`: time and memory of every encoder beside PyTorch's, as columns of the table in the
//! README of `tcmax-encoders`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tcmax_benches::encoders::CASES;

use super::{BenchPeers, Line, say};

/// The heads of the columns.
const HEADS: [&str; 2] = ["ms per step: ours, PyTorch", "MiB: ours, PyTorch"];

/// What was measured of an encoder, by column.
type Cells = [String; HEADS.len()];

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
    /// Write the columns into the table of crates/tcmax-encoders/README.md
    #[arg(long)]
    write: bool,
}

impl BenchEncoders {
    /// Times all encoders on one thread, and prints the table with the columns.
    pub fn run(self) -> anyhow::Result<()> {
        let readme =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/tcmax-encoders/README.md");
        let text =
            std::fs::read_to_string(&readme).with_context(|| readme.display().to_string())?;
        let peers = BenchPeers {
            device: "cpu".to_owned(),
            precision: "f32".to_owned(),
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
            cells.insert(name, of_line(&line));
        }
        let (start, table, end) = parts(&text).context("the README has no table of encoders")?;
        let table = with_columns(table, &cells);
        say(&format!("\n{table}"));
        if self.write {
            std::fs::write(&readme, format!("{start}{table}{end}"))
                .with_context(|| readme.display().to_string())?;
        }
        Ok(())
    }
}

/// Milliseconds of both sides, PyTorch's in its faster layout, and the largest resident memory of their processes.
fn of_line(line: &Line) -> Cells {
    let torch = line.channels_last.map_or(line.torch, |last| last.min(line.torch));
    let [ours, theirs] = line.peak_mib;
    [format!("{}, {}", milliseconds(line.ours), milliseconds(torch)), format!("{ours}, {theirs}")]
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

/// The table with the columns at its end, in the place of earlier ones. Encoders that were not measured keep their
/// cells, or get dashes.
fn with_columns(table: &str, cells: &BTreeMap<&str, Cells>) -> String {
    let mut lines = Vec::new();
    let mut kept = [None; HEADS.len()];
    for (number, line) in table.lines().enumerate() {
        let mut row: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        if number == 0 {
            kept = HEADS.map(|head| row.iter().position(|cell| *cell == head));
        }
        let before = kept.map(|column| column.and_then(|column| row.get(column).copied()));
        let others = row.len() - kept.iter().flatten().count();
        row.truncate(others);
        let name = line.split('`').nth(1).unwrap_or_default();
        for (column, before) in before.iter().enumerate() {
            row.push(match number {
                0 => HEADS[column],
                1 => "---",
                _ => cells.get(name).map(|cells| cells[column].as_str()).or(*before).unwrap_or("–"),
            });
        }
        // The line under the head has no spaces.
        lines.push(match number {
            1 => format!("|{}|", row.join("|")),
            _ => format!("| {} |", row.join(" | ")),
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
    fn columns_are_added_and_replaced() {
        let cells = |time: &str, memory: &str| {
            BTreeMap::from([("gru", [time.to_owned(), memory.to_owned()])])
        };
        let once = with_columns(TABLE, &cells("1.20, 3.40", "70, 800"));
        let wanted = "| name | input | ms per step: ours, PyTorch | MiB: ours, PyTorch |\n|---|---|---|---|\n\
                      | `gru` | sequences | 1.20, 3.40 | 70, 800 |\n| `mean` | sequences | – | – |\n";
        assert_eq!(once, wanted);
        let other = wanted.replace("1.20, 3.40", "5, 6").replace("70, 800", "7, 8");
        assert_eq!(with_columns(&once, &cells("5, 6", "7, 8")), other);
        assert_eq!(with_columns(&once, &BTreeMap::new()), wanted);
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
