//! Estimates, as the command `tcmax estimate` makes them.

use pyo3::IntoPyObject;
use pyo3::prelude::*;
use rayon::prelude::*;
use tcmax_estimators::exact::Redundancy;
use tcmax_estimators::fit::Wanted;
use tcmax_estimators::{
    Comparison, EstimatorKind, JointTable, Measure, Relation, Sample, Term, Variable as OfRust,
    estimate_detailed, estimate_measure as of_measure, estimate_observed,
    retrained_permutation_test,
};
use tcmax_metrics::{Interval, benjamini_hochberg, holm};
use tcmax_ops::Seed;

use crate::errors::{of_estimator, wrong};
use crate::found::{EstimateFound, MeasuredFound, PartsFound};
use crate::interrupt::{Stop, interruptible};
use crate::settings::Settings;
use crate::variable::{Variable, sample};

/// What is asked beside the estimate.
#[derive(Clone, Copy)]
struct Asked {
    wanted: Wanted,
    retrain: bool,
}

/// What variables share: for two their mutual information, for more their total correlation; nats.
#[pyfunction]
#[pyo3(signature = (variables, settings, *, permutations=0, retrain=false, pointwise=false))]
pub(crate) fn estimate(
    py: Python<'_>,
    variables: Vec<PyRef<'_, Variable>>,
    settings: PyRef<'_, Settings>,
    permutations: usize,
    retrain: bool,
    pointwise: bool,
) -> PyResult<EstimateFound> {
    let asked = Asked { wanted: Wanted { permutations, pointwise }, retrain };
    let work = Work::new(&settings);
    let trains = !matches!(work.config.config().estimator.kind, EstimatorKind::Direct(_));
    if retrain && !trains {
        return Err(wrong("retrain: the estimator trains no critic; leave it out"));
    }
    let sample = sample(&variables)?;
    interruptible(py, move |stop| work.estimate(&sample, asked, stop).map_err(of_estimator))
}

/// What is estimated with, owned by the thread that does.
struct Work {
    config: tcmax_estimators::fit::CheckedConfig,
    seeds: Vec<u64>,
}

impl Work {
    fn new(settings: &Settings) -> Self {
        Self { config: settings.config.clone(), seeds: settings.seeds.clone() }
    }

    /// Estimates one sample, unless its variables determine each other.
    fn estimate(
        &self,
        sample: &Sample,
        asked: Asked,
        stop: &Stop,
    ) -> tcmax_estimators::Result<EstimateFound> {
        let estimator = self.config.config().estimator;
        estimator.check(sample.variables().len())?;
        let observe = |_: usize| stop.check();
        let relation = Relation::find(sample);
        let found = EstimateFound::of_nothing(sample, estimator.name, relation.as_ref());
        if relation.is_some_and(|relation| relation.is_infinite()) {
            return Ok(found);
        }
        let Asked { wanted, retrain } = asked;
        let beside = if retrain { Wanted { permutations: 0, ..wanted } } else { wanted };
        let mut detailed = estimate_detailed(sample, &self.config, &self.seeds, beside, &observe)?;
        if retrain && wanted.permutations > 0 {
            let (permutations, seed) = (wanted.permutations, self.seeds[0]);
            let test =
                retrained_permutation_test(sample, &self.config, permutations, seed, &observe)?;
            detailed.permutation_test = Some(test);
        }
        let found = found.with(detailed, estimator.lower_bound);
        Ok(match estimator.kind {
            EstimatorKind::Direct(_) => found,
            _ => found.compared(Comparison::of(sample, Seed::new(0))),
        })
    }
}

/// One of all pairs: its estimate or why there is none, and the p value corrected for the number of pairs.
#[derive(IntoPyObject)]
pub(crate) struct PairFound {
    first: usize,
    second: usize,
    /// Rows that lack a value of one of the two.
    left_out: usize,
    found: Option<EstimateFound>,
    refusal: Option<String>,
    holm: Option<f64>,
    benjamini_hochberg: Option<f64>,
}

