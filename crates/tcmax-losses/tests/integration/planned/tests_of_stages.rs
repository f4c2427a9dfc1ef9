//! Boosting in stages: what is trained, and what is left alone.

use super::*;

fn stages() -> Table {
    let one = toml::Value::from(1);
    let names = ["boosting-epochs", "rectifying-epochs"];
    names.into_iter().map(|name| (name.to_owned(), one.clone())).collect()
}

#[test]
fn boosting_trains_one_modality_and_rectifying_all() {
    for modalities in [2, 3] {
        for reading in ["code", "paper"] {
            let mut options = stages();
            options.insert("as".to_owned(), reading.into());
            let (mut net, mut method) = net(&RECONBOOST, &options, (modalities, 1.0));
            for epoch in 0..2 * (modalities + 1) {
                method.begin_epoch(&mut All(&mut net, epoch)).unwrap();
                assert_eq!(net.forgotten, epoch, "every phase begins anew");
                let before = net.params.snapshot().unwrap();
                let (output, _) = net.step(method.as_mut(), &whole(&[0, 3, 5]), epoch);
                assert!(output.loss.value().unwrap().is_finite());
                let after = net.params.snapshot().unwrap();
                let boosted = (epoch % 2 == 0).then_some(epoch / 2 % modalities);
                for (name, tensor) in &before {
                    let changed = to_vec_f64(tensor).unwrap() != to_vec_f64(&after[name]).unwrap();
                    let wanted = match boosted {
                        _ if name.starts_with("head.") => false,
                        None => true,
                        Some(m) => {
                            name.starts_with(&format!("net{m}.")) || name.starts_with("method.phi.")
                        }
                    };
                    assert_eq!(changed, wanted, "epoch {epoch}, {reading}: {name}");
                }
            }
        }
    }
}

#[test]
fn what_the_others_know_is_not_boosted() {
    let mut options = stages();
    for (name, value) in [("rho", 1e6), ("w1", 2.0), ("w2", 2.0)] {
        options.insert(name.to_owned(), value.into());
    }
    let (net, mut method) = net(&RECONBOOST, &options, (2, 1.0));
    // Examples of which the other modality is right.
    let head = method.own_head().unwrap();
    let rows: Vec<usize> = (0..EXAMPLES).collect();
    let own = head.modality_logits(&net.features(&rows)).unwrap();
    let rho = Tensor::new(1e6, &Device::Cpu).unwrap();
    let q = to_vec_f64(&known(&own, 0, &rho, &labels(&rows)).unwrap()).unwrap();
    let known: Vec<usize> = rows.into_iter().filter(|&row| q[row] == 1.0).collect();
    assert!(!known.is_empty() && known.len() < EXAMPLES);
    let (output, handed) = net.step(method.as_mut(), &whole(&known), 0);
    assert_eq!(output.loss.value().unwrap(), 0.0);
    assert!(handed.values().flatten().all(|gradient| *gradient == 0.0));
}

