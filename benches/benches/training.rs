//! Every operation and whole training step of this package, one benchmark each.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{Criterion, criterion_group, criterion_main};
use tcmax_benches::CASES;

/// The allocator of the binaries.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn training(criterion: &mut Criterion) {
    for case in CASES {
        let mut work = case.prepare().unwrap();
        let name = format!("{}: {}", case.name, case.title);
        criterion.bench_function(&name, |bencher| bencher.iter(|| work().unwrap()));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = training
}
criterion_main!(benches);
