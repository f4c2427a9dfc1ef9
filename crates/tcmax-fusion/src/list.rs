//! The list of heads.

use tcmax_registry::Catalogue;

use crate::bi_gated::BI_GATED;
use crate::clip::CLIP;
use crate::concat::CONCAT;
use crate::film::{FILM, FILM_REVERSED};
use crate::gated::{GATED, GATED_REVERSED};
use crate::shared::SHARED;
use crate::spec::HeadSpec;
use crate::specific::SPECIFIC;
use crate::sum::SUM;

/// The built-in heads, in the order to list them.
pub static HEADS: [&HeadSpec; 10] = [
    &CONCAT,
    &SUM,
    &SHARED,
    &CLIP,
    &SPECIFIC,
    &FILM,
    &FILM_REVERSED,
    &GATED,
    &GATED_REVERSED,
    &BI_GATED,
];

/// A catalogue of the built-in heads, to which others can be added.
pub fn heads() -> Catalogue<HeadSpec> {
    Catalogue::new("fusion head", &HEADS)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use tcmax_ops::{ParamBuilder, Seed, to_vec_f64};
    use tcmax_registry::Table;

    use super::*;

    #[test]
    fn logits_computed_together_are_those_computed_apart() {
        let z = [(); 2].map(|()| Tensor::randn(0f64, 1f64, (5, 6), &Device::Cpu).unwrap());
        for spec in HEADS {
            let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
            let head = spec.build(&Table::new(), &[6, 6], 3, &builder).unwrap();
            let (fused, own) = head.all_logits(&z).unwrap();
            let apart = [vec![head.logits(&z).unwrap()], head.modality_logits(&z).unwrap()];
            let together = [vec![fused], own].concat();
            assert_eq!(together.len(), 3, "{}", spec.name);
            for (together, apart) in together.iter().zip(apart.concat()) {
                assert_eq!(together.dims(), [5, 3], "{}", spec.name);
                let apart = to_vec_f64(&apart).unwrap();
                assert_eq!(to_vec_f64(together).unwrap(), apart, "{}", spec.name);
            }
            let (fused, own) = head.logits_and_readings(&z).unwrap();
            assert!(fused.track_op(), "{}", spec.name);
            for (number, read) in [vec![fused], own].concat().iter().enumerate() {
                let together = to_vec_f64(&together[number]).unwrap();
                assert_eq!(to_vec_f64(read).unwrap(), together, "{}", spec.name);
                let is_read = number > 0 && !head.is_additive();
                assert!(!(is_read && read.track_op()), "{} keeps a graph", spec.name);
            }
        }
    }
}
