//! Members who train together make the steps of one process on the whole batch: values and gradients of all parameters,
//! for every method, head and task, in f64.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{BI_GATED, CONCAT, FusionHead, GATED, HeadSpec, SPECIFIC, StageFusion};
use tcmax_losses::methods::{
    G_BLEND, JOINT, METHODS, MM_COSINE, MM_PARETO, OGM_GE, TCMAX, UNIMODAL,
};
use tcmax_losses::{
    Clock, EpochContext, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part, Setup, Spread,
    Step, StepOutput, Study, Surveyed, Targets, Task, Visit, Way,
};
use tcmax_ops::{
    Branches, Init, Members, ParamBuilder, Params, Seed, gathered, to_vec_f64, with_summed_gradient,
};
use tcmax_parallel::{Alone, Group, Purpose, Threads, Traffic, run, share};
use tcmax_registry::Table;

const EXAMPLES: usize = 22;
const BATCH: usize = 11;
const OUTPUTS: usize = 3;
const WIDTHS: [usize; 2] = [4, 4];
const INPUTS: [usize; 2] = [3, 5];
const PREFIXES: [&str; 2] = ["a_net", "b_net"];

/// What a run trains.
#[derive(Clone, Copy)]
struct Case {
    method: &'static MethodSpec,
    head: &'static HeadSpec,
    task: Task,
    /// Labels smoothed and weighted by class.
    weighted: bool,
    /// Of TCMax.
    variant: Variant,
}

/// Which TCMax.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Plain,
    /// Random tuples in place of all.
    Samples,
    /// Blended with cross-entropy.
    Blend,
}

/// What one update got, and what a step reported.
#[derive(Debug)]
enum Seen {
    Gradients(BTreeMap<String, Vec<f64>>),
    Output { values: Vec<f64>, logits: Vec<f64> },
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let unit = Init::Normal { mean: 0.2, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn class_of(row: usize) -> u32 {
    (row * 5 / 3 % OUTPUTS) as u32
}

/// A model of linear encoders, which count as one stage where a method joins them after it.
struct Net {
    encoders: Vec<Tensor>,
    fusion: Option<Box<dyn StageFusion>>,
    head: Box<dyn FusionHead>,
    params: Params,
    groups: ParameterGroups,
    setup: Setup,
}

impl Net {
    fn new(case: &Case, group: &Arc<dyn Group>) -> Self {
        let builder = ParamBuilder::new(Seed::new(9), DType::F64, &Device::Cpu);
        let builder = builder.with_members(Members::new(group.clone(), false));
        let unit = Init::Normal { mean: 0.0, std: 0.6 };
        let encoders = (0..2).map(|m| {
            builder.pp(PREFIXES[m]).param("weight", (INPUTS[m], WIDTHS[m]), unit).unwrap()
        });
        let encoders = encoders.collect();
        let (table, of_head) = (Table::new(), builder.pp("head"));
        let head = match case.task {
            Task::Classes => case.head.build(&table, &WIDTHS, OUTPUTS, &of_head),
            _ => case.head.build_outputs(&table, &WIDTHS, OUTPUTS, &of_head),
        };
        let own = builder.pp(METHOD_PREFIX).again();
        let setup = Setup {
            examples: EXAMPLES,
            batch_size: BATCH,
            epochs: 4,
            stages: WIDTHS.map(|width| vec![width]).to_vec(),
            own,
            ..Setup::alone(&WIDTHS, OUTPUTS, case.head)
        };
        let fusion = case.method.build(&Table::new(), &setup).unwrap().stage_fusion();
        let params = builder.params();
        let groups = ParameterGroups::by_prefix(&params, &PREFIXES.map(str::to_owned));
        Self { encoders, fusion, head: head.unwrap(), params, groups, setup }
    }

    /// Features of some examples.
    fn features(&self, rows: &[usize]) -> Vec<Tensor> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let rows = Tensor::new(rows, &Device::Cpu).unwrap();
        let of = |m: usize| {
            let x = random(&[EXAMPLES, INPUTS[m]], 20 + m as u64).index_select(&rows, 0);
            x.unwrap().matmul(&self.encoders[m]).unwrap()
        };
        let own: Vec<Tensor> = (0..2).map(of).collect();
        let Some(fusion) = &self.fusion else { return own };
        let present = vec![true; own[0].dim(0).unwrap()];
        let factors = fusion.factors(0, &own, &[&present, &present], true).unwrap().unwrap();
        own.iter().zip(&factors).map(|(own, factors)| (own * factors).unwrap()).collect()
    }
}

/// The data before an epoch: all in one batch.
struct All<'a>(&'a Net);

