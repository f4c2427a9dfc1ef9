//! Products of a few rows with a panel of columns, the only arithmetic of every convolution here.
//!
//! ```text
//! out[i, 0..width] (+)= sum over segments, over j < len:  a[segment.a + row i, depth j] * b[segment.b + j * 32 ..][..width]
//! ```
//!
//! The left side is read in place, with a stride between rows, so that the windows of an image
//! need no copy; the right side in panels of 32 columns. With AVX-512, 14 rows of two
//! vectors of 16 keep 28 of the 32 registers as sums; with AVX2, 6 rows of two vectors of 8 keep 12
//! of 16.

use pulp::{Simd, WithSimd};

use crate::cpu::matmul::block::{Block, prefetch};

/// Columns of a packed panel.
pub(crate) const PANEL: usize = 32;

/// A run of the summed index that is contiguous on both sides: offsets into the slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) len: usize,
}

/// The layout of the left side in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Rows `stride` apart, the summed index contiguous.
    Rows { stride: usize },
    /// Rows contiguous, steps of the summed index `stride` apart: a transposed matrix.
    Columns { stride: usize },
}

/// The two sides of a product.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) left: Left,
    /// Rows of which [`PANEL`] columns may be read, or all where they have fewer.
    pub(crate) b: &'a [f32],
    /// From one row of the right side to the next, a multiple of 16.
    pub(crate) b_stride: usize,
    pub(crate) segments: &'a [Segment],
}

impl Product<'_> {
    /// Columns that may be read of every row of the right side.
    fn panel(&self) -> usize {
        PANEL.min(self.b_stride)
    }

    /// Whether every element that `rows` rows touch exists.
    fn fits(&self, rows: usize) -> bool {
        self.segments.iter().all(|segment| {
            let Segment { a, b, len } = *segment;
            let last = match self.left {
                Left::Rows { stride } => (rows - 1) * stride + len,
                Left::Columns { stride } => len.saturating_sub(1) * stride + rows,
            };
            let b_end = b + len.saturating_sub(1) * self.b_stride + self.panel();
            len == 0 || (a + last <= self.a.len() && b_end <= self.b.len())
        })
    }
}

/// Where the product goes: rows from `row` on, `step` rows apart, all columns of the block.
pub(crate) struct Target<'a, 'b> {
    pub(crate) out: &'a mut Block<'b>,
    pub(crate) row: usize,
    pub(crate) step: usize,
    pub(crate) rows: usize,
    /// Adds to the target rather than overwriting it.
    pub(crate) add: bool,
}

/// Computes `target = product`, or adds it.
///
/// # Panics
/// When a segment or the target reaches past its slice, or the block is wider than a panel.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(simd: S, product: Product<'_>, target: Target<'_, '_>) {
    let Target { out, row, step, rows, add } = target;
    if rows == 0 {
        return;
    }
    let width = out.columns();
    assert!(width <= product.panel() && product.fits(rows));
    let start = out.pointer(row, rows, step, 0, width);
    let stride = step * out.stride();
    let most = most_rows::<S>();
    let groups = rows.div_ceil(most);
    let mut done = 0;
    for group in 0..groups {
        // Nearly equal groups: 28 rows as 14 + 14, 16 as 8 + 8, never 14 + 2.
        let count = (rows - done).div_ceil(groups - group);
        let (row_step, depth_step) = match product.left {
            Left::Rows { stride } => (stride, 1),
            Left::Columns { stride } => (1, stride),
        };
        let tile = Tile {
            // In wrapping arithmetic: without segments nothing is read.
            a: product.a.as_ptr().wrapping_add(done * row_step),
            row_step,
            depth_step,
            b: product.b.as_ptr(),
            b_stride: product.b_stride,
            segments: product.segments,
            // SAFETY: row `done` of the target, which `pointer` has checked.
            out: unsafe { start.add(done * stride) },
            stride,
            width,
            add,
        };
        // SAFETY: `fits` and `pointer` have checked all that `count` rows from `done` on touch.
        unsafe { tile.run(simd, count, product.left) };
        done += count;
    }
}

