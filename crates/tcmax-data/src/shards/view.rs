//! Stored pixels to a model's input: crop, resize, flip, normalise.

use rand::Rng;
use tcmax_ops::Seed;

use crate::resize::{self, Crop};

/// A crop of stored frames, flipped or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    flip: bool,
}

impl View {
    /// Everything, not flipped.
    pub(super) fn whole(height: usize, width: usize) -> Self {
        let (height, width) = (height as f64, width as f64);
        Self { left: 0.0, top: 0.0, width, height, flip: false }
    }

    /// A crop of 8 to 100 % of the area with sides of ratio 3/4 to 4/3, flipped half of the time: the
    /// "random resized crop" of Szegedy et al. 2015, with its usual ranges.
    ///
    /// A seed gives the same crop of pictures of the same shape and any size: fractions of the sides
    /// are drawn, always as many.
    pub(super) fn random(height: usize, width: usize, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let area = (height * width) as f64;
        let flip = rng.random_bool(0.5);
        let ratios = (3f64 / 4.0).ln()..=(4f64 / 3.0).ln();
        for _ in 0..10 {
            let target = area * rng.random_range(0.08..=1.0);
            let ratio = rng.random_range(ratios.clone()).exp();
            let [across, down] = [rng.random::<f64>(), rng.random::<f64>()];
            let (w, h) = ((target * ratio).sqrt().round(), (target / ratio).sqrt().round());
            if w >= 1.0 && h >= 1.0 && w <= width as f64 && h <= height as f64 {
                let [free_x, free_y] = [width as f64 - w, height as f64 - h];
                let left = (across * (free_x + 1.0)).floor().min(free_x);
                let top = (down * (free_y + 1.0)).floor().min(free_y);
                return Self { left, top, width: w, height: h, flip };
            }
        }
        Self { flip, ..Self::central(height, width) }
    }

    /// The largest centred crop whose sides have an allowed ratio.
    fn central(height: usize, width: usize) -> Self {
        let (full_height, full_width) = (height as f64, width as f64);
        let width = full_width.min((full_height * 4.0 / 3.0).round()).max(1.0);
        let height = full_height.min((full_width * 4.0 / 3.0).round()).max(1.0);
        let left = ((full_width - width) / 2.0).floor();
        let top = ((full_height - height) / 2.0).floor();
        Self { left, top, width, height, flip: false }
    }

    pub(super) fn is_flipped(&self) -> bool {
        self.flip
    }
}

/// One frame of (height, width, channels) bytes, resized to side x side bytes, bilinear with
/// antialiasing; `None` when the frame does not have the bytes its shape says.
pub(super) fn resize(frame: &[u8], shape: [usize; 3], view: View, side: usize) -> Option<Vec<u8>> {
    let View { left, top, width, height, flip } = view;
    let mut bytes = resize::resize(frame, shape, Crop { left, top, width, height }, [side; 2])?;
    if flip {
        for row in bytes.chunks_exact_mut(side * shape[2]) {
            mirror(row, shape[2]);
        }
    }
    Some(bytes)
}

/// Pixels of (height, width, channels) bytes as training sees them: a random view by `seed`, resized
/// to side x side, each channel through its table, planes one after the other in `out`. The tables
/// are those of [`normalisation`]. `false` when lengths do not fit.
pub fn random_view(
    pixels: &[u8],
    shape: [usize; 3],
    tables: &[[f32; 256]],
    side: usize,
    seed: Seed,
    out: &mut [f32],
) -> bool {
    let view = View::random(shape[0], shape[1], seed);
    let small = resize(pixels, shape, view, side);
    let fits = tables.len() == shape[2] && out.len() == shape[2] * side * side;
    let Some(small) = small.filter(|_| fits) else { return false };
    for (c, (plane, table)) in out.chunks_exact_mut(side * side).zip(tables).enumerate() {
        spread(&small, shape[2], c, table, plane);
    }
    true
}

/// What each byte of each channel becomes: (byte / 255 - mean) / deviation, with
/// the mean and standard deviation of its channel.
pub fn normalisation(mean: &[f32], deviation: &[f32]) -> Vec<[f32; 256]> {
    let table = |(mean, deviation): (&f32, &f32)| {
        std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / deviation)
    };
    mean.iter().zip(deviation).map(table).collect()
}

fn mirror(row: &mut [u8], channels: usize) {
    let pixels = row.len() / channels;
    for x in 0..pixels / 2 {
        for c in 0..channels {
            row.swap(x * channels + c, (pixels - 1 - x) * channels + c);
        }
    }
}

/// Channel `channel` of interleaved bytes through a table of what each byte means.
pub(super) fn spread(
    bytes: &[u8],
    channels: usize,
    channel: usize,
    table: &[f32; 256],
    out: &mut [f32],
) {
    for (value, pixel) in out.iter_mut().zip(bytes.chunks_exact(channels)) {
        *value = table[usize::from(pixel[channel])];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_views_lie_inside_and_the_seed_fixes_them() {
        for (height, width) in [(256, 340), (1, 1), (3, 200), (200, 3)] {
            for number in 0..200 {
                let view = View::random(height, width, Seed::new(number));
                assert_eq!(view, View::random(height, width, Seed::new(number)));
                assert!(view.left >= 0.0 && view.left + view.width <= width as f64, "{view:?}");
                assert!(view.top >= 0.0 && view.top + view.height <= height as f64, "{view:?}");
            }
        }
        let flips = (0..1_000).filter(|&n| View::random(64, 64, Seed::new(n)).flip).count();
        assert!((400..600).contains(&flips), "{flips}");
    }

    #[test]
    fn a_flip_mirrors_and_a_view_of_everything_at_its_size_changes_nothing() {
        let frame: Vec<u8> = (0..4 * 4 * 3).collect();
        let whole = View::whole(4, 4);
        let same = resize(&frame, [4, 4, 3], whole, 4).unwrap();
        assert_eq!(same, frame);
        let flipped = resize(&frame, [4, 4, 3], View { flip: true, ..whole }, 4).unwrap();
        assert_eq!(flipped[..3], frame[9..12]);
        assert_eq!(resize(&frame[1..], [4, 4, 3], whole, 4), None);
    }
}
