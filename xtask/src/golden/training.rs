//! Cases of whole training steps.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use tcmax_encoders::{BlockKind, Encoder, ResNet, ResNetConfig, Stem};
use tcmax_estimators::{Bound, Labels, Reference};
use tcmax_fusion::{CONCAT, FusionHead, GATED, HeadSpec, SHARED, SPECIFIC};
use tcmax_losses::methods::mm_pareto::encoder_weights;
use tcmax_losses::methods::{JOINT, MLA, MM_PARETO, TCMAX};
use tcmax_losses::{Clock, MethodSpec, ParameterGroups, Setup, Spread, Step, cross_entropy};
use tcmax_ops::{Branches, Init, ParamBuilder, Params, Seed, Sgd, SgdOptions, State};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};

/// Where a short recorded run stands: no method here looks at it.
const START: Clock = Clock { epoch: 0, epochs: 1, batch: 0, batches: 1 };

/// A perceptron with tanh between its layers, as the small cases have for encoders.
struct Perceptron {
    layers: Vec<(Tensor, Tensor)>,
}

impl Perceptron {
    /// With the layers that the case has weights for: `NAME.weight`, or `NAME.0.weight` and on.
    fn new(case: &Case, name: &str, builder: &ParamBuilder) -> anyhow::Result<Self> {
        let mut layers = Vec::new();
        for recorded in case.names() {
            let inside = recorded.strip_prefix(&format!("weight.{name}."));
            let Some(layer) = inside.and_then(|rest| rest.strip_suffix("weight")) else { continue };
            let builder = match layer.trim_end_matches('.') {
                "" => builder.pp(name),
                number => builder.pp(name).pp(number),
            };
            let shape = case.recorded(recorded)?.dims2()?;
            let weight = builder.param("weight", shape, Init::Const(0.0))?;
            layers.push((weight, builder.param("bias", shape.0, Init::Const(0.0))?));
        }
        Ok(Self { layers })
    }

    fn forward(&self, input: &Tensor) -> anyhow::Result<Tensor> {
        let mut x = input.clone();
        for (l, (weight, bias)) in self.layers.iter().enumerate() {
            x = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
            if l + 1 < self.layers.len() {
                x = x.tanh()?;
            }
        }
        Ok(x)
    }
}

/// Two perceptrons and a head, with the weights of a case.
struct Small {
    encoders: Vec<Perceptron>,
    head: Box<dyn FusionHead>,
    params: Params,
    groups: ParameterGroups,
    setup: Setup,
}

impl Small {
    fn new(case: &Case, kind: &'static HeadSpec) -> anyhow::Result<Self> {
        let builder = ParamBuilder::new(Seed::new(0), case.dtype, &Device::Cpu);
        let mut names: Vec<String> = Vec::new();
        for recorded in case.names() {
            let owner = recorded.strip_prefix("weight.").and_then(|rest| rest.split('.').next());
            let encoder = owner.filter(|&owner| owner != "fusion_module");
            if let Some(encoder) = encoder.filter(|e| names.last().is_none_or(|last| last != e)) {
                names.push(encoder.to_owned());
            }
        }
        let encoders = names
            .iter()
            .map(|name| Perceptron::new(case, name, &builder))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let width = case.number("D")?;
        let setup = Setup::alone(&vec![width; names.len()], case.number("C")?, kind);
        let fusion = builder.pp("fusion_module");
        let head = kind.build(&Table::new(), &setup.widths, setup.classes, &fusion)?;
        let params = builder.params();
        let mut state = State::new();
        for (own, _) in params.trainable() {
            state.insert(own.to_owned(), case.tensor(&format!("weight.{own}"))?);
        }
        params.load(&state)?;
        let groups = ParameterGroups::by_prefix(&params, &names);
        Ok(Self { encoders, head, params, groups, setup })
    }

    fn features(&self, inputs: &[Tensor]) -> anyhow::Result<Vec<Tensor>> {
        self.encoders.iter().zip(inputs).map(|(encoder, x)| encoder.forward(x)).collect()
    }
}

/// MLA's alternating steps as the paper's code runs them: without projection.
pub fn mla(case: &Case) -> anyhow::Result<()> {
    let model = Small::new(case, &SHARED)?;
    let options = toml::toml! { projection = "none" };
    let mut method = MLA.build(&options, &model.setup)?;
    let mut sgd = Sgd::new(&model.params, sgd_options(case)?)?;
    let mut losses = Vec::new();
    for step in 0..case.number("steps")? {
        let input = |name: &str| format!("input.step{step}.{name}");
        let inputs = [case.tensor(&input("audio"))?, case.tensor(&input("visual"))?];
        let features = model.features(&inputs)?;
        let labels = case.labels(&input("label"))?;
        let output = method.step(&mut Step {
            head: model.head.as_ref(),
            features: &features,
            branches: &Branches::default(),
            labels: &labels,
            rows: &[],
            only: &[],
            taught: None,
            groups: &model.groups,
            clock: START,
            seed: Seed::new(0),
            spread: Spread::alone(),
            update: &mut |gradients| sgd.step(gradients),
        })?;
        losses.push(output.loss.value()?);
        losses.extend(output.metrics.iter().map(|(_, value)| *value));
    }
    case.check_values("output.losses", &losses)?;
    for (name, var) in model.params.trainable() {
        case.check(&format!("output.weight.{name}"), var.as_tensor())?;
    }
    Ok(())
}

