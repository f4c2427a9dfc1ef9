//! Losses and steps of all of them.

use super::*;

#[test]
fn losses_have_the_gradients_of_their_values() {
    for modalities in [2, 3] {
        for (own, labels) in logits(modalities) {
            let labels = &labels;
            check(&own, "AMCo", |own| {
                let dependent: Vec<bool> = (0..modalities).map(|m| m == 1).collect();
                let own = masked_logits(own, &[1.0, 0.0, 1.0], &dependent)?;
                let sum = tcmax_ops::sum_of(&own)?;
                let mut loss = cross_entropy(&sum, labels)?;
                for logits in &own {
                    loss = (loss + cross_entropy(logits, labels)?)?;
                }
                Ok(loss)
            });
            let confidences: Vec<Tensor> = (0..modalities)
                .map(|m| Tensor::full(0.3 + 0.1 * m as f64, labels.len(), &Device::Cpu).unwrap())
                .collect();
            let logs: Vec<Vec<f64>> =
                confidences.iter().map(|c| values(c).iter().map(|c| c.ln()).collect()).collect();
            let inputs: Vec<Tensor> = own.iter().chain(&confidences).cloned().collect();
            check(&inputs, "PDF", |x| {
                let (own, confidences) = x.split_at(modalities);
                let fused = pdf::mixed(own, &pdf::weights(&logs, None))?;
                pdf::losses(&fused, own, confidences, labels, RegressionTarget::Live)?.total()
            });
            // Without the gradient of what the learners before the last know, which is a constant.
            let known = Boosted::new(&own).unwrap().parts(labels).unwrap();
            assert!(known.iter().all(|part| to_scalar_f64(part).unwrap().is_finite()));
            check(&own[1..], "AUG", |rest| {
                let learners = [&own[..1], rest].concat();
                let boosted = Boosted::new(&learners)?;
                Ok(tcmax_ops::sum_of(&boosted.parts(labels)?[..3])?)
            });
            check(&own[modalities - 1..], "AUG's last learner", |last| {
                let learners = [&own[..modalities - 1], last].concat();
                Boosted::new(&learners)?.loss(labels, 0.5)
            });
            let k: Vec<f64> = (0..modalities).map(|m| 1.0 - 0.7 * m as f64).collect();
            let weight = |m: usize, seed| random(&[3, 4], 1.0, Seed::new(seed).index(m as u64));
            let weights: Vec<Tensor> = (0..modalities).map(|m| weight(m, 1)).collect();
            let heads: Vec<Tensor> = (0..modalities).map(|m| weight(m, 2)).collect();
            check(&heads, "CGGM", |heads| Ok(Direction::new(&k, &weights, heads)?.loss));
            let features: Vec<Tensor> = (0..modalities)
                .map(|m| random(&[labels.len(), 4], 1.0, Seed::new(3).index(m as u64)))
                .collect();
            let own_logits: Vec<Tensor> = (0..modalities)
                .map(|m| random(&[labels.len(), 3], 1.0, Seed::new(5).index(m as u64)))
                .collect();
            // V holds its features still: only the logits move.
            check(&own[..1], "CGGM, gradients", |fused| {
                let cosines =
                    Direction::of_gradients(&k, &own_logits, &fused[0], &features, labels)?;
                Ok(cosines.loss)
            });
        }
    }
}

#[test]
fn mixtures_on_the_sphere_have_the_gradients_of_their_values() {
    for rows in [1, 5] {
        let z = [1, 2].map(|seed| random(&[rows, WIDTH], 1.0, Seed::new(seed)));
        let cotangent = random(&[rows, WIDTH], 1.0, Seed::new(3));
        for weight in [0.0, 0.3, 0.5, 1.0] {
            let weights = || [vec![weight], vec![1.0 - weight]];
            check(&z, "on the sphere", |z| {
                Ok((on_sphere(&z[0], &z[1], weights())? * &cotangent)?.sum_all()?)
            });
            // Between unit vectors along the shortest path: of length one, whatever the weight.
            let mixed = on_sphere(&z[0], &z[1], weights()).unwrap();
            let lengths = mixed.sqr().unwrap().sum(1).unwrap();
            assert!(values(&lengths).iter().all(|length| (length - 1.0).abs() < 1e-12));
        }
        // Weights 0 and 1 are the features themselves.
        let ends = on_sphere(&z[0], &z[1], [vec![1.0], vec![0.0]]).unwrap();
        let first = tcmax_fusion::normalised(&z[0]).unwrap();
        let gap = (ends - first).unwrap().abs().unwrap().max_all().unwrap();
        assert!(to_scalar_f64(&gap).unwrap() < 1e-12);
    }
}

