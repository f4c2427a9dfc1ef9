//! The clips of a train list that validate, where there is no validation list.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use crate::recipe::{Validation, ValidationRule};

/// A clip of the train list.
pub(super) struct Candidate {
    pub label: String,
    pub group: String,
    /// Whether all its files are there.
    pub whole: bool,
}

/// Which of the train list's clips, given in its order, validate.
pub(super) fn choose(clips: &[Candidate], validation: &Validation) -> Vec<bool> {
    match validation.rule {
        ValidationRule::Last => last(clips, validation.fraction),
        ValidationRule::Stratified => {
            let single = |(n, _)| vec![n];
            balanced(clips, clips.iter().enumerate().map(single).collect(), validation.fraction)
        }
        ValidationRule::Grouped => {
            let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (n, clip) in clips.iter().enumerate() {
                groups.entry(&clip.group).or_default().push(n);
            }
            balanced(clips, groups.into_values().collect(), validation.fraction)
        }
    }
}

/// Those after the first `1 - fraction` of the clips whose files are there, rounded down.
fn last(clips: &[Candidate], fraction: f64) -> Vec<bool> {
    let whole = clips.iter().filter(|clip| clip.whole).count();
    let first = ((1.0 - fraction) * whole as f64).floor() as usize;
    let mut seen = 0;
    let mut validates = |clip: &Candidate| {
        let validates = seen >= first;
        seen += usize::from(clip.whole);
        validates
    };
    clips.iter().map(&mut validates).collect()
}

/// Whole groups, drawn so that every class has about `fraction` of its clips among them and at least
/// one that is left to learn from.
fn balanced(clips: &[Candidate], mut groups: Vec<Vec<usize>>, fraction: f64) -> Vec<bool> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for clip in clips {
        *left.entry(&clip.label).or_default() += 1;
    }
    // How many more clips of each class are wanted.
    let mut wanted: BTreeMap<&str, f64> =
        left.iter().map(|(&label, &count)| (label, fraction * count as f64)).collect();
    groups.shuffle(&mut Seed::new(0).stream("validation").rng());
    let mut validates = vec![false; clips.len()];
    for group in groups {
        let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
        for &clip in &group {
            *classes.entry(&clips[clip].label).or_default() += 1;
        }
        // How much nearer the group brings its classes to what is wanted.
        let gain = |(label, &count): (&&str, &usize)| {
            wanted[label].abs() - (wanted[label] - count as f64).abs()
        };
        let leaves_some = classes.iter().all(|(label, &count)| left[label] > count);
        if !leaves_some || classes.iter().map(gain).sum::<f64>() <= 0.0 {
            continue;
        }
        for (label, &count) in &classes {
            left.insert(label, left[label] - count);
            wanted.insert(label, wanted[label] - count as f64);
        }
        group.into_iter().for_each(|clip| validates[clip] = true);
    }
    validates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(label: usize, group: usize) -> Candidate {
        Candidate { label: label.to_string(), group: group.to_string(), whole: true }
    }

    fn count(validates: &[bool]) -> usize {
        validates.iter().filter(|&&validates| validates).count()
    }

    #[test]
    fn a_list_in_the_order_of_its_classes_keeps_rows_of_all_of_them_for_training() {
        // As UCF101's own: 101 classes one after the other, groups of seven.
        let clips: Vec<Candidate> = (0..9_500).map(|n| clip(n / 95, n / 7)).collect();
        for rule in [ValidationRule::Stratified, ValidationRule::Grouped] {
            let validates = choose(&clips, &Validation { fraction: 0.2, rule });
            assert!((1_700..2_100).contains(&count(&validates)), "{}", count(&validates));
            for class in 0..100 {
                let of_class = &validates[95 * class..][..95];
                assert!((10..30).contains(&count(of_class)), "{class}: {}", count(of_class));
            }
            if rule == ValidationRule::Grouped {
                let of_group = |group: usize| &validates[7 * group..(7 * group + 7).min(9_500)];
                assert!(
                    (0..=9_499 / 7).all(|g| [0, of_group(g).len()].contains(&count(of_group(g))))
                );
            }
            assert_eq!(validates, choose(&clips, &Validation { fraction: 0.2, rule }));
        }
        let last = choose(&clips, &Validation { fraction: 0.2, rule: ValidationRule::Last });
        assert!(last[..7_600].iter().all(|v| !v) && last[7_600..].iter().all(|v| *v));
    }

    #[test]
    fn actors_who_play_every_class_are_drawn_whole_and_classes_stay_balanced() {
        // As CREMA-D: 91 actors of 12 clips of each of six emotions.
        let clips: Vec<Candidate> = (0..91 * 72).map(|n| clip(n % 6, n / 72)).collect();
        let grouped = Validation { fraction: 0.2, rule: ValidationRule::Grouped };
        let validates = choose(&clips, &grouped);
        let actors = validates.chunks(72).filter(|actor| count(actor) == 72).count();
        assert_eq!((actors, count(&validates)), (18, 18 * 72));
    }

    #[test]
    fn a_class_of_one_clip_or_one_group_is_learned_from() {
        let clips = [clip(0, 0), clip(1, 1), clip(1, 1), clip(1, 1)];
        for rule in [ValidationRule::Stratified, ValidationRule::Grouped] {
            let validates = choose(&clips, &Validation { fraction: 0.9, rule });
            assert!(!validates[0]);
            assert!(count(&validates[1..]) < 3);
        }
    }

    #[test]
    fn the_last_fifth_is_of_the_clips_whose_files_are_there() {
        let mut clips: Vec<Candidate> = (0..12).map(|n| clip(n % 2, n)).collect();
        let last = Validation { fraction: 0.2, rule: ValidationRule::Last };
        // floor(0.8 * 12) = 9.
        assert_eq!(count(&choose(&clips, &last)), 3);
        clips[0].whole = false;
        clips[5].whole = false;
        // floor(0.8 * 10) = 8 whole clips: those up to the tenth of the list.
        let validates = choose(&clips, &last);
        assert_eq!(validates.iter().position(|&validates| validates), Some(10));
    }
}
