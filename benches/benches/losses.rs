//! What the TCMax loss costs beside cross-entropy of the same head: forward and backward.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tcmax_estimators::Labels;
use tcmax_fusion::HeadKind;
use tcmax_losses::Objective;
use tcmax_ops::{Init, ParamBuilder, Seed};

const WIDTH: usize = 512;

fn losses(criterion: &mut Criterion) {
    for (batch, classes) in [(32, 10), (128, 100), (512, 100), (2048, 309)] {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let head = HeadKind::Concat.build(&[WIDTH, WIDTH], classes, &builder).unwrap();
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let features: Vec<Tensor> = ["audio", "visual"]
            .map(|name| builder.param(name, (batch, WIDTH), unit).unwrap())
            .to_vec();
        let labels: Vec<u32> = (0..batch).map(|row| (row % classes) as u32).collect();
        let labels = Labels::new(&labels, classes, &Device::Cpu).unwrap();
        let mut group = criterion.benchmark_group(format!("{batch} examples, {classes} classes"));
        for objective in [Objective::Joint, Objective::Tcmax] {
            group.bench_function(BenchmarkId::from_parameter(objective), |bencher| {
                bencher.iter(|| {
                    let output = objective.loss(head.as_ref(), &features, &labels).unwrap();
                    output.loss.backward().unwrap()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, losses);
criterion_main!(benches);
