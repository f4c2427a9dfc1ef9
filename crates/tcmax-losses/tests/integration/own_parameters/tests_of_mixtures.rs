//! AMCo, PDF and IPRM: masks, trust and mixtures.

use super::*;

#[test]
fn amco_masks_nothing_in_the_first_epoch_and_soon_all_in_later_ones() {
    let net = Net::new(&AMCO, options("sigma", 0.0), &[0, 1, 2, 1], 2);
    for (epoch, wanted) in
        [(0, [0.0; 5]), (1, [0.0, 1.0, 2.0, 3.0, 3.0]), (3, [0.0, 3.0, 3.0, 3.0, 3.0])]
    {
        let mut method = net.method();
        net.begin(method.as_mut(), epoch);
        for (batch, wanted) in wanted.into_iter().enumerate() {
            let (output, handed) = net.step(method.as_mut(), (epoch, batch)).unwrap();
            assert_eq!(metric(&output, "masked classes"), wanted, "epoch {epoch}, batch {batch}");
            if wanted == 3.0 {
                // Every class of every modality is masked: no gradient is left for it.
                let largest = handed[0]["encoder0.z"].abs().unwrap().max_all().unwrap();
                assert_eq!(to_scalar_f64(&largest).unwrap(), 0.0);
                assert!(handed[0].contains_key("method.mix.bias"));
            }
        }
    }
}

#[test]
fn amco_masks_those_that_are_depended_on_alone() {
    // All the mass is the second modality's.
    let own = [0.0, 50.0].map(|x| Tensor::full(x, (2, 3), &Device::Cpu).unwrap());
    let shares = masses(&own).unwrap();
    assert!(shares[0] < 1e-9 && (shares[1] - 1.0).abs() < 1e-9);
    let masked = masked_logits(&own, &[1.0, 0.0, 1.0], &[false, true]).unwrap();
    assert_eq!(values(&masked[0]), values(&own[0]));
    assert_eq!(values(&masked[1].get(0).unwrap()), [50.0, 0.0, 50.0]);
    // With two modalities at most one has more than half.
    let net = Net::new(&AMCO, Table::new(), &[0, 1, 2, 1], 2);
    let setup = &net.setup;
    let mut method = Amco::new(AmcoOptions::default(), setup).unwrap();
    for batch in 0..4 {
        net.step(&mut method, (1, batch)).unwrap();
        assert!(method.dependent().iter().filter(|&&flag| flag).count() <= 1);
    }
    net.begin(&mut method, 2);
    assert_eq!((method.progress(), method.dependent()), (0.0, &[false, false][..]));
}

#[test]
fn pdf_trusts_who_is_sure_and_calibrates_by_the_distance_from_uniform() {
    let log = |c: f64| vec![f64::ln(c)];
    let weights = pdf::weights(&[log(0.9), log(0.2), log(0.2)], None);
    assert!(weights[0][0] > weights[1][0] && (weights[1][0] - weights[2][0]).abs() < 1e-15);
    let sum: f64 = weights.iter().map(|weights| weights[0]).sum();
    assert!((sum - 1.0).abs() < 1e-15);
    // Certainty of both leaves a weight.
    let certain = pdf::weights(&[vec![0.0], vec![-1e-12]], None);
    assert!((certain[0][0] - 0.5).abs() < 1e-6, "{certain:?}");
    let own = [[5.0, 0.0], [0.1, 0.0]].map(|row| Tensor::new(&[row], &Device::Cpu).unwrap());
    let ratios = pdf::calibration(&own).unwrap();
    assert_eq!(ratios[0], [1.0]);
    let distance = |x: f64| 1.0 / (1.0 + f64::exp(-x)) - 0.5;
    assert!((ratios[1][0] - distance(0.1) / distance(5.0)).abs() < 1e-12);
    let uniform = [0.0, 0.0].map(|x| Tensor::full(x, (1, 2), &Device::Cpu).unwrap());
    assert_eq!(pdf::calibration(&uniform).unwrap(), [[1.0], [1.0]]);
}

