//! Nothing to link against: the benchmarks are in `benches/`.
