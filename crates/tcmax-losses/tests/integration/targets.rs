//! Losses of several labels and of numbers: their gradients are those of their values, TCMax of labels is its
//! definition tuple by tuple, and methods that are not defined for them say why.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{Reference, Tuples};
use tcmax_fusion::{CONCAT, FILM, FusionHead, GATED, HeadSpec, SUM};
use tcmax_losses::methods::METHODS;
use tcmax_losses::{
    Error, LabelBounds, Marginals, Presence, Target, Targets, Task, Tasks, binary_cross_entropy,
    unimodal,
};
use tcmax_ops::{Init, ParamBuilder, Seed, gradient_error};
use tcmax_registry::Table;

const LIMIT: f64 = 1e-6;

fn passed_on(error: &Error) -> tcmax_ops::Error {
    tcmax_ops::Error::Candle(candle_core::Error::Msg(error.to_string()))
}

fn head(kind: &'static HeadSpec, modalities: usize, outputs: usize) -> Box<dyn FusionHead> {
    let builder = ParamBuilder::new(Seed::new(5), DType::F64, &Device::Cpu);
    kind.build_outputs(&Table::new(), &vec![3; modalities], outputs, &builder).unwrap()
}

fn features(modalities: usize, rows: usize, scale: f64) -> Vec<Tensor> {
    let normal = Init::Normal { mean: 0.0, std: scale };
    let of = |m: usize| {
        let seed = Seed::new(9).index(m as u64);
        normal.tensor(&(rows, 3).into(), seed, DType::F64, &Device::Cpu).unwrap()
    };
    (0..modalities).map(of).collect()
}

fn labels(rows: usize, columns: usize) -> Targets {
    let values: Vec<f64> =
        (0..rows * columns).map(|n| f64::from(u8::from(n * 7 % 5 < 2))).collect();
    Targets::labels(Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()).unwrap()
}

fn numbers(rows: usize, columns: usize) -> Targets {
    let values: Vec<f64> = (0..rows * columns).map(|n| (n as f64).sin() * 3.0).collect();
    Targets::numbers(Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()).unwrap()
}

/// Batches of one and of several, with outputs of all sizes up to some hundreds.
fn each(run: impl Fn(usize, f64)) {
    for rows in [1, 4] {
        for scale in [1.0, 200.0] {
            run(rows, scale);
        }
    }
}

#[test]
fn gradients_of_joint_and_unimodal_losses_are_those_of_their_values() {
    each(|rows, scale| {
        let head = head(&CONCAT, 2, 3);
        let z = features(2, rows, scale);
        for targets in [labels(rows, 3), numbers(rows, 3)] {
            let joint = |z: &[Tensor]| targets.loss(&head.logits(z)?);
            let own = |z: &[Tensor]| unimodal(&head.modality_logits(z)?, &targets);
            for loss in [&joint as &dyn Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>, &own] {
                let of = |z: &[Tensor]| loss(z).map_err(|error| passed_on(&error));
                // Squares of hundreds have second differences that rounding hides.
                let limit = if targets.task() == Task::Regression { 1e-4 } else { LIMIT };
                let error = gradient_error(&z, of).unwrap();
                assert!(error < limit, "{} B = {rows}, scale {scale}: {error:e}", targets.task());
            }
        }
    });
}

