//! Which examples are for training, validation and testing.
//!
//! Four rules: the split that comes with the data; a stratified random one; one whose splits share no
//! group (speaker, source video); and k folds of either. All draws are from the seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::Seed;

use crate::error::{Error, Result};
use crate::split::Split;

/// How splits are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitRule {
    /// Given with the data: a split column, or the published lists.
    Given,
    /// Drawn within each class, by the seed.
    Random,
    /// Drawn so that no group is in two splits, by the seed.
    Group,
}

/// What splits are made of: one entry per example.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Classes.
    pub labels: &'a [u32],
    /// Groups, where the data have them: a number each.
    pub groups: Option<&'a [u32]>,
    /// The data's own split, where they have one.
    pub splits: Option<&'a [Split]>,
}

/// How to split rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Partition {
    /// The rule; absent: the data's own split, or a random one where they have none.
    pub rule: Option<SplitRule>,
    /// Number of folds and the fold to test on, from 0.
    pub folds: Option<(usize, usize)>,
    /// Fraction for testing, where it is drawn.
    pub test: f64,
    /// Fraction of the rest for validation, where it is drawn.
    pub validation: f64,
}

/// The indices of train, validation and test, each in ascending order.
pub type SplitIndices = [Vec<usize>; 3];

impl Partition {
    /// Assigns every row to one split.
    ///
    /// # Errors
    /// When an option is out of range, or asks for groups or a split the data do not have.
    pub fn assign(&self, rows: Rows<'_>, seed: Seed) -> Result<SplitIndices> {
        self.check(rows.labels.len())?;
        if self.rule == Some(SplitRule::Group) {
            check_groups(rows)?;
        }
        let rule = self.rule_for(rows);
        let all: Vec<usize> = (0..rows.labels.len()).collect();
        match (rule, self.folds) {
            (SplitRule::Given, Some(_)) => {
                Err(Error::option("folds", "needs the split 'random' or 'group'"))
            }
            (SplitRule::Given, None) => self.given(rows, seed),
            (_, Some((folds, fold))) => {
                self.hold_out(rows, all, seed, rule, &folds_of(rows, rule, folds, fold, seed)?)
            }
            (_, None) => {
                let test = draw(rows, &all, self.test, rule, seed.stream("test"))?;
                self.hold_out(rows, all, seed, rule, &test)
            }
        }
    }

    /// The rule that splits these rows.
    pub fn rule_for(&self, rows: Rows<'_>) -> SplitRule {
        self.rule.unwrap_or(match (rows.splits, self.folds) {
            (Some(_), None) => SplitRule::Given,
            _ => SplitRule::Random,
        })
    }

    fn check(&self, rows: usize) -> Result<()> {
        let fraction = |field, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::option(field, "must be at least 0 and below 1")),
        };
        fraction("test-fraction", self.test)?;
        fraction("val-fraction", self.validation)?;
        match self.folds {
            Some((folds, _)) if folds < 2 => Err(Error::option("folds", "must be at least 2")),
            Some((folds, _)) if folds > rows => {
                Err(Error::option("folds", format!("there are only {rows} examples")))
            }
            Some((folds, fold)) if fold >= folds => {
                Err(Error::option("fold", format!("must be 0 to {}", folds - 1)))
            }
            _ => Ok(()),
        }
    }

    /// The data's own split; where it has no validation examples, some are drawn from the training ones.
    fn given(&self, rows: Rows<'_>, seed: Seed) -> Result<SplitIndices> {
        let splits = rows.splits.ok_or_else(|| {
            Error::option(
                "split",
                "the data have no split of their own; choose 'random' or 'group'",
            )
        })?;
        let of = |split| -> Vec<usize> {
            (0..splits.len()).filter(|&row| splits[row] == split).collect()
        };
        let (mut train, mut validation) = (of(Split::Train), of(Split::Validation));
        if validation.is_empty() {
            let rule = SplitRule::Random;
            validation = draw(rows, &train, self.validation, rule, seed.stream("validation"))?;
            train = without(train, &validation);
        }
        Ok([train, validation, of(Split::Test)])
    }

    fn hold_out(
        &self,
        rows: Rows<'_>,
        all: Vec<usize>,
        seed: Seed,
        rule: SplitRule,
        test: &[usize],
    ) -> Result<SplitIndices> {
        let rest = without(all, test);
        let validation = draw(rows, &rest, self.validation, rule, seed.stream("validation"))?;
        Ok([without(rest, &validation), validation, test.to_vec()])
    }
}