#[test]
fn parallel_and_opposite_features_have_a_mixture() {
    let first = Tensor::new(&[[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0; 3]], &Device::Cpu).unwrap();
    let second =
        Tensor::new(&[[2.0, 4.0, 0.0], [-3.0, -6.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu).unwrap();
    let vars = [first, second].map(|z| candle_core::Var::from_tensor(&z).unwrap());
    let [first, second] = vars.each_ref().map(candle_core::Var::as_tensor);
    let mixed = on_sphere(first, second, [vec![0.4], vec![0.6]]).unwrap();
    let gradients = mixed.sum_all().unwrap().backward().unwrap();
    for tensor in [&mixed, gradients.get(first).unwrap(), gradients.get(second).unwrap()] {
        assert!(values(tensor).iter().all(|x| x.is_finite()), "{tensor}");
    }
    // Parallel: the common direction.
    let same = values(&mixed.get(0).unwrap());
    assert!((same[0] - 1.0 / 5f64.sqrt()).abs() < 1e-9, "{same:?}");
    // At the border of the limit for nearly parallel features both forms agree.
    let at = |angle: f64| {
        let turned = [[angle.cos(), angle.sin(), 0.0]];
        let of = |x: &[[f64; 3]; 1]| candle_core::Var::new(x, &Device::Cpu).unwrap();
        let (first, second) = (of(&[[1.0, 0.0, 0.0]]), of(&turned));
        let mixed = on_sphere(first.as_tensor(), second.as_tensor(), [vec![0.4], vec![0.5]]);
        let mixed = mixed.unwrap();
        let gradients = mixed.sum_all().unwrap().backward().unwrap();
        [values(&mixed), values(gradients.get(second.as_tensor()).unwrap())].concat()
    };
    for (below, above) in at(0.99999e-4).iter().zip(at(1.00001e-4)) {
        assert!((below - above).abs() < 1e-8, "{below} and {above}");
    }
}

#[test]
fn a_step_is_finite_for_a_batch_of_one_and_large_logits() {
    for spec in OWN {
        for modalities in modalities_of(spec) {
            for reading in ["paper", "code"] {
                let mut options = Table::new();
                if *spec == CGGM || *spec == AUG {
                    options.insert("as".to_owned(), reading.into());
                }
                for (y, scale) in [(&[1u32][..], 1.0), (&[1], 900.0), (&[2, 0, 2, 1], 900.0)] {
                    let net = Net::scaled(spec, options.clone(), y, modalities, scale);
                    let mut method = net.method();
                    net.begin(method.as_mut(), 2);
                    for batch in 0..3 {
                        let (output, handed) = net.step(method.as_mut(), (2, batch)).unwrap();
                        let what = format!("{spec}, {reading}, {modalities}, {scale}, {batch}");
                        assert!(output.loss.value().unwrap().is_finite(), "{what}");
                        assert!(output.metrics.iter().all(|(_, x)| x.is_finite()), "{what}");
                        assert!(values(&output.logits).iter().all(|x| x.is_finite()), "{what}");
                        for (name, gradient) in handed.iter().flatten() {
                            let finite = values(gradient).iter().all(|x| x.is_finite());
                            assert!(finite, "{what}: {name}");
                        }
                    }
                    let predicted = method.predict(net.head.as_ref(), &net.features).unwrap();
                    assert!(values(&predicted).iter().all(|x| x.is_finite()));
                }
            }
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_and_updates_nothing() {
    for spec in OWN {
        let net = Net::scaled(spec, Table::new(), &[0, 1, 2], 2, f64::NAN);
        let before = net.params.snapshot().unwrap();
        let error = net.step(net.method().as_mut(), (0, 0)).unwrap_err();
        assert!(matches!(error, tcmax_losses::Error::NotFinite { .. }), "{spec}: {error}");
        for (name, value) in net.params.snapshot().unwrap() {
            let unchanged = |(a, b): (f64, f64)| a.to_bits() == b.to_bits();
            let pairs = values(&value).into_iter().zip(values(&before[&name]));
            // Buffers are no parameters, and a run ends here.
            let is_parameter = net.params.trainable().any(|(other, _)| other == name);
            assert!(!is_parameter || pairs.into_iter().all(unchanged), "{spec}: {name}");
        }
    }
}

#[test]
fn what_is_remembered_goes_on_where_it_was() {
    for spec in OWN {
        let run = |interrupted: bool, wiped: bool| -> State {
            // Any difference of scores counts.
            let options = if *spec == AUG { options("tolerance", 0.0) } else { Table::new() };
            let net = Net::new(spec, options, &[0, 1, 2, 1], 2);
            let mut method = net.method();
            net.begin(method.as_mut(), 0);
            for batch in 0..3 {
                net.step(method.as_mut(), (0, batch)).unwrap();
            }
            if interrupted {
                let mut state = method.state().unwrap();
                if wiped {
                    state.values_mut().for_each(|value| *value = value.zeros_like().unwrap());
                }
                method = net.method();
                method.load_state(&state).unwrap();
            }
            for epoch in 1..3 {
                net.begin(method.as_mut(), epoch);
                for batch in 0..2 {
                    net.step(method.as_mut(), (epoch, batch)).unwrap();
                }
            }
            net.params.snapshot().unwrap()
        };
        let same = |one: &State, other: &State| {
            one.iter().all(|(name, value)| values(value) == values(&other[name]))
        };
        let whole = run(false, false);
        assert!(same(&whole, &run(true, false)), "{spec}");
        let remembers =
            !Net::new(spec, Table::new(), &[0, 1], 2).method().state().unwrap().is_empty();
        assert_eq!(remembers, [&CGGM, &AUG].contains(&spec), "{spec}");
        assert!(!remembers || !same(&whole, &run(true, true)), "{spec}: memory does not matter");
    }
}
