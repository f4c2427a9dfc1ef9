//! Which method is better, in one sentence that chance does not contradict.

use tcmax_metrics::Interval;
use tcmax_train::results::{MethodResult, Metric, SuiteResult};

use crate::table::column::Column;
use crate::table::comparison::{baseline, columns, differences};

/// Differences with a smaller corrected p value are not chance.
pub(crate) const LEVEL: f64 = 0.05;

/// What the fused accuracies (mAP of labels, RMSE of numbers) show, as a sentence: how methods of all modalities differ from the baseline over
/// the same seeds, with 95 % t intervals and corrected p values. A method is called best only if it differs
/// from every other beyond chance. `None` without any such method.
///
/// See the README of the crate for an example.
pub fn verdict(result: &SuiteResult) -> Option<String> {
    let columns = columns(result);
    let fused = columns.first()?;
    let is_whole = |row: usize| is_whole(&result.methods[row]) && fused.cells[row].is_some();
    let (best, tied) = fused.ranking_of(&is_whole)?;
    let others: Vec<usize> =
        (0..result.methods.len()).filter(|&row| row != best && is_whole(row)).collect();
    let shared = others.iter().map(|&other| fused.shared_seeds(best, other)).max();
    let metric = Metric::of(result.dataset.task);
    let comparison = Comparison { result, metric, fused, differences: differences(result), best };
    Some(match shared {
        None => comparison.alone(),
        Some(0) => format!(
            "The methods have no seed in common, which shows nothing about which is better; {}.",
            comparison.highest(&others)
        ),
        Some(1) => format!(
            "One seed shows nothing about which method is better; {}.",
            comparison.highest(&others)
        ),
        Some(_) if tied.is_empty() => comparison.winner(),
        Some(_) => comparison.against_baseline(&others),
    })
}

/// Whether a method uses all modalities.
pub(crate) fn is_whole(method: &MethodResult) -> bool {
    method.runs.iter().all(|run| run.test.modality_scores().iter().all(Option::is_some))
}

struct Comparison<'a> {
    result: &'a SuiteResult,
    metric: Metric,
    fused: &'a Column,
    /// To the baseline; that of the fused accuracy is the first, if there is any.
    differences: Vec<Column>,
    /// The method of the best mean.
    best: usize,
}

