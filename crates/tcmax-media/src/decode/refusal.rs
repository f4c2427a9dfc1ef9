//! Why files are not decoded.

/// Why a decoder does not read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is damaged, or not what it says.
    Broken(String),
    /// It is of a format that another decoder may know.
    Foreign(String),
}
