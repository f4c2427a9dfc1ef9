//! What became of the tensors of a file.

use std::fmt;

use crate::error::listed;

/// A tensor that was changed to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapted {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub from: Vec<usize>,
    /// The shape of the parameter, in PyTorch's layout.
    pub to: Vec<usize>,
    /// What was done, for people.
    pub how: String,
}

/// What became of the tensors of a file, and which parameters got none. Its text has one line for each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many tensors became values of parameters.
    pub loaded: usize,
    /// Those among them that were changed to fit, and filters that were left new.
    pub adapted: Vec<Adapted>,
    /// Parameters that have no tensor and keep their values, as was allowed.
    pub missing: Vec<String>,
    /// Tensors that are for no parameter, as was allowed.
    pub unexpected: Vec<String>,
    /// Tensors that the rules ignore.
    pub ignored: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.loaded == 1 { "" } else { "s" };
        write!(f, "{} tensor{plural} loaded", self.loaded)?;
        for Adapted { name, from, to, how } in &self.adapted {
            write!(f, "\n'{name}' adapted from {from:?} to {to:?}: {how}")?;
        }
        for (names, what) in [
            (&self.missing, "kept new, without a tensor"),
            (&self.unexpected, "left over, without a parameter"),
            (&self.ignored, "ignored"),
        ] {
            if !names.is_empty() {
                write!(f, "\n{} {what}: {}", names.len(), listed(names))?;
            }
        }
        Ok(())
    }
}
