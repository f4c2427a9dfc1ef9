//! Images cut into 4x4 tiles, and the transforms of all tiles of a band.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::cpu::conv2d::winograd::transform::{
    Filter, FilterAdjoint, Input, Map, Output, OutputAdjoint,
};
use crate::cpu::matmul::block::{Block, prefetch};
use crate::cpu::matmul::micro::{PANEL, load, store};

/// Points of a transformed tile, 6 x 6.
pub(super) const POINTS: usize = 36;

/// A batch of images (B, H, W, channels), padded by 1, in tiles of 4x4 outputs. Tiles are numbered
/// along rows, then down, then through the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Where a tile's outputs begin.
#[derive(Clone, Copy)]
struct Origin {
    image: usize,
    row: usize,
    column: usize,
}

impl Grid {
    fn down(&self) -> usize {
        self.height.div_ceil(4)
    }

    /// Tiles in a row.
    pub(super) fn across(&self) -> usize {
        self.width.div_ceil(4)
    }

    /// Rows of tiles in the whole batch.
    pub(super) fn rows(&self) -> usize {
        self.batch * self.down()
    }

    pub(super) fn tiles(&self) -> usize {
        self.rows() * self.across()
    }

    /// Pixels under all rows of tiles before `row`, counted through the batch.
    pub(super) fn pixels_before(&self, row: usize) -> usize {
        let (image, row) = (row / self.down(), row % self.down());
        (image * self.height + 4 * row) * self.width
    }

    fn origin(&self, tile: usize) -> Origin {
        let (row, column) = (tile / self.across(), tile % self.across());
        Origin { image: row / self.down(), row: row % self.down() * 4, column: column * 4 }
    }
}

/// Transformed tiles of one panel of 32 channels: (point, tile, channel).
#[derive(Clone, Copy, Debug)]
pub(super) struct Points {
    tiles: usize,
}

impl Points {
    pub(super) fn new(tiles: usize) -> Self {
        Self { tiles }
    }

    /// Floats of one point: a line more than its tiles need, so that the same tile of all points is not
    /// mapped to the same few lines of the cache.
    fn point_len(&self) -> usize {
        self.tiles * PANEL + 16
    }

    /// Floats of a panel.
    pub(super) fn len(&self) -> usize {
        POINTS * self.point_len()
    }

    /// A panel to be written, cut after every `tiles` tiles.
    pub(super) fn blocks<'a>(&self, panel: &'a mut [f32], tiles: usize) -> Vec<Block<'a>> {
        assert_eq!(panel.len(), self.len());
        let (columns, _) = Block::new(panel, self.point_len()).split_columns(self.tiles * PANEL);
        columns.column_panels(tiles * PANEL)
    }

    /// Floats of some points.
    pub(super) fn len_of(&self, points: usize) -> usize {
        points * self.point_len()
    }

    pub(super) fn at(&self, point: usize, tile: usize) -> usize {
        point * self.point_len() + tile * PANEL
    }
}

/// Transforms the patches of some tiles, for one panel of channels: B^T d B.
pub(super) struct InputPanel<'a, 'b> {
    pub(super) grid: Grid,
    pub(super) source: (&'a [f32], usize),
    pub(super) tiles: Range<usize>,
    pub(super) panel: usize,
    /// One line per point: tiles, and the channels of each.
    pub(super) out: Block<'b>,
}

impl WithSimd for InputPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grid, source: (x, channels), tiles, panel, mut out } = self;
        let lanes = S::F32_LANES;
        let end = channels.min((panel + 1) * PANEL);
        for (number, tile) in tiles.enumerate() {
            let origin = grid.origin(tile);
            // The patch begins one pixel above and to the left of its outputs.
            let inside = origin.row >= 1
                && origin.column >= 1
                && origin.row + 5 <= grid.height
                && origin.column + 5 <= grid.width;
            for channel in (panel * PANEL..end).step_by(lanes) {
                let count = lanes.min(end - channel);
                let mut half = [[simd.splat_f32s(0.0); 6]; 6];
                if inside && count == lanes {
                    let corner = (origin.image * grid.height + origin.row - 1) * grid.width;
                    let corner = (corner + origin.column - 1) * channels + channel;
                    let line = grid.width * channels;
                    assert!(corner + 5 * line + 5 * channels + lanes <= x.len());
                    let corner = x[corner..].as_ptr();
                    for (i, half) in half.iter_mut().enumerate() {
                        let mut row = [simd.splat_f32s(0.0); 6];
                        for (j, value) in row.iter_mut().enumerate() {
                            // SAFETY: the last vector of the patch ends inside, as asserted.
                            *value = unsafe {
                                corner
                                    .add(i * line + j * channels)
                                    .cast::<S::f32s>()
                                    .read_unaligned()
                            };
                        }
                        *half = Input::map(simd, row);
                    }
                } else {
                    let patch = patch_at_border(simd, &grid, (x, channels), origin, channel, count);
                    for (half, row) in half.iter_mut().zip(patch) {
                        *half = Input::map(simd, row);
                    }
                }
                write_points::<S, Input, 6>(simd, half, &mut out, number, channel % PANEL);
            }
        }
    }
}

