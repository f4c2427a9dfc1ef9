//! Modalities that teach each other, and those that play.

use super::*;

#[test]
fn dimensions_are_those_of_the_nearest_class_mean() {
    let z =
        Tensor::new(&[[0f64, 5.0], [1.0, 5.0], [10.0, 4.9], [11.0, 5.1]], &Device::Cpu).unwrap();
    let means = Tensor::new(&[[0.5f64, 5.0], [10.5, 5.0]], &Device::Cpu).unwrap();
    let labels = Labels::new(&[0, 0, 1, 1], 2, &Device::Cpu).unwrap();
    // In the second dimension the means are equal: the first one counts.
    assert_eq!(right_by_dimension(&z, &labels, &means).unwrap(), [4, 2]);
    let chosen = only_one(&[vec![true, true, false], vec![true, false, true]]);
    assert_eq!(chosen, [vec![false, true, false], vec![false, false, true]]);
    let none = [vec![false; 2], vec![false; 2]];
    assert!(contrasts(&[z.clone(), z], &none, 1.0).unwrap().iter().all(Option::is_none));
}

#[test]
fn di_mml_trains_encoders_first_and_then_the_fused_classifier() {
    let options = || toml::toml! { contrast-from = 1 fusion-epochs = 2 };
    let mut world = World::new(2, DI_MML.usual_head);
    let mut method = world.method(&DI_MML, options());
    let contrast = |output: &StepOutput| {
        output.metrics.iter().filter(|(name, _)| name.starts_with("contrast")).count()
    };
    let mut saved = State::new();
    for epoch in 0..EPOCHS {
        world.begin(method.as_mut(), epoch).unwrap();
        let fuses = epoch >= EPOCHS - 2;
        assert_eq!(method.freezes_encoders(epoch), fuses);
        assert_eq!(method.is_usable_after(epoch), fuses);
        assert_eq!(world.resets, usize::from(fuses));
        let (output, handed) = world.step(method.as_mut(), (5, 1.0), None).unwrap();
        let names: Vec<&str> = handed.iter().map(|(name, _)| name.as_str()).collect();
        if fuses {
            assert_eq!(names, ["head.fc_out.bias", "head.fc_out.weight"]);
        } else {
            assert!(names.contains(&"m0.weight") && names.contains(&"method.shared.weight"));
            assert!(!names.iter().any(|name| name.contains("fc_out")), "{names:?}");
            assert_eq!(contrast(&output) > 0, epoch >= 1, "{epoch}");
        }
        saved = method.state().unwrap();
        assert_eq!(saved.len(), if epoch == 0 { 0 } else { 2 });
    }
    world.clock.epoch = 2;
    let again = || DI_MML.build(&options(), &world.setup).unwrap();
    let (mut resumed, mut forgetful) = (again(), again());
    resumed.load_state(&saved).unwrap();
    let of = |method: &mut dyn Method| world.step(method, (5, 1.0), None).unwrap();
    assert_eq!(of(resumed.as_mut()).1, of(method.as_mut()).1);
    assert_ne!(of(forgetful.as_mut()).1, of(method.as_mut()).1);
    forgetful.load_state(&saved).unwrap();
    assert_eq!(of(forgetful.as_mut()).1, of(method.as_mut()).1);
}

#[test]
fn predictions_are_weighed_by_certainty() {
    let logits = [[[2f64, 0.0]], [[-500.0, 500.0]]].map(|x| Tensor::new(&x, &Device::Cpu).unwrap());
    let certain = [1.0 / (1.0 + (-2f64).exp()), 1.0];
    let weights = certain.map(|c| (c / 0.5f64).exp());
    let part = weights[0] / (weights[0] + weights[1]);
    let found = by_certainty(&logits, 0.5).unwrap().to_vec2::<f64>().unwrap();
    assert!((found[0][0] - (part * 2.0 - (1.0 - part) * 500.0)).abs() < 1e-10, "{found:?}");
    assert!((found[0][1] - (1.0 - part) * 500.0).abs() < 1e-10, "{found:?}");
}

#[test]
fn players_see_their_own_game_and_the_head_only_what_does_not_cancel() {
    for modalities in [2, 3] {
        let builder = ParamBuilder::new(Seed::new(2), DType::F64, &Device::Cpu);
        let widths = vec![WIDTH; modalities];
        let head = CONCAT.build(&Table::new(), &widths, CLASSES, &builder).unwrap();
        let z: Vec<Tensor> = (0..modalities as u64).map(|m| random(4, WIDTH, 1.0, m)).collect();
        let orders = vec![vec![vec![1, 2, 3, 0], vec![3, 2, 0, 1]]; modalities];
        let played = Played::new(head.as_ref(), &z, &orders).unwrap();
        for (game, k) in
            [(Game::Greedy, -1.0), (Game::Independent, 0.0), (Game::Collaborative, 1.0)]
        {
            let losses = played.losses(game);
            for (m, found) in played.gradients(game).unwrap().iter().enumerate() {
                let others: f64 =
                    (0..modalities).filter(|&n| n != m).map(|n| played.influences[n]).sum();
                assert!((losses[m] + played.influences[m] + k * others).abs() < 1e-12);
                // By differences of this modality's features alone.
                for entry in [0, 7] {
                    let at = |shift: f64| {
                        let mut values = to_vec_f64(&z[m]).unwrap();
                        values[entry] += shift;
                        let mut moved = z.clone();
                        moved[m] = Tensor::from_vec(values, (4, WIDTH), &Device::Cpu).unwrap();
                        Played::new(head.as_ref(), &moved, &orders).unwrap().losses(game)[m]
                    };
                    let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let gap = (to_vec_f64(found).unwrap()[entry] - numeric).abs();
                    assert!(gap < LIMIT, "{game:?}, {m}: {gap:e}");
                }
            }
        }
    }
    // The game moves encoders in every form, and the head unless it is greedy.
    let handed = |game: &str, lambda: f64| {
        let mut world = World::new(2, MCR.usual_head);
        let mut method = world.method(&MCR, toml::toml! { game = game lambda = lambda });
        let same = world.step(method.as_mut(), (5, 1.0), None).unwrap().1;
        assert_eq!(same, world.step(method.as_mut(), (5, 1.0), None).unwrap().1, "by the seed");
        same
    };
    for game in ["greedy", "independent", "collaborative"] {
        for ((name, with), (_, without)) in handed(game, 0.5).iter().zip(handed(game, 0.0)) {
            let changes = *with != without;
            let is_fused = name.starts_with("head.fc_out");
            let wanted = name.starts_with('m') && !name.starts_with("method")
                || is_fused && game != "greedy";
            assert_eq!(changes, wanted, "{game}, {name}");
        }
    }
}

#[test]
fn mcr_compares_features_of_one_width_unless_it_does_not_compare_them() {
    let setup = Setup::alone(&[3, 4], CLASSES, MCR.usual_head);
    let error = MCR.build(&Table::new(), &setup).map(drop).unwrap_err();
    assert!(matches!(error, Error::UnequalWidths { .. }), "{error}");
    let setup = Setup::alone(&[3, 4], CLASSES, MCR.usual_head);
    MCR.build(&toml::toml! { contrast = 0.0 }, &setup).unwrap();
}