/// The mutual information of every pair, in the order (0, 1), (0, 2), ..., (1, 2), ... `present` says of each variable
/// which of its rows have a value, None where all have: a pair is estimated from the rows that have both.
#[pyfunction]
#[pyo3(signature = (variables, settings, *, permutations=0, present=None))]
pub(crate) fn estimate_pairs(
    py: Python<'_>,
    variables: Vec<PyRef<'_, Variable>>,
    settings: PyRef<'_, Settings>,
    permutations: usize,
    present: Option<Vec<Option<Vec<bool>>>>,
) -> PyResult<Vec<PairFound>> {
    let work = Work::new(&settings);
    let variables: Vec<OfRust> = variables.iter().map(|variable| variable.inner.clone()).collect();
    let asked = Asked { wanted: Wanted { permutations, pointwise: false }, retrain: false };
    let present = present.unwrap_or_else(|| vec![None; variables.len()]);
    let is_whole = |(mask, of): (&Option<Vec<bool>>, &OfRust)| {
        mask.as_ref().is_none_or(|mask| mask.len() == of.len())
    };
    if present.len() != variables.len() || !present.iter().zip(&variables).all(is_whole) {
        return Err(wrong("present: one mask of all rows, or None, is needed for each variable"));
    }
    interruptible(py, move |stop| {
        let count = variables.len();
        let pairs: Vec<(usize, usize)> =
            (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j))).collect();
        let of_pair = |&(first, second): &(usize, usize)| {
            stop.check();
            let of = [first, second].map(|one| (&variables[one], present[one].as_deref()));
            let both = Complete::of(of);
            let left_out = both.as_ref().map_or(0, |both| both.left_out);
            let found = both.and_then(|both| work.estimate(&both.sample, asked, stop));
            let (found, refusal) = match found {
                Ok(found) => (Some(found), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let (holm, benjamini_hochberg) = (None, None);
            PairFound { first, second, left_out, found, refusal, holm, benjamini_hochberg }
        };
        let mut all: Vec<PairFound> = pairs.par_iter().map(of_pair).collect();
        let p: Vec<Option<f64>> =
            all.iter().map(|pair| pair.found.as_ref().and_then(EstimateFound::p_value)).collect();
        let corrected = holm(&p).into_iter().zip(benjamini_hochberg(&p));
        for (pair, (holm, rate)) in all.iter_mut().zip(corrected) {
            (pair.holm, pair.benjamini_hochberg) = (holm, rate);
        }
        Ok(all)
    })
}

/// Two variables in the rows that have both.
struct Complete {
    sample: Sample,
    left_out: usize,
}

impl Complete {
    fn of(variables: [(&OfRust, Option<&[bool]>); 2]) -> tcmax_estimators::Result<Self> {
        let sample = Sample::new(variables.map(|(variable, _)| variable.clone()).into())?;
        let masks: Vec<&[bool]> = variables.iter().filter_map(|(_, mask)| *mask).collect();
        if masks.is_empty() {
            return Ok(Self { sample, left_out: 0 });
        }
        let has_both = |&row: &usize| masks.iter().all(|mask| mask[row]);
        let rows: Vec<usize> = (0..sample.len()).filter(has_both).collect();
        let left_out = sample.len() - rows.len();
        Ok(Self { sample: sample.in_rows(&rows)?, left_out })
    }
}

/// The mutual information of each of some variables with a target, before it is cut off at 0; nats.
#[pyfunction]
pub(crate) fn estimate_columns(
    py: Python<'_>,
    columns: Vec<PyRef<'_, Variable>>,
    target: PyRef<'_, Variable>,
    settings: PyRef<'_, Settings>,
) -> PyResult<Vec<f64>> {
    let work = Work::new(&settings);
    let target = target.inner.clone();
    let columns: Vec<OfRust> = columns.iter().map(|column| column.inner.clone()).collect();
    interruptible(py, move |stop| {
        let of_column = |column: OfRust| {
            stop.check();
            let sample = Sample::new(vec![column, target.clone()])?;
            let observe = |_: usize| stop.check();
            let found = estimate_observed(&sample, &work.config, &work.seeds, &observe)?;
            Ok(found.held_out())
        };
        let found = columns.into_par_iter().map(of_column);
        found.collect::<tcmax_estimators::Result<_>>().map_err(of_estimator)
    })
}