impl EpochContext for All<'_> {
    fn clock(&self) -> Clock {
        Clock { epoch: 0, epochs: 4, batch: 0, batches: 2 }
    }

    fn seed(&self) -> Seed {
        Seed::new(8)
    }

    fn each(&mut self, _: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let rows: Vec<usize> = (0..EXAMPLES).collect();
        let features: Vec<Tensor> = self.0.features(&rows).iter().map(Tensor::detach).collect();
        let (head, features) = (self.0.head.as_ref(), &features[..]);
        let labels = &labels(&rows, false);
        visit(Surveyed { head, features, labels, rows: &rows }).map(|_| ())
    }

    fn study(
        &mut self,
        _: Part,
        examples: usize,
        work: &mut Study<'_>,
    ) -> tcmax_losses::Result<()> {
        let rows: Vec<usize> = (0..examples).collect();
        let encode = || Ok(self.0.features(&rows));
        work(self.0.head.as_ref(), &encode, &labels(&rows, false))
    }

    fn params(&self) -> &Params {
        &self.0.params
    }

    fn groups(&self) -> &ParameterGroups {
        &self.0.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        Ok(())
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        Ok(())
    }
}

fn labels(rows: &[usize], weighted: bool) -> Labels {
    let classes: Vec<u32> = rows.iter().map(|&row| class_of(row)).collect();
    let labels = Labels::new(&classes, OUTPUTS, &Device::Cpu).unwrap();
    match weighted {
        true => labels.smoothed(0.1).unwrap().weighted(&WEIGHTS).unwrap(),
        false => labels,
    }
}

const WEIGHTS: [f64; OUTPUTS] = [1.0, 2.5, 0.5];

fn targets(rows: &[usize], task: Task) -> Targets {
    let of = |&row: &usize| {
        (0..OUTPUTS).map(move |c| match task {
            Task::Regression => ((row * 7 + c * 3) as f64).sin(),
            _ => f64::from(u8::from((row * 3 + c) % (c + 2) == 0)),
        })
    };
    let values: Vec<f64> = rows.iter().flat_map(of).collect();
    let values = Tensor::from_vec(values, (rows.len(), OUTPUTS), &Device::Cpu).unwrap();
    match task {
        Task::Regression => Targets::numbers(values).unwrap(),
        _ => Targets::labels(values).unwrap(),
    }
}

