//! Methods refuse what they are not defined for when they are made, and change the gradients that they
//! say they change.

use std::ops::Deref;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{FusionHead, SHARED};
use tcmax_losses::methods::mla::{Mla, MlaOptions, Projection, Projector};
use tcmax_losses::methods::ogm::{Ogm, OgmOptions};
use tcmax_losses::methods::opm::{Opm, OpmOptions};
use tcmax_losses::methods::pmr::{Pmr, PmrOptions};
use tcmax_losses::{Clock, Error, Method, ParameterGroups, Setup, Spread, Step};
use tcmax_ops::{Branches, Init, ParamBuilder, Seed};
use tcmax_registry::Table;

use crate::wrapped::Wrapped;

fn setup(widths: &[usize]) -> Setup {
    Setup { examples: 4, epochs: 2, ..Setup::alone(widths, 2, &SHARED) }
}

#[test]
fn methods_for_two_modalities_are_not_made_for_others() {
    for widths in [&[3][..], &[3, 3, 3]] {
        let setup = setup(widths);
        let made = [
            Ogm::new(OgmOptions::default(), false, &setup).map(drop),
            Ogm::new(OgmOptions::default(), true, &setup).map(drop),
            Opm::new(OpmOptions::default(), &setup).map(drop),
            Pmr::new(PmrOptions::default(), &setup).map(drop),
        ];
        for made in made {
            let error = made.unwrap_err();
            let got = widths.len();
            assert!(
                matches!(error, Error::NeedsTwoModalities { got: g, .. } if g == got),
                "{error}"
            );
        }
    }
    let unequal = Mla::new(MlaOptions::default(), &setup(&[3, 4])).unwrap_err();
    assert!(matches!(unequal, Error::UnequalWidths { .. }), "{unequal}");
    let one = Mla::new(MlaOptions::default(), &setup(&[3])).unwrap_err();
    assert!(matches!(one, Error::NeedsSeveralModalities { got: 1, .. }), "{one}");
}

/// A head that hands out copies of its weight.
struct Copying(Box<dyn FusionHead>);

impl Deref for Copying {
    type Target = dyn FusionHead;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl FusionHead for Wrapped<Copying> {
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.0.modality_logits(features)
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        let Some(vectors) = self.0.class_vectors()? else { return Ok(None) };
        let copies = vectors.iter().map(Tensor::copy);
        Ok(Some(copies.collect::<candle_core::Result<_>>()?))
    }
}

/// The gradients of the head's weight in each update of two steps on the same batch.
fn head_gradients(
    projection: Projection,
    copies: bool,
) -> tcmax_losses::Result<(Vec<Tensor>, [Tensor; 2])> {
    let device = &Device::Cpu;
    let builder = ParamBuilder::new(Seed::new(1), DType::F64, device);
    let mut head = SHARED.build(&Table::new(), &[3, 3], 2, &builder).unwrap();
    let weight = head.class_vectors()?.unwrap()[0].clone();
    if copies {
        head = Box::new(Wrapped(Copying(head)));
    }
    let unit = Init::Normal { mean: 0.5, std: 1.0 };
    let features = [0, 1]
        .map(|m| unit.tensor(&(4, 3).into(), Seed::new(2).index(m), DType::F64, device).unwrap());
    let labels = Labels::new(&[0, 1, 1, 0], 2, device)?;
    let mut method = Mla::new(MlaOptions { projection }, &setup(&[3, 3]))?;
    let mut found = Vec::new();
    for _ in 0..2 {
        method.step(&mut Step {
            head: head.as_ref(),
            features: &features,
            branches: &Branches::default(),
            labels: &labels,
            rows: &[0, 1, 2, 3],
            only: &[],
            taught: None,
            groups: &ParameterGroups::default(),
            clock: Clock { epoch: 0, epochs: 1, batch: 0, batches: 2 },
            seed: Seed::new(0),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                found.push(gradients.get(&weight).unwrap().clone());
                Ok(())
            },
        })?;
    }
    Ok((found, features))
}

#[test]
fn mla_projects_the_gradient_of_the_head() {
    let (plain, features) = head_gradients(Projection::None, false).unwrap();
    let (projected, _) = head_gradients(Projection::Normalised, false).unwrap();
    // Nothing is updated, so both see the same gradients; the first is never projected.
    let mut projector = Projector::new(3, Projection::Normalised).unwrap();
    assert_eq!(plain.len(), 4);
    for (update, (plain, projected)) in plain.iter().zip(&projected).enumerate() {
        let mut wanted = plain.clone();
        if update > 0 {
            projector.update(&features[update % 2], 0.0).unwrap();
            wanted = projector.project(plain).unwrap();
            assert_ne!(plain.to_vec2::<f64>().unwrap(), projected.to_vec2::<f64>().unwrap());
        }
        assert_eq!(wanted.to_vec2::<f64>().unwrap(), projected.to_vec2::<f64>().unwrap());
    }
}

#[test]
fn mla_does_not_go_on_without_its_projection() {
    let error = head_gradients(Projection::Normalised, true).unwrap_err();
    assert!(matches!(error, Error::NoHeadGradient { modality: 1, .. }), "{error}");
    head_gradients(Projection::None, true).unwrap();
}