fn sgd_options(case: &Case) -> anyhow::Result<SgdOptions> {
    Ok(SgdOptions {
        learning_rate: case.number("lr")?,
        momentum: case.number("momentum")?,
        weight_decay: case.number("weight_decay")?,
        ..SgdOptions::default()
    })
}

/// MMPareto's gradients of one step.
pub fn mm_pareto(case: &Case) -> anyhow::Result<()> {
    let model = Small::new(case, &SPECIFIC)?;
    let options = Table::from_iter([("gamma".to_owned(), case.number::<f64>("gamma")?.into())]);
    let mut method = MM_PARETO.build(&options, &model.setup)?;
    let inputs = [case.tensor("input.audio")?, case.tensor("input.visual")?];
    let features = model.features(&inputs)?;
    let labels = case.labels("input.label")?;
    let fused = cross_entropy(&model.head.logits(&features)?, &labels)?;
    let fused = fused.backward()?;
    let own = model.head.modality_logits(&features)?;
    for (m, name) in ["audio", "visual"].into_iter().enumerate() {
        let loss = cross_entropy(&own[m], &labels)?;
        case.check(["output.loss_a", "output.loss_v"][m], &loss)?;
        let own = loss.backward()?;
        let vars = &model.groups.encoders[m];
        let [gg, uu, gu] = [[&fused, &fused], [&own, &own], [&fused, &own]]
            .map(|[one, other]| product(one, other, vars));
        case.check_value(&format!("output.cos_{name}"), gu? / (gg? * uu?).sqrt())?;
        let weights = encoder_weights(&fused, &own, vars)?;
        case.check_values(&format!("output.k_{name}"), &weights)?;
    }
    let mut checked = Ok(());
    let output = method.step(&mut Step {
        head: model.head.as_ref(),
        features: &features,
        branches: &Branches::default(),
        labels: &labels,
        rows: &[],
        only: &[],
        taught: None,
        groups: &model.groups,
        clock: START,
        seed: Seed::new(0),
        spread: Spread::alone(),
        update: &mut |gradients| {
            checked = case.check_gradients("output.grad.", gradients, case.usual(), |name| {
                let found = model.params.trainable().find(|(own, _)| *own == name);
                found.map(|(_, var)| var.as_tensor().clone())
            });
            Ok(())
        },
    })?;
    case.check_value("output.loss", output.loss.value()?)?;
    checked
}

/// The inner product of two gradients of the same parameters.
fn product(one: &GradStore, other: &GradStore, vars: &[candle_core::Var]) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for var in vars {
        if let (Some(x), Some(y)) = (one.get(var.as_tensor()), other.get(var.as_tensor())) {
            sum += (x * y)?.to_dtype(candle_core::DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        }
    }
    Ok(sum)
}

