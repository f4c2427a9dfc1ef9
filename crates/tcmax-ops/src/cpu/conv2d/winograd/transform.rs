//! The linear maps of Winograd's F(4x4, 3x3) with the points 0, +-1/sqrt 2, +-sqrt 2 and infinity.
//!
//! A 3x3 correlation of a 6x6 patch d with a filter g gives the 4x4 patch
//! y = A^T ((G g G^T) * (B^T d B)) A with 36 products instead of 144 (Lavin and Gray 2016,
//! "Fast Algorithms for Convolutional Neural Networks"). These points keep the entries of the
//! matrices near 1, and with them the error at about twice that of direct sums (Barabasz et al.
//! 2020, "Error Analysis and Improving the Accuracy of Winograd Convolution").
//!
//! Each map here is one side of such a product, on vectors of channels; a patch is transformed by
//! applying it to rows and then to columns.

use pulp::Simd;
use std::f32::consts::SQRT_2;

/// A linear map of `N` vectors to `M`.
///
/// A trait and not a closure: what is called inside a kernel has to be inlined, or it is compiled without
/// the kernel's instruction set, and only methods can be forced to be inlined.
pub(super) trait Map<const N: usize, const M: usize> {
    fn map<S: Simd>(s: S, values: [S::f32s; N]) -> [S::f32s; M];
}

/// B^T d: six of a patch to six points.
pub(super) struct Input;

impl Map<6, 6> for Input {
    #[inline(always)]
    fn map<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let inner_even = fma(s, -2.0, d[2], d[4]);
        let inner_odd = fma(s, -SQRT_2, d[1], times(s, SQRT_2 / 2.0, d[3]));
        let outer_even = fma(s, -0.5, d[2], d[4]);
        let outer_odd = fma(s, SQRT_2, d[3], times(s, -SQRT_2 / 2.0, d[1]));
        [
            fma(s, -2.5, d[2], s.add_f32s(d[0], d[4])),
            s.add_f32s(inner_even, inner_odd),
            s.sub_f32s(inner_even, inner_odd),
            s.add_f32s(outer_even, outer_odd),
            s.sub_f32s(outer_even, outer_odd),
            fma(s, -2.5, d[3], s.add_f32s(d[1], d[5])),
        ]
    }
}

/// A^T m: six points to four outputs.
pub(super) struct Output;

impl Map<6, 4> for Output {
    #[inline(always)]
    fn map<S: Simd>(s: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let (inner_sum, inner_gap) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
        let (outer_sum, outer_gap) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
        [
            s.add_f32s(m[0], s.add_f32s(inner_sum, outer_sum)),
            fma(s, SQRT_2 / 2.0, inner_gap, times(s, SQRT_2, outer_gap)),
            fma(s, 0.5, inner_sum, times(s, 2.0, outer_sum)),
            fma(s, SQRT_2 / 4.0, inner_gap, fma(s, 2.0 * SQRT_2, outer_gap, m[5])),
        ]
    }
}

/// A y: the adjoint of [`Output`], four gradients to six points.
pub(super) struct OutputAdjoint;

impl Map<4, 6> for OutputAdjoint {
    #[inline(always)]
    fn map<S: Simd>(s: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
        let inner_even = fma(s, 0.5, y[2], y[0]);
        let inner_odd = fma(s, SQRT_2 / 2.0, y[1], times(s, SQRT_2 / 4.0, y[3]));
        let outer_even = fma(s, 2.0, y[2], y[0]);
        let outer_odd = fma(s, SQRT_2, y[1], times(s, 2.0 * SQRT_2, y[3]));
        [
            y[0],
            s.add_f32s(inner_even, inner_odd),
            s.sub_f32s(inner_even, inner_odd),
            s.add_f32s(outer_even, outer_odd),
            s.sub_f32s(outer_even, outer_odd),
            y[3],
        ]
    }
}

/// G g: three of a filter to six points.
pub(super) struct Filter;

impl Map<3, 6> for Filter {
    #[inline(always)]
    fn map<S: Simd>(s: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
        let inner_even = fma(s, -2.0 / 3.0, g[0], times(s, -1.0 / 3.0, g[2]));
        let inner_odd = times(s, -SQRT_2 / 3.0, g[1]);
        let outer_even = fma(s, 1.0 / 6.0, g[0], times(s, 1.0 / 3.0, g[2]));
        let outer_odd = times(s, SQRT_2 / 6.0, g[1]);
        [
            g[0],
            s.add_f32s(inner_even, inner_odd),
            s.sub_f32s(inner_even, inner_odd),
            s.add_f32s(outer_even, outer_odd),
            s.sub_f32s(outer_even, outer_odd),
            g[2],
        ]
    }
}

/// G^T u: the adjoint of [`Filter`], six points to three of a filter's gradient.
pub(super) struct FilterAdjoint;

impl Map<6, 3> for FilterAdjoint {
    #[inline(always)]
    fn map<S: Simd>(s: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let (inner_sum, inner_gap) = (s.add_f32s(u[1], u[2]), s.sub_f32s(u[1], u[2]));
        let (outer_sum, outer_gap) = (s.add_f32s(u[3], u[4]), s.sub_f32s(u[3], u[4]));
        [
            fma(s, -2.0 / 3.0, inner_sum, fma(s, 1.0 / 6.0, outer_sum, u[0])),
            fma(s, -SQRT_2 / 3.0, inner_gap, times(s, SQRT_2 / 6.0, outer_gap)),
            fma(s, -1.0 / 3.0, inner_sum, fma(s, 1.0 / 3.0, outer_sum, u[5])),
        ]
    }
}

#[inline(always)]
fn fma<S: Simd>(s: S, factor: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    s.mul_add_e_f32s(s.splat_f32s(factor), a, b)
}

#[inline(always)]
fn times<S: Simd>(s: S, factor: f32, a: S::f32s) -> S::f32s {
    s.mul_f32s(s.splat_f32s(factor), a)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix of a map.
    fn matrix<F: Map<N, M>, const N: usize, const M: usize>() -> [[f32; N]; M] {
        let mut matrix = [[0.0; N]; M];
        for column in 0..N {
            let mut unit = [0.0; N];
            unit[column] = 1.0;
            for (row, value) in F::map(pulp::Scalar::new(), unit).into_iter().enumerate() {
                matrix[row][column] = value;
            }
        }
        matrix
    }

    #[test]
    fn one_dimension_gives_a_correlation() {
        let s = pulp::Scalar::new();
        let (d, g) = ([0.3, -1.2, 2.0, 0.7, -0.4, 1.5], [0.9, -0.2, 0.6]);
        let (d_points, g_points) = (Input::map(s, d), Filter::map(s, g));
        let products = std::array::from_fn(|i| d_points[i] * g_points[i]);
        for (i, y) in Output::map(s, products).into_iter().enumerate() {
            let direct: f32 = (0..3).map(|u| d[i + u] * g[u]).sum();
            assert!((y - direct).abs() < 1e-6, "{y} {direct}");
        }
    }

    #[test]
    fn adjoints_are_transposes() {
        let (forward, backward) = (matrix::<Output, 6, 4>(), matrix::<OutputAdjoint, 4, 6>());
        for row in 0..4 {
            for column in 0..6 {
                assert!((forward[row][column] - backward[column][row]).abs() < 1e-7);
            }
        }
        let (forward, backward) = (matrix::<Filter, 3, 6>(), matrix::<FilterAdjoint, 6, 3>());
        for row in 0..6 {
            for column in 0..3 {
                assert!((forward[row][column] - backward[column][row]).abs() < 1e-7);
            }
        }
    }
}
