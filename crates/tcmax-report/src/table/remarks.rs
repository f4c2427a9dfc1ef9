//! Sentences that belong to the tables.

use tcmax_metrics::Interval;
use tcmax_train::results::{FailedRun, MethodResult, SuiteResult};

/// What to be wary of: of the data, runs that failed, and what runs warn of. Warnings that differ in their
/// percentages alone are one, with the methods and seeds it is of.
pub fn warnings(result: &SuiteResult) -> Vec<String> {
    let mut found = result.dataset.warnings.clone();
    for method in &result.methods {
        let line = |run: &FailedRun| {
            format!("{}, seed {}, failed: {}", method.name, run.seed, run.problem)
        };
        found.extend(method.failed.iter().map(line));
    }
    found.extend(majority(result));
    found.extend(grouped(result).iter().map(|group| group.text(result)));
    found
}

/// Warnings of runs that differ in their percentages alone.
struct Group {
    /// What is between the percentages.
    words: Vec<String>,
    /// The least and the largest of each percentage, as they are written.
    values: Vec<[String; 2]>,
    /// Positions of methods, and seeds.
    runs: Vec<(usize, u64)>,
}

fn grouped(result: &SuiteResult) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (row, method) in result.methods.iter().enumerate() {
        for run in &method.runs {
            for text in &run.warnings {
                let (words, values) = percentages(text);
                match groups.iter_mut().find(|group| group.words == words) {
                    Some(group) => group.add(&values, (row, run.seed)),
                    None => {
                        let values = values.into_iter().map(|value| [value.clone(), value]);
                        let runs = vec![(row, run.seed)];
                        groups.push(Group { words, values: values.collect(), runs });
                    }
                }
            }
        }
    }
    groups
}

/// The words of a text around its percentages, and these.
fn percentages(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut words, mut values) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" %") {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let start = before.trim_end_matches(digits).len();
        words.push(before[..start].to_owned());
        values.push(before[start..].to_owned());
        rest = after;
    }
    words.push(rest.to_owned());
    (words, values)
}

impl Group {
    fn add(&mut self, values: &[String], run: (usize, u64)) {
        let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
        for (range, value) in self.values.iter_mut().zip(values) {
            if number(value) < number(&range[0]) {
                range[0].clone_from(value);
            }
            if number(value) > number(&range[1]) {
                range[1].clone_from(value);
            }
        }
        self.runs.push(run);
    }

    fn text(&self, result: &SuiteResult) -> String {
        let mut text = format!("{}: ", self.names(result));
        for (n, words) in self.words.iter().enumerate() {
            text += words;
            match self.values.get(n) {
                Some([low, high]) if low == high => text += &format!("{low} %"),
                Some([low, high]) => text += &format!("{low} to {high} %"),
                None => {}
            }
        }
        text
    }

    /// Whose warning it is.
    fn names(&self, result: &SuiteResult) -> String {
        let all: usize = result.methods.iter().map(|method| method.runs.len()).sum();
        if let [(row, seed)] = self.runs[..] {
            return format!("{}, seed {seed}", result.methods[row].name);
        }
        if self.runs.len() == all {
            return format!("all {all} runs");
        }
        let of_method = |(row, method): (usize, &MethodResult)| {
            let seeds = self.runs.iter().filter(|run| run.0 == row).map(|run| run.1.to_string());
            let seeds: Vec<String> = seeds.collect();
            match seeds.len() {
                0 => None,
                count if count == method.runs.len() && count > 1 => Some(method.name.clone()),
                1 => Some(format!("{} (seed {})", method.name, seeds[0])),
                _ => Some(format!("{} (seeds {})", method.name, seeds.join(", "))),
            }
        };
        result.methods.iter().enumerate().filter_map(of_method).collect::<Vec<_>>().join("; ")
    }
}

/// Whether the classes of the test split are so unequal that accuracy needs a second look.
pub fn is_unbalanced(result: &SuiteResult) -> bool {
    let classes = result.dataset.classes.len().max(1) as f64;
    let mut runs = result.methods.iter().flat_map(|method| &method.runs);
    runs.any(|run| run.test.majority_rate > 1.5 / classes)
}

/// What always answering the most frequent class gives, where that is much.
fn majority(result: &SuiteResult) -> Option<String> {
    let runs = result.methods.iter().flat_map(|method| &method.runs);
    let rates: Vec<f64> = runs.map(|run| 100.0 * run.test.majority_rate).collect();
    let rate = Interval::of(&rates).filter(|_| is_unbalanced(result))?.mean;
    Some(format!(
        "the classes are unbalanced: always answering the most frequent class is right on {rate:.1} % of the \
         test split; compare balanced accuracies"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_told_from_the_words_around_them() {
        let (words, values) = percentages("right on 97.4 % of these and on 47.6 %; 100 % of 3");
        assert_eq!(words, ["right on ", " of these and on ", "; ", " of 3"]);
        assert_eq!(values, ["97.4", "47.6", "100"]);
        assert_eq!(percentages("no number"), (vec!["no number".to_owned()], Vec::new()));
        assert_eq!(percentages("a %").1, [""]);
    }
}
