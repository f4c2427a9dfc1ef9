//! Data sets: opened by name or path, split, and read example by example.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use tcmax_data::{Dataset, ModalityKind, Splits};
use tcmax_datasets::{DataSource, Opening, data};
use tcmax_ops::Seed;
use tcmax_registry::Table;

use crate::errors::wrong;
use crate::interrupt::{Watched, interruptible};

/// Opened data, from which the splits of any seed are made.
#[pyclass(frozen, module = "tcmax._tcmax")]
pub(crate) struct Source {
    inner: Arc<dyn DataSource>,
}

/// Opens the data set called `name` with options, a JSON object; its files are in `data_dir`, or are downloaded.
#[pyfunction]
pub(crate) fn open_data(
    py: Python<'_>,
    name: &str,
    options: &str,
    data_dir: Option<PathBuf>,
) -> PyResult<Source> {
    let spec = data().get(name).map_err(wrong)?;
    let options: Table = serde_json::from_str(options).map_err(wrong)?;
    interruptible(py, move |stop| {
        let options = match spec.paths.is_empty() {
            true => options,
            false => spec.absolute(options).map_err(wrong)?,
        };
        let options = spec.options.complete(&options).map_err(wrong)?;
        let watched = Watched(stop);
        let data_dir = data_dir.as_deref();
        let opening = Opening { data_dir, downloads: &watched, clips: &watched, recipe: None };
        let inner = (spec.open)(&options, &opening).map_err(wrong)?;
        Ok(Source { inner: inner.into() })
    })
}

/// Name, description and options (name, default, text) of the data sets.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "they are tuples to Python")]
pub(crate) fn data_sets() -> Vec<(&'static str, &'static str, Vec<(String, Option<String>, String)>)>
{
    let of = |spec: &'static tcmax_datasets::DataSpec| {
        let options = spec.options.documentation().into_iter();
        let options = options.map(|option| (option.name, option.default, option.text)).collect();
        (spec.name, spec.description, options)
    };
    data().iter().map(of).collect()
}

#[pymethods]
impl Source {
    /// What it is called.
    #[getter]
    fn title(&self) -> String {
        self.inner.title()
    }

    /// What it is.
    #[getter]
    fn description(&self) -> String {
        self.inner.description()
    }

    /// What a reader should know.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.inner.notes().to_vec()
    }

    /// What makes results doubtful.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.inner.warnings().to_vec()
    }

    /// The number of folds, if the options ask for a cross-validation.
    #[getter]
    fn folds(&self) -> Option<usize> {
        self.inner.folds()
    }

    /// Training, validation and test examples of a seed, and of a fold if one is named.
    #[pyo3(signature = (seed, fold=None))]
    fn splits(
        &self,
        py: Python<'_>,
        seed: u64,
        fold: Option<usize>,
    ) -> PyResult<(Examples, Examples, Examples)> {
        let source = self.inner.clone();
        let found = interruptible(py, move |_| {
            let splits = match fold {
                Some(fold) => source.splits_of_fold(seed, fold),
                None => source.splits(seed),
            };
            splits.map_err(wrong)
        });
        let Splits { train, validation, test } = found?;
        Ok((Examples { inner: train }, Examples { inner: validation }, Examples { inner: test }))
    }

    /// Every example once, as it is tested, where there is such a thing.
    fn examples(&self) -> Option<Examples> {
        self.inner.examples().map(|inner| Examples { inner })
    }
}

/// Examples of one or more modalities.
#[pyclass(frozen, module = "tcmax._tcmax")]
pub(crate) struct Examples {
    inner: Arc<dyn Dataset>,
}

#[pymethods]
impl Examples {
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// Name, kind and shape of each modality.
    #[getter]
    fn modalities(&self) -> Vec<(String, &'static str, Vec<usize>)> {
        let of = |modality: &tcmax_data::Modality| {
            (modality.name.clone(), kind(modality.kind), modality.shape.clone())
        };
        self.inner.modalities().iter().map(of).collect()
    }

    /// Names of the classes, labels, or numbers to predict.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.inner.classes().to_vec()
    }

    /// "classes", "labels" or "regression".
    #[getter]
    fn task(&self) -> &'static str {
        self.inner.task().name()
    }

    /// The class of every example.
    fn labels<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let labels: Vec<i64> = (0..self.inner.len()).map(|i| self.inner.label(i).into()).collect();
        labels.into_pyarray(py)
    }

    /// The target of an example, a number for each of the classes.
    fn target<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyArray1<f32>>> {
        self.check(index)?;
        let mut target = vec![0.0; self.inner.classes().len()];
        self.inner.target(index, &mut target);
        Ok(target.into_pyarray(py))
    }

    /// What an example is called where it comes from.
    fn id(&self, index: usize) -> PyResult<String> {
        self.check(index)?;
        Ok(self.inner.id(index))
    }

    /// Whether an example has each modality.
    fn present(&self, index: usize) -> PyResult<Vec<bool>> {
        self.check(index)?;
        Ok((0..self.inner.modalities().len()).map(|m| self.inner.present(index, m)).collect())
    }

    /// The inputs of some examples of modality `modality`, one per row, read one after the other on the thread that
    /// asks. Random crops and flips are drawn from each example's seed.
    fn read<'py>(
        &self,
        py: Python<'py>,
        indices: Vec<usize>,
        modality: usize,
        seeds: Vec<u64>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let Some(of) = self.inner.modalities().get(modality) else {
            return Err(PyIndexError::new_err(format!("there is no modality {modality}")));
        };
        indices.iter().try_for_each(|&index| self.check(index))?;
        if seeds.len() != indices.len() {
            return Err(wrong("every example needs a seed"));
        }
        let width = of.len();
        let mut values = vec![0.0; width * indices.len()];
        let read = || -> tcmax_data::Result<()> {
            for (i, (&index, &seed)) in indices.iter().zip(&seeds).enumerate() {
                let out = &mut values[i * width..][..width];
                self.inner.read(index, modality, Seed::new(seed).stream("augment"), out)?;
            }
            Ok(())
        };
        py.detach(read).map_err(wrong)?;
        values.into_pyarray(py).reshape([indices.len(), width])
    }
}

impl Examples {
    fn check(&self, index: usize) -> PyResult<()> {
        let count = self.inner.len();
        match index < count {
            true => Ok(()),
            false => Err(PyIndexError::new_err(format!(
                "there is no example {index}; there are {count}, numbered from 0"
            ))),
        }
    }
}

fn kind(kind: ModalityKind) -> &'static str {
    match kind {
        ModalityKind::Spectrogram => "spectrogram",
        ModalityKind::Image => "image",
        ModalityKind::Features => "features",
        ModalityKind::Sequence => "sequence",
        ModalityKind::Tokens => "tokens",
    }
}