/// One step on a batch, of which this member has encoded its share.
fn step(
    case: &Case,
    net: &Net,
    method: &mut dyn Method,
    (batch, rows): (usize, &[usize]),
    group: &Arc<dyn Group>,
    seen: &mut Vec<Seen>,
) -> tcmax_losses::Result<()> {
    let mine = &rows[share(rows.len(), group.rank(), group.size())];
    let way = method.way(net.head.as_ref(), case.task);
    let mut features = net.features(mine);
    let mut visible = mine;
    if way != Way::Rows {
        visible = rows;
        for z in &mut features {
            *z = gathered(z, group.as_ref())?;
            if way == Way::Tuples {
                *z = with_summed_gradient(z, group)?;
            }
        }
    }
    let weight = |rows: &[usize]| -> f64 {
        let of = |&row: &usize| if case.weighted { WEIGHTS[class_of(row) as usize] } else { 1.0 };
        rows.iter().map(of).sum()
    };
    let weight = weight(mine) / weight(rows);
    let mut update = |gradients: &mut GradStore| {
        let mut found = BTreeMap::new();
        for (name, var) in net.params.trainable() {
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            found.insert(name.to_owned(), to_vec_f64(gradient)?);
            var.set(&(var.as_tensor() - (gradient * 0.2)?)?)?;
        }
        seen.push(Seen::Gradients(found));
        Ok(())
    };
    let (head, features, groups) = (net.head.as_ref(), &features[..], &net.groups);
    let clock = Clock { epoch: 0, epochs: 4, batch, batches: 2 };
    let (seed, update) = (Seed::new(batch as u64), &mut update as &mut tcmax_losses::Update<'_>);
    let output = if case.task == Task::Classes {
        let (own, whole) = (labels(visible, case.weighted), labels(rows, case.weighted));
        let spread = Spread::over(group, way, &whole, weight);
        let labels = &own;
        method.step(&mut Step {
            head,
            features,
            branches: &Branches::default(),
            labels,
            rows: visible,
            only: &[],
            taught: None,
            groups,
            clock,
            seed,
            spread,
            update,
        })?
    } else {
        let (own, whole) = (targets(visible, case.task), targets(rows, case.task));
        let spread = Spread::over(group, way, &whole, weight);
        let labels = &own;
        method.step_on(&mut Step {
            head,
            features,
            branches: &Branches::default(),
            labels,
            rows: visible,
            only: &[],
            taught: None,
            groups,
            clock,
            seed,
            spread,
            update,
        })?
    };
    seen.push(reported(&output, way == Way::Rows, group)?);
    Ok(())
}

/// What a step reported, with the logits of all members.
fn reported(
    output: &StepOutput,
    is_part: bool,
    group: &Arc<dyn Group>,
) -> tcmax_losses::Result<Seen> {
    let mut values = vec![output.loss.value().unwrap()];
    values.extend(output.total_correlation.as_ref().map(|bound| bound.value().unwrap()));
    values.extend(output.metrics.iter().map(|(_, value)| *value));
    let logits =
        if is_part { gathered(&output.logits, group.as_ref())? } else { output.logits.clone() };
    Ok(Seen::Output { values, logits: to_vec_f64(&logits)? })
}

/// Three steps.
fn train(case: &Case, group: &Arc<dyn Group>) -> tcmax_losses::Result<Vec<Seen>> {
    let net = Net::new(case, group);
    let mut options = Table::new();
    match case.variant {
        Variant::Plain => None,
        Variant::Samples => options.insert("samples".to_owned(), 40.into()),
        Variant::Blend => options.insert("weight".to_owned(), 0.3.into()),
    };
    if *case.method == TCMAX {
        options.insert("chunk".to_owned(), 16.into());
    }
    let mut method = case.method.build(&options, &net.setup)?;
    method.begin_epoch(&mut All(&net))?;
    let mut seen = Vec::new();
    for batch in 0..3 {
        let rows: Vec<usize> = (0..BATCH).map(|i| (i * 7 + batch * 5) % EXAMPLES).collect();
        step(case, &net, method.as_mut(), (batch, &rows), group, &mut seen)?;
    }
    Ok(seen)
}

fn members(count: usize) -> Vec<Threads> {
    Threads::members(count, &alone()).unwrap()
}

fn alone() -> Arc<dyn Group> {
    Arc::new(Alone)
}

fn assert_alike(one: &[Seen], other: &[Seen], what: &str) {
    assert_eq!(one.len(), other.len(), "{what}");
    let close = |a: &[f64], b: &[f64], of: &str| {
        assert_eq!(a.len(), b.len(), "{what}: {of}");
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-9, "{what}: {of}: {a} and {b}");
        }
    };
    for (one, other) in one.iter().zip(other) {
        match (one, other) {
            (Seen::Gradients(one), Seen::Gradients(other)) => {
                let names =
                    |found: &BTreeMap<String, Vec<f64>>| found.keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(one), names(other), "{what}");
                one.iter().for_each(|(name, gradient)| close(gradient, &other[name], name));
            }
            (
                Seen::Output { values, logits },
                Seen::Output { values: other_values, logits: other_logits },
            ) => {
                close(values, other_values, "values");
                close(logits, other_logits, "logits");
            }
            _ => panic!("{what}: other updates"),
        }
    }
}

/// Compares members with one process.
fn check(case: Case, what: &str) {
    let whole = train(&case, &alone()).unwrap_or_else(|error| panic!("{what}: {error}"));
    for count in [2, 3] {
        let results = run(members(count), |member| train(&case, &member));
        for (rank, result) in results.into_iter().enumerate() {
            let seen = result.unwrap_or_else(|error| panic!("{what}, {rank}: {error}"));
            assert_alike(&seen, &whole, &format!("{what}, member {rank} of {count}"));
        }
    }
}

#[test]
fn every_method_makes_the_steps_of_one_process() {
    for method in METHODS {
        for head in [method.usual_head, &CONCAT, &SPECIFIC, &GATED, &BI_GATED] {
            if method.check(head, 2).is_err() {
                continue;
            }
            for weighted in [false, true] {
                let case =
                    Case { method, head, task: Task::Classes, weighted, variant: Variant::Plain };
                check(case, &format!("{method}, {head}, weighted {weighted}"));
            }
        }
    }
}

