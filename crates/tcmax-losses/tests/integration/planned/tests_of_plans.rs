//! Contributions, and the epochs that are planned by them.

use super::*;

#[test]
fn contributions_add_up_to_the_worth_of_all_and_do_not_depend_on_the_order() {
    for modalities in [1usize, 2, 3, 4] {
        let sets = 1usize << modalities;
        let mut worths: Vec<f64> = (0..sets).map(|set| ((set * 7 + 3) % 5) as f64).collect();
        worths[0] = 0.0;
        let phi = shapley(&worths);
        assert!((phi.iter().sum::<f64>() - worths[sets - 1]).abs() < 1e-12);
        // Modalities in the opposite order.
        let turned = |set: usize| {
            (0..modalities).filter(|m| set & (1 << m) != 0).map(|m| 1 << (modalities - 1 - m)).sum()
        };
        let mut other = vec![0.0; sets];
        for (set, worth) in worths.iter().enumerate() {
            let turned: usize = turned(set);
            other[turned] = *worth;
        }
        let other = shapley(&other);
        for (phi, other) in phi.iter().zip(other.iter().rev()) {
            assert!((phi - other).abs() < 1e-12);
        }
    }
    // A right prediction of a pair is worth 2, or 1.
    assert_eq!([Worth::Size.of(2, true), Worth::One.of(2, true)], [2.0, 1.0]);
    assert_eq!([Worth::Size.of(2, false), Worth::One.of(0, true)], [0.0, 0.0]);
}

#[test]
fn a_modality_without_influence_contributes_nothing() {
    let (mut net, _) = net(&SAMPLE_VALUATION, &Table::new(), (3, 1.0));
    // The third modality's features are zeros, with it and without.
    net.inputs[2] = net.inputs[2].zeros_like().unwrap();
    let rows: Vec<usize> = (0..EXAMPLES).collect();
    let features = net.features(&rows);
    let bias_alone = logits_of(net.head.as_ref(), &features, 0b100).unwrap();
    let nothing = logits_of(net.head.as_ref(), &features, 0).unwrap();
    assert_eq!(to_vec_f64(&bias_alone).unwrap(), to_vec_f64(&nothing).unwrap());
    let found = contributions(net.head.as_ref(), &features, &labels(&rows), Worth::One).unwrap();
    assert!(found.iter().all(|phi| phi.len() == 3 && phi.iter().all(|phi| phi.abs() <= 1.0)));
}

#[test]
fn sample_valuation_repeats_what_contributes_little() {
    for modalities in [2, 3] {
        let (mut net, mut method) = net(&SAMPLE_VALUATION, &warm_up(2), (modalities, 1.0));
        assert!(plan_of(&mut net, method.as_mut(), 1).is_none(), "warm-up");
        let plan = plan_of(&mut net, method.as_mut(), 2).unwrap();
        let rows: Vec<usize> = (0..EXAMPLES).collect();
        let features = net.features(&rows);
        let phi = contributions(net.head.as_ref(), &features, &labels(&rows), Worth::Size).unwrap();
        let mut wanted = whole(&rows);
        for (row, phi) in phi.iter().enumerate() {
            for (m, &phi) in phi.iter().enumerate() {
                let copies = match phi {
                    phi if phi < -0.1 => 3,
                    phi if phi < 0.4 => 2,
                    phi if phi < 1.0 => 1,
                    _ => 0,
                };
                wanted.extend(vec![Planned::only(row, m); copies]);
            }
        }
        let sorted = |mut planned: Vec<Planned>| {
            planned.sort_by_key(|example| (example.row, example.only));
            planned
        };
        let planned = plan.batches.concat();
        assert_ne!(planned, sorted(planned.clone()), "in a random order");
        assert_eq!(sorted(planned), sorted(wanted));
        assert!(plan.batches.iter().rev().skip(1).all(|batch| batch.len() == 4));
        // Another epoch has another order, and the same epoch the same.
        assert_eq!(plan_of(&mut net, method.as_mut(), 2).unwrap(), plan);
        assert_ne!(plan_of(&mut net, method.as_mut(), 3).unwrap(), plan);
    }
}

#[test]
fn modality_valuation_repeats_the_modality_with_the_largest_gap() {
    // With gaps 1, .4 and .1 the pairs differ by .6, .3 and .9.
    let (share, gaps) = imbalance(&[0.0, 0.6, 0.9], 0.5);
    assert!((share - 1.8 / 2.0 * 2.0 / 3.0 * 0.5).abs() < 1e-15);
    assert!((gaps[1] - 0.4).abs() < 1e-15);
    let added = repeated(&[0.6, 0.0, 0.9], 0.5, 11);
    assert_eq!((added.modality, added.count), (1, 3));
    for modalities in [2, 3] {
        let (mut net, mut method) = net(&MODALITY_VALUATION, &warm_up(1), (modalities, 1.0));
        // The last modality knows nothing.
        net.inputs[modalities - 1] = net.inputs[modalities - 1].affine(1e-9, 0.0).unwrap();
        assert!(plan_of(&mut net, method.as_mut(), 0).is_none(), "warm-up");
        for epoch in 1..5 {
            let plan = plan_of(&mut net, method.as_mut(), epoch).unwrap();
            let (mut rows, mut repeated) = (Vec::new(), Vec::new());
            for example in plan.batches.concat() {
                match example.only {
                    None => rows.push(example.row),
                    Some(m) => repeated.push(m),
                }
            }
            rows.sort_unstable();
            assert_eq!(rows, (0..EXAMPLES).collect::<Vec<_>>());
            repeated.dedup();
            assert!(repeated.len() <= 1, "one modality alone: {repeated:?}");
        }
    }
}

