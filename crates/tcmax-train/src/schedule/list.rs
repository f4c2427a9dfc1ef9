//! The list of schedules.

use tcmax_registry::Catalogue;

use crate::schedule::constant::CONSTANT;
use crate::schedule::cosine::COSINE;
use crate::schedule::cosine_restarts::COSINE_RESTARTS;
use crate::schedule::exponential::EXPONENTIAL;
use crate::schedule::linear::LINEAR;
use crate::schedule::multi_step::MULTI_STEP;
use crate::schedule::one_cycle::ONE_CYCLE;
use crate::schedule::plateau::PLATEAU;
use crate::schedule::spec::ScheduleSpec;
use crate::schedule::step::STEP;

/// The built-in schedules, in the order to list them.
pub static SCHEDULES: [&ScheduleSpec; 9] = [
    &CONSTANT,
    &STEP,
    &MULTI_STEP,
    &EXPONENTIAL,
    &LINEAR,
    &COSINE,
    &COSINE_RESTARTS,
    &ONE_CYCLE,
    &PLATEAU,
];

/// A catalogue of the built-in schedules, to which others can be added.
pub fn schedules() -> Catalogue<ScheduleSpec> {
    Catalogue::new("schedule", &SCHEDULES)
}