impl Comparison<'_> {
    fn name(&self, row: usize) -> &str {
        &self.result.methods[row].name
    }

    fn mean(&self) -> String {
        let mean = self.fused.cells[self.best].map_or(f64::NAN, |cell| cell.interval.mean);
        let digits = self.fused.digits;
        match self.metric.is_fraction() {
            true => format!("{mean:.digits$} %"),
            false => format!("{mean:.digits$}"),
        }
    }

    /// The metric, and words for better and best.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        let (above, highest) = match self.metric.more_is_better() {
            true => ("above", "highest"),
            false => ("below", "lowest"),
        };
        (self.metric.name(), above, highest)
    }

    fn points(&self, interval: Interval) -> String {
        let (by, digits) = (interval.mean.abs(), self.fused.digits);
        match self.metric.is_fraction() {
            true => format!("{by:.digits$} points"),
            false => format!("{by:.digits$}"),
        }
    }

    /// The interval and the p value in brackets.
    fn uncertainty(&self, interval: Interval, p: Option<f64>) -> String {
        let Some(half) = interval.half_width else { return String::new() };
        // Whether above or below is said in words.
        let (distance, digits) = (interval.mean.abs(), self.fused.digits);
        let (low, high) = (distance - half, distance + half);
        let p = p.map_or_else(String::new, |p| match p {
            p if p < 0.001 => ", corrected p < 0.001".to_owned(),
            p => format!(", corrected p = {p:.3}"),
        });
        format!("(95% interval {low:.digits$} to {high:.digits$}{p})")
    }

    fn seeds(&self) -> String {
        match self.result.methods[self.best].runs.len() {
            1 => "1 seed".to_owned(),
            runs => format!("{runs} seeds"),
        }
    }

    fn alone(&self) -> String {
        let (name, mean, seeds) = (self.name(self.best), self.mean(), self.seeds());
        let caution = match self.result.methods[self.best].runs.len() {
            1 => ": a single one shows nothing of how much it varies",
            _ => "",
        };
        let (metric, ..) = self.words();
        format!("The fused {metric} of {name} is {mean}, over {seeds}{caution}.")
    }

    /// The methods of the highest mean, all of them.
    fn highest(&self, others: &[usize]) -> String {
        let mean = |row: usize| self.fused.cells[row].map(|cell| cell.interval.mean);
        let equal = others.iter().filter(|&&row| mean(row) == mean(self.best));
        let names: Vec<&str> =
            std::iter::once(&self.best).chain(equal).map(|&row| self.name(row)).collect();
        let (metric, _, highest) = self.words();
        format!("the {highest} fused {metric} is {}, by {}", self.mean(), names.join(" and "))
    }

    /// The best method differs from every other.
    fn winner(&self) -> String {
        let (name, mean, seeds) = (self.name(self.best), self.mean(), self.seeds());
        let (metric, above, _) = self.words();
        let how = "paired t-tests over the seeds, corrected, p < 0.05";
        let difference = self.difference(self.best).map_or_else(String::new, |(interval, p)| {
            let against = baseline(self.result).map_or("", |row| self.name(row));
            format!(
                ", and {} {above} {against} {}",
                self.points(interval),
                self.uncertainty(interval, p)
            )
        });
        format!(
            "The best fused {metric} is {mean}, by {name}, over {seeds}: {above} every other method beyond \
             chance ({how}){difference}."
        )
    }

    /// Several methods may be the best.
    fn against_baseline(&self, others: &[usize]) -> String {
        let Some(against) = baseline(self.result) else { return String::new() };
        let (name, seeds) = (self.name(against), self.seeds());
        let (metric, above, highest) = self.words();
        let rows = || others.iter().chain([&self.best]).filter(|&&row| row != against);
        let found = |sign: f64| -> Vec<(usize, Interval, Option<f64>)> {
            let mut found: Vec<_> = rows()
                .filter_map(|&row| self.difference(row).map(|(interval, p)| (row, interval, p)))
                .filter(|(_, interval, p)| {
                    sign * interval.mean > 0.0 && p.is_some_and(|p| p < LEVEL)
                })
                .collect();
            found.sort_by(|a, b| (sign * b.1.mean).total_cmp(&(sign * a.1.mean)));
            found
        };
        let better = if self.metric.more_is_better() { 1.0 } else { -1.0 };
        let (better, worse) = (found(better), found(-better));
        let worse = match worse.is_empty() {
            true => String::new(),
            false => format!("; worse beyond chance: {}", self.listed(&worse)),
        };
        if !better.is_empty() {
            return format!(
                "Better than {name} in fused {metric} beyond chance, over {seeds}: {}; which method is the \
                 best, these seeds do not show{worse}.",
                self.listed(&better)
            );
        }
        let highest = match self.difference(self.best) {
            None => format!("it has the {highest} mean, {}", self.mean()),
            Some((interval, p)) => format!(
                "the {highest} mean, that of {}, is {} {above} it {}",
                self.name(self.best),
                self.points(interval),
                self.uncertainty(interval, p)
            ),
        };
        format!(
            "No method is shown to be better than {name} in fused {metric}, over {seeds}: {highest}{worse}."
        )
    }

    /// A method's difference to the baseline with its corrected p value.
    fn difference(&self, row: usize) -> Option<(Interval, Option<f64>)> {
        let cell = (*self.differences.first()?.cells.get(row)?)?;
        Some((cell.interval, cell.p))
    }

    fn listed(&self, found: &[(usize, Interval, Option<f64>)]) -> String {
        let one = |(row, interval, p): &(usize, Interval, Option<f64>)| {
            let by = self.points(*interval);
            format!("{} by {by} {}", self.name(*row), self.uncertainty(*interval, *p))
        };
        found.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
