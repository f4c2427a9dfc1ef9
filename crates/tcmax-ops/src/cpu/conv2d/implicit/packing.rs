//! Matrices copied into panels, as the micro-kernel reads its right side.

use rayon::prelude::*;

use crate::cpu::conv2d::transpose::transpose_into;
use crate::cpu::matmul::micro::PANEL;
use crate::cpu::matmul::scratch::Scratch;

/// The rows of a matrix in panels of [`PANEL`] columns, one panel after the other; missing columns
/// are 0.
pub(super) fn packed(matrix: &[f32], columns: usize) -> Scratch {
    let rows = matrix.len() / columns;
    let mut out = Scratch::new(columns.div_ceil(PANEL) * rows * PANEL);
    out.par_chunks_mut(rows * PANEL).enumerate().for_each(|(panel, out)| {
        pack_panel(matrix, columns, panel, out);
    });
    out
}

pub(super) fn pack_panel(matrix: &[f32], columns: usize, panel: usize, out: &mut [f32]) {
    let first = panel * PANEL;
    let width = PANEL.min(columns - first);
    for (out, row) in out.chunks_exact_mut(PANEL).zip(matrix.chunks_exact(columns)) {
        out[..width].copy_from_slice(&row[first..][..width]);
        out[width..].fill(0.0);
    }
}

/// Filters (taps, from, to) as panels of the columns `from` of each tap's transpose:
/// (taps, panels of from, to, PANEL).
pub(super) fn packed_transposed(weight: &[f32], from: usize, to: usize) -> Scratch {
    let tap_len = from.div_ceil(PANEL) * to * PANEL;
    let mut out = Scratch::new(weight.len() / (from * to) * tap_len);
    out.par_chunks_mut(tap_len).zip(weight.par_chunks(from * to)).for_each(|(out, tap)| {
        pack_transposed_tap(tap, from, to, out);
    });
    out
}

pub(super) fn pack_transposed_tap(tap: &[f32], from: usize, to: usize, out: &mut [f32]) {
    for (rows, out) in tap.chunks(PANEL * to).zip(out.chunks_exact_mut(to * PANEL)) {
        transpose_into(rows, to, out, PANEL);
    }
    debug_assert_eq!(tap.len(), from * to);
}
