//! Lists of specifications that are found by name.

use std::fmt;

use crate::nearest::nearest;
use crate::{Error, Result};

/// Something that one chooses by name.
pub trait Spec: Sync {
    /// What it is called on the command line and in files, in kebab-case.
    fn name(&self) -> &'static str;
}

/// The specifications of one kind, in the order to list them.
pub struct Catalogue<S: Spec + 'static> {
    kind: &'static str,
    specs: Vec<&'static S>,
}

impl<S: Spec> Clone for Catalogue<S> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, specs: self.specs.clone() }
    }
}

impl<S: Spec> fmt::Debug for Catalogue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl<S: Spec> Catalogue<S> {
    /// A catalogue of things called `kind`, such as "method".
    pub fn new(kind: &'static str, specs: &[&'static S]) -> Self {
        Self { kind, specs: specs.to_vec() }
    }

    /// Adds a specification to the end.
    ///
    /// # Errors
    /// When its name is taken.
    pub fn add(&mut self, spec: &'static S) -> Result<()> {
        if self.specs.iter().any(|other| other.name() == spec.name()) {
            return Err(Error::Duplicate { kind: self.kind, name: spec.name() });
        }
        self.specs.push(spec);
        Ok(())
    }

    /// The specification called `name`.
    ///
    /// # Errors
    /// When there is none, with the names there are.
    pub fn get(&self, name: &str) -> Result<&'static S> {
        let found = self.specs.iter().find(|spec| spec.name() == name);
        found.copied().ok_or_else(|| Error::Unknown {
            kind: self.kind,
            name: name.to_owned(),
            names: self.names(),
            nearest: nearest(name, self.names().into_iter()).map(str::to_owned),
        })
    }

    /// All specifications.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static S> + '_ {
        self.specs.iter().copied()
    }

    /// The names to choose from.
    pub fn names(&self) -> Vec<&'static str> {
        self.specs.iter().map(|spec| spec.name()).collect()
    }
}
