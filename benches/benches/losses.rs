//! What the TCMax loss costs beside cross-entropy of the same head: forward and backward.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tcmax_benches::losses::Losses;

fn losses(criterion: &mut Criterion) {
    for batch in [32, 128, 512, 2048] {
        for classes in [10, 100, 309] {
            let losses = Losses::new(batch, classes, 512).unwrap();
            let mut group =
                criterion.benchmark_group(format!("{batch} examples, {classes} classes"));
            group.bench_function(BenchmarkId::from_parameter("cross-entropy"), |bencher| {
                bencher.iter(|| losses.cross_entropy().unwrap());
            });
            group.bench_function(BenchmarkId::from_parameter("TCMax"), |bencher| {
                bencher.iter(|| losses.tcmax().unwrap());
            });
            group.bench_function(BenchmarkId::from_parameter("blend"), |bencher| {
                bencher.iter(|| losses.blend().unwrap());
            });
            group.finish();
        }
    }
}

criterion_group!(benches, losses);
criterion_main!(benches);
