//! Unimodal teacher (UMT): features are pulled towards those of teachers that were trained alone.
//!
//! ```text
//! L = CE(f, y) + scaling sum_m mean((z_m - z_m^T)^2)      (nats)
//! ```
//!
//! The mean is over all entries of the batch's features, and z_m^T, the features that the teacher of modality m has for the
//! same inputs, are constants. Teachers are trained in the first `teacher-epochs` of the run by the sum of the
//! modalities' own cross-entropies; the student then starts from the initial values. Any number of modalities, and any
//! head that trains its modalities apart.
//!
//! As in the paper a teacher is frozen and in evaluation mode; BalanceBenchmark's has the statistics of the batch.
//!
//! Source: Du et al., "On Uni-Modal Feature Learning in Supervised Multi-Modal Learning" (ICML 2023).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{State, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::teachers::{self, Lesson, Teachers, feature_distances};
use crate::{
    EpochContext, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of UMT.
pub static UMT: MethodSpec = MethodSpec {
    name: "umt",
    description: "pulls features towards those of teachers of one modality each",
    source: "Du et al., ICML 2023",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("its teachers learn the one right class"),
    needs_stages: false,
    options: Options::of::<UmtOptions>(),
    make: |options, setup| Ok(Box::new(Umt::new(read(options)?, setup)?)),
};

/// Options of UMT.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UmtOptions {
    /// Factor of the distances to the teachers' features.
    pub scaling: f64,
    /// Epochs that train the teachers, before the student's; absent: a third of all.
    pub teacher_epochs: Option<usize>,
}

impl Default for UmtOptions {
    fn default() -> Self {
        Self { scaling: 10.0, teacher_epochs: None }
    }
}

impl OptionSet for UmtOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.scaling.is_finite() && self.scaling >= 0.0;
        require(fits, "scaling", "must be a number of at least 0")?;
        teachers::check(self.teacher_epochs)
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Umt {
    scaling: f64,
    teachers: Teachers,
}

impl Umt {
    /// UMT for a run.
    ///
    /// # Errors
    /// When an option is out of range, or no epoch is left for the student.
    pub fn new(options: UmtOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let teachers = Teachers::new(UMT.name, options.teacher_epochs, setup.epochs)?;
        Ok(Self { scaling: options.scaling, teachers })
    }
}

impl Method for Umt {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.teachers.begin_epoch(context)
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let taught = match self.teachers.step(step)? {
            Lesson::Teachers(output) => return Ok(output),
            Lesson::Student(taught) => taught,
        };
        let logits = step.head.logits(step.features)?;
        let ce = cross_entropy(&logits, step.labels)?;
        let distances = feature_distances(step.features, &taught.features)?;
        let loss = (&ce + (sum_of(&distances)? * self.scaling)?)?;
        let loss = step.descend(&loss)?;
        let distances = distances.iter().map(to_scalar_f64);
        let distances = distances.collect::<candle_core::Result<Vec<_>>>()?;
        let mut output = StepOutput::new(loss, &logits).with_metrics("distance", &distances);
        output.metrics.push(("cross-entropy".to_owned(), to_scalar_f64(&ce)?));
        Ok(output)
    }

    fn is_usable_after(&self, epoch: usize) -> bool {
        self.teachers.is_usable_after(epoch)
    }

    fn state(&self) -> Result<State> {
        Ok(self.teachers.state())
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.teachers.load_state(state)
    }
}
