//! Predictions as CSV or lines of JSON, written batch by batch.

use std::io::{ErrorKind, Write};
use std::path::Path;

use clap::ValueEnum;
use tcmax_data::WholeFile;
use tcmax_train::{Error, Prediction, Predictor};

use super::columns;
use super::line::Line;

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
        columns::header(self.predictor, self.labelled)
    }

    fn row(&self, prediction: &Prediction) -> Vec<String> {
        columns::row(self.predictor, prediction)
    }

    fn table(&self, rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            writer.write_record(row).map_err(|error| self.failed(error.into()))?;
        }
        writer.into_inner().map_err(|error| self.failed(error.into_error()))
    }
}
