//! How long a comparison will take yet.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{Observer, RunLabel};

use super::TrainingProgress;

/// Epochs after which a first estimate is made.
const FIRST: usize = 4;

/// Says after some epochs and after every finished run how long the others will take, and passes everything on.
pub struct Pace {
    inner: TrainingProgress,
    runs: usize,
    epochs: usize,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    runs: usize,
    /// Epochs finished by this process.
    epochs: usize,
    /// Epochs that earlier processes finished.
    before: usize,
    /// Whether a first estimate was said.
    told: bool,
}

impl Pace {
    /// For so many runs with so many epochs in all.
    pub fn new(inner: TrainingProgress, runs: usize, epochs: usize) -> Self {
        let state = State { began: Instant::now(), runs: 0, epochs: 0, before: 0, told: false };
        Self { inner, runs, epochs, state: Mutex::new(state) }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    /// After a finished run of some.
    fn line(&self, runs: usize, epochs: usize, elapsed: f64) -> String {
        let left = epochs.saturating_sub(self.epochs + self.before);
        let done = format!("{} of {runs} runs are done", self.runs);
        if self.epochs == 0 || left == 0 {
            return done;
        }
        let seconds = elapsed / self.epochs as f64 * left as f64;
        format!("{done}; about {} left", rough_minutes(seconds))
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
        self.change(|state| state.before += done);
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
            state.epochs += 1;
            let elapsed = state.began.elapsed().as_secs_f64();
            if state.runs == 0 && state.epochs >= FIRST && !std::mem::replace(&mut state.told, true)
            {
                let left = self.epochs.saturating_sub(state.epochs + state.before);
                let seconds = elapsed / state.epochs as f64 * left as f64;
                self.inner.line(&format!("about {} in all from here", rough_minutes(seconds)));
            }
        });
    }

    fn finished(&self, run: &RunLabel, result: &RunResult) {
        self.inner.finished(run, result);
        self.change(|state| {
            state.runs += 1;
            let elapsed = state.began.elapsed().as_secs_f64();
            self.inner.line(&state.line(self.runs, self.epochs, elapsed));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_the_pace_of_this_process() {
        let state = State { began: Instant::now(), runs: 2, epochs: 20, before: 20, told: true };
        assert_eq!(state.line(5, 100, 120.0), "2 of 5 runs are done; about 6 minutes left");
        let last = State { runs: 5, epochs: 80, ..state };
        assert_eq!(last.line(5, 100, 120.0), "5 of 5 runs are done");
        assert_eq!(rough_minutes(20.0), "a minute");
        assert_eq!(rough_minutes(8_000.0), "2.2 hours");
    }
}
