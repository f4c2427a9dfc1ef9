//! What a leaderboard is made of.

use tcmax_train::results::SuiteResult;

/// Methods on several data sets.
#[derive(Clone, Debug)]
pub struct Leaderboard {
    /// One line on what is compared.
    pub title: String,
    /// What a reader should know, in plain sentences.
    pub notes: Vec<String>,
    /// The data sets, in the order to show them.
    pub sets: Vec<BoardSet>,
    /// What it was made with, as (name, value); values of several lines are shown as they are.
    pub settings: Vec<(String, String)>,
}

/// The methods on one data set.
#[derive(Clone, Debug)]
pub struct BoardSet {
    /// What to call it, such as `competition`.
    pub name: String,
    /// What it is, one sentence.
    pub about: String,
    /// The results, for classes.
    pub result: SuiteResult,
    /// Methods that are not defined for these data, with the reason.
    pub undefined: Vec<(String, String)>,
}

impl Leaderboard {
    /// Seconds on one thread of all runs.
    fn seconds(&self) -> f64 {
        let methods = self.sets.iter().flat_map(|set| &set.result.methods);
        methods.flat_map(|method| &method.runs).map(|run| run.seconds).sum()
    }

    /// Seeds, versions and how long it took, as (name, value).
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let mut seeds: Vec<u64> = Vec::new();
        let methods = self.sets.iter().flat_map(|set| &set.result.methods);
        for run in methods.flat_map(|method| &method.runs) {
            if !seeds.contains(&run.seed) {
                seeds.push(run.seed);
            }
        }
        seeds.sort_unstable();
        let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let mut facts = vec![("seeds".to_owned(), seeds.join(", "))];
        facts.extend(self.sets.first().map_or_else(Vec::new, |set| set.result.versions.clone()));
        let hours = self.seconds() / 3_600.0;
        let time =
            format!("{hours:.1} hours of one thread, training and testing of all candidates");
        facts.push(("time".to_owned(), time));
        facts
    }
}
