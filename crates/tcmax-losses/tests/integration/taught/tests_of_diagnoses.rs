//! What is looked at before an epoch: learned weights, clusters, purities.

use super::*;

#[test]
fn products_with_a_hessian_leave_every_bit_in_place_even_after_an_error() {
    for dtype in [DType::F64, DType::F32] {
        let single = dtype == DType::F32;
        let vars: Vec<Var> = [random(3, 2, 1.0, 1), random(2, 2, 1.0, 2)]
            .iter()
            .map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let before: Vec<Vec<f64>> = vars.iter().map(|var| to_vec_f64(var).unwrap()).collect();
        let now = || vars.iter().map(|var| to_vec_f64(var).unwrap()).collect::<Vec<_>>();
        let losses = || -> tcmax_losses::Result<[Tensor; 2]> {
            let product = vars[0].matmul(vars[1].as_tensor())?;
            // The second does not reach the first parameter.
            Ok([product.tanh()?.sum_all()?, vars[1].exp()?.sum_all()?])
        };
        let found = hessian_gradient(&vars, &losses).unwrap();
        assert_eq!(now(), before);
        assert!(to_vec_f64(&found[0]).unwrap().iter().all(|x| *x == 0.0));
        // The Hessian of a sum of exponentials is diagonal.
        let first = losses().unwrap()[0].backward().unwrap();
        let wanted = (vars[1].exp().unwrap() * first.get(vars[1].as_tensor()).unwrap()).unwrap();
        let limit = if single { 1e-3 } else { 1e-9 };
        for (a, b) in to_vec_f64(&found[1]).unwrap().iter().zip(to_vec_f64(&wanted).unwrap()) {
            assert!((a - b).abs() < limit * b.abs().max(1.0), "{dtype:?}: {a} and {b}");
        }
        let calls = Cell::new(0);
        let failing = || {
            calls.set(calls.get() + 1);
            if calls.get() == 3 { Err(Error::NotFinite { value: f64::NAN }) } else { losses() }
        };
        assert!(hessian_gradient(&vars, &failing).is_err());
        assert_eq!(now(), before);
    }
}

#[test]
fn a_learned_weight_is_remembered_and_a_fitted_one_is_not() {
    let options = || toml::toml! { schedule = "learned" rate = 5.0 start = 0.5 };
    let mut world = World::new(2, &SUM);
    let (mut method, before) = (world.method(&LFM, options()), world.values());
    world.begin(method.as_mut(), 0).unwrap();
    assert_eq!(world.values(), before, "parameters are where they were");
    let weight = |output: &StepOutput| {
        output.metrics.iter().find(|(name, _)| name == "weight of the gap").unwrap().1
    };
    let (output, _) = world.step(method.as_mut(), (5, 1.0), None).unwrap();
    let learned = weight(&output);
    assert!((0.05..=0.95).contains(&learned) && learned != 0.5);
    let state = method.state().unwrap();
    let mut again = LFM.build(&options(), &world.setup).unwrap();
    assert_eq!(weight(&world.step(again.as_mut(), (5, 1.0), None).unwrap().0), 0.5);
    again.load_state(&state).unwrap();
    assert_eq!(weight(&world.step(again.as_mut(), (5, 1.0), None).unwrap().0), learned);
    assert!(matches!(again.load_state(&State::new()), Err(Error::MissingState { .. })));
    // A rate this high reaches a bound.
    let mut fast = world.method(&LFM, toml::toml! { schedule = "learned" rate = 1e6 });
    world.begin(fast.as_mut(), 0).unwrap();
    let bound = weight(&world.step(fast.as_mut(), (5, 1.0), None).unwrap().0);
    assert!(bound == 0.05 || bound == 0.95, "{bound}");
    let fitted = world.method(&LFM, Table::new());
    assert!(fitted.state().unwrap().is_empty());
}

#[test]
fn columns_are_scaled_and_constant_ones_are_zero() {
    let x = Tensor::new(&[[1f64, 7.0, -3.0], [3.0, 7.0, 1.0], [2.0, 7.0, 0.0]], &Device::Cpu);
    let found = scaled(&x.unwrap()).unwrap().to_vec2::<f64>().unwrap();
    assert_eq!(found, [[-1.0, 0.0, -1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.5]]);
}

