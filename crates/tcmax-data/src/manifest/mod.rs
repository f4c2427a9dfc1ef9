//! Manifests: a table with one row per example, columns of media files, texts or feature files, and a
//! label.
//!
//! `label`, `split`, `id` and `group` (or what the user names instead) are what their names say; every other column
//! is a modality. A second column that is called like labels is refused, one like groups is left out
//! with a note. What a modality is follows from the endings of its files: `.wav`, `.mp3`, ... sound (a video
//! file too, when the column's name has "audio" or "sound" in it), `.mp4`, `.avi`, ... frames, `.jpg`,
//! `.png` an image, `.npy` a feature vector; other words are text. An empty cell is a missing modality.
//! Files lie below the manifest's folder (or the `root` given); paths that lead out of it are refused.

mod csv;
mod kinds;
mod parquet;
mod parquet_footer;
mod parquet_pages;
mod rows;
mod table;
mod thrift;

pub use kinds::{MediaColumn, MediaKind, is_file, leads_out};
pub use rows::{Manifest, ManifestRow};