/// The `STEP` of rows whose distance is known at run time alone.
const ANY: usize = 0;

/// Rows whose sums fit into the registers.
#[inline(always)]
pub(crate) const fn most_rows<S: Simd>() -> usize {
    if S::F32_LANES == 16 { 14 } else { 6 }
}

/// A product small enough for the registers; pointers instead of slices, checked by [`multiply`].
#[derive(Clone, Copy)]
struct Tile<'a> {
    a: *const f32,
    row_step: usize,
    depth_step: usize,
    b: *const f32,
    b_stride: usize,
    segments: &'a [Segment],
    out: *mut f32,
    stride: usize,
    width: usize,
    add: bool,
}

impl Tile<'_> {
    /// # Safety
    /// `rows` rows of both sides and of the target must exist, and `left` must fit the steps.
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S, rows: usize, left: Left) {
        match left {
            Left::Rows { stride: PANEL } => self.rows::<S, PANEL>(simd, rows),
            Left::Rows { .. } => self.rows::<S, ANY>(simd, rows),
            Left::Columns { .. } => self.rows::<S, 1>(simd, rows),
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const STEP: usize>(self, simd: S, rows: usize) {
        macro_rules! of {
            ($($count:literal)*) => {
                match rows {
                    $($count => self.columns::<S, $count, STEP>(simd),)*
                    _ => unreachable!("more rows than registers"),
                }
            };
        }
        if S::F32_LANES == 16 {
            of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        } else {
            of!(1 2 3 4 5 6);
        }
    }

    /// All columns, as many at a time as the registers hold.
    #[inline(always)]
    fn columns<S: Simd, const ROWS: usize, const STEP: usize>(self, simd: S) {
        if S::F32_LANES < 8 {
            // 16 columns at a time; with one lane it is left to the compiler to make vectors.
            simd.vectorize(Columns::<ROWS, 4, STEP>(self));
        } else if self.width <= S::F32_LANES {
            simd.vectorize(Columns::<ROWS, 1, STEP>(self));
        } else {
            simd.vectorize(Columns::<ROWS, 2, STEP>(self));
        }
    }
}

struct Columns<'a, const ROWS: usize, const VECTORS: usize, const STEP: usize>(Tile<'a>);

impl<const ROWS: usize, const VECTORS: usize, const STEP: usize> WithSimd
    for Columns<'_, ROWS, VECTORS, STEP>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let at_once = VECTORS * S::F32_LANES;
        let mut column = 0;
        while column < self.0.width {
            // SAFETY: `multiply` has checked the bounds of every row, and that panels are full.
            unsafe { sums::<S, ROWS, VECTORS, STEP>(simd, &self.0, column) };
            column += at_once;
        }
    }
}

/// The sums of `ROWS` rows and `VECTORS` vectors of columns from `column` on; rows of the left side are `STEP` apart, or
/// as far as the tile says where that is [`ANY`].
///
/// # Safety
/// `ROWS` rows must exist on the left and in the target, and `VECTORS` vectors of every panel row
/// from `column` on.
#[inline(always)]
unsafe fn sums<S: Simd, const ROWS: usize, const VECTORS: usize, const STEP: usize>(
    simd: S,
    tile: &Tile<'_>,
    column: usize,
) {
    let lanes = S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    let step = if STEP == ANY { tile.row_step } else { STEP };
    let advance = if STEP == 1 { tile.depth_step } else { 1 };
    for segment in tile.segments {
        let mut a = fourth_rows::<ROWS>(tile.a.wrapping_add(segment.a), step);
        let mut b = tile.b.wrapping_add(segment.b + column);
        let mut left = segment.len;
        if STEP == PANEL {
            // Those of the next rows, which lie behind these: a panel in the outer caches is read once from there.
            for row in ROWS..2 * ROWS {
                prefetch(a[0].wrapping_add(row * PANEL));
            }
        }
        // Two at a time where all addresses are constants apart, so that fewer of them are computed.
        while STEP == PANEL && left >= 2 {
            for _ in 0..2 {
                // SAFETY: inside both sides, as the caller promises.
                unsafe { add_products::<S, ROWS, VECTORS>(simd, &mut sums, (a, step), b) };
                (a, b) = (a.map(|row| row.wrapping_add(1)), b.wrapping_add(tile.b_stride));
            }
            left -= 2;
        }
        for _ in 0..left {
            // SAFETY: as above.
            unsafe { add_products::<S, ROWS, VECTORS>(simd, &mut sums, (a, step), b) };
            a = a.map(|row| row.wrapping_add(advance));
            b = b.wrapping_add(tile.b_stride);
        }
    }
    if column + VECTORS * lanes <= tile.width {
        // SAFETY: whole vectors of the target's rows, as the caller promises.
        unsafe { put(simd, tile, column, &sums) };
    } else {
        // SAFETY: the part of each row that exists, as the caller promises.
        unsafe { put_in_part(simd, tile, column, sums) };
    }
}