/// Three steps of two ResNets with clips, a head, a loss, and SGD with momentum and decay.
pub fn train_step(case: &Case) -> anyhow::Result<()> {
    let kind: &'static HeadSpec = match case.text("fusion")? {
        "concat" => &CONCAT,
        "gated" => &GATED,
        other => anyhow::bail!("no head '{other}' in training cases"),
    };
    let method: &'static MethodSpec = match case.text("loss")? {
        "TCMax" => &TCMAX,
        "CE" => &JOINT,
        other => anyhow::bail!("no method '{other}' in training cases"),
    };
    let builder = ParamBuilder::new(Seed::new(0), case.dtype, &Device::Cpu);
    let encoder = |name: &str| -> anyhow::Result<ResNet> {
        let size = |layer: &str, dim| {
            anyhow::Ok(case.recorded(&format!("state.{name}.{layer}.weight"))?.dim(dim)?)
        };
        let mut widths = [0; 4];
        for (stage, width) in widths.iter_mut().enumerate() {
            *width = size(&format!("layer{}.0.conv1", stage + 1), 0)?;
        }
        let in_channels = size("conv1", 1)?;
        let layout = ResNetConfig {
            in_channels,
            stem: Stem::Conv7x7,
            widths,
            blocks: [2; 4],
            kind: BlockKind::Basic,
        };
        Ok(ResNet::new(&layout, &builder.pp(name))?)
    };
    let (audio, visual) = (encoder("audio_net")?, encoder("visual_net")?);
    let widths = vec![audio.feature_width(), visual.feature_width()];
    let classes = case.number("C")?;
    let hidden = case.recorded("state.fusion_module.fc_x.bias").map(Tensor::elem_count).ok();
    let mut options = Table::new();
    if let Some(hidden) = hidden {
        options.insert("hidden".to_owned(), (hidden as i64).into());
    }
    let head = kind.build(&options, &widths, classes, &builder.pp("fusion_module"))?;
    let params = builder.params();
    params.load(&state(case)?)?;
    let groups =
        ParameterGroups::by_prefix(&params, &["audio_net".to_owned(), "visual_net".to_owned()]);
    let setup = Setup::alone(&widths, classes, kind);
    let mut method = method.build(&Table::new(), &setup)?;
    let mut sgd = Sgd::new(&params, sgd_options(case)?)?;
    for step in 0..case.number("steps")? {
        let input = |name: &str| format!("input.step{step}.{name}");
        let output = |name: &str| format!("output.step{step}.{name}");
        let limits = Limits::of(case, step);
        let features = [
            audio.encode(&case.tensor(&input("audio"))?, true)?,
            visual.encode(&case.tensor(&input("visual"))?, true)?,
        ];
        case.check_within(&output("a"), &features[0], limits.logits)?;
        case.check_within(&output("v"), &features[1], limits.logits)?;
        let labels = case.labels(&input("label"))?;
        case.check_within(&output("logits"), &head.logits(&features)?, limits.logits)?;
        let own = modality_losses(case, head.as_ref(), &features, &labels)?;
        for (name, loss) in ["loss_a", "loss_v"].into_iter().zip(own) {
            case.check_within(&output(name), &Tensor::new(loss, &Device::Cpu)?, limits.logits)?;
        }
        let own = method.step(&mut Step {
            head: head.as_ref(),
            features: &features,
            branches: &Branches::default(),
            labels: &labels,
            rows: &[],
            only: &[],
            taught: None,
            groups: &groups,
            clock: START,
            seed: Seed::new(0),
            spread: Spread::alone(),
            update: &mut |gradients| sgd.step(gradients),
        })?;
        // The paper's code leaves out some constants of TCMax.
        let constant = match case.text("loss")? {
            "TCMax" => (labels.len() as f64).ln() + (classes as f64).ln(),
            _ => 0.0,
        };
        let loss = Tensor::new(own.loss.value()? + constant, &Device::Cpu)?;
        case.check_within(&output("loss"), &loss, limits.loss)?;
    }
    check_end(case, &params)
}

/// The losses of single modalities that are logged beside a loss.
fn modality_losses(
    case: &Case,
    head: &dyn FusionHead,
    features: &[Tensor],
    labels: &Labels,
) -> anyhow::Result<Vec<f64>> {
    if case.text("loss")? == "TCMax" {
        return Ok(Bound::new(head, features, labels, Reference::all())?.variable_losses()?);
    }
    let own = head.modality_logits(features)?;
    let losses = own.iter().map(|own| tcmax_losses::finite(&cross_entropy(own, labels)?));
    Ok(losses.collect::<Result<_, _>>()?)
}

/// How close a step has to be: rounding grows from one to the next.
struct Limits {
    loss: Tolerance,
    /// Features, logits, and losses of single modalities, which no mean over modalities steadies.
    logits: Tolerance,
}

impl Limits {
    fn of(case: &Case, step: usize) -> Self {
        let [loss, logits] = match (case.is_single(), step) {
            (true, 0) => [5e-4, 5e-3],
            (true, _) => [2e-3, 5e-3],
            (false, 0) => [1e-9, 1e-9],
            (false, _) => [1e-8, 1e-8],
        };
        Self { loss: Tolerance::new(loss), logits: Tolerance::new(logits) }
    }
}

fn state(case: &Case) -> anyhow::Result<State> {
    let mut state = State::new();
    for name in case.names() {
        let Some(own) = name.strip_prefix("state.") else { continue };
        if !own.ends_with("num_batches_tracked") {
            state.insert(own.to_owned(), case.tensor(name)?);
        }
    }
    Ok(state)
}

/// The weights and statistics after the last step, and the lengths of all of them.
fn check_end(case: &Case, params: &Params) -> anyhow::Result<()> {
    let tolerance = Tolerance::new(if case.is_single() { 3e-2 } else { 1e-8 });
    let end = params.snapshot()?;
    for quantity in case.names() {
        let (name, whole) =
            match (quantity.strip_prefix("final."), quantity.strip_prefix("finalnorm.")) {
                (Some(name), _) => (name, true),
                (_, Some(name)) => (name, false),
                _ => continue,
            };
        // PyTorch counts batches in a buffer that nothing reads.
        if name.ends_with("num_batches_tracked") {
            case.excuse(quantity);
            continue;
        }
        let Some(got) = end.get(name) else { anyhow::bail!("{quantity}: no such parameter") };
        if whole {
            case.check_within(quantity, got, tolerance)?;
        } else {
            let length = got.to_dtype(candle_core::DType::F64)?.sqr()?.sum_all()?.sqrt()?;
            case.check_within(quantity, &length, tolerance)?;
        }
    }
    Ok(())
}
