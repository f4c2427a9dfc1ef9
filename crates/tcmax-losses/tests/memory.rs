//! The memory that total correlation takes, counted by the allocator.

#[path = "../../tcmax-data/tests/counting/mod.rs"]
mod counting;

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{Bound, Labels, Reference};
use tcmax_fusion::{CONCAT, FILM, FusionHead, HeadSpec};
use tcmax_ops::{Init, ParamBuilder, Seed};
use tcmax_registry::Table;

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
    let (loss, bytes) = counting::measure(|| {
        let loss = tcmax_losses::tcmax(head, &features, &labels).unwrap();
        loss.backward().unwrap();
        loss
    });
    let mib = bytes as f64 / f64::from(1 << 20);
    eprintln!("FiLM, 256 examples of 101 classes: {mib:.0} MiB over 65,536 pairs in chunks");
    assert!(bytes < 300_000_000, "{mib:.0} MiB");
    let reference = Reference::all().in_chunks_of(usize::MAX);
    let whole = Bound::new(head, &features, &labels, reference).unwrap().nats().unwrap();
    let chunked = -f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((chunked - whole).abs() < 1e-4, "{chunked} in chunks, {whole} at once");

    let Setting { head, features, labels } = setting(&CONCAT, 2048, 309);
    let (_, bytes) = counting::measure(|| {
        let loss = tcmax_losses::tcmax(head.as_ref(), &features, &labels).unwrap();
        tcmax_ops::backward(&loss).unwrap();
    });
    // M B C numbers are 5 MB, those of all pairs 5 GB. Gradients of features and weights come on top.
    let logits = 2 * 2048 * 309 * 4;
    let gradients = 2 * 4 * (2 * 2048 * 512 + 309 * 1024);
    assert!(bytes < 8 * logits + gradients, "{bytes} bytes");
}
