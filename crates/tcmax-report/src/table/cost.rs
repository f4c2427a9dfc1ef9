//! What methods cost.

use tcmax_metrics::Interval;
use tcmax_train::results::{StepCost, SuiteResult};

use crate::table::column::{Cell, Column};

/// Time and memory of a step, where they were measured.
pub(super) fn costs(result: &SuiteResult) -> Vec<Column> {
    let joint = result.methods.iter().find(|method| method.name == "joint");
    let joint = joint.and_then(|method| method.cost.as_ref());
    let of_methods = |cell: &dyn Fn(&StepCost) -> Option<Cell>| -> Vec<Option<Cell>> {
        result.methods.iter().map(|method| cell(method.cost.as_ref()?)).collect()
    };
    let plain = |value: f64| Some(Cell::from(Interval { mean: value, half_width: None }));
    let time = of_methods(&|own| {
        let range = range_of(own.runs.iter().map(|seconds| 1e3 * seconds));
        Some(Cell { range, ..plain(1e3 * own.seconds)? })
    });
    let ratio = of_methods(&|own| {
        let joint = joint?;
        let range = range_of(own.runs.iter().zip(&joint.runs).map(|(own, joint)| own / joint));
        Some(Cell { range, ..plain(own.seconds / joint.seconds)? })
    });
    let extra =
        of_methods(&|own| plain((own.peak_bytes as f64 - joint?.peak_bytes as f64) / 1024.0));
    vec![
        Column::plain("ms / step", 1, time),
        Column::plain("step / joint", 2, ratio),
        Column::plain("KiB over joint", 0, extra),
    ]
}

/// The least and the largest of several values.
fn range_of(values: impl Iterator<Item = f64> + Clone) -> Option<[f64; 2]> {
    let several = values.clone().count() > 1;
    several.then(|| {
        [values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max)]
    })
}
