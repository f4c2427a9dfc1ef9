//! Every loss's gradient is that of its value: central differences in f64, for two and three
//! modalities, a batch of one, repeated labels, two classes, and logits of +-500.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{Bound, Labels, Reference, Tuples};
use tcmax_fusion::{CONCAT, FusionHead, HEADS, HeadSpec, SUM};
use tcmax_losses::methods::pmr::Rebalance;
use tcmax_losses::methods::qmf::{History, confidence, mixed};
use tcmax_losses::methods::{mm_cosine, opm};
use tcmax_losses::{Error, cross_entropy, tcmax, unimodal};
use tcmax_ops::{Init, ParamBuilder, Params, Seed, State, gradient_error};
use tcmax_registry::Table;

const LIMIT: f64 = 1e-6;

/// Labels with repeats, and a batch of one; two classes and more.
const LABELS: [(&[u32], usize); 3] = [(&[1, 0, 1, 1], 2), (&[2, 0, 2, 1], 5), (&[1], 3)];

struct Setting {
    head: Box<dyn FusionHead>,
    params: Params,
    features: Vec<Tensor>,
    labels: Labels,
    what: String,
}

fn settings(kind: &'static HeadSpec, modalities: usize) -> Vec<Setting> {
    let mut all = Vec::new();
    for (y, classes) in LABELS {
        // Large enough for logits of several hundred; heads that multiply features get there sooner.
        for scale in [1.0, if kind.additive { 300.0 } else { 20.0 }] {
            let seed = Seed::new(7).index(classes as u64);
            let builder = ParamBuilder::new(seed, DType::F64, &Device::Cpu);
            let widths = vec![3; modalities];
            let head = kind.build(&Table::new(), &widths, classes, &builder).unwrap();
            let normal = Init::Normal { mean: 0.0, std: scale };
            let features = (0..modalities)
                .map(|m| {
                    let shape = (y.len(), 3).into();
                    normal.tensor(
                        &shape,
                        seed.stream("z").index(m as u64),
                        DType::F64,
                        &Device::Cpu,
                    )
                })
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
            let what =
                format!("{kind}, M = {modalities}, B = {}, C = {classes}, scale {scale}", y.len());
            let labels = Labels::new(y, classes, &Device::Cpu).unwrap();
            all.push(Setting { head, params: builder.params(), features, labels, what });
        }
    }
    all
}

fn passed_on(error: &Error) -> tcmax_ops::Error {
    tcmax_ops::Error::Candle(candle_core::Error::Msg(error.to_string()))
}

