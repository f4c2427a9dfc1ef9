//! A leaderboard as Markdown.

use super::board::Leaderboard;
use super::failures::failures;
use super::grid::{Entry, Grid, Mark};
use super::{set, summary};
use crate::markdown::{plain, row};
use crate::table::warnings;

/// The page.
pub fn markdown(board: &Leaderboard) -> String {
    let mut text = format!("# {}\n", plain(&board.title));
    for note in &board.notes {
        text += &format!("\n{}\n", plain(note));
    }
    let (grid, sentences) = summary::summary(board);
    text += &format!("\n## Summary\n\n{}\n\n{}", plain(super::page::SUMMARY_NOTE), table(&grid));
    for sentence in sentences {
        text += &format!("\n{}\n", plain(&sentence));
    }
    for set in &board.sets {
        let [train, validation, test] = set.result.dataset.sizes;
        text += &format!(
            "\n## {}\n\n{} Modalities: {}; {train} training, {validation} validation, {test} test examples.\n\n{}",
            plain(&set.name),
            plain(&set.about),
            plain(&set.result.dataset.modalities.join(", ")),
            table(&set::table(set))
        );
        let failures = failures(set);
        if !failures.is_empty() {
            text += "\n";
        }
        failures.iter().for_each(|sentence| text += &format!("- {}\n", plain(sentence)));
        let warnings = warnings(&set.result).len();
        if warnings > 0 {
            text += &format!("\n{warnings} warnings of these runs are in their report.\n");
        }
    }
    text += &format!("\n{}\n\n## Settings\n\n| | |\n|:--|:--|\n", plain(set::NOTE));
    let (long, short): (Vec<_>, Vec<_>) =
        board.settings.iter().partition(|(_, value)| value.contains('\n'));
    for (name, value) in board.facts().iter().chain(short) {
        text += &row(&[plain(name), plain(value)]);
    }
    for (name, value) in long {
        text += &format!("\n`{name}`:\n\n```toml\n{}\n```\n", value.trim());
    }
    text
}

fn table(grid: &Grid) -> String {
    let header: Vec<String> = grid.header.iter().map(|heading| plain(heading)).collect();
    let mut text = row(&header);
    text += &format!("|:--|{}\n", "--:|".repeat(header.len().saturating_sub(1)));
    for entries in &grid.rows {
        text += &row(&entries.iter().map(cell).collect::<Vec<_>>());
    }
    text
}

fn cell(entry: &Entry) -> String {
    let value = plain(format!("{} {}", entry.text, entry.detail).trim());
    match entry.mark {
        Mark::None => value,
        Mark::Better | Mark::Worse => format!("**{value}**"),
    }
}
