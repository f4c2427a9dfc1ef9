#![doc = include_str!("../README.md")]

pub mod arrays;
pub mod csv_records;
mod dataset;
mod digest;
mod error;
pub mod file;
mod identity;
mod labels;
mod loader;
pub mod manifest;
mod memory;
mod partition;
mod problems;
mod resize;
pub mod shards;
mod split;
mod subset;
mod table;
pub mod user_data;
mod whole;
mod words;

pub use dataset::{Dataset, Modality, ModalityKind, Splits};
pub use digest::{hexadecimal, sha256_of, sha256_of_file, sha256_of_reader};
pub use error::{Error, Result};
pub use identity::{identity_of, identity_of_values};
pub use labels::ColumnNames;
pub use loader::{Batch, Epoch, Loader, LoaderOptions};
pub use memory::{check_memory, memory_bytes};
pub use partition::{Partition, Rows, SplitIndices, SplitRule};
pub use problems::{Position, Problem, Problems};
pub use resize::{Crop, resize};
pub use split::Split;
pub use table::{ABSENT, Blank, Column, TableDataset};
pub use user_data::{UserData, UserDataConfig};
pub use whole::{WholeFile, partial_path, write_whole};