/// A measure of variables of which the last `given` are known; nats.
#[pyfunction]
pub(crate) fn estimate_measure(
    py: Python<'_>,
    variables: Vec<PyRef<'_, Variable>>,
    given: usize,
    measure: &str,
    settings: PyRef<'_, Settings>,
) -> PyResult<MeasuredFound> {
    let measure = match measure {
        "total-correlation" => Measure::TotalCorrelation,
        "dual" => Measure::Dual,
        "o-information" => Measure::OInformation,
        "interaction" => Measure::Interaction,
        "conditional" => Measure::Conditional,
        _ => {
            let problem = "it is one of 'total-correlation', 'dual', 'o-information', 'interaction', \
                           'conditional', 'pid' and 'pid-min'";
            return Err(wrong(format!("measure: there is no '{measure}'; {problem}")));
        }
    };
    let sample = sample(&variables)?;
    let (all, work) = (sample.variables().len(), Work::new(&settings));
    let free = all.saturating_sub(given);
    let (free, known): (Vec<usize>, Vec<usize>) = ((0..free).collect(), (free..all).collect());
    let _: Vec<Term> = measure.terms(&free, &known).map_err(of_estimator)?;
    let names = sample.names();
    let quantity = measure.quantity(&names[..free.len()], &names[free.len()..]);
    let estimator = work.config.config().estimator.name;
    interruptible(py, move |stop| {
        if let Some(relation) = Relation::find(&sample).filter(Relation::is_infinite) {
            return Err(wrong(format!(
                "{relation}: what they share is infinite, and {measure} a difference of infinite numbers"
            )));
        }
        let observe = |_: usize| stop.check();
        let found = of_measure(&sample, measure, &known, &work.config, &work.seeds, &observe);
        Ok(MeasuredFound::of(found.map_err(of_estimator)?, &sample, quantity, estimator))
    })
}

/// What two sources tell of a target, the third variable, from the frequencies of their classes; nats.
#[pyfunction]
pub(crate) fn partial_information(
    py: Python<'_>,
    variables: Vec<PyRef<'_, Variable>>,
    least: bool,
) -> PyResult<PartsFound> {
    let sample = sample(&variables)?;
    if sample.variables().len() != 3 {
        let count = sample.variables().len();
        return Err(wrong(format!("two sources and a target are three variables; got {count}")));
    }
    interruptible(py, move |_| {
        let redundancy = if least { Redundancy::IMin } else { Redundancy::Broja };
        let table = JointTable::of_sample(&sample).map_err(of_estimator)?;
        let found = table.partial_information([&[0], &[1]], &[2], redundancy);
        Ok(PartsFound::of(found.map_err(of_estimator)?, &sample))
    })
}

/// An estimator.
#[derive(IntoPyObject)]
pub(crate) struct EstimatorFound {
    name: &'static str,
    description: &'static str,
    source: &'static str,
    lower_bound: bool,
    pairs_only: bool,
    trains: bool,
    /// Name, default and documentation of each.
    options: Vec<(String, Option<String>, String)>,
}

/// All estimators.
#[pyfunction]
pub(crate) fn estimators() -> Vec<EstimatorFound> {
    let all = tcmax_estimators::estimators();
    let of = |spec: &'static tcmax_estimators::EstimatorSpec| EstimatorFound {
        name: spec.name,
        description: spec.description,
        source: spec.source,
        lower_bound: spec.lower_bound,
        pairs_only: spec.pairs_only,
        trains: !matches!(spec.kind, EstimatorKind::Direct(_)),
        options: spec
            .options
            .documentation()
            .into_iter()
            .map(|option| (option.name, option.default, option.text))
            .collect(),
    };
    all.iter().map(of).collect()
}

/// Sets the number of threads of everything here, before anything has run.
#[pyfunction]
pub(crate) fn set_threads(count: usize) -> PyResult<()> {
    if count == 0 {
        return Err(wrong("threads: at least 1 is needed"));
    }
    let built = rayon::ThreadPoolBuilder::new().num_threads(count).build_global();
    built.map_err(|_| wrong("threads: they are running already; set their number first"))
}

/// Half the width of the 95 % t interval of a mean; NaN of fewer than two values.
#[pyfunction]
pub(crate) fn t_half_width(values: Vec<f64>) -> f64 {
    Interval::of(&values).and_then(|interval| interval.half_width).unwrap_or(f64::NAN)
}
