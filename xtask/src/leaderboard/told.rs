//! What is said of the runs of a data set: a line each, and how long the others will take.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tcmax_cli::progress::{rough_minutes, say};
use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{Error, Observer, RunLabel};

/// Tells of runs, but not of the candidates that they choose from.
pub(super) struct Told {
    set: String,
    runs: usize,
    /// Runs on later data sets.
    later: usize,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    /// Runs that are over.
    over: usize,
    /// Of these, runs that this process has trained.
    trained: usize,
}

impl Told {
    pub(super) fn new(set: &str, runs: usize, later: usize) -> Self {
        let state = Mutex::new(State { began: Instant::now(), over: 0, trained: 0 });
        Self { set: set.to_owned(), runs, later, state }
    }

    fn over(&self, run: &RunLabel, is_trained: bool, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.over += 1;
        state.trained += usize::from(is_trained);
        let left = self.left(&state);
        say(&format!("{} {run}: {text}; {} of {} runs{left}", self.set, state.over, self.runs));
    }

    /// How long the other runs take, at the pace of this process.
    fn left(&self, state: &State) -> String {
        if state.trained == 0 {
            return String::new();
        }
        let pace = state.began.elapsed().as_secs_f64() / state.trained as f64;
        let here = pace * self.runs.saturating_sub(state.over) as f64;
        let mut text = format!(", about {} left", rough_minutes(here));
        if self.later > 0 {
            let all = rough_minutes(here + pace * self.later as f64);
            text += &format!(", {all} with the other data sets if their runs take as long");
        }
        text
    }
}

/// Whether a label is that of a candidate, whose name follows that of the method.
fn is_candidate(run: &RunLabel) -> bool {
    run.method.contains(", ")
}

impl Observer for Told {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}

    fn note(&self, run: &RunLabel, text: &str) {
        // The one note on a run as a whole is what it has chosen, at its end.
        if !is_candidate(run) {
            self.over(run, true, text);
        }
    }

    fn step(&self, _: &RunLabel, _: &StepRecord) {}

    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}

    fn failed(&self, run: &RunLabel, error: &Error) {
        self.over(run, true, &format!("failed: {error}"));
    }

    fn finished(&self, run: &RunLabel, _: &RunResult) {
        if !is_candidate(run) {
            self.over(run, false, "was finished before");
        }
    }
}