#[test]
fn logits_of_five_hundred_keep_their_loss_and_gradient() {
    let logits = Tensor::new(&[[500f64, -500.0, 500.0, 0.0]], &Device::Cpu).unwrap();
    let targets = Tensor::new(&[[1f64, 0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
    let logits = candle_core::Var::from_tensor(&logits).unwrap();
    let loss = binary_cross_entropy(logits.as_tensor(), &targets).unwrap();
    assert!((loss.to_scalar::<f64>().unwrap() - (500.0 + 2f64.ln()) / 4.0).abs() < 1e-12);
    let gradients = loss.backward().unwrap();
    let gradient = gradients.get(logits.as_tensor()).unwrap().to_vec2::<f64>().unwrap();
    // (sigmoid(f) - y) / 4, which is exact at 0 too.
    let wanted = [0.0, 0.0, 0.25, -0.125];
    assert!(gradient[0].iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-15), "{gradient:?}");
}

/// The bound by its definition: every tuple, every label with the outcomes no and yes.
fn brute_force(head: &dyn FusionHead, z: &[Tensor], targets: &Targets) -> f64 {
    let rows = targets.examples();
    let tuples = Tuples::all(rows, z.len()).unwrap();
    let scores = head.scores(z).unwrap().to_vec2::<f64>().unwrap();
    let parts = head.parts(z).unwrap();
    let all = head.combine(&tuples.gather(&parts).unwrap()).unwrap().to_vec2::<f64>().unwrap();
    let has = targets.values().to_vec2::<f64>().unwrap();
    let mut sum = 0.0;
    for label in 0..has[0].len() {
        let joint: f64 = (0..rows).map(|row| (has[row][label] - 0.5) * scores[row][label]).sum();
        let most = all.iter().map(|row| row[label].abs() / 2.0).fold(0.0, f64::max);
        let of_both = |f: f64| (-f / 2.0 - most).exp() + (f / 2.0 - most).exp();
        let outcomes: f64 = all.iter().map(|row| of_both(row[label])).sum();
        sum += joint / rows as f64 - (most + outcomes.ln()) + (2.0 * all.len() as f64).ln();
    }
    sum
}

#[test]
fn tcmax_of_labels_is_its_definition_and_has_its_gradient() {
    for (kind, modalities) in [(&CONCAT, 1), (&CONCAT, 2), (&SUM, 3), (&FILM, 2), (&GATED, 2)] {
        each(|rows, scale| {
            let scale = if kind.additive { scale } else { scale.min(20.0) };
            let what = format!("{kind}, M = {modalities}, B = {rows}, scale {scale}");
            let head = head(kind, modalities, 3);
            let (z, targets) = (features(modalities, rows, scale), labels(rows, 3));
            let wanted = brute_force(head.as_ref(), &z, &targets);
            for reference in [
                Reference::all(),
                Reference::all().in_chunks_of(5),
                Reference::of(Tuples::all(rows, modalities).unwrap()),
            ] {
                let bounds =
                    LabelBounds::new(head.as_ref(), &z, &targets, reference.clone()).unwrap();
                let (value, nats) = (bounds.value().unwrap(), bounds.nats().unwrap());
                let value = value.to_scalar::<f64>().unwrap();
                let size = wanted.abs().max(1.0);
                assert!((value - wanted).abs() < 1e-10 * size, "{what}: {value} is not {wanted}");
                assert!((nats - wanted).abs() < 1e-10 * size, "{what}: {nats} is not {wanted}");
                let loss = |z: &[Tensor]| {
                    let bounds = LabelBounds::new(head.as_ref(), z, &targets, reference.clone());
                    bounds.and_then(|bounds| bounds.value()).map_err(|error| passed_on(&error))
                };
                let error = gradient_error(&z, loss).unwrap();
                assert!(error < LIMIT, "{what}: {error:e}");
            }
        });
    }
}

#[test]
fn a_blend_of_labels_is_the_share_of_both_losses() {
    for (kind, modalities) in [(&CONCAT, 2), (&SUM, 3), (&GATED, 2)] {
        each(|rows, scale| {
            let scale = if kind.additive { scale } else { scale.min(20.0) };
            let head = head(kind, modalities, 3);
            let (z, targets) = (features(modalities, rows, scale), labels(rows, 3));
            let blend = |z: &[Tensor], weight: f64| {
                let bounds = LabelBounds::new(head.as_ref(), z, &targets, Reference::all());
                bounds.and_then(|bounds| bounds.blended(weight)).map_err(|error| passed_on(&error))
            };
            let number = |tensor: Tensor| tensor.to_scalar::<f64>().unwrap();
            let cross_entropy = 3.0 * number(targets.loss(&head.logits(&z).unwrap()).unwrap());
            let whole = number(blend(&z, 1.0).unwrap());
            for weight in [0.0, 0.1, 0.7] {
                let what = format!("{kind}, B = {rows}, scale {scale}, weight {weight}");
                let wanted = weight * whole - (1.0 - weight) * cross_entropy;
                let got = number(blend(&z, weight).unwrap());
                let size = wanted.abs().max(1.0);
                assert!((got - wanted).abs() < 1e-10 * size, "{what}: {got} is not {wanted}");
                let error = gradient_error(&z, |z| blend(z, weight)).unwrap();
                assert!(error < LIMIT, "{what}: {error:e}");
            }
        });
    }
}

#[test]
fn tcmax_of_one_example_is_the_cross_entropy_of_its_labels() {
    let (head, z, targets) = (head(&CONCAT, 2, 3), features(2, 1, 1.0), labels(1, 3));
    let bounds = LabelBounds::new(head.as_ref(), &z, &targets, Reference::all()).unwrap();
    let cross_entropy = targets.loss(&head.logits(&z).unwrap()).unwrap();
    // A mean over three labels on one side, a sum less log 2 for each on the other.
    let wanted = 3.0 * (2f64.ln() - cross_entropy.to_scalar::<f64>().unwrap());
    assert!((bounds.nats().unwrap() - wanted).abs() < 1e-12);
}

#[test]
fn targets_that_are_none_are_named() {
    let tensor =
        |rows: &[[f64; 2]]| Tensor::from_vec(rows.concat(), (rows.len(), 2), &Device::Cpu).unwrap();
    let message = |targets: tcmax_losses::Result<Targets>| targets.unwrap_err().to_string();
    let half = message(Targets::labels(tensor(&[[0.0, 1.0], [0.5, 0.0]])));
    assert_eq!(half, "targets: row 1, column 0: 0.5 is neither 0 nor 1");
    let nan = message(Targets::numbers(tensor(&[[0.0, f64::NAN]])));
    assert_eq!(nan, "targets: row 0, column 1: NaN is not finite");
    let flat = Tensor::new(&[1f64, 0.0], &Device::Cpu).unwrap();
    assert!(message(Targets::labels(flat)).contains("the shape is [2]"));
    let wrong = numbers(2, 2).loss(&tensor(&[[0.0, 1.0]])).unwrap_err().to_string();
    assert!(wrong.contains("the outputs have the shape [1, 2], and the targets [2, 2]"), "{wrong}");
}

#[test]
fn methods_say_for_which_tasks_they_are_defined_and_why_for_no_others() {
    let defined = |task: Task| -> Vec<&str> {
        let fits = METHODS.iter().filter(|method| method.check_task(task).is_ok());
        fits.map(|method| method.name).collect()
    };
    assert_eq!(defined(Task::Classes).len(), METHODS.len());
    assert_eq!(defined(Task::Labels), ["joint", "unimodal", "tcmax", "mm-pareto", "mm-cosine"]);
    assert_eq!(defined(Task::Regression), ["joint", "unimodal"]);
    for method in METHODS {
        let Err(error) = method.check_task(Task::Regression) else { continue };
        let text = error.to_string();
        assert!(text.contains(method.name) && text.contains("'regression': "), "{text}");
        assert!(!text.contains('\n') && matches!(error, Error::NotForTask { .. }), "{text}");
        assert_ne!(method.tasks, Tasks::Any);
    }
}

#[test]
fn an_absent_modality_has_its_mean_in_the_prediction_of_numbers() {
    let (head, z) = (head(&CONCAT, 2, 1), features(2, 4, 1.0));
    let complete = Presence::complete(2, 4);
    let marginals = Marginals::of_means(&z, &complete).unwrap();
    let joint = METHODS[0].name;
    assert_eq!(joint, "joint");
    let predicted = marginals
        .predict(&tcmax_losses::methods::joint::Joint, head.as_ref(), &z, &complete.without(1))
        .unwrap();
    let mean = z[1].mean_keepdim(0).unwrap().broadcast_as((4, 3)).unwrap().contiguous().unwrap();
    let wanted = head.logits(&[z[0].clone(), mean]).unwrap();
    let difference = (predicted - wanted).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f64>().unwrap() < 1e-12);
    let names = ["a".to_owned(), "b".to_owned()];
    let again = Marginals::from_state(head.as_ref(), &marginals.state(&names), &names).unwrap();
    let again = again.scores(head.as_ref(), &z, &complete.without(0)).unwrap();
    let first = marginals.scores(head.as_ref(), &z, &complete.without(0)).unwrap();
    assert_eq!(again.to_vec2::<f64>().unwrap(), first.to_vec2::<f64>().unwrap());
}
