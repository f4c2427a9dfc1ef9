//! The CSV file of what every row contributes to an estimate.

use std::fmt::Write;
use std::path::Path;

use tcmax_train::Error;
use tcmax_train::checkpoint::write_whole;

use super::outcome::{Outcome, Unit};
use crate::progress::say;

/// Writes `row,nats,seeds` (or bits) of every row of the files: of the rows `used` by the estimate if not all
/// were. Rows without a value have empty cells and 0 seeds.
pub(super) fn write(
    path: &Path,
    outcome: &Outcome,
    used: Option<&[usize]>,
    unit: Unit,
) -> anyhow::Result<()> {
    let Some(values) = &outcome.pointwise else {
        let problem = format!("{} is not estimated from rows here", outcome.quantity());
        return Err(Error::setting("--pointwise", problem).into());
    };
    let all = outcome.rows + outcome.left_out;
    let mut of_row = vec![None; all];
    for (i, value) in values.iter().enumerate() {
        of_row[used.map_or(i, |used| used[i])] = Some(value);
    }
    let mut text = format!("row,{},seeds\n", unit.name());
    let mut known = 0;
    for (row, value) in of_row.iter().enumerate() {
        let _ = match value.and_then(|value| Some((value.value?, value.seeds))) {
            Some((nats, seeds)) => {
                known += 1;
                writeln!(text, "{row},{},{seeds}", unit.of(nats))
            }
            None => writeln!(text, "{row},,0"),
        };
    }
    write_whole(path, text.as_bytes())?;
    let held_out = match outcome.fits.is_empty() {
        true => "",
        false => " (rows that some seed's critic was tested on; more --seeds reach more of them)",
    };
    say(&format!("wrote {}: values of {known} of {all} rows{held_out}", path.display()));
    Ok(())
}
