//! How long several runs will take yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{Error, Observer, RunLabel};

use super::TrainingProgress;

/// Epochs after which a first estimate is made.
const FIRST: usize = 4;

/// Says after some epochs and after every run how long the others will take, and passes everything on. Of a
/// single run it says nothing: that has a bar, or lines, of its own.
pub struct Pace {
    inner: TrainingProgress,
    runs: usize,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    /// Runs that are over.
    runs: usize,
    /// Epochs that this process has trained.
    trained: usize,
    /// Epochs of all runs that are still to come, as far as is known: earlier processes finished some, and runs
    /// that end early or fail leave out some.
    left: usize,
    /// The epochs to come of each run that was begun and is not over.
    begun: HashMap<RunLabel, usize>,
    /// Whether a first estimate was said.
    told: bool,
}

impl Pace {
    /// For so many runs with so many epochs in all.
    pub fn new(inner: TrainingProgress, runs: usize, epochs: usize) -> Self {
        Self { inner, runs, state: Mutex::new(State::new(epochs)) }
    }

    /// Changes the state, and prints the line that is to be said of it.
    fn change(&self, change: impl FnOnce(&mut State) -> Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(line), true) = (change(&mut state), self.runs > 1) {
            self.inner.line(&line);
        }
    }

    fn over(&self, run: &RunLabel) {
        self.change(|state| {
            state.over(run);
            Some(state.line(self.runs, state.began.elapsed().as_secs_f64()))
        });
    }
}

impl State {
    fn new(epochs: usize) -> Self {
        let (runs, trained, left) = (0, 0, epochs);
        Self { began: Instant::now(), runs, trained, left, begun: HashMap::new(), told: false }
    }

    fn started(&mut self, run: &RunLabel, epochs: usize, done: usize) {
        self.left = self.left.saturating_sub(done);
        self.begun.insert(run.clone(), epochs.saturating_sub(done));
    }

    fn epoch(&mut self, run: &RunLabel) {
        self.trained += 1;
        self.left = self.left.saturating_sub(1);
        if let Some(left) = self.begun.get_mut(run) {
            *left = left.saturating_sub(1);
        }
    }

    fn over(&mut self, run: &RunLabel) {
        self.runs += 1;
        self.left = self.left.saturating_sub(self.begun.remove(run).unwrap_or(0));
    }

    /// Seconds that the epochs to come take, at the pace of this process.
    fn seconds_left(&self, elapsed: f64) -> f64 {
        elapsed / self.trained.max(1) as f64 * self.left as f64
    }

    /// After a run of some is over.
    fn line(&self, runs: usize, elapsed: f64) -> String {
        let done = format!("{} of {runs} runs are done", self.runs);
        if self.trained == 0 || self.left == 0 {
            return done;
        }
        format!("{done}; about {} left", rough_minutes(self.seconds_left(elapsed)))
    }
}

/// A duration in words.
pub fn rough_minutes(seconds: f64) -> String {
    match seconds / 60.0 {
        minutes if minutes < 1.5 => "a minute".to_owned(),
        minutes if minutes < 100.0 => format!("{minutes:.0} minutes"),
        minutes => format!("{:.1} hours", minutes / 60.0),
    }
}

impl Observer for Pace {
    fn started(&self, run: &RunLabel, epochs: usize, batches: usize, done: usize) {
        self.change(|state| {
            state.started(run, epochs, done);
            None
        });
        self.inner.started(run, epochs, batches, done);
    }

    fn note(&self, run: &RunLabel, text: &str) {
        self.inner.note(run, text);
    }

    fn step(&self, run: &RunLabel, record: &StepRecord) {
        self.inner.step(run, record);
    }

    fn epoch(&self, run: &RunLabel, record: &EpochRecord) {
        self.inner.epoch(run, record);
        self.change(|state| {
            state.epoch(run);
            let first = state.runs == 0 && state.trained >= FIRST;
            if !first || std::mem::replace(&mut state.told, true) {
                return None;
            }
            let seconds = state.seconds_left(state.began.elapsed().as_secs_f64());
            Some(format!("about {} in all from here", rough_minutes(seconds)))
        });
    }

    fn ends_after(&self, run: &RunLabel, record: &EpochRecord) -> bool {
        self.inner.ends_after(run, record)
    }

    fn failed(&self, run: &RunLabel, error: &Error) {
        self.inner.failed(run, error);
        self.over(run);
    }

    fn finished(&self, run: &RunLabel, result: &RunResult) {
        self.inner.finished(run, result);
        self.over(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_the_pace_of_this_process() {
        let mut state = State::new(100);
        let run = |seed| RunLabel::new("tcmax", seed);
        // Of five runs of 20 epochs: one is there, one is trained from its middle on.
        for (seed, done) in [(0, 20), (1, 10)] {
            state.started(&run(seed), 20, done);
            (done..20).for_each(|_| state.epoch(&run(seed)));
            state.over(&run(seed));
        }
        assert_eq!(state.line(5, 60.0), "2 of 5 runs are done; about 6 minutes left");
        // One ends early and one fails before its first epoch: the epochs they leave out take no time.
        state.started(&run(2), 20, 0);
        (0..5).for_each(|_| state.epoch(&run(2)));
        state.over(&run(2));
        assert_eq!(state.line(5, 90.0), "3 of 5 runs are done; about 4 minutes left");
        state.started(&run(3), 20, 0);
        state.over(&run(3));
        assert_eq!(state.line(5, 90.0), "4 of 5 runs are done; about 2 minutes left");
        state.started(&run(4), 20, 0);
        (0..20).for_each(|_| state.epoch(&run(4)));
        state.over(&run(4));
        assert_eq!(state.line(5, 300.0), "5 of 5 runs are done");
        assert_eq!(rough_minutes(20.0), "a minute");
        assert_eq!(rough_minutes(8_000.0), "2.2 hours");
    }
}
