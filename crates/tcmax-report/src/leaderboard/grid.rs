//! A table as text, for every form of the page.

/// A table.
pub(super) struct Grid {
    pub(super) header: Vec<String>,
    /// Rows of as many entries as the header has.
    pub(super) rows: Vec<Vec<Entry>>,
}

/// An entry of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// The value.
    pub(super) text: String,
    /// What is said of its uncertainty.
    pub(super) detail: String,
    pub(super) mark: Mark,
}

/// What chance does not explain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing.
    #[default]
    None,
    /// The method is better than the baseline.
    Better,
    /// It is worse.
    Worse,
}

impl Entry {
    /// A value alone.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A value, then what is said of its uncertainty, as [`crate::table::Column::text`] has them.
    pub(super) fn of_parts(mut parts: Vec<String>) -> Self {
        let detail = parts.split_off(parts.len().min(1)).join(" ");
        Self { text: parts.pop().unwrap_or_default(), detail, mark: Mark::None }
    }
}
