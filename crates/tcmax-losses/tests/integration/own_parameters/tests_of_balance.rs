//! CGGM and AUG: who is slowed down, and who gets another learner.

use super::*;

#[test]
fn cggm_slows_down_who_gains_and_has_bounds_if_asked() {
    let k = coefficients(&[0.0, 0.0, 0.0], &[0.5, 0.25, 0.25]);
    assert!(k[0] < k[1] && (k[1] - k[2]).abs() < 1e-12);
    // Accuracies that stay change nothing.
    assert_eq!(coefficients(&[0.5, 0.25], &[0.5, 0.25]), [1.0, 1.0]);
    let bounded = |bound: Option<f64>| {
        let mut options = Table::new();
        if let Some(bound) = bound {
            options.insert("bound".to_owned(), bound.into());
        }
        let net = Net::new(&CGGM, options, &[0, 1, 2, 1, 0, 2], 2);
        let mut method = net.method();
        // Gains that cancel: the first of two classifiers forgets what the second learns.
        let mut state = method.state().unwrap();
        let (output, _) = net.step(net.method().as_mut(), (0, 0)).unwrap();
        let accuracy = |m: usize| metric(&output, &format!("accuracy of the classifier {m}"));
        let before = [accuracy(0) + 0.125, accuracy(1) - 0.125];
        state.insert("accuracies".to_owned(), Tensor::new(&before, &Device::Cpu).unwrap());
        let net = Net::new(&CGGM, net.options.clone(), &[0, 1, 2, 1, 0, 2], 2);
        method = net.method();
        method.load_state(&state).unwrap();
        let (output, _) = net.step(method.as_mut(), (0, 1)).unwrap();
        metric(&output, "coefficient 0").abs()
    };
    assert!(bounded(None) > 1e5);
    assert_eq!(bounded(Some(2.0)), 2.0);
}

#[test]
fn cggm_trains_the_head_on_the_direction_of_the_step_before() {
    let run = |lambda: f64, reading: &str| {
        let mut options = options("lambda", lambda);
        options.insert("as".to_owned(), reading.into());
        let net = Net::new(&CGGM, options, &[0, 1, 2, 1], 2);
        let mut method = net.method();
        let first = net.step(method.as_mut(), (0, 0)).unwrap().1.remove(0);
        (first, net.step(method.as_mut(), (0, 1)).unwrap().1.remove(0))
    };
    let differ = |one: &BTreeMap<String, Tensor>, other: &BTreeMap<String, Tensor>, name: &str| {
        values(&one[name]) != values(&other[name])
    };
    let (without, with) = (run(0.0, "code"), run(0.5, "code"));
    for name in ["fc_out.weight", "encoder0.z"] {
        assert!(!differ(&without.0, &with.0, name), "the first step has no direction: {name}");
    }
    assert!(differ(&without.1, &with.1, "fc_out.weight"));
    assert!(!differ(&without.1, &with.1, "encoder0.z"), "encoders get nothing from it");
    assert!(!with.1.keys().any(|name| name.starts_with("method.")), "they have their own");
    let (without, with) = (run(0.0, "paper"), run(0.5, "paper"));
    for name in ["fc_out.weight", "encoder0.z"] {
        assert!(differ(&without.0, &with.0, name), "of the same step: {name}");
    }
}

/// AUG's net after two epochs, and the learners in use.
fn boosted(reading: &str) -> (Net, Box<dyn Method>, Vec<usize>) {
    let mut options = options("hidden", 5.0);
    options.insert("as".to_owned(), reading.into());
    let net = Net::new(&AUG, options, &[0, 1, 2, 1], 2);
    let mut method = net.method();
    for epoch in 0..2 {
        net.begin(method.as_mut(), epoch);
        net.step(method.as_mut(), (epoch, 0)).unwrap();
    }
    let reading = if reading == "paper" { Reading::Paper } else { Reading::Code };
    let own = Aug::new(AugOptions { reading, hidden: 5, ..AugOptions::default() }, &net.setup);
    let added = own.unwrap().added().unwrap();
    (net, method, added)
}

#[test]
fn aug_adds_a_learner_to_the_weaker_modality() {
    for reading in ["paper", "code"] {
        let (net, mut method, added) = boosted(reading);
        assert_eq!(added.iter().sum::<usize>(), 1, "{reading}: {added:?}");
        let m = added.iter().position(|&count| count == 1).unwrap();
        let start = Net::new(&AUG, net.options.clone(), &[0, 1, 2, 1], 2).params.snapshot();
        let (start, now) = (start.unwrap(), net.params.snapshot().unwrap());
        let name = format!("method.added.{m}.0.weight");
        let moved = values(&start[&name]) != values(&now[&name]);
        assert_eq!(moved, reading == "paper", "only the paper's learners are trained");
        assert_ne!(
            values(&start[&format!("method.base.{m}.weight")]),
            values(&now[&format!("method.base.{m}.weight")])
        );
        // How many are in use is saved with the model: without it predictions are others.
        let predicted = method.predict(net.head.as_ref(), &net.features).unwrap();
        let again = net.method().predict(net.head.as_ref(), &net.features).unwrap();
        assert_eq!(values(&predicted), values(&again));
        net.params.buffers().for_each(|(_, var)| var.set(&var.zeros_like().unwrap()).unwrap());
        let other = net.method().predict(net.head.as_ref(), &net.features).unwrap();
        assert_ne!(values(&predicted), values(&other));
        // There are never more than were made.
        for epoch in 2..12 {
            net.begin(method.as_mut(), epoch);
            net.step(method.as_mut(), (epoch, 0)).unwrap();
        }
    }
}

#[test]
fn aug_takes_turns_and_its_second_turn_sees_the_first() {
    let net = Net::new(&AUG, options("hidden", 5.0), &[0, 1, 2, 1], 2);
    let (_, handed) = net.step(net.method().as_mut(), (0, 0)).unwrap();
    assert_eq!(handed.len(), 2);
    for (m, handed) in handed.iter().enumerate() {
        assert!(handed.contains_key("method.last.weight"));
        assert!(handed.contains_key(&format!("encoder{m}.z")));
        assert!(!handed.contains_key(&format!("encoder{}.z", 1 - m)));
        assert_eq!(handed.contains_key("fc_out.weight"), m == 0, "the head learns once");
        assert!(!handed.keys().any(|name| name.starts_with("method.added")), "none is in use");
    }
    let totals = [1.0, 2.0].map(|x| Tensor::full(x, (1, 2), &Device::Cpu).unwrap());
    assert!((values(&fused(&totals, 0.4).unwrap())[0] - 1.6).abs() < 1e-15);
    let three = [&totals[..], &totals[..1]].concat();
    assert!((values(&fused(&three, 0.4).unwrap())[0] - 4.0 / 3.0).abs() < 1e-15);
    assert_eq!(AUG.usual_head, &CONCAT);
}
