//! The memory that total correlation takes, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{Labels, TupleBound, log_mean_exp_all_tuples};
use tcmax_fusion::{FusionHead, HeadKind, HeadOptions};
use tcmax_ops::{Init, ParamBuilder, Seed};

/// The system's allocator, with live bytes and their peak.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that `work` has in use at its peak beyond those before. One measurement at a time.
fn peak_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (result, PEAK.load(Ordering::Relaxed) - before)
}

struct Setting {
    head: Box<dyn FusionHead>,
    features: Vec<Tensor>,
    labels: Labels,
}

fn setting(kind: HeadKind, batch: usize, classes: usize) -> Setting {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let head = kind.build(&[512, 512], classes, HeadOptions::default(), &builder).unwrap();
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    let features = ["a", "v"].map(|name| builder.param(name, (batch, 512), unit).unwrap()).to_vec();
    let labels: Vec<u32> = (0..batch).map(|row| (row % classes) as u32).collect();
    let labels = Labels::new(&labels, classes, &Device::Cpu).unwrap();
    Setting { head, features, labels }
}

// One test, so that nothing else allocates while it measures.
#[test]
fn exact_total_correlation_stays_small() {
    let Setting { head, features, labels } = setting(HeadKind::Film, 256, 101);
    let head = head.as_ref();
    let (bound, bytes) = peak_of(|| {
        let bound = TupleBound::new(head, &features, &head.parameters(), &labels, 2048).unwrap();
        bound.value().neg().unwrap().backward().unwrap();
        bound
    });
    let mib = bytes as f64 / f64::from(1 << 20);
    eprintln!("FiLM, 256 examples of 101 classes: {mib:.0} MiB over 65,536 pairs in chunks");
    assert!(bytes < 300_000_000, "{mib:.0} MiB");
    let joint = labels.pick(&head.scores(&features).unwrap()).unwrap().mean_all().unwrap();
    let whole = (joint - log_mean_exp_all_tuples(head, &features).unwrap()).unwrap();
    let (chunked, whole) =
        (bound.value().to_scalar::<f32>().unwrap(), whole.to_scalar::<f32>().unwrap());
    assert!((chunked - whole).abs() < 1e-4, "{chunked} in chunks, {whole} at once");

    let Setting { head, features, labels } = setting(HeadKind::Concat, 2048, 309);
    let (_, bytes) = peak_of(|| {
        let bound = tcmax_losses::tcmax(head.as_ref(), &features, &labels).unwrap();
        tcmax_ops::backward(&bound.value().neg().unwrap()).unwrap();
    });
    // M B C numbers are 5 MB, those of all pairs 5 GB. Gradients of features and weights come on top.
    let logits = 2 * 2048 * 309 * 4;
    let gradients = 2 * 4 * (2 * 2048 * 512 + 309 * 1024);
    assert!(bytes < 8 * logits + gradients, "{bytes} bytes");
}
