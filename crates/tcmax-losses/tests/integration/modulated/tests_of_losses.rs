//! Gradients, and what multiplies them.

use super::*;

#[test]
fn losses_have_the_gradients_of_their_values() {
    for (batch, limit) in batches(3) {
        for (spec, head) in [(&CML, &CONCAT), (&MBSD, &CONCAT), (&CML, &SPECIFIC)] {
            for options in [Table::new(), paper()] {
                let what = format!("{spec}, {head}, {options:?}, {batch:?}");
                Net::new(spec, options, head, batch).check_gradient(&|_, _| 1.0, limit, &what);
            }
        }
    }
}

#[test]
fn balanced_losses_have_gradients_times_their_coefficients() {
    for (batch @ (modalities, ..), limit) in batches(3) {
        for beta in [1.0, 2.0, 10.0] {
            let options = Table::from_iter([("beta".to_owned(), beta.into())]);
            let mut net = Net::new(&MLB, options, &SPECIFIC, batch);
            let metrics = net.step(0.0).0.metrics;
            let factor = |name: &str, entry| {
                Net::owner(modalities, name, entry).map_or(1.0, |m| metrics[m].1)
            };
            net.check_gradient(&factor, limit * beta, &format!("{batch:?}, beta {beta}"));
            let (least, most) = (1.0 - 0.8f64.tanh(), beta);
            assert!(metrics.iter().all(|(_, k)| *k >= least - 1e-12 && *k <= most + 1e-12));
        }
    }
}

#[test]
fn specific_rates_multiply_what_a_modality_owns() {
    for (batch @ (modalities, ..), limit) in batches(3) {
        let rates = [0.5, 1.5, 0.0];
        let given = rates[..modalities].to_vec();
        let options = Table::from_iter([("rates".to_owned(), given.into())]);
        let mut net = Net::new(&MSLR, options, &CONCAT, batch);
        let factor =
            |name: &str, entry| Net::owner(modalities, name, entry).map_or(1.0, |m| rates[m]);
        net.check_gradient(&factor, limit, &format!("{batch:?}"));
    }
}

#[test]
fn asymmetric_gradients_are_those_of_the_loss_times_the_encoders_factors() {
    for (batch, limit) in batches(2) {
        for options in [Table::new(), paper()] {
            let is_code = options.is_empty();
            let mut net = Net::new(&ARL, options, &CONCAT, batch);
            net.check_gradient(&|_, _| 1.0, limit, &format!("{batch:?}, before"));
            net.clock.epoch = 5;
            assert_eq!(net.step(0.0).0.metrics[0].1, 1.0);
            net.clock.epoch = 6;
            let factors: Vec<f64> = net.step(0.0).0.metrics.iter().map(|(_, f)| *f).collect();
            if is_code {
                assert_eq!(factors, [1.5, 1.5]);
            }
            assert!((factors.iter().sum::<f64>() - 3.0).abs() < 1e-12);
            // The head's gradients are not multiplied.
            let factor = |name: &str, entry| match name.starts_with("net") {
                true => Net::owner(2, name, entry).map_or(1.0, |m| factors[m]),
                false => 1.0,
            };
            net.check_gradient(&factor, limit, &format!("{batch:?}, after, {factors:?}"));
        }
    }
}

/// The gradients under a prefix.
fn of<'a>(seen: &'a Seen, prefix: &str) -> Vec<(&'a String, &'a Vec<f64>)> {
    seen.1.iter().filter(|(name, _)| name.starts_with(prefix)).collect()
}

#[test]
fn disentangled_encoders_do_not_see_other_modalities() {
    for modalities in [2, 3] {
        let batch = (modalities, &[1, 0, 2, 1][..], 1.0);
        let mut net = Net::new(&DGL, Table::new(), &CONCAT, batch);
        let before = net.step(0.0);
        net.inputs[1] = (&net.inputs[1] * -3.0).unwrap();
        let after = net.step(0.0);
        assert_eq!(of(&before, "net0"), of(&after, "net0"));
        assert_ne!(of(&before, "net1"), of(&after, "net1"));
        assert_ne!(of(&before, "head"), of(&after, "head"));
    }
}

#[test]
fn a_disentangled_head_learns_as_a_linear_probe_and_encoders_as_of_one_modality() {
    for modalities in [2, 3] {
        let batch = (modalities, &[1, 0, 2, 1][..], 1.0);
        let mut net = Net::new(&DGL, Table::new(), &CONCAT, batch);
        let (_, found) = net.step(0.0);
        let detached: Vec<Tensor> = net.features().iter().map(Tensor::detach).collect();
        let probe = cross_entropy(&net.head.logits(&detached).unwrap(), &net.labels).unwrap();
        let probe = probe.backward().unwrap();
        let features = net.features();
        let own = padded_logits(net.head.as_ref(), &features).unwrap();
        let own = own.iter().map(|u| cross_entropy(u, &net.labels).unwrap().backward().unwrap());
        let own: Vec<_> = own.collect();
        for (name, var) in net.params.trainable() {
            let wanted = match Net::owner(modalities, name, 0).filter(|_| name.starts_with("net")) {
                Some(m) => (own[m].get(var.as_tensor()).unwrap() * 4.0).unwrap(),
                None => probe.get(var.as_tensor()).unwrap().clone(),
            };
            for (got, wanted) in found[name].iter().zip(to_vec_f64(&wanted).unwrap()) {
                assert!((got - wanted).abs() < 1e-12, "{name}: {got} and {wanted}");
            }
        }
    }
}