#[test]
fn labels_and_numbers_too() {
    for task in [Task::Labels, Task::Regression] {
        for method in METHODS.iter().filter(|method| method.check_task(task).is_ok()) {
            for head in [method.usual_head, &GATED] {
                if method.check(head, 2).is_ok() {
                    let case =
                        Case { method, head, task, weighted: false, variant: Variant::Plain };
                    check(case, &format!("{method}, {head}, {task}"));
                }
            }
        }
    }
}

#[test]
fn random_tuples_are_those_of_the_whole_batch() {
    for head in [&CONCAT, &GATED] {
        let (method, task) = (&TCMAX, Task::Classes);
        check(
            Case { method, head, task, weighted: false, variant: Variant::Samples },
            "random tuples",
        );
    }
}

#[test]
fn blends_are_those_of_the_whole_batch() {
    for task in [Task::Classes, Task::Labels] {
        for head in [&CONCAT, &GATED] {
            let (method, variant) = (&TCMAX, Variant::Blend);
            let case = Case { method, head, task, weighted: false, variant };
            check(case, &format!("blend, {head}, {task}"));
        }
    }
}

/// The traffic of three steps on each of two members, after what is reported at last.
fn traffic(case: Case) -> [Traffic; 2] {
    let results = run(members(2), |member| {
        train(&case, &member)?;
        Ok::<_, tcmax_losses::Error>(member.traffic())
    });
    let traffic: Vec<Traffic> = results.into_iter().map(Result::unwrap).collect();
    traffic.try_into().unwrap()
}

#[test]
fn losses_of_rows_exchange_no_features() {
    const STEPS: u64 = 3;
    // Numbers that the test itself gathers: the logits of the rows.
    let reported = [6, 5].map(|rows| STEPS * rows * OUTPUTS as u64 * 8);
    for (method, of_loss) in [
        (&JOINT, 0),
        (&UNIMODAL, 0),
        (&MM_COSINE, 0),
        (&G_BLEND, 0),
        // (maximum, sum) of each of M parts and C classes.
        (&TCMAX, 2 * 2 * OUTPUTS as u64 * 8),
    ] {
        let (head, task) = (method.usual_head, Task::Classes);
        let case = Case { method, head, task, weighted: false, variant: Variant::Plain };
        let net = Net::new(&case, &alone());
        let numbers = net.params.num_trainable() + net.params.trainable().len();
        for (traffic, reported) in traffic(case).iter().zip(reported) {
            assert_eq!(traffic.of(Purpose::Loss), STEPS * of_loss, "{method}");
            assert_eq!(traffic.of(Purpose::Features), reported, "{method}");
            assert_eq!(traffic.of(Purpose::Control), STEPS * 8, "{method}: the loss");
            assert_eq!(traffic.of(Purpose::Gradients), STEPS * 8 * numbers as u64, "{method}");
        }
    }
}

#[test]
fn gathered_losses_add_up_the_gradients_of_encoders_alone() {
    const STEPS: u64 = 3;
    for (method, passes) in [(&OGM_GE, 1), (&MM_PARETO, 3)] {
        let (head, task) = (&CONCAT, Task::Classes);
        let case = Case { method, head, task, weighted: false, variant: Variant::Plain };
        let net = Net::new(&case, &alone());
        let of_encoders = net.groups.encoders.iter().flatten();
        let numbers: usize = of_encoders.map(|var| var.elem_count() + 1).sum();
        for (traffic, rows) in traffic(case).iter().zip([6, 5]) {
            let width = WIDTHS.iter().sum::<usize>() as u64;
            assert_eq!(traffic.of(Purpose::Features), STEPS * rows * width * 8, "{method}");
            let gradients = STEPS * passes * 8 * numbers as u64;
            assert_eq!(traffic.of(Purpose::Gradients), gradients, "{method}");
            assert_eq!(traffic.of(Purpose::Loss), 0, "{method}");
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_all_members() {
    let (method, head, task) = (&JOINT, &CONCAT, Task::Classes);
    let case = Case { method, head, task, weighted: false, variant: Variant::Plain };
    let results = run(members(2), |member| {
        let net = Net::new(&case, &member);
        if member.rank() == 1 {
            let (_, var) = net.params.trainable().next().unwrap();
            var.set(&(var.as_tensor() * f64::NAN)?)?;
        }
        let mut method = method.build(&Table::new(), &net.setup)?;
        let rows: Vec<usize> = (0..BATCH).collect();
        step(&case, &net, method.as_mut(), (0, &rows), &member, &mut Vec::new())
    });
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, tcmax_losses::Error::NotFinite { .. }), "{error}");
    }
}
