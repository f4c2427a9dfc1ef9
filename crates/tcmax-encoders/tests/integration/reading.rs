//! Features that are only read are those that are computed with a graph.

use candle_core::DType;
use tcmax_encoders::ENCODERS;
use tcmax_ops::{only_reading, to_vec_f64};

use crate::every_encoder::{build, examples, shapes};

#[test]
fn every_encoder_reads_what_it_computes_in_evaluation() {
    for spec in ENCODERS {
        for (kind, shape) in shapes(spec) {
            let input = examples(kind, &shape, DType::F32);
            let (encoder, params) = build(spec, kind, &shape, DType::F32);
            let computed = encoder.encode(&input, false).unwrap();
            let read = only_reading(|| encoder.encode(&input, false)).unwrap();
            assert_eq!(to_vec_f64(&read).unwrap(), to_vec_f64(&computed).unwrap(), "{spec:?}");
            let is_trained = params.num_trainable() > 0;
            assert_eq!(computed.track_op(), is_trained, "{spec:?}: evaluation outside of it");
        }
    }
}
