//! Stored pixels to a model's input: crop, resize, flip, normalise.

use rand::Rng;
use tcmax_ops::Seed;

use crate::resize::{Area, Crop, resize};

/// A crop of a picture, flipped or not, as training sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    crop: Crop,
    flip: bool,
}

impl View {
    /// Everything, not flipped.
    pub fn whole(height: usize, width: usize) -> Self {
        let (height, width) = (height as f64, width as f64);
        Self { crop: Crop { left: 0.0, top: 0.0, width, height }, flip: false }
    }

    /// A crop of 8 to 100 % of the area with sides of ratio 3/4 to 4/3, flipped half of the time: the
    /// "random resized crop" of Szegedy et al. 2015, with its usual ranges.
    ///
    /// A seed gives the same crop of pictures of the same shape and any size: fractions of the sides
    /// are drawn, always as many.
    pub fn random(height: usize, width: usize, seed: Seed) -> Self {
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
                return Self { crop: Crop { left, top, width: w, height: h }, flip };
            }
        }
        Self { crop: central(height, width), flip }
    }

    /// Whether left and right change sides.
    pub fn is_flipped(self) -> bool {
        self.flip
    }

    /// What of a picture of (height, width) pixels is read for it, of which [`View::fill`] makes `side` x `side` pixels: no
    /// more has to be decoded.
    pub fn area(self, size: [usize; 2], side: usize) -> Area {
        self.crop.area(size, [side; 2])
    }

    /// This view of a picture, resized to `side` x `side`, bilinear with antialiasing; planes one after the other in
    /// `out`, each byte of a channel through its table, as [`normalisation`] makes them. `pixels` are the picture's
    /// in `area`, (height, width, channels), with at least [`View::area`]. `false` where lengths do not fit.
    pub fn fill(
        self,
        pixels: &[u8],
        area: Area,
        tables: &[[f32; 256]],
        side: usize,
        out: &mut [f32],
    ) -> bool {
        if out.len() != tables.len() * side * side {
            return false;
        }
        let shape = [area.height, area.width, tables.len()];
        let Some(small) = self.resized(pixels, shape, area, side) else { return false };
        let planes = out.chunks_exact_mut((side * side).max(1)).collect();
        self.spread(&small, &tables.iter().collect::<Vec<_>>(), side, planes);
        true
    }

    /// Its pixels of `area` of a picture, (height, width, channels), resized to side x side, not flipped; `None` where
    /// they are not as many as their shape says, or lack some of the view.
    pub(super) fn resized(
        self,
        pixels: &[u8],
        shape: [usize; 3],
        area: Area,
        side: usize,
    ) -> Option<Vec<u8>> {
        let (left, top) = (self.crop.left - area.left as f64, self.crop.top - area.top as f64);
        resize(pixels, shape, Crop { left, top, ..self.crop }, [side; 2])
    }

    /// Resized bytes to planes, each channel through its table, flipped where this is.
    pub(super) fn spread(
        self,
        bytes: &[u8],
        tables: &[&[f32; 256]],
        side: usize,
        mut planes: Vec<&mut [f32]>,
    ) {
        let lines = bytes.chunks_exact((side * tables.len()).max(1)).enumerate();
        if let (&[red, green, blue], [reds, greens, blues]) = (tables, &mut planes[..]) {
            // All three at once, in two thirds of the time.
            for (y, line) in lines {
                let out = [&mut **reds, greens, blues].map(|plane| &mut plane[y * side..][..side]);
                let pixels = line.as_chunks::<3>().0.iter();
                match self.flip {
                    true => colours(pixels.rev(), [red, green, blue], out),
                    false => colours(pixels, [red, green, blue], out),
                }
            }
            return;
        }
        for (y, line) in lines {
            for (c, (table, plane)) in tables.iter().zip(&mut planes).enumerate() {
                let values = line[c..].iter().step_by(tables.len()).map(|&b| table[usize::from(b)]);
                let out = plane[y * side..][..side].iter_mut();
                match self.flip {
                    true => out.rev().zip(values).for_each(|(out, value)| *out = value),
                    false => out.zip(values).for_each(|(out, value)| *out = value),
                }
            }
        }
    }
}

