//! Errors of catalogues and options.

/// The result of finding or setting something by name.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing has the name.
    #[error("there is no {kind} '{name}'; {}choose one of: {}", did_you_mean(nearest.as_deref()), names.join(", "))]
    Unknown {
        /// What was looked for, such as "method".
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        names: Vec<&'static str>,
        /// The name that was probably meant.
        nearest: Option<String>,
    },
    /// Two specifications have one name.
    #[error("there are two {kind}s called '{name}'; rename one")]
    Duplicate {
        /// What they are, such as "method".
        kind: &'static str,
        /// Their name.
        name: &'static str,
    },
    /// There is no such option.
    #[error("there is no option '{option}'; {}{}", did_you_mean(nearest.as_deref()), list(options))]
    UnknownOption {
        /// What was given.
        option: String,
        /// The options there are.
        options: Vec<String>,
        /// The option that was probably meant.
        nearest: Option<String>,
    },
    /// The value of an option has the wrong type.
    #[error("{problem}")]
    WrongType {
        /// What is wrong.
        problem: String,
    },
    /// The value of an option is out of range.
    #[error("{option}: {problem}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What would be right.
        problem: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("did you mean '{name}'? "))
}

fn list(options: &[String]) -> String {
    match options {
        [] => "there are none".to_owned(),
        _ => format!("the options are: {}", options.join(", ")),
    }
}
