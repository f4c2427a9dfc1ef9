//! Teachers, and what comes after them.

use super::*;

#[test]
fn teachers_are_trained_first_and_the_student_starts_where_the_run_did() {
    for spec in [&UMT, &G2D] {
        let mut world = World::new(2, spec.usual_head);
        let mut method = world.method(spec, toml::toml! { teacher-epochs = 2 });
        let start = world.values();
        let mut saved = State::new();
        for epoch in 0..EPOCHS {
            world.begin(method.as_mut(), epoch).unwrap();
            assert_eq!(method.is_usable_after(epoch), epoch >= 2);
            let taught = lesson(2, 5, 1.0);
            if epoch < 2 {
                assert!(world.taught.is_none() && world.resets == 0);
                // The loss of single modalities, whatever a teacher would say.
                let (output, _) = world.step(method.as_mut(), (5, 1.0), Some(&taught)).unwrap();
                let own = world.head.modality_logits(&world.features(5, 1.0)).unwrap();
                let wanted = tcmax_losses::unimodal(&own, &labels(5)).unwrap();
                assert_eq!(output.loss.value().unwrap(), wanted.to_scalar::<f64>().unwrap());
                world.shift();
                saved = method.state().unwrap();
                assert_eq!(saved.len(), start.len());
            } else {
                let (teacher, when) = world.taught.as_ref().unwrap();
                assert_eq!((*when, world.resets), (2, 1));
                let of_teacher = to_vec_f64(teacher.values().next().unwrap());
                if epoch == 2 {
                    assert_eq!(world.values(), start, "{spec}");
                    assert_ne!(of_teacher.unwrap(), start[0].1);
                    assert!(method.state().unwrap().is_empty());
                }
                let error = world.step(method.as_mut(), (5, 1.0), None).unwrap_err();
                assert!(matches!(error, Error::NoTeacher { .. }), "{error}");
                world.step(method.as_mut(), (5, 1.0), Some(&taught)).unwrap();
                world.shift();
            }
        }
        // Interrupted among the teachers: with what was saved the student starts where the run did, and not without.
        let again = || spec.build(&toml::toml! { teacher-epochs = 2 }, &world.setup).unwrap();
        let (mut resumed, mut forgetful) = (again(), again());
        resumed.load_state(&saved).unwrap();
        forgetful.load_state(&State::new()).unwrap();
        world.begin(resumed.as_mut(), 2).unwrap();
        assert_eq!(world.values(), start);
        assert!(matches!(world.begin(forgetful.as_mut(), 2), Err(Error::MissingState { .. })));
        let other = State::from([("prototypes.0".to_owned(), random(1, 1, 1.0, 0))]);
        assert!(matches!(forgetful.load_state(&other), Err(Error::UnknownState { .. })));
    }
}

#[test]
fn runs_too_short_for_their_phases_are_refused() {
    let refused = |spec: &'static MethodSpec, options: Table, epochs: usize| {
        let setup = Setup { epochs, ..World::new(2, spec.usual_head).setup };
        spec.build(&options, &setup).map(drop).unwrap_err().to_string()
    };
    for spec in [&UMT, &G2D] {
        let text = refused(spec, Table::new(), 1);
        assert!(text.contains("none of the 1 is left for the student"), "{text}");
        let text = refused(spec, toml::toml! { teacher-epochs = 6 }, 6);
        assert!(
            text.starts_with("teacher-epochs: the first 6 epochs train the teachers"),
            "{text}"
        );
        assert!(refused(spec, toml::toml! { teacher-epochs = 0 }, 6).contains("at least 1"));
    }
    let text = refused(&DI_MML, Table::new(), 1);
    assert!(text.contains("none of the 1 is left for the encoders"), "{text}");
}

#[test]
fn the_encoder_whose_teacher_leads_waits_for_half_of_the_students_epochs() {
    let mut world = World::new(3, &SUM);
    let mut method = world.method(&G2D, toml::toml! { teacher-epochs = 2 });
    world.clock.epoch = 3;
    let mut taught = lesson(3, 5, 1.0);
    let sure = labels(5).tensor().unwrap().to_vec1::<u32>().unwrap();
    let sure: Vec<f64> = sure
        .iter()
        .flat_map(|&y| (0..CLASSES).map(move |c| if c == y as usize { 9.0 } else { 0.0 }))
        .collect();
    let sure = Tensor::from_vec(sure, (5, CLASSES), &Device::Cpu).unwrap();
    for leader in 0..3 {
        taught.modality_logits = lesson(3, 5, 1.0).modality_logits;
        taught.modality_logits[leader] = sure.clone();
        for epoch in [2, 3, 4, 5] {
            world.clock.epoch = epoch;
            let (_, handed) = world.step(method.as_mut(), (5, 1.0), Some(&taught)).unwrap();
            for (m, waits) in (0..3).map(|m| (m, m == leader && epoch < 4)) {
                let (_, gradient) =
                    handed.iter().find(|(name, _)| *name == format!("m{m}.weight")).unwrap();
                assert_eq!(gradient.iter().all(|x| *x == 0.0), waits, "{leader}, {m}, {epoch}");
            }
            assert!(handed.iter().any(|(name, g)| name.starts_with("head") && g[0] != 0.0));
        }
    }
    world.clock.epoch = 2;
    taught.modality_logits = vec![sure; 3];
    let (output, handed) = world.step(method.as_mut(), (5, 1.0), Some(&taught)).unwrap();
    assert!(handed.iter().all(|(_, gradient)| gradient.iter().any(|x| *x != 0.0)), "a tie");
    let waits = output.metrics.iter().filter(|(name, _)| name.starts_with("waits"));
    assert!(waits.map(|(_, value)| *value).eq([0.0; 3]));
}
