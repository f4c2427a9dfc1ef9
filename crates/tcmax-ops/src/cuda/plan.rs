//! How kernels are launched: on how many blocks of how many threads, and with which numbers after their tensors.
//!
//! Nothing here needs a device, so that tests run the same launches on the host.

use crate::activation::Gelu;
use crate::composed::dropout::Chances;
use crate::geometry::Window;
use crate::training::seed::Seed;

/// Threads of a block at most.
const THREADS: usize = 256;
/// Blocks of a kernel that goes through values one by one, at most: each thread takes several then.
const BLOCKS: usize = 1 << 14;
/// Columns and rows of threads of a kernel that goes down columns.
const TILE: [usize; 2] = [32, 8];
/// Blocks below one another of such a kernel, at most.
const MOST_PARTS: usize = 256;
/// Rows of a thread of such a kernel, at least, where there are as many.
const ROWS_OF_THREAD: usize = 8;

/// An argument of a kernel after its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Size(usize),
    Real(f64),
}

#[cfg(feature = "cuda")]
impl Number {
    /// 0 of a real number.
    pub(crate) fn as_size(self) -> u64 {
        match self {
            Self::Size(size) => size as u64,
            Self::Real(_) => 0,
        }
    }

    /// 0 of a size.
    pub(crate) fn as_real(self) -> f64 {
        match self {
            Self::Real(real) => real,
            Self::Size(_) => 0.0,
        }
    }
}

/// A launch.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The kernel's name, without the element type.
    pub(crate) kernel: &'static str,
    /// Blocks: (x, y).
    pub(crate) blocks: [usize; 2],
    /// Threads of a block: (x, y).
    pub(crate) threads: [usize; 2],
    pub(crate) numbers: Vec<Number>,
}

/// A tensor of a step of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    Value,
    Gradient,
    /// The running values of this number.
    Running(usize),
}

/// A launch of a step of an optimiser: it changes its first tensor.
#[derive(Clone, Debug)]
pub struct Update {
    pub(crate) plan: Plan,
    pub(crate) tensors: [Part; 3],
}

/// A kernel with a block for each row of `n` values.
pub(crate) fn by_row(kernel: &'static str, [rows, n]: [usize; 2], eps: Option<f64>) -> Plan {
    let threads = n.next_power_of_two().clamp(32, THREADS);
    let mut numbers = vec![Number::Size(n)];
    numbers.extend(eps.map(Number::Real));
    Plan { kernel, blocks: [rows, 1], threads: [threads, 1], numbers }
}

/// A kernel that goes through `count` values one by one.
pub(crate) fn by_value(kernel: &'static str, count: usize, others: &[Number]) -> Plan {
    let blocks = count.div_ceil(THREADS).clamp(1, BLOCKS);
    let numbers = [&[Number::Size(count)], others].concat();
    Plan { kernel, blocks: [blocks, 1], threads: [THREADS, 1], numbers }
}

/// A kernel that goes down the columns of (rows, columns) in several parts.
pub(crate) fn by_column(kernel: &'static str, [rows, columns]: [usize; 2]) -> Plan {
    let blocks = [columns.div_ceil(TILE[0]), parts(rows)];
    let numbers = vec![Number::Size(rows), Number::Size(columns)];
    Plan { kernel, blocks, threads: TILE, numbers }
}

/// In how many parts [`by_column`] computes.
pub(crate) fn parts(rows: usize) -> usize {
    rows.div_ceil(TILE[1] * ROWS_OF_THREAD).clamp(1, MOST_PARTS)
}

/// The kernel that puts the parts of [`by_column`] together.
pub(crate) fn merged(
    kernel: &'static str,
    [rows, columns]: [usize; 2],
    sets: Option<usize>,
) -> Plan {
    let plan = by_value(kernel, columns * sets.unwrap_or(1), &[]);
    let sizes = [Some(parts(rows)), Some(columns), sets];
    Plan { numbers: sizes.into_iter().flatten().map(Number::Size).collect(), ..plan }
}

/// log sum exp of (outer, n, inner) over n.
pub(crate) fn log_sum_exp([outer, n, inner]: [usize; 3]) -> Plan {
    // Neighbours in memory are read at the same time: rows by all threads, columns side by side.
    let threads = if inner == 1 { [1, n.next_power_of_two().clamp(32, THREADS)] } else { TILE };
    let blocks = [outer * inner.div_ceil(threads[0]), 1];
    Plan {
        kernel: "log_sum_exp",
        blocks,
        threads,
        numbers: vec![Number::Size(n), Number::Size(inner)],
    }
}

/// The gradient of [`log_sum_exp`].
pub(crate) fn log_sum_exp_gradient([outer, n, inner]: [usize; 3]) -> Plan {
    let others = [Number::Size(n), Number::Size(inner)];
    by_value("log_sum_exp_gradient", outer * n * inner, &others)
}

/// A kernel of the maximum over windows, that writes `count` values.
pub(crate) fn windows(
    kernel: &'static str,
    count: usize,
    window: &Window,
    channels: usize,
) -> Plan {
    let Window { image, kernel: size, stride, padding, out } = *window;
    let mut sizes = vec![image.0, image.1, channels];
    sizes.extend(
        [out, size, stride, padding].into_iter().flat_map(|(height, width)| [height, width]),
    );
    let sizes: Vec<Number> = sizes.into_iter().map(Number::Size).collect();
    by_value(kernel, count, &sizes)
}

/// A kernel of Gaussian error linear units.
pub(crate) fn gelu(kernel: &'static str, count: usize, form: Gelu) -> Plan {
    let form = match form {
        Gelu::Exact => 0,
        Gelu::Tanh => 1,
        Gelu::Quick => 2,
    };
    by_value(kernel, count, &[Number::Size(form)])
}

/// Dropout of `count` values that draws from a seed.
pub(crate) fn dropout(count: usize, chances: Chances, seed: Seed) -> Plan {
    // A thread draws sixteen numbers at a time.
    let plan = by_value("dropout", count.div_ceil(16), &[]);
    let mut numbers = vec![Number::Size(count)];
    numbers.extend(seed.words().map(|word| Number::Size(word as usize)));
    numbers.extend([Number::Size(chances.dropped as usize), Number::Real(chances.kept.into())]);
    Plan { numbers, ..plan }
}
