//! Methods with teachers, phases, or a look at the data before an epoch: their losses have the gradients of their values,
//! also at logits of several hundred, for two and three modalities and a batch of one; and what they do between epochs is
//! what they say.

use std::cell::Cell;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, HeadSpec, SUM};
use tcmax_losses::methods::contrast::supervised_contrast;
use tcmax_losses::methods::curvature::hessian_gradient;
use tcmax_losses::methods::di_mml::by_certainty;
use tcmax_losses::methods::diagnose_relearn::{relearn, scaled, strength};
use tcmax_losses::methods::dimensions::{contrasts, only_one, right_by_dimension};
use tcmax_losses::methods::divergence::{from_mixture, log_softmax, to_mixture};
use tcmax_losses::methods::g2d::distillation;
use tcmax_losses::methods::influence::{Game, Played, influence};
use tcmax_losses::methods::k_means::{k_means, purity};
use tcmax_losses::methods::lfm::gap;
use tcmax_losses::methods::{DI_MML, DIAGNOSE_RELEARN, G2D, LFM, MCR, Reading, UMT};
use tcmax_losses::{
    Clock, EpochContext, Error, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part, Setup,
    Spread, Step, StepOutput, Study, Surveyed, Taught, Visit,
};
use tcmax_ops::{Init, ParamBuilder, Params, Seed, State, gradient_error, to_vec_f64};
use tcmax_registry::Table;

const LIMIT: f64 = 1e-6;
const CLASSES: usize = 3;
const WIDTH: usize = 4;
const EPOCHS: usize = 6;