/// The 6x6 patch of a tile that reaches over the border or whose channels do not fill a vector.
#[inline(always)]
fn patch_at_border<S: Simd>(
    simd: S,
    grid: &Grid,
    (x, channels): (&[f32], usize),
    origin: Origin,
    channel: usize,
    count: usize,
) -> [[S::f32s; 6]; 6] {
    let mut patch = [[simd.splat_f32s(0.0); 6]; 6];
    // Rows and columns of the patch that lie inside the image.
    let inside = |start: usize, size: usize| {
        usize::from(start == 0)..6.min((size + 1).saturating_sub(start))
    };
    let columns = inside(origin.column, grid.width);
    for i in inside(origin.row, grid.height) {
        let line = (origin.image * grid.height + origin.row + i - 1) * grid.width;
        for j in columns.clone() {
            let pixel = line + origin.column + j - 1;
            patch[i][j] = load(simd, &x[pixel * channels + channel..][..count]);
        }
    }
    patch
}

/// Transforms the 4x4 gradients of some tiles, for one panel of channels: A y A^T.
pub(super) struct GradPanel<'a, 'b> {
    pub(super) grid: Grid,
    pub(super) source: (&'a [f32], usize),
    pub(super) tiles: Range<usize>,
    pub(super) panel: usize,
    /// One line per point: tiles, and the channels of each.
    pub(super) out: Block<'b>,
}

impl WithSimd for GradPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grid, source: (grad, channels), tiles, panel, mut out } = self;
        let end = channels.min((panel + 1) * PANEL);
        for (number, tile) in tiles.enumerate() {
            let origin = grid.origin(tile);
            for channel in (panel * PANEL..end).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(end - channel);
                let mut half = [[simd.splat_f32s(0.0); 6]; 4];
                for (i, half) in half.iter_mut().enumerate() {
                    let y = origin.row + i;
                    if y >= grid.height {
                        break;
                    }
                    let mut row = [simd.splat_f32s(0.0); 4];
                    for (j, value) in row.iter_mut().enumerate() {
                        if origin.column + j < grid.width {
                            let pixel =
                                (origin.image * grid.height + y) * grid.width + origin.column + j;
                            *value = load(simd, &grad[pixel * channels + channel..][..count]);
                        }
                    }
                    *half = OutputAdjoint::map(simd, row);
                }
                let channel = channel % PANEL;
                write_points::<S, OutputAdjoint, 4>(simd, half, &mut out, number, channel);
            }
        }
    }
}

/// Transforms the columns of `half` and writes the 36 points of one tile.
#[inline(always)]
fn write_points<S: Simd, F: Map<ROWS, 6>, const ROWS: usize>(
    simd: S,
    half: [[S::f32s; 6]; ROWS],
    out: &mut Block<'_>,
    tile: usize,
    channel: usize,
) {
    let first = out.pointer(0, POINTS, 1, tile * PANEL + channel, S::F32_LANES);
    let step = out.stride();
    for j in 0..6 {
        let mut column = [simd.splat_f32s(0.0); ROWS];
        for (value, half) in column.iter_mut().zip(&half) {
            *value = half[j];
        }
        for (i, value) in F::map(simd, column).into_iter().enumerate() {
            // SAFETY: a vector of each of the 36 points, as `pointer` has checked.
            unsafe { first.add((i * 6 + j) * step).cast::<S::f32s>().write_unaligned(value) };
        }
    }
}

/// Transforms the products of some tiles back into one panel of the output, A^T m A: rows of `out` are
/// pixels.
pub(super) struct OutputPanel<'a, 'b> {
    pub(super) grid: Grid,
    /// The tiles of the products.
    pub(super) of: Range<usize>,
    /// Those to transform: whole rows of tiles.
    pub(super) tiles: Range<usize>,
    pub(super) products: &'a [f32],
    /// The pixels under them.
    pub(super) out: Block<'b>,
}

impl WithSimd for OutputPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grid, of, tiles, products, mut out } = self;
        let points = Points::new(of.len());
        let first_pixel = grid.pixels_before(tiles.start / grid.across());
        let width = out.columns();
        for tile in tiles {
            let (origin, number) = (grid.origin(tile), tile - of.start);
            for channel in (0..width).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(width - channel);
                let half = columns::<S, Output, 4>(simd, products, points, number, channel);
                for i in 0..4.min(grid.height - origin.row) {
                    let row = (origin.image * grid.height + origin.row + i) * grid.width;
                    let mut line = [simd.splat_f32s(0.0); 6];
                    for (value, half) in line.iter_mut().zip(&half) {
                        *value = half[i];
                    }
                    let values = Output::map(simd, line);
                    for (j, value) in
                        values.into_iter().enumerate().take(grid.width - origin.column)
                    {
                        let pixel = row + origin.column + j - first_pixel;
                        let out = out.pointer(pixel, 1, 1, channel, count);
                        // SAFETY: `count` elements of the block, as `pointer` has checked.
                        unsafe { store(simd, out, count, value) };
                    }
                }
            }
        }
    }
}