/// Pixels to a line of each of three planes.
fn colours<'a>(
    pixels: impl Iterator<Item = &'a [u8; 3]>,
    [red, green, blue]: [&[f32; 256]; 3],
    [reds, greens, blues]: [&mut [f32]; 3],
) {
    let out = reds.iter_mut().zip(greens).zip(blues);
    for (&[r, g, b], ((to_red, to_green), to_blue)) in pixels.zip(out) {
        *to_red = red[usize::from(r)];
        *to_green = green[usize::from(g)];
        *to_blue = blue[usize::from(b)];
    }
}

/// The largest centred crop whose sides have an allowed ratio.
fn central(height: usize, width: usize) -> Crop {
    let (full_height, full_width) = (height as f64, width as f64);
    let width = full_width.min((full_height * 4.0 / 3.0).round()).max(1.0);
    let height = full_height.min((full_width * 4.0 / 3.0).round()).max(1.0);
    let left = ((full_width - width) / 2.0).floor();
    let top = ((full_height - height) / 2.0).floor();
    Crop { left, top, width, height }
}

/// What each byte of each channel becomes: (byte / 255 - mean) / deviation, with
/// the mean and standard deviation of its channel.
pub fn normalisation(mean: &[f32], deviation: &[f32]) -> Vec<[f32; 256]> {
    let table = |(mean, deviation): (&f32, &f32)| {
        std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / deviation)
    };
    mean.iter().zip(deviation).map(table).collect()
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
                let Crop { left, top, width: across, height: down } = view.crop;
                assert!(left >= 0.0 && left + across <= width as f64, "{view:?}");
                assert!(top >= 0.0 && top + down <= height as f64, "{view:?}");
            }
        }
        let flips = (0..1_000).filter(|&n| View::random(64, 64, Seed::new(n)).flip).count();
        assert!((400..600).contains(&flips), "{flips}");
    }

    #[test]
    fn a_flip_mirrors_and_a_view_of_everything_at_its_size_changes_nothing() {
        let frame: Vec<u8> = (0..4 * 4 * 3).collect();
        let tables = [std::array::from_fn(|byte| byte as f32); 3];
        let whole = View::whole(4, 4);
        let filled = |view: View, frame: &[u8], area: Area| {
            let mut out = vec![0.0; frame.len()];
            view.fill(frame, area, &tables, 4, &mut out).then_some(out)
        };
        let all = Area::whole([4, 4]);
        let same = filled(whole, &frame, all).unwrap();
        assert_eq!((same[0], same[1], same[4], same[16]), (0.0, 3.0, 12.0, 1.0));
        let flipped = filled(View { flip: true, ..whole }, &frame, all).unwrap();
        for (line, mirrored) in same.chunks(4).zip(flipped.chunks(4)) {
            assert!(line.iter().eq(mirrored.iter().rev()));
        }
        assert_eq!(filled(whole, &frame[1..], all), None);
        assert!(!whole.fill(&frame, all, &tables, 4, &mut [0.0; 47]));
    }

    #[test]
    fn what_a_view_reads_is_all_it_needs() {
        let [height, width] = [97, 131];
        let pixel = |n: usize| (n * n / 7 % 251) as u8;
        let frame: Vec<u8> = (0..height * width * 3).map(pixel).collect();
        let tables = [std::array::from_fn(|byte| byte as f32); 3];
        for side in [8, 30, 224] {
            for seed in 0..40 {
                let view = View::random(height, width, Seed::new(seed));
                let area = view.area([height, width], side);
                let lines = frame.chunks(3 * width).skip(area.top).take(area.height);
                let part: Vec<u8> = lines
                    .flat_map(|line| line[3 * area.left..][..3 * area.width].iter().copied())
                    .collect();
                let [mut whole, mut of_part] = [(); 2].map(|()| vec![0.0; 3 * side * side]);
                assert!(view.fill(&frame, Area::whole([height, width]), &tables, side, &mut whole));
                assert!(view.fill(&part, area, &tables, side, &mut of_part));
                let differ = whole.iter().zip(&of_part).filter(|(a, b)| a != b).count();
                let most =
                    whole.iter().zip(&of_part).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // Weights are rounded from positions that differ in their last bits.
                assert!(differ * 1_000 <= whole.len() && most <= 1.0, "{differ} by {most}");
                // And not much more.
                let around = 2.0 * (view.crop.width / side as f64).max(1.0) + 2.0;
                assert!(area.width as f64 <= view.crop.width + around, "{area:?} of {view:?}");
            }
        }
    }
}
