//! Cheap estimates beside a fit: where one lies above the fit's interval, the fit falls short.

use tcmax_ops::Seed;

use super::gaussian::Gaussian;
use super::ksg::{KsgConfig, NearestNeighbours, nearest_neighbours};
use crate::sample::{Sample, VariableKind};

/// Rows that nearest neighbours are searched among, at most: a tenth of a second.
const MOST_ROWS: usize = 2000;

/// Columns of all variables together, at most.
const MOST_COLUMNS: usize = 128;

/// The estimate of another estimator.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The estimator.
    pub estimator: &'static str,
    /// Its estimate, nats.
    pub value: f64,
    /// About its standard error, nats.
    pub standard_error: f64,
}

impl Comparison {
    /// The estimates by nearest neighbours (`ksg`, on at most 2,000 rows) and the Gaussian copula (`gaussian
    /// copula`); an estimator that refuses the variables, or takes long, is left out.
    pub fn of(sample: &Sample, seed: Seed) -> Vec<Self> {
        let mut found = Vec::new();
        let columns: usize = sample.variables().iter().map(crate::sample::Variable::width).sum();
        if columns > MOST_COLUMNS {
            return found;
        }
        let few = sample.of_at_most(MOST_ROWS, seed.stream("rows"));
        let config = KsgConfig { seed, ..KsgConfig::default() };
        if let Ok(NearestNeighbours { value, standard_error, .. }) =
            nearest_neighbours(&few, config)
        {
            found.push(Self { estimator: "ksg", value, standard_error });
        }
        let numbers = sample.variables().iter().all(|v| v.kind() == VariableKind::Continuous);
        // With fewer rows its bias is as large as what it shows.
        if numbers
            && 20 * columns <= sample.len()
            && let Ok(value) = Gaussian::copula_information_of(sample)
        {
            // Of two columns with correlation r it is r / sqrt N.
            let standard_error = (0.5 * columns as f64 / sample.len() as f64).sqrt();
            found.push(Self { estimator: "gaussian copula", value, standard_error });
        }
        found.retain(|comparison| comparison.value.is_finite());
        found
    }

    /// Whether it is above an interval by more than its own error: by two standard errors and 0.02 nats.
    pub fn is_above(&self, [_, high]: [f64; 2]) -> bool {
        self.value - 2.0 * self.standard_error - 0.02 > high
    }
}
