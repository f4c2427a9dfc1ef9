//! One training step (forward, backward, SGD) of the default encoders on a batch of 32.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use tcmax_encoders::{Encoder, ResNet, ResNetConfig, Stem};
use tcmax_ops::{ParamBuilder, Seed, Sgd, SgdConfig};

fn step(criterion: &mut Criterion, name: &str, config: &ResNetConfig, shape: &[usize]) {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let encoder = ResNet::new(config, &builder).unwrap();
    let settings = SgdConfig { learning_rate: 1e-3, momentum: 0.9, weight_decay: 1e-4 };
    let mut sgd = Sgd::new(&builder.params(), settings).unwrap();
    let input = Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let features = encoder.encode(&input, true).unwrap();
            let loss = features.sqr().unwrap().mean_all().unwrap();
            sgd.step(&loss.backward().unwrap()).unwrap();
        });
    });
}

fn training(criterion: &mut Criterion) {
    let audio = ResNetConfig::slim(1, Stem::Conv7x7, 8);
    step(criterion, "slim ResNet, spectrograms 129 x 51", &audio, &[32, 1, 129, 51]);
    let visual = ResNetConfig::slim(1, Stem::Conv3x3, 8);
    step(criterion, "slim ResNet, images 28 x 28", &visual, &[32, 1, 28, 28]);
    let resnet18 = ResNetConfig::resnet18(3, Stem::Conv3x3);
    step(criterion, "ResNet-18, images 32 x 32", &resnet18, &[32, 3, 32, 32]);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = training
}
criterion_main!(benches);
