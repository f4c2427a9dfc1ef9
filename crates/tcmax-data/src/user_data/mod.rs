//! Data of the user: feature files, feature tables, manifests, prepared clips.
//!
//! What there is at a path follows from names and first lines ([`Layout`]). Reading collects every problem
//! and reports them all at once. Manifests of media are prepared first (`tcmax-media`), features are read
//! into memory.

mod collected;
mod config;
mod csv_features;
mod data;
mod feature_file;
mod inspection;
mod layout;
mod named;
mod sequences;
mod target_matrix;
mod targeted;
mod to_predict;
mod warnings;

pub use config::UserDataConfig;
pub use csv_features::parse_feature_table;
pub use data::UserData;
pub use inspection::{Inspection, ModalityFindings};
pub use layout::Layout;
pub use to_predict::{has_labels, open_to_predict};
