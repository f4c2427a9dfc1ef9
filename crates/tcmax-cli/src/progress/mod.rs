//! How long work is shown: bars on a terminal, plain lines elsewhere, on standard error.

mod clips;
mod pace;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tcmax_datasets::fetch::DownloadProgress;
use tcmax_train::results::{EpochRecord, Metric, RunResult, StepRecord};
use tcmax_train::{Error, Observer, RunLabel};

pub use clips::PrepareBar;
pub use pace::{Pace, rough_minutes};

static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on nothing is printed by this process: of several that do one command together, the first one speaks.
pub(crate) fn be_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Whether nothing is printed.
pub(crate) fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// Prints one line on standard error. Where that cannot be written to, a log on a full disk, work goes on
/// without a word: results do not depend on it.
pub fn say(line: &str) {
    if is_silent() {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Shows training runs.
pub struct TrainingProgress {
    bars: Option<MultiProgress>,
    runs: Mutex<HashMap<RunLabel, ProgressBar>>,
    /// Notes that have been printed: every run has the same.
    noted: Mutex<HashSet<String>>,
}

impl TrainingProgress {
    /// Bars when standard error is a terminal, one line per epoch elsewhere.
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, runs: Mutex::default(), noted: Mutex::default() }
    }

    /// Prints one line, above the bars if there are any.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(text)),
            None => say(text),
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunLabel, ProgressBar>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TrainingProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for TrainingProgress {
    fn started(&self, run: &RunLabel, epochs: usize, batches: usize, done: usize) {
        let name = run.to_string();
        let Some(bars) = &self.bars else {
            let from =
                if done > 0 { format!(", going on after epoch {done}") } else { String::new() };
            say(&format!("{name}: {epochs} epochs of {batches} batches{from}"));
            return;
        };
        let bar = bars.add(ProgressBar::new((epochs * batches) as u64));
        let template = "{prefix:<24} {wide_bar} {percent:>3}% {eta:>4}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name);
        bar.set_position((done * batches) as u64);
        bar.reset_eta();
        self.runs().insert(run.clone(), bar);
    }

    fn note(&self, _: &RunLabel, text: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.insert(text.to_owned()) {
            self.line(&format!("note: {text}"));
        }
    }

    fn step(&self, run: &RunLabel, record: &StepRecord) {
        if let Some(bar) = self.runs().get(run) {
            // A method may plan longer epochs than were announced.
            let length = bar.length().unwrap_or(0).max(record.step as u64);
            bar.set_length(length);
            bar.set_position(record.step as u64);
        }
    }

    fn epoch(&self, run: &RunLabel, record: &EpochRecord) {
        match self.runs().get(run) {
            Some(bar) => bar.set_message(figures(record)),
            None => say(&format!(
                "{run} epoch {}: {}, {:.1} s",
                record.epoch,
                figures(record),
                record.seconds
            )),
        }
    }

    fn failed(&self, run: &RunLabel, error: &Error) {
        if let Some(bar) = self.runs().remove(run) {
            bar.finish_and_clear();
        }
        self.line(&format!("{run}: failed: {error}"));
    }

    fn finished(&self, run: &RunLabel, result: &RunResult) {
        let metric = result.test.metric();
        let text = format!(
            "{run}: test {} {} (weights of epoch {}), {:.1} s",
            metric.name(),
            metric.text(result.test.score(), 1),
            result.best_epoch,
            result.seconds
        );
        if let Some(bar) = self.runs().remove(run) {
            bar.finish_and_clear();
        }
        // The line above the bars stays; a bar that is gone cannot be printed twice.
        self.line(&text);
    }
}

/// Loss, accuracies and the bound of an epoch, in few words.
fn figures(record: &EpochRecord) -> String {
    let mut text = format!("loss {:.3}", record.train_loss);
    if !record.train_accuracy.is_nan() {
        text += &format!(", train {:.1} %", 100.0 * record.train_accuracy);
    }
    if let Some(validation) = &record.validation {
        let name = match validation.metric() {
            Metric::Accuracy => String::new(),
            metric => format!("{} ", metric.name()),
        };
        text += &format!(", val {name}{}", validation.metric().text(validation.score(), 1));
        let bound = validation.total_correlation;
        text += &bound.map_or(String::new(), |nats| format!(", val TC >= {nats:.2} nats"));
    }
    text
}

/// Shows downloads.
pub struct DownloadBar {
    bar: RefCell<Option<ProgressBar>>,
}

impl DownloadBar {
    /// A bar when standard error is a terminal, one line per file elsewhere.
    pub fn new() -> Self {
        Self { bar: RefCell::new(None) }
    }
}

impl Default for DownloadBar {
    fn default() -> Self {
        Self::new()
    }
}

impl DownloadProgress for DownloadBar {
    fn started(&self, name: &str, done: u64, total: Option<u64>) {
        if !std::io::stderr().is_terminal() {
            let size = total.map_or(String::new(), |bytes| format!(" ({bytes} bytes)"));
            say(&format!("downloading {name}{size}"));
            return;
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        bar.set_position(done);
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.borrow_mut() = Some(bar);
    }

    fn received(&self, bytes: u64) {
        if let Some(bar) = self.bar.borrow().as_ref() {
            bar.inc(bytes);
        }
    }

    fn finished(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
