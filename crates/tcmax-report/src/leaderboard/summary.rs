//! All methods on all data sets.

use tcmax_metrics::Friedman;

use super::board::{BoardSet, Leaderboard};
use super::grid::{Entry, Grid};
use super::set::{accuracy, against, mark};
use crate::table::{Column, board_difference};

/// Methods by data sets, best mean rank first, with the sentences that belong to it.
pub(super) fn summary(board: &Leaderboard) -> (Grid, Vec<String>) {
    let names = names(board);
    let groups: Vec<Group> = groups(board, &names);
    let differences: Vec<Option<Column>> =
        board.sets.iter().map(|set| board_difference(&set.result)).collect();
    let mut header = vec!["method".to_owned()];
    header.extend(board.sets.iter().map(|set| set.name.clone()));
    header.extend(groups.iter().map(|group| group.heading.clone()));
    let row = |name: &str| {
        let of_set =
            |(set, difference): (&BoardSet, &Option<Column>)| cell(set, difference.as_ref(), name);
        let mut row = vec![Entry::plain(name)];
        row.extend(board.sets.iter().zip(&differences).map(of_set));
        let rank = |group: &Group| group.rank(name).map_or_else(dash, |rank| format!("{rank:.1}"));
        row.extend(groups.iter().map(|group| Entry::plain(rank(group))));
        row
    };
    let rows = in_order(board, &groups, names).iter().map(|name| row(name)).collect();
    (Grid { header, rows }, sentences(&groups))
}

/// Every method that has a result, or is not defined, somewhere.
fn names(board: &Leaderboard) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for set in &board.sets {
        let methods = set.result.methods.iter().map(|method| &method.name);
        for name in methods.chain(set.undefined.iter().map(|(name, _)| name)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

fn dash() -> String {
    "–".to_owned()
}

/// The difference to the baseline; of the baseline itself its accuracy.
fn cell(set: &BoardSet, difference: Option<&Column>, name: &str) -> Entry {
    let result = &set.result;
    let Some(row) = result.methods.iter().position(|method| method.name == name) else {
        let is_undefined = set.undefined.iter().any(|(other, _)| other == name);
        return Entry::plain(if is_undefined { "not defined".to_owned() } else { dash() });
    };
    let failed = result.methods[row].failed.len();
    let Some(mean) = accuracy(result, row) else { return Entry::plain("failed") };
    let mut entry = match difference.filter(|_| against(result) != Some(name)) {
        None => Entry::plain(format!("{mean:.1} %")),
        Some(column) => {
            let mut parts = column.text(row);
            // The p value is in the table of the data set.
            parts.truncate(2);
            Entry { mark: mark(column, row), ..Entry::of_parts(parts) }
        }
    };
    if failed > 0 {
        entry.detail = format!("{} ({failed} failed)", entry.detail).trim().to_owned();
    }
    entry
}

/// Data sets on which all of some methods are defined, and the methods' mean ranks there.
struct Group {
    heading: String,
    methods: Vec<String>,
    friedman: Friedman,
}

impl Group {
    fn rank(&self, name: &str) -> Option<f64> {
        let position = self.methods.iter().position(|method| method == name)?;
        self.friedman.average_ranks.get(position).copied()
    }
}

/// Ranks over all data sets, of the methods that have results on all; and over those of two modalities, on which more
/// methods are defined.
fn groups(board: &Leaderboard, names: &[String]) -> Vec<Group> {
    let all: Vec<&BoardSet> = board.sets.iter().collect();
    let is_pair = |set: &&BoardSet| set.result.dataset.modalities.len() == 2;
    let pairs: Vec<&BoardSet> = board.sets.iter().filter(is_pair).collect();
    let some = pairs.len() < all.len();
    let of_pairs = some.then(|| group("mean rank, two modalities", &pairs, names)).flatten();
    [group("mean rank", &all, names), of_pairs].into_iter().flatten().collect()
}

fn group(heading: &str, sets: &[&BoardSet], names: &[String]) -> Option<Group> {
    let score = |set: &BoardSet, name: &str| {
        let row = set.result.methods.iter().position(|method| method.name == *name)?;
        accuracy(&set.result, row)
    };
    let everywhere = |name: &&String| sets.iter().all(|set| score(set, name).is_some());
    let methods: Vec<String> = names.iter().filter(everywhere).cloned().collect();
    let row = |set: &&BoardSet| methods.iter().filter_map(|name| score(set, name)).collect();
    let scores: Vec<Vec<f64>> = sets.iter().map(row).collect();
    // Of one data set or one method there is no mean rank.
    let friedman = Friedman::of(&scores.concat(), methods.len()).ok()?;
    Some(Group { heading: heading.to_owned(), methods, friedman })
}

fn sentences(groups: &[Group]) -> Vec<String> {
    let sentence = |group: &Group| {
        let (methods, sets) = (group.methods.len(), group.friedman.data_sets);
        let critical = group.friedman.critical_difference(0.05).ok()?;
        Some(format!(
            "{}: over {sets} data sets, of {methods} methods that have results on all of them; two that are less than \
             {critical:.1} apart are not told from each other (Nemenyi, p < 0.05).",
            capital(&group.heading)
        ))
    };
    groups.iter().filter_map(sentence).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The methods by their rank among most methods; of one data set, by their accuracy.
fn in_order(board: &Leaderboard, groups: &[Group], mut names: Vec<String>) -> Vec<String> {
    let largest = groups.iter().max_by_key(|group| group.methods.len());
    let first = board.sets.first().map(|set| &set.result);
    let key = |name: &String| match (largest, first) {
        (Some(group), _) => group.rank(name).unwrap_or(f64::INFINITY),
        (None, Some(result)) => {
            let row = result.methods.iter().position(|method| method.name == *name);
            row.and_then(|row| accuracy(result, row)).map_or(f64::INFINITY, |accuracy| -accuracy)
        }
        (None, None) => 0.0,
    };
    names.sort_by(|one, other| key(one).total_cmp(&key(other)));
    names
}