#[test]
fn reconboost_predicts_with_its_own_head() {
    let (net, method) = net(&RECONBOOST, &Table::new(), (3, 1.0));
    let features = net.features(&[0, 1, 2]);
    let head = method.own_head().unwrap();
    let predicted = method.predict(net.head.as_ref(), &features).unwrap();
    assert_eq!(
        to_vec_f64(&predicted).unwrap(),
        to_vec_f64(&head.logits(&features).unwrap()).unwrap()
    );
    // Its parts are those of an additive head.
    let parts = head.parts(&features).unwrap();
    let gap = (head.combine(&parts).unwrap() - predicted).unwrap().abs().unwrap();
    assert!(to_vec_f64(&gap).unwrap().iter().all(|gap| *gap < 1e-12));
    let widths = Setup::alone(&[3, 4], CLASSES, RECONBOOST.usual_head);
    let error = RECONBOOST.build(&Table::new(), &widths).err().unwrap().to_string();
    assert!(error.contains("features of one width"), "{error}");
    let concat = Setup::alone(&[4, 4], CLASSES, &CONCAT);
    assert!(RECONBOOST.build(&Table::new(), &concat).is_err());
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (rows, modalities) in [(vec![0, 3, 3, 7], 2), (vec![0, 4, 5], 3), (vec![6], 2)] {
        let y = labels(&rows);
        for scale in [1.0, 300.0] {
            let z: Vec<Tensor> = (0..modalities)
                .map(|m| random((rows.len(), WIDTH), scale, 50 + m as u64))
                .collect();
            let widths = vec![WIDTH; modalities];
            let at = format!("{rows:?}, M = {modalities}, scale {scale}");
            let check = |what: &str, loss: &dyn Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>| {
                let passed_on =
                    |error: tcmax_losses::Error| candle_core::Error::Msg(error.to_string()).into();
                let error = gradient_error(&z, |z| loss(z).map_err(passed_on)).unwrap();
                assert!(error < LIMIT, "{what}, {at}: {error:e}");
            };
            let builder = || ParamBuilder::new(Seed::new(7), DType::F64, &Device::Cpu);
            let specific = SPECIFIC.build(&Table::new(), &widths, CLASSES, &builder()).unwrap();
            check("remix", &|z| {
                let own = &specific.modality_logits(z)?[1];
                let fused = logits_of(specific.as_ref(), z, 0b10)?;
                Ok((cross_entropy(&fused, &y)? + (cross_entropy(own, &y)? * 0.5)?)?)
            });
            // The bends of the layers between are too near each other where features are large.
            let kinds = if scale > 1.0 {
                vec![PhiKind::Linear]
            } else {
                vec![PhiKind::Linear, PhiKind::Mlp]
            };
            for kind in kinds {
                let phi = BoostedHead::new(&widths, CLASSES, (kind, 5), 0.3, &builder()).unwrap();
                // What the others know carries no gradient.
                let q = known(&phi.modality_logits(&z).unwrap(), 1, phi.rho(), &y).unwrap();
                check("boosting", &|z| {
                    boosting_loss(&phi.modality_logits(z)?[1], &q, (5.0, 1.0), &y)
                });
                check("rectifying", &|z| cross_entropy(&phi.logits(z)?, &y));
                check("alignment", &|z| {
                    let own = phi.modality_logits(z)?;
                    alignment(&own[1], &own[0], &y)
                });
            }
        }
    }
}

#[test]
fn large_logits_and_a_batch_of_one_stay_finite() {
    for spec in [&SAMPLE_VALUATION, &MODALITY_VALUATION, &REMIX, &RECONBOOST] {
        for modalities in [2, 3] {
            let (mut net, mut method) = net(spec, &Table::new(), (modalities, 1500.0));
            let rows: Vec<usize> = (0..EXAMPLES).collect();
            let head = method.own_head();
            let head = head.as_deref().unwrap_or(net.head.as_ref());
            let logits = to_vec_f64(&head.logits(&net.features(&rows)).unwrap()).unwrap();
            assert!(logits.iter().any(|logit| logit.abs() > 500.0), "{spec}");
            for epoch in [0, 4, 8, 12] {
                for example in plan_of(&mut net, method.as_mut(), epoch)
                    .map_or_else(|| whole(&[2, 9]), |plan| plan.batches.concat()[..3].to_vec())
                {
                    let before = net.params.snapshot().unwrap();
                    let (output, handed) = net.step(method.as_mut(), &[example], epoch);
                    net.params.load(&before).unwrap();
                    assert!(output.loss.value().unwrap().is_finite(), "{spec}, epoch {epoch}");
                    let all_finite = handed.values().flatten().all(|value| value.is_finite());
                    assert!(all_finite, "{spec}, epoch {epoch}");
                }
            }
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let refused = |spec: &'static MethodSpec, option: &str, value: toml::Value| {
        let setup = Setup::alone(&[4, 4], CLASSES, spec.usual_head);
        let options = Table::from_iter([(option.to_owned(), value)]);
        let error = spec.build(&options, &setup).err().unwrap().to_string();
        assert!(error.contains(option), "{error}");
    };
    refused(&MODALITY_VALUATION, "alpha", (-1.0).into());
    refused(&REMIX, "gamma", f64::NAN.into());
    refused(&REMIX, "warm-up-weight", (-0.5).into());
    refused(&RECONBOOST, "rho", 0.0.into());
    refused(&RECONBOOST, "boosting-epochs", 0.into());
    refused(&RECONBOOST, "hidden", 0.into());
    refused(&RECONBOOST, "w1", f64::INFINITY.into());
}