fn without(rows: Vec<usize>, gone: &[usize]) -> Vec<usize> {
    let gone: BTreeSet<usize> = gone.iter().copied().collect();
    rows.into_iter().filter(|row| !gone.contains(row)).collect()
}

/// A fraction of `among`, within classes or of whole groups.
fn draw(
    rows: Rows<'_>,
    among: &[usize],
    fraction: f64,
    rule: SplitRule,
    seed: Seed,
) -> Result<Vec<usize>> {
    let mut drawn = Vec::new();
    if rule == SplitRule::Group {
        let mut groups: Vec<Vec<usize>> = by_group(rows, among)?;
        groups.shuffle(&mut seed.rng());
        let wanted = fraction * among.len() as f64;
        for group in groups {
            if drawn.len() as f64 >= wanted {
                break;
            }
            drawn.extend(group);
        }
    } else {
        for (class, mut members) in by_class(rows, among) {
            members.shuffle(&mut seed.index(u64::from(class)).rng());
            // Rounds to the nearest count in every class.
            let wanted = (fraction * members.len() as f64).round() as usize;
            drawn.extend(members.into_iter().take(wanted));
        }
    }
    drawn.sort_unstable();
    Ok(drawn)
}

/// The rows of fold `fold` of `folds`.
fn folds_of(
    rows: Rows<'_>,
    rule: SplitRule,
    folds: usize,
    fold: usize,
    seed: Seed,
) -> Result<Vec<usize>> {
    let all: Vec<usize> = (0..rows.labels.len()).collect();
    let seed = seed.stream("folds");
    let mut chosen = Vec::new();
    if rule == SplitRule::Group {
        let mut groups = by_group(rows, &all)?;
        if groups.len() < folds {
            let problem = format!("there are only {} groups", groups.len());
            return Err(Error::option("folds", problem));
        }
        groups.shuffle(&mut seed.rng());
        // Largest first into the emptiest fold keeps folds of about one size.
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        let mut sizes = vec![0; folds];
        for group in groups {
            let emptiest = (0..folds).min_by_key(|&f| sizes[f]).unwrap_or(0);
            sizes[emptiest] += group.len();
            if emptiest == fold {
                chosen.extend(group);
            }
        }
    } else {
        let mut dealt = 0;
        for (class, mut members) in by_class(rows, &all) {
            members.shuffle(&mut seed.index(u64::from(class)).rng());
            for member in members {
                if dealt % folds == fold {
                    chosen.push(member);
                }
                dealt += 1;
            }
        }
    }
    chosen.sort_unstable();
    Ok(chosen)
}

fn by_class(rows: Rows<'_>, among: &[usize]) -> BTreeMap<u32, Vec<usize>> {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for &row in among {
        classes.entry(rows.labels[row]).or_default().push(row);
    }
    classes
}

fn by_group(rows: Rows<'_>, among: &[usize]) -> Result<Vec<Vec<usize>>> {
    let groups = rows.groups.ok_or_else(|| {
        Error::option("split", "'group' needs a column of groups; name it in the option `group`")
    })?;
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for &row in among {
        members.entry(groups[row]).or_default().push(row);
    }
    Ok(members.into_values().collect())
}

