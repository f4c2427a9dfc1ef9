//! Matrices copied into panels, as the micro-kernel reads its right side.

use rayon::prelude::*;

use crate::cpu::matmul::block::prefetch;
use crate::cpu::matmul::micro::PANEL;
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::matmul::transpose::transposed_panel;
use crate::tasks::Fork;

/// Rows of a panel that a task packs.
const ROWS_AT_ONCE: usize = 128;

/// Rows of a matrix from one that is copied to one that is fetched.
const ROWS_AHEAD: usize = 24;

/// The rows of a matrix in panels of [`PANEL`] columns, one panel after the other; missing columns
/// are 0.
pub(super) fn packed(matrix: &[f32], columns: usize) -> Scratch {
    let rows = matrix.len() / columns;
    let mut out = Scratch::new(columns.div_ceil(PANEL) * rows * PANEL);
    out.par_chunks_mut(rows * PANEL).enumerate().fork(|(panel, out)| {
        let parts = out.par_chunks_mut(ROWS_AT_ONCE * PANEL);
        parts.zip(matrix.par_chunks(ROWS_AT_ONCE * columns)).fork(|(out, rows)| {
            pack_panel(rows, columns, panel, out);
        });
    });
    out
}

/// One panel of the rows of a matrix.
pub(super) fn pack_panel(matrix: &[f32], columns: usize, panel: usize, out: &mut [f32]) {
    let first = panel * PANEL;
    let rows = matrix.chunks_exact(columns).map(|row| &row[first..]);
    for (out, row) in out.as_chunks_mut::<PANEL>().0.iter_mut().zip(rows) {
        // Pieces are too far apart for the processor to see where the next ones are.
        prefetch(row.as_ptr().wrapping_add(ROWS_AHEAD * columns));
        match row.first_chunk() {
            // Of a known length there is no call for each piece.
            Some(whole) => *out = *whole,
            None => {
                out[..row.len()].copy_from_slice(row);
                out[row.len()..].fill(0.0);
            }
        }
    }
}

/// Filters (taps, from, to) as panels of the columns `from` of each tap's transpose:
/// (taps, panels of from, to, PANEL). Taps that are not used are left out.
pub(super) fn packed_transposed(
    weight: &[f32],
    [from, to]: [usize; 2],
    used: impl Fn(usize) -> bool + Sync + Send,
) -> Scratch {
    let panels = from.div_ceil(PANEL);
    let mut out = Scratch::new(weight.len() / (from * to) * panels * to * PANEL);
    out.par_chunks_mut(to * PANEL).enumerate().fork(|(number, out)| {
        let (tap, panel) = (number / panels, number % panels);
        if used(tap) {
            let rows = panel * PANEL..from.min((panel + 1) * PANEL);
            let rows = (tap * from + rows.start) * to..(tap * from + rows.end) * to;
            transposed_panel(&weight[rows], to, out);
        }
    });
    out
}
