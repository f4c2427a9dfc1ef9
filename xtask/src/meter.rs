//! What a training step costs: its time, and the bytes in use at its peak.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};
use tcmax_train::results::{EpochRecord, RunResult, StepCost, StepRecord};
use tcmax_train::{Error, Observer, RunLabel};

thread_local! {
    /// Bytes that this thread has allocated and not freed. What other threads free stays counted,
    /// and what they allocated is subtracted: only differences over a while mean anything.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// The largest value of it since the last reset.
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// mimalloc, with the bytes of each thread counted.
pub struct Counting;

impl Counting {
    fn count(bytes: i64) {
        let live = LIVE.get() + bytes;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
    }
}

// SAFETY: every call is handed on to mimalloc unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as i64));
        // SAFETY: as above; the pointer came from mimalloc.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

/// Measures the steps of the runs it observes, and passes everything on.
///
/// Runs are observed on the thread that trains them, one at a time.
pub struct Meter<O> {
    inner: O,
    runs: Mutex<HashMap<RunLabel, Steps>>,
}

/// What the steps of a method have cost from one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedCost {
    /// Seconds of the median step.
    pub seconds: f64,
    /// The largest peak, bytes.
    pub peak_bytes: u64,
}

#[derive(Default)]
struct Steps {
    /// When the last step ended; absent at the start of an epoch, whose first step is not counted.
    last: Option<Instant>,
    /// [`LIVE`] when the last step ended: the batch itself comes from another thread.
    before: i64,
    seconds: Vec<f64>,
    peak: i64,
}

impl<O: Observer> Meter<O> {
    /// A meter in front of another observer.
    pub fn new(inner: O) -> Self {
        Self { inner, runs: Mutex::default() }
    }

    /// What a step of a method has cost: the median time over all runs and of each, and the largest
    /// peak.
    pub fn cost(&self, method: &str) -> Option<StepCost> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_method: Vec<(&RunLabel, &Steps)> =
            runs.iter().filter(|(label, _)| label.method == method).collect();
        of_method.sort_by_key(|(label, _)| label.seed);
        let (mut all, mut medians, mut peak) = (Vec::new(), Vec::new(), 0);
        for (_, steps) in of_method {
            medians.push(median(steps.seconds.clone())?);
            all.extend(&steps.seconds);
            peak = peak.max(steps.peak);
        }
        let peak_bytes = u64::try_from(peak).ok()?;
        Some(StepCost { seconds: median(all)?, runs: medians, peak_bytes })
    }

    /// What the steps of each method and seed have cost, those of all candidates of a run together.
    pub fn by_seed(&self) -> BTreeMap<(String, u64), SeedCost> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: BTreeMap<(String, u64), (Vec<f64>, i64)> = BTreeMap::new();
        for (label, steps) in runs.iter() {
            // The name of a candidate follows that of the method.
            let method = label.method.split(", ").next().unwrap_or_default();
            let (seconds, peak) = all.entry((method.to_owned(), label.seed)).or_default();
            seconds.extend(&steps.seconds);
            *peak = (*peak).max(steps.peak);
        }
        let cost = |(key, (seconds, peak))| {
            let peak_bytes = u64::try_from(peak).ok()?;
            Some((key, SeedCost { seconds: median(seconds)?, peak_bytes }))
        };
        all.into_iter().filter_map(cost).collect()
    }

    fn with(&self, run: &RunLabel, change: impl FnOnce(&mut Steps)) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        change(runs.entry(run.clone()).or_default());
    }
}

/// The middle one of some values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl<O: Observer> Observer for Meter<O> {
    fn started(&self, run: &RunLabel, epochs: usize, batches: usize, done: usize) {
        self.inner.started(run, epochs, batches, done);
    }

    fn note(&self, run: &RunLabel, text: &str) {
        self.inner.note(run, text);
    }

    fn step(&self, run: &RunLabel, record: &StepRecord) {
        self.with(run, |steps| {
            if let Some(last) = steps.last {
                steps.seconds.push(last.elapsed().as_secs_f64());
                steps.peak = steps.peak.max(PEAK.get() - steps.before);
            }
        });
        self.inner.step(run, record);
        PEAK.set(LIVE.get());
        self.with(run, |steps| {
            steps.before = LIVE.get();
            steps.last = Some(Instant::now());
        });
    }

    fn epoch(&self, run: &RunLabel, record: &EpochRecord) {
        self.inner.epoch(run, record);
        self.with(run, |steps| steps.last = None);
    }

    fn ends_after(&self, run: &RunLabel, record: &EpochRecord) -> bool {
        self.inner.ends_after(run, record)
    }

    fn failed(&self, run: &RunLabel, error: &Error) {
        self.inner.failed(run, error);
    }

    fn finished(&self, run: &RunLabel, result: &RunResult) {
        self.inner.finished(run, result);
    }
}
