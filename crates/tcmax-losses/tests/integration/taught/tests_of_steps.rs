//! Whole steps: finite, and what they hand over.

use super::*;

/// Every method in every phase, on ordinary and on large features, of several examples and of one.
#[test]
fn every_step_is_finite() {
    for (spec, modalities) in [
        (&UMT, 2),
        (&UMT, 3),
        (&G2D, 2),
        (&G2D, 3),
        (&LFM, 2),
        (&LFM, 3),
        (&DIAGNOSE_RELEARN, 2),
        (&DIAGNOSE_RELEARN, 3),
        (&DI_MML, 2),
        (&MCR, 2),
        (&MCR, 3),
    ] {
        let mut world = World::new(modalities, spec.usual_head);
        let mut method = world.method(spec, Table::new());
        for epoch in [0, 1, 2, 3, EPOCHS - 1] {
            world.begin(method.as_mut(), epoch).unwrap();
            for rows in [1, 5] {
                for scale in [1.0, 500.0] {
                    let taught = lesson(modalities, rows, scale);
                    let (output, handed) =
                        world.step(method.as_mut(), (rows, scale), Some(&taught)).unwrap();
                    let what = format!("{spec}, M = {modalities}, {epoch}, B = {rows}, {scale}");
                    assert!(
                        output.loss.value().unwrap().is_finite(),
                        "{what}: {}",
                        output.loss.value().unwrap()
                    );
                    assert!(output.metrics.iter().all(|(_, value)| value.is_finite()), "{what}");
                    assert!(!handed.is_empty(), "{what}");
                    for (name, gradient) in &handed {
                        assert!(gradient.iter().all(|x| x.is_finite()), "{what}: {name}");
                    }
                    let z = world.features(rows, scale);
                    let predicted = method.predict(world.head.as_ref(), &z).unwrap();
                    assert!(
                        to_vec_f64(&predicted).unwrap().iter().all(|x| x.is_finite()),
                        "{what}"
                    );
                }
            }
        }
    }
}

/// Steps whose gradients are those of the loss that they report, with respect to every parameter.
#[test]
fn steps_report_the_loss_whose_gradients_they_hand_over() {
    for (spec, options) in [
        (&UMT, Table::new()),
        (&G2D, toml::toml! { waiting-epochs = 0 temperature = 2.0 }),
        (&LFM, Table::new()),
        (&LFM, toml::toml! { as = "paper" fused = "head" }),
        (&DIAGNOSE_RELEARN, Table::new()),
    ] {
        for (modalities, rows) in [(2, 5), (3, 5), (2, 1)] {
            let mut world = World::new(modalities, spec.usual_head);
            let mut method = world.method(spec, options.clone());
            for epoch in 0..=2 {
                world.begin(method.as_mut(), epoch).unwrap();
            }
            let taught = lesson(modalities, rows, 1.0);
            let of =
                |method: &mut dyn Method| world.step(method, (rows, 1.0), Some(&taught)).unwrap();
            let (_, handed) = of(method.as_mut());
            for (name, gradient) in handed {
                let (_, var) = world.params.trainable().find(|(own, _)| *own == name).unwrap();
                let kept = var.as_detached_tensor().copy().unwrap();
                for entry in [0, var.elem_count() - 1] {
                    let mut at = |shift: f64| {
                        let mut values = to_vec_f64(&kept).unwrap();
                        values[entry] += shift;
                        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap())
                            .unwrap();
                        of(method.as_mut()).0.loss.value().unwrap()
                    };
                    let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                    var.set(&kept).unwrap();
                    let error = (gradient[entry] - numeric).abs() / numeric.abs().max(1.0);
                    assert!(error < LIMIT, "{spec}, {name}: {error:e}");
                }
            }
        }
    }
}