#[test]
fn remixed_epochs_have_batches_of_the_less_certain_modality() {
    for modalities in [2, 3] {
        let (mut net, mut method) = net(&REMIX, &warm_up(1), (modalities, 1.0));
        assert!(plan_of(&mut net, method.as_mut(), 0).is_none(), "warm-up");
        let plan = plan_of(&mut net, method.as_mut(), 1).unwrap();
        let rows: Vec<usize> = (0..EXAMPLES).collect();
        let own = net.head.modality_logits(&net.features(&rows)).unwrap();
        let certainties = remix::certainties(&own).unwrap();
        let mut planned = plan.batches.concat();
        let order: Vec<usize> = planned.iter().map(|example| example.only.unwrap()).collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "the last modality first: {order:?}");
        assert!(plan.batches.iter().all(|batch| batch.iter().all(|e| e.only == batch[0].only)));
        planned.sort_by_key(|example| example.row);
        assert_eq!(planned.iter().map(|e| e.row).collect::<Vec<_>>(), rows);
        for example in planned {
            let of = |m: usize| certainties[m][example.row];
            let least = (0..modalities).map(of).fold(f64::INFINITY, f64::min);
            assert_eq!(of(example.only.unwrap()), least);
        }
    }
    // Of equals the last; and certainties in bits, whatever the logits.
    assert_eq!(remix::assignments(&[vec![0.5, 0.1], vec![0.5, 0.2], vec![0.6, 0.1]]), [1, 2]);
    let logits = Tensor::new(&[[500f64, -500.0, -500.0, -500.0], [9.0; 4]], &Device::Cpu).unwrap();
    assert_eq!(remix::certainties(&[logits]).unwrap(), [[2.0, 0.0]]);
}

#[test]
fn remixed_steps_train_the_modality_that_counts() {
    let gamma = Table::from_iter([("gamma".to_owned(), 0.5.into())]);
    for modalities in [2, 3] {
        for rows in [vec![3], vec![0, 4, 7, 7]] {
            let (net, mut method) = net(&REMIX, &gamma, (modalities, 1.0));
            let m = modalities - 1;
            let features = net.features(&rows);
            let fused = logits_of(net.head.as_ref(), &features, 1 << m).unwrap();
            let own = &net.head.modality_logits(&features).unwrap()[m];
            let value = |logits: &Tensor| {
                cross_entropy(logits, &labels(&rows)).unwrap().to_scalar::<f64>().unwrap()
            };
            let wanted = value(&fused) + 0.5 * value(own);
            let batch: Vec<Planned> = rows.iter().map(|&row| Planned::only(row, m)).collect();
            let (output, handed) = net.step(method.as_mut(), &batch, 10);
            assert!(
                (output.loss.value().unwrap() - wanted).abs() < 1e-12,
                "{} {wanted}",
                output.loss.value().unwrap()
            );
            for (name, gradient) in handed {
                let others = (0..m).map(|k| format!("net{k}."));
                let is_other = others.into_iter().any(|prefix| name.starts_with(&prefix));
                let largest = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
                assert_eq!(largest == 0.0, is_other || is_own_layer_of_other(&name, m), "{name}");
            }
        }
    }
    // Batches of several modalities, as when a trainer joins small ones: the mean over their examples.
    let (net, mut method) = net(&REMIX, &Table::new(), (2, 1.0));
    let value = |batch: &[Planned], method: &mut dyn Method| {
        let before = net.params.snapshot().unwrap();
        let loss = net.step(method, batch, 10).0.loss.value().unwrap();
        net.params.load(&before).unwrap();
        loss
    };
    let (one, other) = (Planned::only(1, 0), Planned::only(2, 1));
    let apart = value(&[one], method.as_mut()) + value(&[other], method.as_mut());
    assert!((value(&[one, other], method.as_mut()) - apart / 2.0).abs() < 1e-12);
}

/// Whether a parameter is the layer of a modality's own logits, of another modality than m.
fn is_own_layer_of_other(name: &str, m: usize) -> bool {
    let layers = ["fc_x", "fc_y", "fc_2"];
    layers.iter().enumerate().any(|(k, layer)| k != m && name.contains(layer))
}