/// Reads the 36 points of one tile and maps its six columns.
#[inline(always)]
fn columns<S: Simd, F: Map<6, OUT>, const OUT: usize>(
    simd: S,
    values: &[f32],
    points: Points,
    tile: usize,
    channel: usize,
) -> [[S::f32s; OUT]; 6] {
    let first = points.at(0, tile) + channel;
    let step = points.point_len();
    assert!(first + (POINTS - 1) * step + S::F32_LANES <= values.len());
    let first = values[first..].as_ptr();
    let mut half = [[simd.splat_f32s(0.0); OUT]; 6];
    for (j, half) in half.iter_mut().enumerate() {
        let mut column = [simd.splat_f32s(0.0); 6];
        for (i, value) in column.iter_mut().enumerate() {
            // SAFETY: at most the last point's vector, which ends inside, as asserted.
            *value = unsafe { first.add((i * 6 + j) * step).cast::<S::f32s>().read_unaligned() };
        }
        *half = F::map(simd, column);
    }
    half
}

/// How many rows ahead filters are prefetched.
const ROWS_AHEAD: usize = 6;

/// Filters as (3, 3, rows, columns) with gaps: of a whole bank, or of a packed panel of it.
#[derive(Clone, Copy)]
pub(super) struct Bank<'a> {
    pub(super) values: &'a [f32],
    pub(super) tap_stride: usize,
    pub(super) row_stride: usize,
}

/// Transforms some rows and at most 32 columns of a filter bank: G g G^T. Here a "tile" of `out` is a row.
pub(super) struct FilterPanel<'a, 'b> {
    pub(super) bank: Bank<'a>,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// One line per point: tiles, and the channels of each.
    pub(super) out: Block<'b>,
}

impl WithSimd for FilterPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { bank, rows, columns, mut out } = self;
        for (number, row) in rows.enumerate() {
            // The rows of a bank are pages apart, further than the processor prefetches by itself.
            for tap in 0..9 {
                let ahead = tap * bank.tap_stride + (row + ROWS_AHEAD) * bank.row_stride;
                if let Some(row) = bank.values.get(ahead + columns.start..) {
                    prefetch(row.as_ptr());
                }
            }
            for column in columns.clone().step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(columns.end - column);
                let mut half = [[simd.splat_f32s(0.0); 6]; 3];
                for (i, half) in half.iter_mut().enumerate() {
                    let mut line = [simd.splat_f32s(0.0); 3];
                    for (j, value) in line.iter_mut().enumerate() {
                        let first = (i * 3 + j) * bank.tap_stride + row * bank.row_stride + column;
                        *value = load(simd, &bank.values[first..][..count]);
                    }
                    *half = Filter::map(simd, line);
                }
                let channel = column - columns.start;
                write_points::<S, Filter, 3>(simd, half, &mut out, number, channel);
            }
        }
    }
}

/// Transforms some rows of one panel of summed products back into the gradient of the filters, G^T u G: the
/// adjoint of [`FilterPanel`].
pub(super) struct FilterGradPanel<'a, 'b> {
    /// The sums, of so many rows.
    pub(super) sum: (&'a [f32], usize),
    /// The first row.
    pub(super) first: usize,
    /// Of each tap the gradients of the rows.
    pub(super) taps: Vec<Block<'b>>,
}

impl WithSimd for FilterGradPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sum: (values, all), first, mut taps } = self;
        let points = Points::new(all);
        let (rows, width) = (taps[0].rows(), taps[0].columns());
        for row in 0..rows {
            for tap in &taps {
                tap.prefetch((row + ROWS_AHEAD).min(rows - 1));
            }
            for column in (0..width).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(width - column);
                let half =
                    columns::<S, FilterAdjoint, 3>(simd, values, points, first + row, column);
                for i in 0..3 {
                    let mut line = [simd.splat_f32s(0.0); 6];
                    for (value, half) in line.iter_mut().zip(&half) {
                        *value = half[i];
                    }
                    for (j, value) in FilterAdjoint::map(simd, line).into_iter().enumerate() {
                        let out = taps[i * 3 + j].pointer(row, 1, 1, column, count);
                        // SAFETY: `count` elements of the block, as `pointer` has checked.
                        unsafe { store(simd, out, count, value) };
                    }
                }
            }
        }
    }
}
