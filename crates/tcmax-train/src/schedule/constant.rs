//! The learning rate of the optimiser throughout.

use tcmax_registry::Options;

use crate::schedule::position::Position;
use crate::schedule::spec::{Schedule, ScheduleSpec};

/// The specification of the constant rate.
pub static CONSTANT: ScheduleSpec = ScheduleSpec {
    name: "constant",
    description: "stays as it is",
    source: "",
    options: Options::NONE,
    metric: false,
    make: |options, base| {
        Options::NONE.complete(options)?;
        Ok(Box::new(Constant(base)))
    },
};

#[derive(Debug)]
struct Constant(f64);

impl Schedule for Constant {
    fn rate(&self, _: Position) -> f64 {
        self.0
    }
}
