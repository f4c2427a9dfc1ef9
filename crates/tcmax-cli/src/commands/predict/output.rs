//! Predictions as CSV or lines of JSON, written batch by batch.

use std::io::{ErrorKind, Write};
use std::path::Path;

use clap::ValueEnum;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tcmax_data::WholeFile;
use tcmax_train::{Error, Prediction, Predictor};

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table with a header
    Csv,
    /// One JSON object per line
    Jsonl,
}

impl Format {
    /// What the name of a file asks for.
    pub(super) fn of(file: Option<&Path>) -> Self {
        let ending = file.and_then(Path::extension).unwrap_or_default();
        if ending == "jsonl" || ending == "ndjson" { Self::Jsonl } else { Self::Csv }
    }
}

/// Where predictions go.
pub(super) struct Output<'a> {
    format: Format,
    labelled: bool,
    predictor: &'a Predictor<'a>,
    /// `None`: standard output.
    file: Option<(&'a Path, WholeFile)>,
}

impl<'a> Output<'a> {
    /// Starts a file, which has its name only when it is finished, or standard output.
    pub(super) fn start(
        format: Format,
        file: Option<&'a Path>,
        predictor: &'a Predictor<'a>,
        labelled: bool,
    ) -> Result<Self, Error> {
        let file = match file {
            Some(path) => Some((path, WholeFile::create(path)?)),
            None => None,
        };
        let mut output = Self { format, labelled, predictor, file };
        if format == Format::Csv {
            let header = output.table([output.header()])?;
            output.write_bytes(&header)?;
        }
        Ok(output)
    }

    /// Writes the predictions of a batch; false when nobody reads standard output any more.
    pub(super) fn write(&mut self, predictions: &[Prediction]) -> Result<bool, Error> {
        let bytes = match self.format {
            Format::Csv => self.table(predictions.iter().map(|p| self.row(p)))?,
            Format::Jsonl => {
                let mut bytes = Vec::new();
                for prediction in predictions {
                    let line = Line { prediction, predictor: self.predictor };
                    serde_json::to_writer(&mut bytes, &line).map_err(|e| self.failed(e.into()))?;
                    bytes.push(b'\n');
                }
                bytes
            }
        };
        self.write_bytes(&bytes)
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.file {
            Some((_, file)) => Ok(file.finish()?),
            None => Ok(()),
        }
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        let written = match &mut self.file {
            Some((_, file)) => file.write_all(bytes),
            None => {
                let mut out = std::io::stdout().lock();
                match out.write_all(bytes).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
                    written => written,
                }
            }
        };
        written.map_err(|error| self.failed(error))?;
        Ok(true)
    }

    fn failed(&self, source: std::io::Error) -> Error {
        let path = self.file.as_ref().map_or(Path::new("standard output"), |(path, _)| path);
        Error::File { path: path.to_owned(), source }
    }

    fn header(&self) -> Vec<String> {
        let mut header = vec!["id".to_owned()];
        header.extend(self.labelled.then(|| "label".to_owned()));
        header.push("prediction".to_owned());
        header.extend(self.predictor.classes().iter().map(|class| format!("p({class})")));
        let modalities = self.predictor.modalities();
        header.extend(modalities.iter().map(|name| format!("{name} prediction")));
        header.extend(self.predictor.is_whole().then(|| "matching".to_owned()));
        header
    }

    fn row(&self, prediction: &Prediction) -> Vec<String> {
        let class = |index: usize| self.predictor.classes()[index].clone();
        let mut row = vec![prediction.id.clone()];
        row.extend(prediction.label.map(class));
        row.push(class(prediction.class));
        row.extend(prediction.probabilities.iter().map(|p| format!("{p:.6}")));
        row.extend(prediction.modalities.iter().map(|own| own.map(class).unwrap_or_default()));
        if self.predictor.is_whole() {
            row.push(prediction.matching.map_or_else(String::new, |nats| format!("{nats:.4}")));
        }
        row
    }

    fn table(&self, rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            writer.write_record(row).map_err(|error| self.failed(error.into()))?;
        }
        writer.into_inner().map_err(|error| self.failed(error.into_error()))
    }
}

/// A line of JSON.
struct Line<'a> {
    prediction: &'a Prediction,
    predictor: &'a Predictor<'a>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { prediction, predictor } = self;
        let classes = predictor.classes();
        let class = |index: usize| classes[index].as_str();
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("id", &prediction.id)?;
        if let Some(label) = prediction.label {
            line.serialize_entry("label", class(label))?;
        }
        line.serialize_entry("prediction", class(prediction.class))?;
        let probabilities = classes.iter().map(String::as_str).zip(&prediction.probabilities);
        line.serialize_entry("probabilities", &Entries(probabilities))?;
        let own = prediction.modalities.iter().map(|own| own.map(class));
        let modalities = predictor.modalities().into_iter().zip(own);
        line.serialize_entry("modalities", &Entries(modalities))?;
        line.serialize_entry("matching", &prediction.matching)?;
        line.end()
    }
}

/// Names and values in their order.
struct Entries<I>(I);

impl<'a, V: Serialize, I: Iterator<Item = (&'a str, V)> + Clone> Serialize for Entries<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}
