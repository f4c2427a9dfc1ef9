//! What tables look like.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

/// A table with borders, and nothing in it.
pub(super) fn bordered() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table
}

/// Aligns all columns but the first at the right.
pub(super) fn right_align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Where there is no value.
pub(super) fn dash() -> String {
    "–".to_owned()
}
