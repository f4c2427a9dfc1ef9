//! Weights made for other inputs: more or fewer channels, another grid of patches.

use std::fmt;

use candle_core::{DType, Device, Shape, Tensor};

use crate::error::Result;

/// What to do with the filters of a first convolution for another number of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Refuse them.
    #[default]
    Same,
    /// The mean over the file's channels for every channel, times the number of channels there over that
    /// here: equal channels give the outputs that they gave.
    Mean,
    /// Leave the network's own filters as they are.
    New,
}

/// The filters (O, C, K, K) for `channels` channels.
pub(super) fn mean_channels(filters: &Tensor, channels: usize) -> Result<Tensor> {
    let (to, _, k_h, k_w) = filters.dims4()?;
    let mean = (filters.sum_keepdim(1)? / channels as f64)?;
    Ok(mean.broadcast_as((to, channels, k_h, k_w))?.contiguous()?)
}

/// How values between those of a grid are found; both as PyTorch's `interpolate` does it without aligned
/// corners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Cubic convolution with a = -0.75 (Keys 1981), as transformers' ViT does it.
    #[default]
    Bicubic,
    /// Linear in both directions.
    Bilinear,
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bicubic => "bicubic",
            Self::Bilinear => "bilinear",
        })
    }
}

/// A table of position embeddings, (P, D) or (1, P, D): first those of other tokens, then those of the
/// patches of a picture, row after row. In the file the grid of patches is square.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// How many positions come before the patches: 1 with a class token.
    pub extra: usize,
    /// Rows and columns of patches of the network.
    pub grid: (usize, usize),
    /// How the table of another grid is made.
    pub by: Interpolation,
}

impl Positions {
    /// Whether a table of shape `from` can be interpolated to shape `to`; or why not.
    pub(super) fn fits(&self, from: &[usize], to: &[usize]) -> std::result::Result<(), String> {
        let (Some((before, [rows, width])), Some((after, [wanted, wanted_width]))) =
            (from.split_last_chunk(), to.split_last_chunk())
        else {
            return Err("a table of positions has two dimensions".to_owned());
        };
        let all_ones = before.iter().chain(after).all(|size| *size == 1);
        if width != wanted_width || from.len() != to.len() || !all_ones {
            return Err("only the number of positions can be adapted".to_owned());
        }
        if *wanted != self.extra + self.grid.0 * self.grid.1 {
            let (height, width) = self.grid;
            return Err(format!("the network's grid is not {height} x {width}"));
        }
        match rows.checked_sub(self.extra).map(|patches| (patches, patches.isqrt())) {
            Some((patches, side)) if side > 0 && side * side == patches => Ok(()),
            _ => {
                Err("the file's grid of patches is not square, so it cannot be interpolated"
                    .to_owned())
            }
        }
    }

    /// The table of another grid, computed in double precision.
    pub(super) fn apply(&self, table: &Tensor, to: &Shape) -> Result<Tensor> {
        let width = table.dims().last().copied().unwrap_or_default();
        let rows = table.elem_count() / width.max(1);
        let side = (rows - self.extra).isqrt();
        let dtype = table.dtype();
        let values = table.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let (extra, patches) = values.split_at(self.extra * width);
        let mut out = extra.to_vec();
        let (down, across) = (self.taps(side, self.grid.0), self.taps(side, self.grid.1));
        for row in &down {
            for column in &across {
                let start = out.len();
                out.resize(start + width, 0.0);
                for (i, in_row) in row {
                    for (j, in_column) in column {
                        let patch = &patches[(i * side + j) * width..][..width];
                        let weight = in_row * in_column;
                        out[start..].iter_mut().zip(patch).for_each(|(o, p)| *o += weight * p);
                    }
                }
            }
        }
        Ok(Tensor::from_vec(out, to, &Device::Cpu)?.to_dtype(dtype)?)
    }

