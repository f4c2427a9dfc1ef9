//! How far work on clips is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tcmax_media::PrepareProgress;

use crate::progress::say;

/// Time between two lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows the preparation or check of clips, with rate and time left.
pub struct PrepareBar {
    work: &'static str,
    things: &'static str,
    state: Mutex<Option<State>>,
}

struct State {
    bar: Option<ProgressBar>,
    began: Instant,
    told: Instant,
    /// Clips that were there before this run.
    before: usize,
    done: usize,
    total: usize,
}

impl PrepareBar {
    /// A bar when standard error is a terminal, lines elsewhere.
    pub fn new() -> Self {
        Self::showing("preparing", "clips")
    }

    /// The same for other work on other things, such as "checking" of "shards".
    pub fn showing(work: &'static str, things: &'static str) -> Self {
        Self { work, things, state: Mutex::default() }
    }
}

impl Default for PrepareBar {
    fn default() -> Self {
        Self::new()
    }
}

impl PrepareProgress for PrepareBar {
    fn started(&self, done: usize, total: usize) {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(total as u64));
        if let Some(bar) = &bar {
            let (work, things) = (self.work, self.things);
            let template = "{wide_bar} {pos}/{len} ";
            let template = format!("{work} {template}{things} {{per_sec}} {{eta}} left");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_position(done as u64);
            bar.reset_eta();
        } else {
            let from = if done > 0 { format!(", {done} are there") } else { String::new() };
            say(&format!("{} {total} {}{from}", self.work, self.things));
        }
        let now = Instant::now();
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(State { bar, began: now, told: now, before: done, done, total });
    }

    fn clip(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state.as_mut() else { return };
        state.done += 1;
        match &state.bar {
            Some(bar) => bar.inc(1),
            None if state.told.elapsed() >= BETWEEN_LINES => {
                state.told = Instant::now();
                say(&state.line(self.things));
            }
            None => {}
        }
    }

    fn finished(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bar) = state.and_then(|state| state.bar) {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn line(&self, things: &str) -> String {
        let rate = (self.done - self.before) as f64 / self.began.elapsed().as_secs_f64();
        let left = (self.total.saturating_sub(self.done)) as f64 / rate.max(1e-9);
        format!("{}/{} {things}, {rate:.1} a second, {left:.0} s left", self.done, self.total)
    }
}
