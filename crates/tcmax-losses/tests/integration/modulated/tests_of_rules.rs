//! What each method says of a modality, and what it remembers.

use super::*;

#[test]
fn a_rise_of_confidence_costs_lambda_times_the_sum_of_the_batch() {
    const LAMBDA: f64 = 0.7;
    let options = || Table::from_iter([("lambda".to_owned(), LAMBDA.into())]);
    let mut costs = Vec::new();
    // Identical examples: all rise, or, where what is removed was certain, none does.
    for scale in [1.0, 50.0] {
        for lone in [0.2, 5.0] {
            let mut net = Net::new(&CML, options(), &CONCAT, (2, &[1; 4], 1.0));
            let first = |x: &Tensor| x.narrow(0, 0, 1).unwrap().repeat((4, 1)).unwrap();
            net.inputs = net.inputs.iter().map(first).collect();
            net.inputs[0] = (&net.inputs[0] * lone).unwrap();
            net.inputs[1] = (&net.inputs[1] * scale).unwrap();
            let remaining = cml::removals(net.head.as_ref(), &net.features(), &[0, 1]).unwrap();
            let confidence =
                |i: usize| to_vec_f64(&cml::confidence(&remaining[i]).unwrap()).unwrap();
            let rise = confidence(1)[0] - confidence(0)[0];
            let ce = |i: usize| cross_entropy(&remaining[i], &net.labels).unwrap();
            let ce = ((ce(0) + ce(1)).unwrap() / 2.0).unwrap().to_scalar::<f64>().unwrap();
            let cost = net.step(0.0).0.loss.value().unwrap() - ce;
            let wanted = LAMBDA * 4.0 * rise.max(0.0);
            assert!((cost - wanted).abs() < 1e-12, "{cost} and {wanted}");
            costs.push(cost > 1e-9);
        }
    }
    assert!(costs.contains(&true) && costs.contains(&false), "not what was meant: {costs:?}");
}

#[test]
fn an_order_of_removal_is_drawn_for_every_epoch() {
    let mut net = Net::new(&CML, Table::new(), &CONCAT, (3, &[1, 0, 2, 1], 1.0));
    let losses: Vec<f64> = (0..12)
        .map(|epoch| {
            net.begin_epoch(epoch);
            net.step(0.0).0.loss.value().unwrap()
        })
        .collect();
    let mut distinct = losses.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    assert!(distinct.len() > 2 && distinct.len() <= 6, "{losses:?}");
    net.begin_epoch(3);
    assert_eq!(net.step(0.0).0.loss.value().unwrap(), losses[3]);
}

