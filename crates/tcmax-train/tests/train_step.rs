//! Three whole training steps (two ResNets with clips, head, loss, SGD with momentum and decay) end in
//! the weights, statistics and logits that PyTorch with the paper's reference code ends in.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{Encoder, ResNet, ResNetConfig, Stem};
use tcmax_estimators::Labels;
use tcmax_fusion::HeadKind;
use tcmax_losses::Objective;
use tcmax_ops::{ParamBuilder, Seed, Sgd, SgdConfig, State};

fn recorded(name: &str) -> HashMap<String, Tensor> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(format!("train_step_concat_{name}.safetensors"));
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let to_f64 = |(name, tensor): (String, Tensor)| {
        let is_float = tensor.dtype().is_float();
        (name, if is_float { tensor.to_dtype(DType::F64).unwrap() } else { tensor })
    };
    tensors.into_iter().map(to_f64).collect()
}

fn assert_close(what: &str, got: &Tensor, wanted: &Tensor, tolerance: f64) {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (got, wanted) = (flat(got), flat(wanted));
    assert_eq!(got.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1.0f64, |scale, w| scale.max(w.abs()));
    for (got, wanted) in got.iter().zip(&wanted) {
        let error = (got - wanted).abs() / scale;
        assert!(error <= tolerance, "{what}: {got} is not {wanted} (error {error:e})");
    }
}

fn check(name: &str, objective: Objective) {
    let recorded = recorded(name);
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let layout = |in_channels| ResNetConfig {
        in_channels,
        stem: Stem::Conv7x7,
        widths: [4, 8, 16, 32],
        blocks: [2; 4],
    };
    let audio = ResNet::new(&layout(1), &builder.pp("audio_net")).unwrap();
    let visual = ResNet::new(&layout(3), &builder.pp("visual_net")).unwrap();
    let head = HeadKind::Concat.build(&[32, 32], 6, &builder.pp("fusion_module")).unwrap();
    let params = builder.params();
    let state: State = recorded
        .iter()
        .filter_map(|(name, tensor)| {
            Some((name.strip_prefix("state.")?.to_owned(), tensor.clone()))
        })
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
        .collect();
    params.load(&state).unwrap();
    let settings = SgdConfig { learning_rate: 0.01, momentum: 0.9, weight_decay: 1e-4 };
    let mut sgd = Sgd::new(&params, settings).unwrap();

    for step in 0..3 {
        let input = |kind: &str| &recorded[&format!("input.step{step}.{kind}")];
        let output = |kind: &str| &recorded[&format!("output.step{step}.{kind}")];
        // Noise of 1e-14 in the input grows to 2e-10 in three steps.
        let tolerance = if step == 0 { 1e-9 } else { 1e-8 };
        let labels = Labels::from_tensor(input("label"), 6).unwrap();
        let features = [
            audio.encode(input("audio"), true).unwrap(),
            visual.encode(input("visual"), true).unwrap(),
        ];
        let at = |what: &str| format!("{name} step {step} {what}");
        assert_close(&at("audio features"), &features[0], output("a"), tolerance);
        assert_close(&at("visual features"), &features[1], output("v"), tolerance);
        let got = objective.loss(head.as_ref(), &features, &labels).unwrap();
        assert_close(&at("logits"), &head.scores(&features).unwrap(), output("logits"), tolerance);
        // The reference's TCMax loss has other constants: it adds log B + log C.
        let constant = match objective {
            Objective::Tcmax => 4f64.ln() + 6f64.ln(),
            _ => 0.0,
        };
        let loss = (&got.loss + constant).unwrap();
        assert_close(&at("loss"), &loss, output("loss"), tolerance);
        sgd.step(&got.loss.backward().unwrap()).unwrap();
    }

    let last = params.snapshot().unwrap();
    let mut compared = 0;
    for (name, wanted) in &recorded {
        let Some(name) = name.strip_prefix("final.") else { continue };
        if let Some(got) = last.get(name) {
            assert_close(name, got, wanted, 1e-8);
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared} final tensors");
}

#[test]
fn three_steps_of_tcmax_agree_with_pytorch() {
    check("TCMax", Objective::Tcmax);
}

#[test]
fn three_steps_of_joint_training_agree_with_pytorch() {
    check("CE", Objective::Joint);
}