/// Checks the gradient of `loss` with respect to the features and to every parameter.
fn check(setting: &Setting, loss: &dyn Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>) {
    let of_features = |z: &[Tensor]| loss(z).map_err(|error| passed_on(&error));
    let error = gradient_error(&setting.features, of_features).unwrap();
    assert!(error < LIMIT, "{}: features: {error:e}", setting.what);
    let gradients = loss(&setting.features).unwrap().backward().unwrap();
    let held = setting.params.snapshot().unwrap();
    for (name, var) in setting.params.trainable() {
        let analytic = match gradients.get(var.as_tensor()) {
            Some(gradient) => gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap(),
            None => vec![0.0; var.elem_count()],
        };
        // Three entries of each parameter: first, middle and last.
        for entry in [0, var.elem_count() / 2, var.elem_count() - 1] {
            let at = |shift: f64| {
                let mut values = held[name].flatten_all().unwrap().to_vec1::<f64>().unwrap();
                values[entry] += shift;
                let moved = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap();
                let mut state: State = held.clone();
                state.insert(name.to_owned(), moved);
                setting.params.load(&state).unwrap();
                loss(&setting.features).unwrap().to_scalar::<f64>().unwrap()
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (analytic[entry] - numeric).abs() / numeric.abs().max(1.0);
            assert!(error < LIMIT, "{}: {name}: {error:e}", setting.what);
        }
    }
    setting.params.load(&held).unwrap();
}

/// Heads and numbers of modalities they are defined for.
fn heads() -> Vec<(&'static HeadSpec, usize)> {
    let counts = |kind: &'static HeadSpec| if kind.additive { vec![1, 2, 3] } else { vec![2] };
    HEADS.iter().flat_map(|&kind| counts(kind).into_iter().map(move |m| (kind, m))).collect()
}

#[test]
fn joint_and_unimodal_cross_entropy() {
    for (kind, modalities) in heads() {
        for setting in settings(kind, modalities) {
            let (head, labels) = (setting.head.as_ref(), &setting.labels);
            check(&setting, &|z| cross_entropy(&head.logits(z)?, labels));
            check(&setting, &|z| unimodal(&head.modality_logits(z)?, labels));
        }
    }
}

#[test]
fn total_correlation_over_all_tuples() {
    for (kind, modalities) in heads() {
        for setting in settings(kind, modalities) {
            let (head, labels) = (setting.head.as_ref(), &setting.labels);
            // Together (or by factors) and in chunks.
            for reference in [Reference::all(), Reference::all().in_chunks_of(5)] {
                check(&setting, &|z| {
                    Ok(Bound::new(head, z, labels, reference.clone())?.value()?.neg()?)
                });
            }
            check(&setting, &|z| tcmax(head, z, labels));
        }
    }
}

#[test]
fn total_correlation_over_random_tuples() {
    for (kind, modalities) in heads() {
        for setting in settings(kind, modalities) {
            let (head, labels) = (setting.head.as_ref(), &setting.labels);
            let tuples = Tuples::random(6, labels.len(), modalities, Seed::new(1)).unwrap();
            for chunk in [100, 4] {
                let reference = Reference::of(tuples.clone()).in_chunks_of(chunk);
                check(&setting, &|z| {
                    Ok(Bound::new(head, z, labels, reference.clone())?.value()?.neg()?)
                });
            }
        }
    }
}

#[test]
fn prototypes() {
    for mut setting in settings(&CONCAT, 2) {
        // Far from every prototype, losses above 10 nats are left out: a kink.
        let near = |z: &Tensor| z / z.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        setting.features = setting.features.iter().map(|z| near(z).unwrap()).collect();
        let classes = setting.labels.classes();
        let prototypes = [1, 2].map(|m| {
            let unit = Init::Normal { mean: 0.0, std: 1.0 };
            unit.tensor(&(classes, 3).into(), Seed::new(m), DType::F64, &Device::Cpu).unwrap()
        });
        let (head, labels) = (setting.head.as_ref(), &setting.labels);
        // Which modality is behind carries no gradient.
        for weights in [[0.0, 0.7], [0.4, 0.0]] {
            check(&setting, &|z| {
                let ce = cross_entropy(&head.logits(z)?, labels)?;
                let mut own = Rebalance::new(z, &prototypes, labels)?;
                own.weights = weights;
                own.loss(&ce, labels, 0.8, 0.3)
            });
        }
    }
}

#[test]
fn confidence_ranking() {
    for modalities in [2, 3] {
        for setting in settings(&SUM, modalities) {
            let (head, labels) = (setting.head.as_ref(), &setting.labels);
            let rows: Vec<usize> = (0..labels.len()).collect();
            let mut history = History::new(modalities, labels.len() + 1);
            for (m, sums) in history.losses.iter_mut().enumerate() {
                let sum = |(row, sum): (usize, &mut f64)| *sum = ((row * 3 + m) % 5) as f64;
                sums.iter_mut().enumerate().for_each(sum);
            }
            let own = head.modality_logits(&setting.features).unwrap();
            let fixed: Vec<Tensor> =
                own.iter().map(|f| confidence(f).unwrap().detach().unsqueeze(1).unwrap()).collect();
            check(&setting, &|z| {
                let own = head.modality_logits(z)?;
                let loss = history.loss(&own, labels, &rows)?;
                // The confidences that mix carry no gradient: hold them where they are.
                let mix = own.iter().zip(&fixed).map(|(f, u)| f.broadcast_mul(u));
                let mix = tcmax_ops::sum_of(&mix.collect::<candle_core::Result<Vec<_>>>()?)?;
                let moving = cross_entropy(&mixed(&own)?, labels)?;
                Ok(((loss - moving)? + cross_entropy(&mix, labels)?)?)
            });
        }
    }
}

#[test]
fn cosines_and_dropped_features() {
    for modalities in [1, 2, 3] {
        for setting in settings(&CONCAT, modalities) {
            let (head, labels) = (setting.head.as_ref(), &setting.labels);
            check(&setting, &|z| cross_entropy(&mm_cosine::cosine_logits(head, z, 10.0)?, labels));
            let draws: Vec<f64> = (0..labels.len()).map(|row| row as f64 / 4.0).collect();
            check(&setting, &|z| {
                let mut z = z.to_vec();
                z[0] = opm::dropped(&z[0], &draws, 0.3)?;
                cross_entropy(&head.logits(&z)?, labels)
            });
        }
    }
}
