//! Teachers inside one run: the first epochs train every modality by itself, a frozen copy of that model becomes the
//! teacher, and the student starts from the values that the run began with.
//!
//! Where a paper trains its teachers in runs of their own and keeps the best epoch of each, here all are trained at once
//! by the sum of their losses, and the last of their epochs counts. The schedule of the learning rate goes on over both
//! phases; momentum and averages of weights start anew with the student.

use candle_core::Tensor;
use tcmax_ops::State;
use tcmax_registry::require;

use super::unimodal::Unimodal;
use crate::{EpochContext, Error, Method, Result, Step, StepOutput, Taught};

/// What the names of the initial values begin with in a state.
const INITIAL: &str = "initial.";

/// The phase in which a method has its teachers trained.
#[derive(Clone, Debug)]
pub(crate) struct Teachers {
    method: &'static str,
    /// Epochs that train teachers.
    epochs: usize,
    /// What the run began with, until the student starts from it.
    initial: Option<State>,
}

/// Checks an option `teacher-epochs`.
pub(crate) fn check(epochs: Option<usize>) -> tcmax_registry::Result<()> {
    require(epochs != Some(0), "teacher-epochs", "must be at least 1")
}

impl Teachers {
    /// Teachers of a run of `epochs`, trained in `given` of them, or a third.
    pub(crate) fn new(
        method: &'static str,
        given: Option<usize>,
        epochs: usize,
    ) -> tcmax_registry::Result<Self> {
        let own = given.unwrap_or_else(|| (epochs / 3).max(1));
        check(Some(own))?;
        let problem = format!(
            "the first {own} epochs train the teachers and none of the {epochs} is left for the student; set \
             fewer, or train for more epochs"
        );
        require(own < epochs, "teacher-epochs", &problem)?;
        Ok(Self { method, epochs: own, initial: None })
    }

    /// Epochs that train teachers.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs
    }

    /// What a method with teachers does before an epoch.
    pub(crate) fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let epoch = context.clock().epoch;
        if epoch == 0 {
            self.initial = Some(context.params().snapshot()?);
        }
        if epoch == self.epochs {
            context.teach()?;
            let missing = || Error::MissingState { name: INITIAL.to_owned() };
            context.params().load(&self.initial.take().ok_or_else(missing)?)?;
            context.reset_optimiser()?;
        }
        Ok(())
    }

    /// A step that trains the teachers, where it is one of theirs; otherwise what the teacher says.
    pub(crate) fn step<'a>(&self, step: &mut Step<'a>) -> Result<Lesson<'a>> {
        if step.clock.epoch < self.epochs {
            return Ok(Lesson::Teachers(Unimodal.step(step)?));
        }
        step.taught.map(Lesson::Student).ok_or(Error::NoTeacher { method: self.method })
    }

    /// Whether an epoch trains the student.
    pub(crate) fn is_usable_after(&self, epoch: usize) -> bool {
        epoch >= self.epochs
    }

    pub(crate) fn state(&self) -> State {
        let initial = self.initial.iter().flatten();
        initial.map(|(name, value)| (format!("{INITIAL}{name}"), value.clone())).collect()
    }

    pub(crate) fn load_state(&mut self, state: &State) -> Result<()> {
        let mut initial = State::new();
        for (name, value) in state {
            let own = name.strip_prefix(INITIAL);
            let own = own.ok_or_else(|| Error::UnknownState { name: name.clone() })?;
            initial.insert(own.to_owned(), value.clone());
        }
        self.initial = (!initial.is_empty()).then_some(initial);
        Ok(())
    }
}

/// What a step is for.
pub(crate) enum Lesson<'a> {
    /// The teachers, and it is done.
    Teachers(StepOutput),
    /// The student, who is taught this.
    Student(&'a Taught),
}

/// mean((z_m - z_m^T)^2) over all entries, for each modality: scalars. The teacher's features z_m^T are constants.
///
/// # Errors
/// When the numbers or the shapes of the features differ.
pub fn feature_distances(features: &[Tensor], taught: &[Tensor]) -> Result<Vec<Tensor>> {
    if features.len() != taught.len() {
        let (got, wanted) = (taught.len(), features.len());
        return Err(Error::WrongLength { what: "the teacher's features", got, wanted });
    }
    let distance = |(z, t): (&Tensor, &Tensor)| Ok((z - t.detach())?.sqr()?.mean_all()?);
    features.iter().zip(taught).map(distance).collect()
}
