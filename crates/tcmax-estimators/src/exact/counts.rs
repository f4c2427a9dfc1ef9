//! Information of classes from counts, with a correction of the caller's choice.
//!
//! ```text
//! TC = sum_m H(x_m) - H(x_1, ..., x_M)                                                (nats)
//! ```
//!
//! with every entropy by one of the formulas in [`Correction`]. For two variables it is their mutual
//! information. The plug-in value of M variables of K_m states each is too large by about (prod K_m - 1 -
//! sum_m (K_m - 1)) / 2N, as the joint entropy is what is underestimated most (Treves and Panzeri 1995).
//!
//! The value of an example is that of the frequencies, log n(x_1, ..., x_M) - sum_m log n(x_m), and all are moved by
//! the same amount, so that their mean is the corrected value.
//!
//! `ksg` counts classes too: by Grassberger's older formula, less what chance shows of rare classes. It is
//! the one to take where classes are many and the question is *whether* they share anything; `counts` is
//! the textbook estimator, which others can be compared with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, Table, read};

use super::entropy::{Correction, of_seen};
use super::plug_in::States;
use crate::error::{Error, Result};
use crate::sample::{Sample, Variable};
use crate::spec::{Computed, Direct, EstimatorKind, EstimatorSpec};

/// The specification of counts.
pub static COUNTS: EstimatorSpec = EstimatorSpec {
    name: "counts",
    description: "entropies of classes from counts, corrected for the number of rows",
    source: "Grassberger, Entropy estimates from insufficient samplings (2003)",
    lower_bound: false,
    pairs_only: false,
    options: Options::of::<CountsOptions>(),
    kind: EstimatorKind::Direct(Direct {
        compute,
        operations: |rows, columns| 200.0 * rows as f64 * columns.len() as f64,
    }),
};

/// Below this share of rows whose combination of classes is seen twice or more, no correction helps much.
const LEAST_COVERAGE: f64 = 0.8;

/// Options of counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CountsOptions {
    /// How entropies are corrected: plug-in (not at all), miller-madow, grassberger, chao-shen or nsb.
    pub correction: Correction,
}

impl OptionSet for CountsOptions {}

fn compute(options: &Table, sample: &Sample) -> Result<Computed> {
    let CountsOptions { correction } = read(options)?;
    let variables = sample.variables().iter().map(states).collect::<Result<Vec<_>>>()?;
    let rows = sample.len();
    let joint = States::joint(&variables.iter().collect::<Vec<_>>(), rows);
    let entropy = |states: &States, possible: f64| {
        of_seen(&states.counts().collect::<Vec<_>>(), possible, correction)
    };
    let possible: Vec<f64> = variables.iter().map(|states| states.len() as f64).collect();
    let single: f64 = variables.iter().zip(&possible).map(|(v, &k)| entropy(v, k)).sum();
    let value = single - entropy(&joint, possible.iter().product());
    let once = joint.counts().filter(|&count| count == 1).count();
    let coverage = 1.0 - once as f64 / rows as f64;
    let mut warnings = Vec::new();
    if coverage < LEAST_COVERAGE {
        warnings.push(format!(
            "{once} of {rows} rows have a combination of classes that no other row has: no correction \
             removes the bias of counts so small; merge classes, or use ksg, which compares with chance"
        ));
    }
    let of_row = |row: usize| {
        let log = |states: &States| (states.count(row) as f64).ln();
        Some(log(&joint) - variables.iter().map(log).sum::<f64>())
    };
    let of_rows = (0..rows).map(of_row).collect();
    Ok(Computed { warnings, ..Computed::new(value) }.with_rows(of_rows))
}

/// The states of a variable of classes, or of a group of such.
pub(super) fn states(variable: &Variable) -> Result<States> {
    if let Some(column) = (0..variable.width()).find(|&column| !variable.is_discrete(column)) {
        return Err(Error::NotClasses { variable: variable.name().to_owned(), column });
    }
    let columns: Vec<States> =
        (0..variable.width()).map(|column| States::of_numbers(variable.column(column))).collect();
    Ok(States::joint(&columns.iter().collect::<Vec<_>>(), variable.len()))
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;

    fn of(columns: &[Vec<f64>], correction: &str) -> Result<Computed> {
        let class = |column: &Vec<f64>| Variable::categorical("c", column).unwrap();
        let sample = Sample::new(columns.iter().map(class).collect()).unwrap();
        compute(&Table::from_iter([("correction".to_owned(), correction.into())]), &sample)
    }

    /// Rows of independent uniform classes.
    fn uniform(rows: usize, classes: u32, seed: u64) -> Vec<f64> {
        let mut rng = Seed::new(seed).rng();
        (0..rows).map(|_| f64::from(rng.random_range(0..classes))).collect()
    }

    #[test]
    fn the_plug_in_value_of_independent_classes_is_its_known_bias_and_corrections_remove_it() {
        let (rows, classes) = (500, 8);
        let mean = |correction| {
            let of_draw = |draw: u64| {
                let columns =
                    [uniform(rows, classes, 2 * draw), uniform(rows, classes, 2 * draw + 1)];
                of(&columns, correction).unwrap().value
            };
            (0..50u64).map(of_draw).sum::<f64>() / 50.0
        };
        // (K - 1)^2 / 2N
        let bias = 49.0 / 1000.0;
        assert!((mean("plug-in") - bias).abs() < 0.005, "{}", mean("plug-in"));
        for correction in ["miller-madow", "grassberger", "nsb"] {
            let left = mean(correction);
            assert!(left.abs() < 0.3 * bias, "{correction}: {left} of {bias}");
        }
        // Hardly a combination is seen once here, and without such there is nothing it could go by.
        let left = mean("chao-shen");
        assert!(left > 0.0 && left < 0.9 * bias, "chao-shen: {left} of {bias}");
    }

    #[test]
    fn copies_share_their_entropy_and_the_number_of_variables_is_free() {
        let x = uniform(2000, 4, 1);
        let truth = 4f64.ln();
        for correction in ["plug-in", "miller-madow", "grassberger", "chao-shen", "nsb"] {
            let two = of(&[x.clone(), x.clone()], correction).unwrap().value;
            let three = of(&[x.clone(), x.clone(), x.clone()], correction).unwrap().value;
            assert!((two - truth).abs() < 0.01, "{correction}: {two}");
            assert!((three - 2.0 * truth).abs() < 0.02, "{correction}: {three}");
        }
    }

    #[test]
    fn numbers_are_refused_and_rare_combinations_are_said() {
        let number = Variable::continuous("x", vec![0.5, 1.5, 2.5], 1).unwrap();
        let class = Variable::categorical("c", &[0.0, 1.0, 0.0]).unwrap();
        let sample = Sample::new(vec![class, number]).unwrap();
        let error = compute(&Table::new(), &sample).unwrap_err().to_string();
        assert!(error.contains("'x'") && error.contains("ksg"), "{error}");
        let rare = of(&[uniform(60, 30, 1), uniform(60, 30, 2)], "grassberger").unwrap();
        assert_eq!(rare.warnings.len(), 1);
        let unknown = of(&[uniform(60, 3, 1), uniform(60, 3, 2)], "best").unwrap_err().to_string();
        assert!(unknown.contains("miller-madow"), "{unknown}");
    }
}
