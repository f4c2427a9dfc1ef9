//! Pixels of a line, or lines of an image, whose windows meet the source in the same way.

use std::ops::Range;

/// Targets of a convolution along one axis that see the same taps, at sources a constant apart: away from the border
/// nearly all. Taps in the padding are left out, so that no border of zeros is copied around images.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    /// The first target.
    pub(super) first: usize,
    pub(super) count: usize,
    /// From one target to the next.
    pub(super) step: usize,
    /// Pairs of a tap and the source that the first target sees under it.
    pub(super) taps: Vec<(usize, usize)>,
    /// From the source of one target to that of the next.
    pub(super) advance: usize,
}

/// The runs of some targets, each `step` apart and its sources `advance`; `taps` are the pairs of one target.
pub(super) fn runs<I: Iterator<Item = (usize, usize)>>(
    targets: Range<usize>,
    step: usize,
    advance: usize,
    taps: impl Fn(usize) -> I,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for first in targets.start..targets.end.min(targets.start + step) {
        let known = runs.len();
        for target in (first..targets.end).step_by(step) {
            match runs[known..].last_mut().filter(|run| run.goes_on(taps(target))) {
                Some(run) => run.count += 1,
                None => {
                    let taps = taps(target).collect();
                    runs.push(Run { first: target, count: 1, step, taps, advance });
                }
            }
        }
    }
    runs
}

impl Run {
    /// Whether a target with these taps is the next.
    fn goes_on(&self, taps: impl Iterator<Item = (usize, usize)>) -> bool {
        let ahead = self.count * self.advance;
        taps.eq(self.taps.iter().map(|(tap, source)| (*tap, source + ahead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_is_apart_and_the_rest_one_run() {
        // A kernel of 3 with a padding of 1 at stride 2 over 7 pixels.
        let taps = |j: usize| {
            (0..3)
                .filter_map(move |v| (2 * j + v).checked_sub(1).filter(|x| *x < 7).map(|x| (v, x)))
        };
        let run = |first, count, taps: &[(usize, usize)]| Run {
            first,
            count,
            step: 1,
            taps: taps.to_vec(),
            advance: 2,
        };
        let wanted = [
            run(0, 1, &[(1, 0), (2, 1)]),
            run(1, 2, &[(0, 1), (1, 2), (2, 3)]),
            run(3, 1, &[(0, 5), (1, 6)]),
        ];
        assert_eq!(runs(0..4, 1, 2, taps), wanted);
        assert_eq!(runs(1..3, 1, 2, taps), wanted[1..2]);
    }

    #[test]
    fn every_target_is_in_one_run() {
        for (count, step) in [(1, 1), (7, 2), (2, 3), (12, 3)] {
            // What a stride skips sees no tap.
            let taps = |x: usize| {
                (0..2).filter(move |v| (x + v).is_multiple_of(3)).map(move |v| (v, x + v))
            };
            let mut seen = vec![0; count];
            for run in runs(0..count, step, step, taps) {
                for number in 0..run.count {
                    let target = run.first + number * run.step;
                    seen[target] += 1;
                    let sources = run.taps.iter().map(|(v, x)| (*v, x + number * run.advance));
                    assert!(sources.eq(taps(target)));
                }
            }
            assert_eq!(seen, vec![1; count]);
        }
    }
}