/// Writes whole vectors, or adds them, straight from the registers that hold the sums.
///
/// # Safety
/// The target must have `ROWS` rows, and columns for all vectors from `column` on.
#[inline(always)]
unsafe fn put<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    tile: &Tile<'_>,
    column: usize,
    sums: &[[S::f32s; VECTORS]; ROWS],
) {
    let mut out = tile.out.wrapping_add(column);
    for sums in sums {
        for (v, sum) in sums.iter().enumerate() {
            let out = out.wrapping_add(v * S::F32_LANES).cast::<S::f32s>();
            // SAFETY: a vector of the target, as the caller promises; it has been written before if it is to be added
            // to.
            unsafe {
                let sum = if tile.add { simd.add_f32s(*sum, out.read_unaligned()) } else { *sum };
                out.write_unaligned(sum);
            }
        }
        out = out.wrapping_add(tile.stride);
    }
}

/// Writes as much of each vector, or adds it, as the target has columns.
///
/// # Safety
/// The target must have `ROWS` rows.
#[inline(always)]
unsafe fn put_in_part<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    tile: &Tile<'_>,
    column: usize,
    sums: [[S::f32s; VECTORS]; ROWS],
) {
    let lanes = S::F32_LANES;
    for (row, sums) in sums.into_iter().enumerate() {
        for (v, mut sum) in sums.into_iter().enumerate() {
            let first = column + v * lanes;
            if first >= tile.width {
                break;
            }
            let count = lanes.min(tile.width - first);
            // SAFETY: the part of a target row that exists, as the caller promises; it has been
            // written before if it is to be added to.
            unsafe {
                let out = tile.out.add(row * tile.stride + first);
                if tile.add {
                    sum = simd.add_f32s(sum, load(simd, std::slice::from_raw_parts(out, count)));
                }
                store(simd, out, count, sum);
            }
        }
    }
}

/// Every fourth row from the first on. The others are one to three steps from it: fewer addresses than registers. In
/// wrapping arithmetic, as the last may point past the end.
#[inline(always)]
fn fourth_rows<const ROWS: usize>(first: *const f32, step: usize) -> [*const f32; 4] {
    let row = |group: usize| if 4 * group < ROWS { 4 * group * step } else { 0 };
    [0, 1, 2, 3].map(|group| first.wrapping_add(row(group)))
}

/// Adds the products of one column of the left side, whose rows are `step` apart, with the row of the right that meets
/// it.
///
/// # Safety
/// `ROWS` rows must exist on the left, and `VECTORS` vectors from `b` on.
#[inline(always)]
unsafe fn add_products<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    sums: &mut [[S::f32s; VECTORS]; ROWS],
    (a, step): ([*const f32; 4], usize),
    b: *const f32,
) {
    let mut right = [simd.splat_f32s(0.0); VECTORS];
    for (v, value) in right.iter_mut().enumerate() {
        // SAFETY: inside the panel row, as the caller promises.
        *value = unsafe { b.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        // SAFETY: an element of row `row`, as the caller promises.
        let left = simd.splat_f32s(unsafe { *a[row / 4].add(row % 4 * step) });
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum = simd.mul_add_e_f32s(left, right, *sum);
        }
    }
}

