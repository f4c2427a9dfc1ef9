//! The settings of an estimate, checked once.

use pyo3::prelude::*;
use tcmax_estimators::fit::{CheckedConfig, CriticKind, FitConfig};
use tcmax_estimators::{Scaling, estimators};
use tcmax_registry::Table;

use crate::errors::{of_estimator, wrong};

/// An estimator, its options, how its critics are fitted, and the seeds.
#[pyclass(frozen, module = "tcmax._tcmax")]
pub(crate) struct Settings {
    pub(crate) config: CheckedConfig,
    pub(crate) seeds: Vec<u64>,
}

#[pymethods]
impl Settings {
    /// Settings; `options` are a JSON object, and what is `None` has its default.
    #[new]
    #[pyo3(signature = (estimator, options, seeds, *, critic, scaling, gaussian_start, hidden=None, steps=None,
                        batch_size=None, learning_rate=None, folds=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords to Python")]
    fn new(
        estimator: &str,
        options: &str,
        seeds: Vec<u64>,
        critic: &str,
        scaling: &str,
        gaussian_start: bool,
        hidden: Option<Vec<usize>>,
        steps: Option<usize>,
        batch_size: Option<usize>,
        learning_rate: Option<f64>,
        folds: Option<usize>,
    ) -> PyResult<Self> {
        let default = FitConfig::default();
        let estimator = estimators().get(estimator).map_err(wrong)?;
        let options: Table = serde_json::from_str(options).map_err(wrong)?;
        let config = FitConfig {
            estimator,
            options: estimator.options.complete(&options).map_err(wrong)?,
            critic: critic_kind(critic)?,
            scaling: scaling_of(scaling)?,
            gaussian_start,
            hidden: hidden.unwrap_or(default.hidden),
            steps: steps.unwrap_or(default.steps),
            batch_size: batch_size.unwrap_or(default.batch_size),
            learning_rate: learning_rate.unwrap_or(default.learning_rate),
            folds: folds.unwrap_or(default.folds),
            ..FitConfig::default()
        };
        if seeds.is_empty() {
            return Err(wrong("seed: at least one is needed"));
        }
        Ok(Self { config: config.check().map_err(of_estimator)?, seeds })
    }

    /// The name of the estimator.
    #[getter]
    fn estimator(&self) -> &'static str {
        self.config.config().estimator.name
    }
}

fn critic_kind(name: &str) -> PyResult<CriticKind> {
    Ok(match name {
        "concat" => CriticKind::Concat,
        "separable" => CriticKind::Separable,
        "bilinear" => CriticKind::Bilinear,
        "latent" => CriticKind::Latent,
        _ => {
            let problem = "it is one of 'concat', 'separable', 'bilinear' and 'latent'";
            return Err(wrong(format!("critic: there is no '{name}'; {problem}")));
        }
    })
}

fn scaling_of(name: &str) -> PyResult<Scaling> {
    match name {
        "rank" => Ok(Scaling::RankGaussian),
        "zscore" => Ok(Scaling::ZScore),
        _ => Err(wrong(format!("scaling: there is no '{name}'; it is 'rank' or 'zscore'"))),
    }
}
