//! What a head is chosen by: its specification.

use std::fmt;

use tcmax_ops::ParamBuilder;
use tcmax_registry::{Options, Spec, Table};

use crate::error::{Error, Result};
use crate::head::FusionHead;

/// How many modalities a method or a head is defined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modalities {
    /// One or more.
    Any,
    /// Two or more.
    Several,
    /// Two.
    Two,
}

impl fmt::Display for Modalities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Several => "2 or more",
            Self::Two => "2",
        })
    }
}

/// The specification of a fusion head: a constant in the head's file.
pub struct HeadSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it does.
    pub description: &'static str,
    /// Where it comes from; empty where there is no one source.
    pub source: &'static str,
    /// How many modalities it is defined for.
    pub modalities: Modalities,
    /// Whether the scores are a sum of one term per modality.
    pub additive: bool,
    /// Its options.
    pub options: Options,
    /// Makes the head for features of checked widths.
    pub make: MakeHead,
}

/// Makes a head: (options, widths D_m, classes, parameters).
pub type MakeHead = fn(&Table, &[usize], usize, &ParamBuilder) -> Result<Box<dyn FusionHead>>;

impl HeadSpec {
    /// Builds the head for features of the given widths.
    ///
    /// # Errors
    /// When there is no modality, a width is 0, there are fewer than two classes, an option is wrong, or
    /// the head is not defined for these widths.
    pub fn build(
        &self,
        options: &Table,
        widths: &[usize],
        classes: usize,
        builder: &ParamBuilder,
    ) -> Result<Box<dyn FusionHead>> {
        if classes == 1 {
            return Err(Error::TooFewClasses { classes });
        }
        self.build_outputs(options, widths, classes, builder)
    }

    /// As [`HeadSpec::build`], of any number of outputs that are not exclusive classes: labels or numbers.
    ///
    /// # Errors
    /// As [`HeadSpec::build`], and when there is no output.
    pub fn build_outputs(
        &self,
        options: &Table,
        widths: &[usize],
        outputs: usize,
        builder: &ParamBuilder,
    ) -> Result<Box<dyn FusionHead>> {
        if widths.is_empty() {
            return Err(Error::NoModality);
        }
        if let Some(modality) = widths.iter().position(|&width| width == 0) {
            return Err(Error::NoFeatures { modality });
        }
        if outputs == 0 {
            return Err(Error::TooFewClasses { classes: outputs });
        }
        (self.make)(options, widths, outputs, builder)
    }
}

impl Spec for HeadSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl PartialEq for HeadSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for HeadSpec {}

impl fmt::Debug for HeadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for HeadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
