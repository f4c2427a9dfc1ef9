//! The memory that total correlation takes, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{Bound, Labels, Reference};
use tcmax_fusion::{CONCAT, FILM, FusionHead, HeadSpec};
use tcmax_ops::{Init, ParamBuilder, Seed};
use tcmax_registry::Table;

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

fn setting(kind: &'static HeadSpec, batch: usize, classes: usize) -> Setting {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let head = kind.build(&Table::new(), &[512, 512], classes, &builder).unwrap();
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    let features = ["a", "v"].map(|name| builder.param(name, (batch, 512), unit).unwrap()).to_vec();
    let labels: Vec<u32> = (0..batch).map(|row| (row % classes) as u32).collect();
    let labels = Labels::new(&labels, classes, &Device::Cpu).unwrap();
    Setting { head, features, labels }
}

// One test, so that nothing else allocates while it measures.
#[test]
fn exact_total_correlation_stays_small() {
    let Setting { head, features, labels } = setting(&FILM, 256, 101);
    let head = head.as_ref();
    let (loss, bytes) = peak_of(|| {
        let loss = tcmax_losses::tcmax(head, &features, &labels).unwrap();
        loss.backward().unwrap();
        loss
    });
    let mib = bytes as f64 / f64::from(1 << 20);
    eprintln!("FiLM, 256 examples of 101 classes: {mib:.0} MiB over 65,536 pairs in chunks");
    assert!(bytes < 300_000_000, "{mib:.0} MiB");
    let reference = Reference::all().in_chunks_of(usize::MAX);
    let whole = Bound::new(head, &features, &labels, &reference).unwrap().nats().unwrap();
    let chunked = -f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((chunked - whole).abs() < 1e-4, "{chunked} in chunks, {whole} at once");

    let Setting { head, features, labels } = setting(&CONCAT, 2048, 309);
    let (_, bytes) = peak_of(|| {
        let loss = tcmax_losses::tcmax(head.as_ref(), &features, &labels).unwrap();
        tcmax_ops::backward(&loss).unwrap();
    });
    // M B C numbers are 5 MB, those of all pairs 5 GB. Gradients of features and weights come on top.
    let logits = 2 * 2048 * 309 * 4;
    let gradients = 2 * 4 * (2 * 2048 * 512 + 309 * 1024);
    assert!(bytes < 8 * logits + gradients, "{bytes} bytes");
}
