//! What the TCMax loss costs beside cross-entropy of the same head: forward and backward.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tcmax_estimators::Labels;
use tcmax_fusion::{HeadKind, HeadOptions};
use tcmax_losses::{cross_entropy, tcmax};
use tcmax_ops::{Init, ParamBuilder, Seed};

const WIDTH: usize = 512;

fn losses(criterion: &mut Criterion) {
    let sizes = [32, 128, 512, 2048].into_iter().flat_map(|b| [10, 100, 309].map(|c| (b, c)));
    for (batch, classes) in sizes {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let head = HeadKind::Concat
            .build(&[WIDTH, WIDTH], classes, HeadOptions::default(), &builder)
            .unwrap();
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let features: Vec<Tensor> = ["audio", "visual"]
            .map(|name| builder.param(name, (batch, WIDTH), unit).unwrap())
            .to_vec();
        let labels: Vec<u32> = (0..batch).map(|row| (row % classes) as u32).collect();
        let labels = Labels::new(&labels, classes, &Device::Cpu).unwrap();
        let mut group = criterion.benchmark_group(format!("{batch} examples, {classes} classes"));
        group.bench_function(BenchmarkId::from_parameter("cross-entropy"), |bencher| {
            bencher.iter(|| {
                let logits = head.logits(&features).unwrap();
                cross_entropy(&logits, &labels).unwrap().backward().unwrap()
            });
        });
        group.bench_function(BenchmarkId::from_parameter("TCMax"), |bencher| {
            bencher.iter(|| {
                let bound = tcmax(head.as_ref(), &features, &labels).unwrap();
                bound.value().neg().unwrap().backward().unwrap()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, losses);
criterion_main!(benches);
