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

    let Setting { head, features, labels } = setting(&CONCAT, 2048, 1000);
    let head = head.as_ref();
    let bytes_of = |loss: &dyn Fn() -> tcmax_losses::Result<Tensor>| {
        counting::measure(|| tcmax_ops::backward(&loss().unwrap()).map(drop).unwrap()).1
    };
    let cross_entropy =
        bytes_of(&|| tcmax_losses::cross_entropy(&head.logits(&features).unwrap(), &labels));
    let tcmax = bytes_of(&|| tcmax_losses::tcmax(head, &features, &labels));
    let blend = bytes_of(&|| {
        let bound = Bound::new(head, &features, &labels, Reference::all())?;
        Ok(bound.blended(0.1)?.neg()?)
    });
    let over = [tcmax, blend].map(|bytes| bytes as f64 / cross_entropy as f64);
    eprintln!(
        "2,048 examples of 1,000 classes: {cross_entropy} bytes of cross-entropy; TCMax, blend: {over:?}"
    );
    assert!(over.iter().all(|over| *over <= 1.2), "{over:?}");
}
