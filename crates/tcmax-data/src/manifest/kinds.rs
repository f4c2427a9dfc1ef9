//! What the columns of a manifest hold.

use std::path::{Component, Path};

use super::table::TextTable;
use crate::file::ending;
use crate::problems::Problems;

/// What a column of a manifest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// Sound, from an audio or video file.
    Audio,
    /// Frames of a video file.
    Video,
    /// One picture.
    Image,
    /// Words, in the cell or in a `.txt` file.
    Text,
    /// A feature vector in an `.npy` file.
    Features,
}

const AUDIO: [&str; 9] = ["wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "aiff", "wma"];
const VIDEO: [&str; 9] = ["mp4", "avi", "flv", "mkv", "webm", "mov", "m4v", "mpg", "mpeg"];
const IMAGE: [&str; 3] = ["jpg", "jpeg", "png"];

/// A modality column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: MediaKind,
}

/// Whether a relative path could name something outside its folder.
pub fn leads_out(path: &str) -> bool {
    let inside =
        |component: Component<'_>| matches!(component, Component::Normal(_) | Component::CurDir);
    path.contains('\\') || !Path::new(path).components().all(inside)
}

/// Whether a cell of a column names a file.
pub fn is_file(kind: MediaKind, cell: &str) -> bool {
    kind != MediaKind::Text || cell.to_lowercase().ends_with(".txt")
}

/// The kind of a column from its name and cells.
pub(super) fn column(
    path: &Path,
    table: &TextTable,
    column: usize,
    problems: &mut Problems,
) -> MediaColumn {
    let name = table.names[column].clone();
    let mut kind = None;
    for (row, position) in table.rows.iter().zip(&table.positions) {
        let Some(cell) = row[column].as_ref() else { continue };
        let of_cell = kind_of(&name, cell);
        match kind {
            None => kind = Some(of_cell),
            Some(kind) if kind != of_cell => {
                let what = format!("'{cell}' is {of_cell:?}, but the column began as {kind:?}");
                problems.add(path, position.clone(), &name, what);
            }
            Some(_) => {}
        }
    }
    MediaColumn { name, kind: kind.unwrap_or(MediaKind::Text) }
}

pub(super) fn kind_of(name: &str, cell: &str) -> MediaKind {
    let lower = name.to_lowercase();
    let ending = ending(Path::new(cell));
    let of_sound = ["audio", "sound", "speech", "voice"].iter().any(|word| lower.contains(word));
    match ending.as_str() {
        ending if AUDIO.contains(&ending) => MediaKind::Audio,
        ending if VIDEO.contains(&ending) && of_sound => MediaKind::Audio,
        ending if VIDEO.contains(&ending) => MediaKind::Video,
        ending if IMAGE.contains(&ending) => MediaKind::Image,
        "npy" => MediaKind::Features,
        _ => MediaKind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_seen() {
        for path in ["../x.wav", "/etc/passwd", "a/../../x", "a\\..\\x", "a/../b.wav"] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["x.wav", "./a/b.wav", "a/..b/c.wav"] {
            assert!(!leads_out(path), "{path}");
        }
    }

    #[test]
    fn kinds_follow_endings_and_names() {
        assert_eq!(kind_of("sound", "a.mp4"), MediaKind::Audio);
        assert_eq!(kind_of("clip", "a.MP4"), MediaKind::Video);
        assert_eq!(kind_of("x", "b/a.jpeg"), MediaKind::Image);
        assert_eq!(kind_of("x", "a fine day."), MediaKind::Text);
        assert_eq!(kind_of("x", "a.npy"), MediaKind::Features);
    }
}