fn random(rows: usize, columns: usize, scale: f64, seed: u64) -> Tensor {
    let normal = Init::Normal { mean: 0.0, std: scale };
    normal.tensor(&(rows, columns).into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn labels(rows: usize) -> Labels {
    let labels: Vec<u32> = (0..rows).map(|row| (row * 5 / 3 % CLASSES) as u32).collect();
    Labels::new(&labels, CLASSES, &Device::Cpu).unwrap()
}

/// Gradients that were handed over, by parameter.
type Handed = Vec<(String, Vec<f64>)>;

/// A model of linear encoders, one method, and data of two splits.
struct World {
    params: Params,
    groups: ParameterGroups,
    encoders: Vec<Tensor>,
    head: Box<dyn FusionHead>,
    setup: Setup,
    clock: Clock,
    rows: [usize; 2],
    taught: Option<(State, usize)>,
    resets: usize,
}

impl World {
    fn new(modalities: usize, head: &'static HeadSpec) -> Self {
        let builder = ParamBuilder::new(Seed::new(4), DType::F64, &Device::Cpu);
        let unit = Init::Normal { mean: 0.1, std: 0.7 };
        let encoders = (0..modalities)
            .map(|m| builder.pp(format!("m{m}")).param("weight", (3, WIDTH), unit).unwrap());
        let encoders = encoders.collect();
        let widths = vec![WIDTH; modalities];
        let built = head.build(&Table::new(), &widths, CLASSES, &builder.pp("head")).unwrap();
        let own = builder.pp(METHOD_PREFIX).again();
        let setup = Setup { epochs: EPOCHS, own, ..Setup::alone(&widths, CLASSES, head) };
        let mut world = Self {
            params: builder.params(),
            groups: ParameterGroups::default(),
            encoders,
            head: built,
            setup,
            clock: Clock { epoch: 0, epochs: EPOCHS, batch: 0, batches: 1 },
            rows: [18, 12],
            taught: None,
            resets: 0,
        };
        world.take_params(&builder.params());
        world
    }

    fn take_params(&mut self, params: &Params) {
        let prefixes: Vec<String> = (0..self.encoders.len()).map(|m| format!("m{m}")).collect();
        self.groups = ParameterGroups::by_prefix(params, &prefixes);
        self.params = params.clone();
    }

    /// A method, whose own parameters become the model's.
    #[expect(clippy::needless_pass_by_value, reason = "callers make the options for this")]
    fn method(&mut self, spec: &'static MethodSpec, options: Table) -> Box<dyn Method> {
        let method = spec.build(&options, &self.setup).unwrap();
        let params = self.setup.own.params();
        self.take_params(&params);
        method
    }

    fn features(&self, rows: usize, scale: f64) -> Vec<Tensor> {
        let of = |(m, weight): (usize, &Tensor)| {
            random(rows, 3, scale, 30 + m as u64).matmul(weight).unwrap()
        };
        self.encoders.iter().enumerate().map(of).collect()
    }

    fn begin(&mut self, method: &mut dyn Method, epoch: usize) -> tcmax_losses::Result<()> {
        self.clock.epoch = epoch;
        method.begin_epoch(self)
    }

    /// One step without an update; what it was handed, by parameter.
    fn step(
        &self,
        method: &mut dyn Method,
        (rows, scale): (usize, f64),
        taught: Option<&Taught>,
    ) -> tcmax_losses::Result<(StepOutput, Handed)> {
        let mut found = Vec::new();
        let features = self.features(rows, scale);
        let output = method.step(&mut Step {
            head: self.head.as_ref(),
            features: &features,
            labels: &labels(rows),
            rows: &[],
            only: &[],
            taught,
            groups: &self.groups,
            clock: self.clock,
            seed: Seed::new(7),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                for (name, var) in self.params.trainable() {
                    if let Some(gradient) = gradients.get(var.as_tensor()) {
                        found.push((name.to_owned(), to_vec_f64(gradient)?));
                    }
                }
                Ok(())
            },
        })?;
        Ok((output, found))
    }

    fn values(&self) -> Vec<(String, Vec<f64>)> {
        let of = |(name, value): (String, Tensor)| (name, to_vec_f64(&value).unwrap());
        self.params.snapshot().unwrap().into_iter().map(of).collect()
    }

    fn shift(&self) {
        for (_, var) in self.params.trainable() {
            var.set(&(var.as_tensor() + 0.25).unwrap()).unwrap();
        }
    }
}

impl EpochContext for World {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn seed(&self) -> Seed {
        Seed::new(8)
    }

    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let rows = self.rows[usize::from(part == Part::Validation)];
        let features = self.features(rows, 1.0);
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        let numbers: Vec<usize> = (0..rows).collect();
        let (head, features) = (self.head.as_ref(), &features[..]);
        visit(Surveyed { head, features, labels: &labels(rows), rows: &numbers }).map(drop)
    }

    fn study(
        &mut self,
        _: Part,
        examples: usize,
        work: &mut Study<'_>,
    ) -> tcmax_losses::Result<()> {
        let encode = || Ok(self.features(examples, 1.0));
        work(self.head.as_ref(), &encode, &labels(examples))
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn groups(&self) -> &ParameterGroups {
        &self.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        self.taught = Some((self.params.snapshot()?, self.clock.epoch));
        Ok(())
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        self.resets += 1;
        Ok(())
    }
}

/// What a teacher that is no better than chance would say.
fn lesson(modalities: usize, rows: usize, scale: f64) -> Taught {
    let of = |columns: usize, seed: u64| {
        (0..modalities as u64).map(|m| random(rows, columns, scale, seed + m)).collect()
    };
    Taught { features: of(WIDTH, 50), modality_logits: of(CLASSES, 60) }
}

fn passed_on(error: &Error) -> tcmax_ops::Error {
    tcmax_ops::Error::Candle(candle_core::Error::Msg(error.to_string()))
}

fn assert_gradient(
    inputs: &[Tensor],
    what: &str,
    loss: impl Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>,
) {
    let error = gradient_error(inputs, |x| loss(x).map_err(|error| passed_on(&error))).unwrap();
    assert!(error < LIMIT, "{what}: {error:e}");
}

/// Features or logits of two and three modalities, of one example and of several, of ordinary size and of hundreds.
fn each(columns: usize, run: impl Fn(&[Tensor], &str)) {
    for modalities in [2, 3] {
        for rows in [1, 4] {
            for scale in [1.0, 300.0] {
                let of = |m: u64| random(rows, columns, scale, 10 + m);
                let what = format!("M = {modalities}, B = {rows}, scale {scale}");
                run(&(0..modalities).map(of).collect::<Vec<_>>(), &what);
            }
        }
    }
}

#[test]
fn divergences_and_gaps_have_the_gradients_of_their_values() {
    each(CLASSES, |logits, what| {
        let teacher = random(logits[0].dim(0).unwrap(), CLASSES, 2.0, 3);
        for temperature in [1.0, 2.5] {
            assert_gradient(&logits[..1], &format!("distillation, {what}"), |o| {
                distillation(&o[0], &teacher, temperature)
            });
        }
        for reading in [Reading::Code, Reading::Paper] {
            assert_gradient(logits, &format!("{reading:?}, {what}"), |o| gap(o, reading));
        }
    });
}

#[test]
fn the_gap_is_its_definition_and_the_papers_is_bounded() {
    let (p, q) = (random(5, CLASSES, 1.0, 1), random(5, CLASSES, 1.0, 2));
    let probabilities = |x: &Tensor| tcmax_ops::softmax(x).unwrap().to_vec2::<f64>().unwrap();
    let (mut code, mut paper) = (0.0, 0.0);
    for (p, q) in probabilities(&p).iter().zip(probabilities(&q)) {
        for (p, q) in p.iter().zip(q) {
            let m = (p + q) / 2.0;
            code += 0.5 * (m * (m / p).ln() + m * (m / q).ln()) / 5.0;
            paper += 0.5 * (p * (p / m).ln() + q * (q / m).ln()) / 5.0;
        }
    }
    let value =
        |reading| gap(&[p.clone(), q.clone()], reading).unwrap().to_scalar::<f64>().unwrap();
    assert!((value(Reading::Code) - code).abs() < 1e-12);
    assert!((value(Reading::Paper) - paper).abs() < 1e-12);
    let sure = |sign: f64| Tensor::new(&[[500.0 * sign, -500.0 * sign]], &Device::Cpu).unwrap();
    let logs = [sure(1.0), sure(-1.0)].map(|x| log_softmax(&x).unwrap());
    let bounded = to_mixture(&logs[0], &logs[1]).unwrap().to_scalar::<f64>().unwrap();
    assert!((bounded - 2f64.ln()).abs() < 1e-12);
    let reversed = from_mixture(&logs[0], &logs[1]).unwrap().to_scalar::<f64>().unwrap();
    assert!((reversed - (500.0 - 2f64.ln())).abs() < 1e-9, "{reversed}");
    let one = gap(&[p], Reading::Code).unwrap().to_scalar::<f64>().unwrap();
    assert_eq!(one, 0.0);
}

#[test]
fn contrasts_have_the_gradients_of_their_values() {
    each(WIDTH, |z, what| {
        let labels = labels(z[0].dim(0).unwrap());
        assert_gradient(z, &format!("supervised, {what}"), |z| {
            supervised_contrast(z, &labels, 0.5)
        });
        let chosen = [vec![true, false, false, true], vec![false, false, true, false]];
        // The other modality is a constant.
        for student in [0, 1] {
            let inputs = &z[student..=student];
            assert_gradient(inputs, &format!("dimensions, {student}, {what}"), |one| {
                let mut pair = [z[0].clone(), z[1].clone()];
                pair[student] = one[0].clone();
                Ok(contrasts(&pair, &chosen, 50.0)?[student].clone().unwrap())
            });
        }
    });
}

#[test]
fn the_supervised_contrast_is_its_definition() {
    let (z, truth) = ([random(4, WIDTH, 1.0, 1), random(4, WIDTH, 1.0, 2)], [0usize, 1, 1, 2]);
    let rows: Vec<Vec<f64>> = z.iter().flat_map(|z| z.to_vec2::<f64>().unwrap()).collect();
    let truth: Vec<usize> = truth.iter().chain(&truth).copied().collect();
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let similarity = |i: usize, j: usize| {
        let product: f64 = rows[i].iter().zip(&rows[j]).map(|(x, y)| x * y).sum();
        (product / norm(&rows[i]) / norm(&rows[j]) / 0.5).exp()
    };
    let (mut sum, mut pairs) = (0.0, 0.0);
    for i in 0..8 {
        let others: f64 = (0..8).filter(|&k| truth[k] != truth[i]).map(|k| similarity(i, k)).sum();
        for j in (0..8).filter(|&j| j != i && truth[j] == truth[i]) {
            sum -= (similarity(i, j) / (similarity(i, j) + others)).ln();
            pairs += 1.0;
        }
    }
    let labels = Labels::new(&[0, 1, 1, 2], CLASSES, &Device::Cpu).unwrap();
    let found = supervised_contrast(&z, &labels, 0.5).unwrap().to_scalar::<f64>().unwrap();
    assert!((found - sum / pairs).abs() < 1e-12, "{found}");
    let same = Labels::new(&[1, 1, 1, 1], CLASSES, &Device::Cpu).unwrap();
    assert_eq!(supervised_contrast(&z, &same, 0.5).unwrap().to_scalar::<f64>().unwrap(), 0.0);
}

#[test]
fn influences_have_the_gradients_of_their_values_and_none_on_one_example() {
    each(WIDTH, |z, what| {
        let builder = ParamBuilder::new(Seed::new(2), DType::F64, &Device::Cpu);
        let widths = vec![WIDTH; z.len()];
        let head = CONCAT.build(&Table::new(), &widths, CLASSES, &builder).unwrap();
        let rows = z[0].dim(0).unwrap() as u32;
        let orders =
            [(0..rows).rev().collect::<Vec<_>>(), (0..rows).map(|i| (i + 1) % rows).collect()];
        for m in 0..z.len() {
            assert_gradient(z, &format!("{m}, {what}"), |z| {
                influence(head.as_ref(), z, m, &orders)
            });
            let value =
                influence(head.as_ref(), z, m, &orders).unwrap().to_scalar::<f64>().unwrap();
            assert!((0.0..=2f64.ln() + 1e-12).contains(&value.max(0.0)), "{what}: {value}");
            assert!(rows > 1 || value.abs() < 1e-12, "{what}: {value}");
        }
    });
}

/// Every method in every phase, on ordinary and on large features, of several examples and of one.
#[test]
fn every_step_is_finite() {
    for (spec, modalities) in [
        (&UMT, 2),
        (&UMT, 3),
        (&G2D, 2),
        (&G2D, 3),
        (&LFM, 2),
        (&LFM, 3),
        (&DIAGNOSE_RELEARN, 2),
        (&DIAGNOSE_RELEARN, 3),
        (&DI_MML, 2),
        (&MCR, 2),
        (&MCR, 3),
    ] {
        let mut world = World::new(modalities, spec.usual_head);
        let mut method = world.method(spec, Table::new());
        for epoch in [0, 1, 2, 3, EPOCHS - 1] {
            world.begin(method.as_mut(), epoch).unwrap();
            for rows in [1, 5] {
                for scale in [1.0, 500.0] {
                    let taught = lesson(modalities, rows, scale);
                    let (output, handed) =
                        world.step(method.as_mut(), (rows, scale), Some(&taught)).unwrap();
                    let what = format!("{spec}, M = {modalities}, {epoch}, B = {rows}, {scale}");
                    assert!(output.loss.is_finite(), "{what}: {}", output.loss);
                    assert!(output.metrics.iter().all(|(_, value)| value.is_finite()), "{what}");
                    assert!(!handed.is_empty(), "{what}");
                    for (name, gradient) in &handed {
                        assert!(gradient.iter().all(|x| x.is_finite()), "{what}: {name}");
                    }
                    let z = world.features(rows, scale);
                    let predicted = method.predict(world.head.as_ref(), &z).unwrap();
                    assert!(
                        to_vec_f64(&predicted).unwrap().iter().all(|x| x.is_finite()),
                        "{what}"
                    );
                }
            }
        }
    }
}

/// Steps whose gradients are those of the loss that they report, with respect to every parameter.
#[test]
fn steps_report_the_loss_whose_gradients_they_hand_over() {
    for (spec, options) in [
        (&UMT, Table::new()),
        (&G2D, toml::toml! { waiting-epochs = 0 temperature = 2.0 }),
        (&LFM, Table::new()),
        (&LFM, toml::toml! { as = "paper" fused = "head" }),
        (&DIAGNOSE_RELEARN, Table::new()),
    ] {
        for (modalities, rows) in [(2, 5), (3, 5), (2, 1)] {
            let mut world = World::new(modalities, spec.usual_head);
            let mut method = world.method(spec, options.clone());
            for epoch in 0..=2 {
                world.begin(method.as_mut(), epoch).unwrap();
            }
            let taught = lesson(modalities, rows, 1.0);
            let of =
                |method: &mut dyn Method| world.step(method, (rows, 1.0), Some(&taught)).unwrap();
            let (_, handed) = of(method.as_mut());
            for (name, gradient) in handed {
                let (_, var) = world.params.trainable().find(|(own, _)| *own == name).unwrap();
                let kept = var.as_detached_tensor().copy().unwrap();
                for entry in [0, var.elem_count() - 1] {
                    let mut at = |shift: f64| {
                        let mut values = to_vec_f64(&kept).unwrap();
                        values[entry] += shift;
                        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap())
                            .unwrap();
                        of(method.as_mut()).0.loss
                    };
                    let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                    var.set(&kept).unwrap();
                    let error = (gradient[entry] - numeric).abs() / numeric.abs().max(1.0);
                    assert!(error < LIMIT, "{spec}, {name}: {error:e}");
                }
            }
        }
    }
}

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
                assert_eq!(output.loss, wanted.to_scalar::<f64>().unwrap());
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
    assert!(matches!(error, Error::WrongLength { .. }), "{error}");
}

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
