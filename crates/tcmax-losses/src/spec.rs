//! What a method is chosen by: its specification.

use std::fmt;

use tcmax_fusion::{HeadSpec, Modalities};
use tcmax_registry::{Options, Spec, Table, Task};

use crate::{Error, Method, Result, Setup};

/// The specification of a method: a constant in the method's file.
pub struct MethodSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it does.
    pub description: &'static str,
    /// Where it comes from; empty where there is no one source.
    pub source: &'static str,
    /// How many modalities it is defined for.
    pub modalities: Modalities,
    /// The head it comes with.
    pub usual_head: &'static HeadSpec,
    /// Which heads it is defined for.
    pub heads: Heads,
    /// For which tasks it is defined.
    pub tasks: Tasks,
    /// Whether it joins the encoders between their stages, so that all have to have some, as ResNets do.
    pub needs_stages: bool,
    /// Its options.
    pub options: Options,
    /// Makes the method ready for a run: (options, setup).
    pub make: fn(&Table, &Setup) -> Result<Box<dyn Method>>,
}

/// Which heads a method is defined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// All.
    Any,
    /// Those whose scores are a sum of one term per modality.
    Additive,
    /// The usual one alone.
    Usual,
}

/// For which tasks a method is defined, and why for no others, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// For classes alone.
    Classes(&'static str),
    /// For classes and for several labels, but not for numbers.
    Discrete(&'static str),
    /// For all.
    Any,
}

impl Tasks {
    /// Why the method is not defined for a task; `None` where it is.
    pub fn refusal(self, task: Task) -> Option<&'static str> {
        match (self, task) {
            (Self::Classes(why), Task::Labels | Task::Regression)
            | (Self::Discrete(why), Task::Regression) => Some(why),
            _ => None,
        }
    }
}

impl MethodSpec {
    /// Checks that the method is defined for a task.
    ///
    /// # Errors
    /// When it is not, with the reason.
    pub fn check_task(&self, task: Task) -> Result<()> {
        match self.tasks.refusal(task) {
            Some(why) => Err(Error::NotForTask { method: self.name, task, why }),
            None => Ok(()),
        }
    }

    /// Checks that the method is defined for a head and a number of modalities.
    ///
    /// # Errors
    /// When it is not, with what would be right.
    pub fn check(&self, head: &HeadSpec, modalities: usize) -> Result<()> {
        let method = self.name;
        match self.modalities {
            Modalities::Two if modalities != 2 => {
                return Err(Error::NeedsTwoModalities { method, got: modalities });
            }
            Modalities::Several if modalities < 2 => {
                return Err(Error::NeedsSeveralModalities { method, got: modalities });
            }
            _ => {}
        }
        match self.heads {
            Heads::Usual if head != self.usual_head => {
                let usual = self.usual_head.name;
                Err(Error::NeedsItsHead { method, usual, head: head.name })
            }
            Heads::Additive if !head.additive => Err(Error::NotLinear { method }),
            _ => Ok(()),
        }
    }

    /// Makes the method ready for a run.
    ///
    /// # Errors
    /// As [`MethodSpec::check`], and when one of its options is out of range.
    pub fn build(&self, options: &Table, setup: &Setup) -> Result<Box<dyn Method>> {
        self.check(setup.head, setup.widths.len())?;
        (self.make)(options, setup)
    }
}

impl Spec for MethodSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl PartialEq for MethodSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for MethodSpec {}

impl fmt::Debug for MethodSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for MethodSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