#[test]
fn clusters_are_found_again_by_the_same_seed() {
    // Three heaps of points far apart.
    let rows: Vec<f64> =
        (0..60).flat_map(|i| [f64::from(i % 3) * 9.0, f64::from(i) * 0.01]).collect();
    let points = Tensor::from_vec(rows, (60, 2), &Device::Cpu).unwrap();
    let truth: Vec<u32> = (0..60).map(|i| i % 3).collect();
    let found = k_means(&points, 3, 5, Seed::new(1)).unwrap();
    assert_eq!(purity(&found, &truth), 1.0);
    assert_eq!(found, k_means(&points, 3, 5, Seed::new(1)).unwrap());
    assert!(purity(&k_means(&points, 2, 5, Seed::new(1)).unwrap(), &truth) < 0.7);
    // More clusters than points, and points that are all the same.
    let few = k_means(&points.narrow(0, 0, 2).unwrap(), 5, 2, Seed::new(1)).unwrap();
    assert_ne!(few[0], few[1]);
    let same = Tensor::ones((6, 2), DType::F64, &Device::Cpu).unwrap();
    assert_eq!(k_means(&same, 3, 2, Seed::new(1)).unwrap().len(), 6);
}

#[test]
fn equal_purities_leave_every_bit_and_others_mix_the_initial_values_in() {
    let (now, start) = (random(3, 2, 1.0, 1), random(3, 2, 1.0, 2));
    let var = Var::from_tensor(&now).unwrap();
    relearn(std::slice::from_ref(&var), std::slice::from_ref(&start), strength(0.7, 0.7, 3.0))
        .unwrap();
    let bits =
        |x: &Tensor| -> Vec<u64> { to_vec_f64(x).unwrap().into_iter().map(f64::to_bits).collect() };
    assert_eq!(bits(&var), bits(&now));
    let alpha = strength(0.9, 0.5, 3.0);
    assert!((alpha - 1.2f64.tanh()).abs() < 1e-15);
    relearn(std::slice::from_ref(&var), std::slice::from_ref(&start), alpha).unwrap();
    let wanted = ((start * alpha).unwrap() + (now * (1.0 - alpha)).unwrap()).unwrap();
    assert_eq!(to_vec_f64(&var).unwrap(), to_vec_f64(&wanted).unwrap());
}

#[test]
fn encoders_go_back_when_a_diagnosis_is_due_and_by_what_was_saved() {
    let options = || toml::toml! { every = 2 most = 1 };
    let mut world = World::new(2, &CONCAT);
    let mut method = world.method(&DIAGNOSE_RELEARN, options());
    let start = world.values();
    let mut saved = State::new();
    for epoch in 0..=3 {
        if epoch == 3 {
            saved = method.state().unwrap();
        }
        let before = world.values();
        world.begin(method.as_mut(), epoch).unwrap();
        for ((name, now), ((_, before), (_, start))) in
            world.values().iter().zip(before.iter().zip(&start))
        {
            if epoch < 3 || name.starts_with("head") {
                assert_eq!(now, before, "{name}, {epoch}");
                continue;
            }
            // All entries went the same part of the way.
            let parts: Vec<f64> = now
                .iter()
                .zip(before.iter().zip(start))
                .map(|(now, (before, start))| (now - before) / (start - before))
                .collect();
            assert!(parts[0] > 0.0 && parts[0] < 1.0, "{name}: {parts:?}");
            assert!(parts.iter().all(|part| (part - parts[0]).abs() < 1e-9), "{name}: {parts:?}");
        }
        world.step(method.as_mut(), (5, 1.0), None).unwrap();
        if epoch < 3 {
            world.shift();
        }
    }
    // No more than once, and then nothing need be kept.
    assert_eq!(method.state().unwrap().len(), 1);
    let after = world.values();
    world.begin(method.as_mut(), 5).unwrap();
    assert_eq!(world.values(), after);

    let again = || DIAGNOSE_RELEARN.build(&options(), &world.setup).unwrap();
    let (mut resumed, mut forgetful) = (again(), again());
    resumed.load_state(&saved).unwrap();
    let none = Tensor::new(&[0f64], &Device::Cpu).unwrap();
    forgetful.load_state(&State::from([("done".to_owned(), none)])).unwrap();
    world.begin(resumed.as_mut(), 3).unwrap();
    assert_ne!(world.values(), after);
    let error = world.begin(forgetful.as_mut(), 3).unwrap_err();
    assert!(matches!(error, Error::MissingState { .. }), "{error}");
}