/// Groups of one example each are a mistake: the column holds names of the examples.
fn check_groups(rows: Rows<'_>) -> Result<()> {
    let Some(groups) = rows.groups else { return Ok(()) };
    if groups.len() > 1 && groups.iter().collect::<BTreeSet<_>>().len() == groups.len() {
        let problem = format!(
            "'group' keeps groups together, but each of the {} examples is a group of its own; name the \
             column of groups in the option `group` (when clips are prepared, for prepared clips)",
            groups.len()
        );
        return Err(Error::option("split", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Partition = Partition { rule: None, folds: None, test: 0.2, validation: 0.25 };

    fn data() -> (Vec<u32>, Vec<u32>) {
        ((0..100).map(|row| row % 5).collect(), (0..100).map(|row| row / 7).collect())
    }

    fn whole(splits: &SplitIndices) -> Vec<usize> {
        let mut all = splits.concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_random_split_is_balanced_whole_and_the_seeds() {
        let (labels, groups) = data();
        let rows = Rows { labels: &labels, groups: Some(&groups), splits: None };
        let splits = PLAIN.assign(rows, Seed::new(1)).unwrap();
        assert_eq!(splits.each_ref().map(Vec::len), [60, 20, 20]);
        assert_eq!(whole(&splits), (0..100).collect::<Vec<_>>());
        for class in 0..5 {
            assert_eq!(splits[2].iter().filter(|&&row| labels[row] == class).count(), 4);
        }
        assert_eq!(splits, PLAIN.assign(rows, Seed::new(1)).unwrap());
        assert_ne!(splits, PLAIN.assign(rows, Seed::new(2)).unwrap());
    }

    #[test]
    fn no_group_is_in_two_splits() {
        let (labels, groups) = data();
        let rows = Rows { labels: &labels, groups: Some(&groups), splits: None };
        let by_group = Partition { rule: Some(SplitRule::Group), ..PLAIN };
        for folds in [None, Some((3, 0)), Some((3, 2))] {
            let splits = Partition { folds, ..by_group }.assign(rows, Seed::new(3)).unwrap();
            assert_eq!(whole(&splits), (0..100).collect::<Vec<_>>());
            let groups_of = |split: &Vec<usize>| -> BTreeSet<u32> {
                split.iter().map(|&row| groups[row]).collect()
            };
            let [train, validation, test] = splits.each_ref().map(groups_of);
            assert!(train.is_disjoint(&test) && train.is_disjoint(&validation));
            assert!(validation.is_disjoint(&test) && !test.is_empty() && !train.is_empty());
        }
        let single: Vec<u32> = (0..100).collect();
        let single = Rows { groups: Some(&single), ..rows };
        let told = by_group.assign(single, Seed::new(3)).unwrap_err().to_string();
        assert!(told.contains("each of the 100 examples is a group of its own"), "{told}");
        let bare = Rows { groups: None, ..rows };
        assert!(by_group.assign(bare, Seed::new(3)).is_err());
    }

    #[test]
    fn folds_test_every_row_once() {
        let (labels, _) = data();
        let rows = Rows { labels: &labels, groups: None, splits: None };
        let tests: Vec<Vec<usize>> = (0..7)
            .map(|fold| {
                let partition = Partition { folds: Some((7, fold)), ..PLAIN };
                partition.assign(rows, Seed::new(4)).unwrap()[2].clone()
            })
            .collect();
        let mut all = tests.concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(tests.iter().all(|test| (14..=15).contains(&test.len())));
    }

    #[test]
    fn a_given_split_is_kept_and_lacking_validation_is_drawn() {
        let (labels, _) = data();
        let splits: Vec<Split> =
            (0..100).map(|row| if row < 80 { Split::Train } else { Split::Test }).collect();
        let rows = Rows { labels: &labels, groups: None, splits: Some(&splits) };
        let got = PLAIN.assign(rows, Seed::new(1)).unwrap();
        assert_eq!(got.each_ref().map(Vec::len), [60, 20, 20]);
        assert_eq!(got[2], (80..100).collect::<Vec<_>>());
        let message = |partition: Partition| {
            partition.assign(Rows { splits: None, ..rows }, Seed::new(1)).unwrap_err().to_string()
        };
        assert!(message(Partition { rule: Some(SplitRule::Given), ..PLAIN }).starts_with("split:"));
        assert!(message(Partition { test: 1.0, ..PLAIN }).starts_with("test-fraction:"));
        assert!(message(Partition { folds: Some((3, 3)), ..PLAIN }).starts_with("fold:"));
        let many = message(Partition { folds: Some((101, 3)), ..PLAIN });
        assert_eq!(many, "folds: there are only 100 examples");
    }
}
