//! Errors of training.

use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is out of range or does not fit the others.
    #[error("{field}: {problem}")]
    Setting {
        /// The setting, as it is called on the command line or in the configuration file.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A data set could not be opened or read.
    #[error(transparent)]
    Data(#[from] tcmax_data::Error),
    /// Media could not be prepared.
    #[error(transparent)]
    Media(#[from] tcmax_media::Error),
    /// A ready data set could not be fetched or read.
    #[error(transparent)]
    Datasets(tcmax_datasets::Error),
    /// An encoder refused its settings or input.
    #[error(transparent)]
    Encoder(#[from] tcmax_encoders::Error),
    /// A head could not be built.
    #[error(transparent)]
    Fusion(#[from] tcmax_fusion::Error),
    /// An objective refused its input.
    #[error(transparent)]
    Loss(#[from] tcmax_losses::Error),
    /// There is no such method, head or option.
    #[error(transparent)]
    Registry(#[from] tcmax_registry::Error),
    /// An estimator refused its input.
    #[error(transparent)]
    Estimator(#[from] tcmax_estimators::Error),
    /// Parameters did not fit.
    #[error(transparent)]
    Ops(#[from] tcmax_ops::Error),
    /// A graph could not be made.
    #[error(transparent)]
    Onnx(#[from] tcmax_onnx::Error),
    /// Members who train together could not go on together.
    #[error(transparent)]
    Parallel(#[from] tcmax_parallel::Error),
    /// A process of several has something else than the first one.
    #[error("rank {rank} (on {host}) has {what}: {got} instead of {wanted}")]
    OtherMember {
        /// Its rank.
        rank: usize,
        /// The name of its machine.
        host: String,
        /// What differs, such as "other data".
        what: &'static str,
        /// What it has, or a digest of that.
        got: String,
        /// What the first one has.
        wanted: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Training left the finite numbers.
    #[error(
        "epoch {epoch}, batch {batch}: the loss is {value}; lower optimiser.learning-rate or set train.clip-norm"
    )]
    NotFinite {
        /// Epoch, from 1.
        epoch: usize,
        /// Batch, from 1.
        batch: usize,
        /// The loss.
        value: f64,
    },
    /// A signal asked for the end of training.
    #[error("interrupted by {}; {}", signal_name(*signal), kept(*epochs, folder.as_deref()))]
    Interrupted {
        /// The signal's number.
        signal: i32,
        /// Epochs that were finished.
        epochs: usize,
        /// Where the state after them is.
        folder: Option<PathBuf>,
    },
    /// Some runs of several failed; the others are finished.
    #[error("{} of {total} runs failed: {}", failed.len(), failed.join("; "))]
    RunsFailed {
        /// What happened to each of them.
        failed: Vec<String>,
        /// All runs, those that are finished included.
        total: usize,
    },
    /// A run failed in another process.
    #[error("{problem}")]
    RunFailed {
        /// What happened to it.
        problem: String,
    },
    /// A folder is in use by another process.
    #[error(
        "{}: another process is training in this folder; wait for its end, or choose another `out`",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would put it right.
        problem: String,
    },
}

impl From<tcmax_datasets::Error> for Error {
    /// What is wrong with an option of a data set is a setting of the section `[data]`.
    fn from(error: tcmax_datasets::Error) -> Self {
        match error {
            tcmax_datasets::Error::Data(tcmax_data::Error::Option { field, problem }) => {
                Self::setting(format!("data.{field}"), problem)
            }
            error => Self::Datasets(error),
        }
    }
}

impl Error {
    /// A [`Error::Setting`].
    pub fn setting(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { field: field.into(), problem: problem.into() }
    }

    /// A [`Error::BadFile`].
    pub fn bad_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_owned(), problem: problem.into() }
    }

    /// Whether a setting has to be changed before it can work; otherwise data, files or training failed,
    /// or someone asked for the end.
    pub fn is_setting(&self) -> bool {
        match self {
            Self::Setting { .. } | Self::Fusion(_) | Self::Registry(_) => true,
            Self::Loss(error) => matches!(
                error,
                tcmax_losses::Error::Registry(_)
                    | tcmax_losses::Error::NeedsTwoModalities { .. }
                    | tcmax_losses::Error::NeedsSeveralModalities { .. }
                    | tcmax_losses::Error::NeedsItsHead { .. }
                    | tcmax_losses::Error::NotLinear { .. }
                    | tcmax_losses::Error::NeedsStages { .. }
                    | tcmax_losses::Error::NotForTask { .. }
            ),
            Self::Ops(error) => matches!(
                error,
                tcmax_ops::Error::Options(_)
                    | tcmax_ops::Error::UnknownGroup { .. }
                    | tcmax_ops::Error::DuplicateGroup { .. }
            ),
            Self::Media(error) => matches!(error, tcmax_media::Error::Option { .. }),
            Self::Data(error) => matches!(error, tcmax_data::Error::Option { .. }),
            Self::Datasets(error) => error.is_option(),
            Self::Encoder(error) => matches!(
                error,
                tcmax_encoders::Error::Zero { .. } | tcmax_encoders::Error::Registry(_)
            ),
            Self::Estimator(error) => matches!(
                error,
                tcmax_estimators::Error::Setting { .. }
                    | tcmax_estimators::Error::Registry(_)
                    | tcmax_estimators::Error::NeedsTwoVariables { .. }
            ),
            _ => false,
        }
    }

    /// Whether all members who train together come to the error at the same point, so that nobody is waited for.
    pub fn is_of_all_members(&self) -> bool {
        matches!(
            self,
            Self::Interrupted { .. }
                | Self::OtherMember { .. }
                | Self::NotFinite { .. }
                | Self::RunsFailed { .. }
        )
    }

    /// Whether one run failed for a reason of its own, such as a loss that left the finite numbers, so
    /// that others of the same command may well succeed.
    pub fn concerns_one_run(&self) -> bool {
        let of_all =
            matches!(self, Self::Interrupted { .. } | Self::Parallel(_) | Self::OtherMember { .. });
        !self.is_setting() && !of_all
    }
}

/// The error and its causes in one line, each of them once: many say what caused them themselves.
///
/// ```
/// use tcmax_train::describe_error;
///
/// let full = std::io::Error::other("no space left");
/// let error = tcmax_train::Error::File { path: "a.csv".into(), source: full };
/// assert_eq!(describe_error(&error), "a.csv: no space left");
/// ```
pub fn describe_error(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text += &format!(": {own}");
        }
        cause = error.source();
    }
    text
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

fn kept(epochs: usize, folder: Option<&Path>) -> String {
    match (folder, epochs) {
        (Some(_), 0) => "no epoch was finished, so nothing is kept".to_owned(),
        (Some(folder), _) => format!(
            "{} is kept up to epoch {epochs}: the same command with `resume` goes on",
            folder.display()
        ),
        (None, _) => "nothing is kept, as there is no `out`".to_owned(),
    }
}

/// Attaches the path to a system error.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::File { path: path.to_owned(), source }
}