/// A vector from at most as many values; the rest is 0.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    let count = values.len().min(S::F32_LANES);
    if count == S::F32_LANES {
        // SAFETY: as many floats as a vector holds.
        unsafe { values.as_ptr().cast::<S::f32s>().read_unaligned() }
    } else {
        let lanes = simd.mask_between_m32s(0, count as u32);
        // SAFETY: the lanes of the mask are values.
        unsafe { simd.mask_load_ptr_f32s(lanes, values.as_ptr()) }
    }
}

/// Writes the first `count` lanes of a vector, over values that need not be initialised.
///
/// # Safety
/// `out` must be valid for writing `count` floats, and `count` at most the lanes of a vector.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(simd: S, out: *mut f32, count: usize, vector: S::f32s) {
    if count == S::F32_LANES {
        // SAFETY: as many floats as a vector holds.
        unsafe { out.cast::<S::f32s>().write_unaligned(vector) };
    } else {
        let lanes = simd.mask_between_m32s(0, count as u32);
        // SAFETY: the lanes of the mask are floats that may be written.
        unsafe { simd.mask_store_ptr_f32s(lanes, out, vector) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cpu::simd::run;

    /// Runs a job as the processor can, and again without vectors.
    pub(crate) fn on_every_level<J: WithSimd + Clone>(job: &J, mut check: impl FnMut(J::Output)) {
        check(run(job.clone()));
        check(Simd::vectorize(pulp::Scalar::new(), job.clone()));
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = pulp::x86::V3::try_new() {
            check(Simd::vectorize(level, job.clone()));
        }
    }

    #[derive(Clone)]
    struct Job {
        rows: usize,
        width: usize,
        left: Left,
        add: bool,
        a: Vec<f32>,
        b: Vec<f32>,
        segments: Vec<Segment>,
    }

    impl WithSimd for Job {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = vec![1.0; 2 * self.rows * self.width];
            let product = Product {
                a: &self.a,
                left: self.left,
                b: &self.b,
                b_stride: PANEL,
                segments: &self.segments,
            };
            let mut block = Block::new(&mut out, self.width);
            let (rows, add) = (self.rows, self.add);
            multiply(simd, product, Target { out: &mut block, row: 1, step: 2, rows, add });
            out
        }
    }

    fn whole_numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + 3) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_are_their_definition_for_every_number_of_rows() {
        let segments = vec![Segment { a: 2, b: 0, len: 5 }, Segment { a: 9, b: 5 * PANEL, len: 3 }];
        for rows in 1..31 {
            for (width, add) in [(32, true), (20, false), (16, false), (9, true), (1, false)] {
                let rows_of = |stride| Left::Rows { stride };
                for left in [rows_of(13), rows_of(PANEL), Left::Columns { stride: 40 }] {
                    let job = Job {
                        rows,
                        width,
                        left,
                        add,
                        a: whole_numbers(31 * PANEL),
                        b: whole_numbers(8 * PANEL),
                        segments: segments.clone(),
                    };
                    let wanted = |row: usize, column: usize| {
                        let mut sum = if job.add { 1.0 } else { 0.0 };
                        for segment in &job.segments {
                            for j in 0..segment.len {
                                let a = match left {
                                    Left::Rows { stride } => segment.a + row * stride + j,
                                    Left::Columns { stride } => segment.a + j * stride + row,
                                };
                                sum += job.a[a] * job.b[segment.b + j * PANEL + column];
                            }
                        }
                        sum
                    };
                    // Whole numbers: every order of summation gives the same.
                    on_every_level(&job, |out| {
                        for (index, value) in out.iter().enumerate() {
                            let (row, column) = (index / width, index % width);
                            let wanted = if row % 2 == 1 { wanted(row / 2, column) } else { 1.0 };
                            assert_eq!(*value, wanted, "{rows} rows, {width} wide, {left:?}");
                        }
                    });
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_segment_past_the_end_is_refused() {
        run(Job {
            rows: 2,
            width: 4,
            left: Left::Rows { stride: 4 },
            add: false,
            a: vec![0.0; 7],
            b: vec![0.0; 4 * PANEL],
            segments: vec![Segment { a: 0, b: 0, len: 4 }],
        });
    }
}