    /// For each of `to` positions along one axis, the positions of `from` it is made of, and their weights.
    fn taps(&self, from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
        let position = |index: usize| (index as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
        (0..to).map(|index| self.taps_at(position(index), from)).collect()
    }

    fn taps_at(&self, at: f64, from: usize) -> Vec<(usize, f64)> {
        // Beyond the border, the border's values.
        let inside = |index: f64| index.clamp(0.0, (from - 1) as f64) as usize;
        match self.by {
            Interpolation::Bilinear => {
                let at = at.max(0.0);
                let t = at - at.floor();
                vec![(inside(at.floor()), 1.0 - t), (inside(at.floor() + 1.0), t)]
            }
            Interpolation::Bicubic => (-1..=2)
                .map(|k| {
                    let index = at.floor() + f64::from(k);
                    (inside(index), cubic((at - index).abs()))
                })
                .collect(),
        }
    }
}

/// The weight of a value at distance `x`.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((x - 5.0) * x + 8.0) * x * A - 4.0 * A
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sin(0.37 i) as a grid of 4 x 4 with 2 channels, channels first.
    fn table() -> Tensor {
        let values: Vec<f64> = (0..32).map(|i| (f64::from(i) * 0.37).sin()).collect();
        let grid = Tensor::from_vec(values, (2, 16), &Device::Cpu).unwrap().t().unwrap();
        let class = Tensor::new(&[[7f64, 8.0]], &Device::Cpu).unwrap();
        Tensor::cat(&[class, grid.contiguous().unwrap()], 0).unwrap().unsqueeze(0).unwrap()
    }

    /// The second channel of what PyTorch 2.15 makes of it.
    #[test]
    fn interpolated_as_pytorch_does_it() {
        let cases: [(Interpolation, &[f64]); 2] =
            [(Interpolation::Bicubic, &BICUBIC), (Interpolation::Bilinear, &BILINEAR)];
        for (by, wanted) in cases {
            let positions = Positions { extra: 1, grid: (3, 2), by };
            positions.fits(&[1, 17, 2], &[1, 7, 2]).unwrap();
            let got = positions.apply(&table(), &Shape::from((1, 7, 2))).unwrap();
            let got: Vec<Vec<f64>> = got.squeeze(0).unwrap().to_vec2().unwrap();
            assert_eq!(got[0], [7.0, 8.0]);
            for (got, wanted) in got[1..].iter().zip(wanted) {
                assert!((got[1] - wanted).abs() < 1e-11, "{by}: {} {wanted}", got[1]);
            }
        }
        let positions = Positions { extra: 1, grid: (6, 5), by: Interpolation::Bicubic };
        let got = positions.apply(&table(), &Shape::from((1, 31, 2))).unwrap();
        let got: Vec<Vec<f64>> = got.squeeze(0).unwrap().to_vec2().unwrap();
        for (index, wanted) in [(1, -0.487493814442), (6, 0.290911814433), (30, -0.911546415121)] {
            assert!((got[index][1] - wanted).abs() < 1e-11);
        }
    }

    const BICUBIC: [f64; 6] = [
        -0.031812920117,
        0.624766903936,
        0.892848009092,
        0.317240454935,
        -0.710757785336,
        -0.888611887651,
    ];
    const BILINEAR: [f64; 6] = [
        0.012749092582,
        0.582343984782,
        0.646825350463,
        0.255553576983,
        -0.679687208963,
        -0.845843894218,
    ];

    #[test]
    fn other_tables_are_refused() {
        let positions = Positions { extra: 1, grid: (3, 2), by: Interpolation::Bicubic };
        for (from, to, wanted) in [
            (&[1, 17, 2][..], &[1, 7, 3][..], "only the number"),
            (&[1, 16, 2], &[1, 7, 2], "not square"),
            (&[1, 1, 2], &[1, 7, 2], "not square"),
            (&[1, 17, 2], &[1, 8, 2], "3 x 2"),
            (&[17, 2], &[1, 7, 2], "only the number"),
            (&[7], &[7, 2], "two dimensions"),
        ] {
            let error = positions.fits(from, to).unwrap_err();
            assert!(error.contains(wanted), "{from:?} {to:?}: {error}");
        }
    }

    #[test]
    fn equal_channels_give_the_outputs_that_they_gave() {
        let filters = Tensor::arange(0f64, 24.0, &Device::Cpu).unwrap();
        let filters = filters.reshape((2, 3, 2, 2)).unwrap();
        let sum = |t: &Tensor| t.sum(1).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for channels in [1, 4] {
            let adapted = mean_channels(&filters, channels).unwrap();
            assert_eq!(adapted.dims(), [2, channels, 2, 2]);
            assert_eq!(sum(&adapted), sum(&filters));
        }
    }
}