#[test]
fn pdf_trains_its_nets_on_features_that_they_do_not_change() {
    let net = Net::new(&PDF, Table::new(), &[0, 1, 2, 1], 2);
    let (_, with) = net.step(net.method().as_mut(), (0, 0)).unwrap();
    assert!(with[0].keys().any(|name| name.starts_with("method.confidence.1.2")));
    // The features' gradient is that of the cross-entropies alone.
    let net = Net::new(&PDF, Table::new(), &[0, 1, 2, 1], 2);
    let own = net.head.modality_logits(&net.features).unwrap();
    let mut method = net.method();
    let (output, _) = net.step(method.as_mut(), (0, 0)).unwrap();
    // Weights do not depend on the features as far as gradients know.
    let share = (&output.logits - &own[1]).unwrap();
    let share = (share / (&own[0] - &own[1]).unwrap()).unwrap().mean(1).unwrap();
    let weights = [share.clone(), (1.0 - share).unwrap()];
    let net = Net::new(&PDF, Table::new(), &[0, 1, 2, 1], 2);
    let own = net.head.modality_logits(&net.features).unwrap();
    let mixed = pdf::mixed(&own, &weights.map(|w| values(&w))).unwrap();
    let mut loss = cross_entropy(&mixed, &net.labels).unwrap();
    for logits in &own {
        loss = (loss + cross_entropy(logits, &net.labels).unwrap()).unwrap();
    }
    let gradients = loss.backward().unwrap();
    for (m, z) in net.features.iter().enumerate() {
        let gap = (gradients.get(z).unwrap() - &with[0][&format!("encoder{m}.z")]).unwrap();
        assert!(values(&gap).iter().all(|x| x.abs() < 1e-9), "{gap}");
    }
}

#[test]
fn iprm_favours_the_modality_that_the_mixture_is_closer_to() {
    let of = |x: f64| Tensor::new(&[[x, 0.0, 0.0]], &Device::Cpu).unwrap();
    let found = probe(&[of(1.0), of(3.0)], &of(1.2)).unwrap();
    assert!(found.divergences[0] < found.divergences[1]);
    assert!(found.estimate[0] > found.estimate[1]);
    assert_eq!(probe(&[of(1.0), of(1.0)], &of(1.0)).unwrap().estimate, [0.5, 0.5]);
    let far = probe(&[of(500.0), of(-500.0)], &of(-500.0)).unwrap();
    assert!(far.estimate[1] > 0.999, "{far:?}");
}

#[test]
fn iprm_predicts_with_the_running_weights() {
    let net = Net::new(&IPRM, Table::new(), &[0, 1, 2, 1], 2);
    let mut method = net.method();
    let mut wanted = [0.5; 2];
    for batch in 0..4 {
        let (output, _) = net.step(method.as_mut(), (0, batch)).unwrap();
        let running = [0, 1].map(|m| metric(&output, &format!("running weight {m}")));
        assert!(running.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12));
        let estimate = [0, 1].map(|m| metric(&output, &format!("weight {m}")));
        wanted = [0, 1].map(|m| 0.8 * running[m] + 0.2 * estimate[m]);
    }
    // What predictions need is saved with the model.
    let predicted = method.predict(net.head.as_ref(), &net.features).unwrap();
    let again = net.method().predict(net.head.as_ref(), &net.features).unwrap();
    assert_eq!(values(&predicted), values(&again));
    net.params.buffers().for_each(|(_, var)| var.set(&var.zeros_like().unwrap()).unwrap());
    let other = method.predict(net.head.as_ref(), &net.features).unwrap();
    assert_ne!(values(&predicted), values(&other));
    let unequal = Setup::alone(&[3, 4], 2, &SUM);
    let error = IPRM.build(&Table::new(), &unequal).err().unwrap();
    assert!(matches!(error, tcmax_losses::Error::UnequalWidths { .. }), "{error}");
}
