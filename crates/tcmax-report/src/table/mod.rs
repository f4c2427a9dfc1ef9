//! Tables for the terminal and for the report.

mod board;
mod chosen;
mod column;
mod comparison;
mod cost;
mod evaluation;
mod information;
mod metrics;
mod modalities;
mod remarks;
mod style;
mod terminal;
mod truth;
mod verdict;

pub(crate) use board::{board_columns, difference as board_difference};
pub use chosen::choices;
pub(crate) use chosen::chosen;
pub use column::{Cell, Column, ColumnKind};
pub use comparison::{Section, baseline, columns, differences, rows_of, sections};
pub use evaluation::evaluation;
pub use remarks::{is_unbalanced, warnings};
pub use terminal::comparison;
pub use truth::{truth_rows, truth_table};
pub use verdict::verdict;
pub(crate) use verdict::{LEVEL, is_whole};