#[test]
fn equal_modalities_are_balanced() {
    // Heads of zeros know nothing: all probabilities are equal.
    let mut net = Net::new(&MLB, Table::new(), &SPECIFIC, (3, &[1, 0, 2, 1], 1.0));
    for (_, var) in net.params.trainable().filter(|(name, _)| name.starts_with("head.")) {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    for (_, coefficient) in net.step(0.0).0.metrics {
        assert!((coefficient - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_modality_that_stops_getting_better_loses_its_rate() {
    let options = Table::from_iter([("window".to_owned(), 2.into())]);
    let mut net = Net::new(&MSLR, options, &CONCAT, (2, &MANY, 1.0));
    let mut coefficients = Vec::new();
    for epoch in 0..5 {
        net.begin_epoch(epoch);
        let found = net.step(0.5).0.metrics;
        coefficients.push(found.iter().map(|(_, k)| *k).collect::<Vec<f64>>());
    }
    // The first accuracy is that before epoch 1, and the first to be compared with two before it that before epoch 3.
    assert!(coefficients[..3].iter().flatten().all(|&k| k == 1.0), "{coefficients:?}");
    assert!(coefficients[3..].iter().flatten().any(|&k| k != 1.0), "{coefficients:?}");
}

#[test]
fn the_growth_of_information_is_what_it_is_said_to_be() {
    let trace = |epoch: usize| 3.0 + (epoch as f64 * 1.7).sin();
    let mut traces = Traces::default();
    for epoch in 1..30 {
        traces.push(trace(epoch - 1));
        let sum: f64 = (epoch.saturating_sub(10)..epoch).map(trace).sum();
        let lost = if epoch > 10 { trace(epoch - 11) } else { 0.0 };
        let wanted = (trace(epoch - 1) - lost) / sum;
        assert!((traces.growth() - wanted).abs() < 1e-12, "{epoch}");
    }
}

#[test]
fn the_leading_encoder_is_drawn_to_where_it_was() {
    for (batch, limit) in batches(2).into_iter().filter(|(batch, _)| batch.2 == 1.0) {
        let mut net = Net::new(&INFO_REG, Table::new(), &CONCAT, batch);
        net.begin_epoch(0);
        // At the start of an epoch nothing has moved.
        net.check_gradient(&|_, _| 1.0, limit, &format!("{batch:?}"));
        let starts = net.params.snapshot().unwrap();
        net.step(0.1);
        let (output, held) = net.step(0.0);
        let strength = |m: usize| {
            let metric = format!("strength {m}");
            output.metrics.iter().find(|(name, _)| *name == metric).unwrap().1
        };
        assert_eq!([strength(0), strength(1)].iter().filter(|beta| **beta > 0.0).count(), 1);
        let mut free = Net::new(
            &INFO_REG,
            Table::from_iter([("first".to_owned(), 0.0.into()), ("second".to_owned(), 0.0.into())]),
            &CONCAT,
            batch,
        );
        free.params.load(&net.params.snapshot().unwrap()).unwrap();
        let (_, plain) = free.step(0.0);
        for (name, var) in net.params.trainable() {
            let beta = match Net::owner(2, name, 0).filter(|_| name.starts_with("net")) {
                Some(m) => strength(m),
                None => 0.0,
            };
            let moved = (var.as_tensor() - &starts[name]).unwrap();
            for ((got, plain), moved) in
                held[name].iter().zip(&plain[name]).zip(to_vec_f64(&moved).unwrap())
            {
                let wanted = plain + beta * moved;
                let error = (got - wanted).abs() / wanted.abs().max(1.0);
                assert!(error < 1e-9, "{name}: {got} and {wanted}");
            }
        }
    }
}

#[test]
fn what_is_remembered_goes_on_where_it_was() {
    for (spec, options) in
        [(&MSLR, Table::from_iter([("window".to_owned(), 1.into())])), (&INFO_REG, Table::new())]
    {
        let net = || Net::new(spec, options.clone(), &CONCAT, (2, &MANY, 1.0));
        let mut whole = net();
        for epoch in 0..3 {
            whole.begin_epoch(epoch);
            whole.step(0.3);
            whole.step(0.3);
        }
        let state = whole.method.state().unwrap();
        let (mut resumed, mut forgot) = (net(), net());
        for other in [&resumed, &forgot] {
            other.params.load(&whole.params.snapshot().unwrap()).unwrap();
        }
        resumed.method.load_state(&state).unwrap();
        let steps = [&mut whole, &mut resumed, &mut forgot].map(|net| {
            net.begin_epoch(3);
            net.step(0.3);
            net.step(0.3)
        });
        assert_eq!(steps[0].1, steps[1].1, "{spec}");
        let metrics = |seen: &Seen| seen.0.metrics.clone();
        assert_eq!(metrics(&steps[0]), metrics(&steps[1]), "{spec}");
        assert_ne!(metrics(&steps[0]), metrics(&steps[2]), "{spec}: its memory does not matter");
        let unknown = [("other".to_owned(), Tensor::new(1.0, &Device::Cpu).unwrap())].into();
        assert!(resumed.method.load_state(&unknown).is_err(), "{spec}");
    }
}

#[test]
fn single_examples_with_large_logits_give_numbers() {
    for spec in [&DGL, &CML, &MBSD, &MLB, &ARL, &MSLR, &INFO_REG] {
        let read = [Table::new(), paper()];
        let has_reading = [&CML, &MBSD, &ARL].contains(&spec);
        for options in read.into_iter().take(if has_reading { 2 } else { 1 }) {
            for label in 0..CLASSES as u32 {
                let labels = [label];
                let mut net = Net::new(spec, options.clone(), spec.usual_head, (2, &labels, 1.0));
                // Logits of +-500.
                for (name, var) in net.params.trainable() {
                    let sign = |entry: usize| if entry.is_multiple_of(3) { 500.0 } else { -500.0 };
                    let values: Vec<f64> = match name.ends_with(".bias") && name.starts_with("head")
                    {
                        true => (0..var.elem_count()).map(sign).collect(),
                        false => vec![1.0; var.elem_count()],
                    };
                    var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
                }
                for epoch in [0, 7] {
                    net.begin_epoch(epoch);
                    let (output, found) = net.step(0.0);
                    let what = format!("{spec}, {options:?}, label {label}");
                    assert!(output.loss.value().unwrap().is_finite(), "{what}");
                    assert!(output.metrics.iter().all(|(_, value)| value.is_finite()), "{what}");
                    assert!(found.values().flatten().all(|value| value.is_finite()), "{what}");
                }
            }
        }
    }
}
