//! Every trainable parameter of the whole model gets a finite, non-zero gradient under every method
//! and head.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use tcmax_data::{Batch, Dataset, Loader, LoaderOptions, SyntheticConfig, synthetic};
use tcmax_estimators::Labels;
use tcmax_fusion::HeadKind;
use tcmax_losses::{Clock, MethodKind, Step};
use tcmax_ops::Seed;
use tcmax_train::{EncoderConfig, Model, TrainConfig};

/// The largest entry of every gradient that one step hands to the optimiser, by parameter.
fn gradients(
    method: MethodKind,
    head: HeadKind,
    data: &dyn Dataset,
    batch: &Batch,
) -> BTreeMap<String, Option<f32>> {
    let config = TrainConfig {
        method: method.name().to_owned(),
        head: head.name().to_owned(),
        encoder: EncoderConfig::ResnetSlim { width: 4 },
        ..TrainConfig::default()
    };
    let config = config.check().unwrap();
    let classes = data.classes().len();
    let model =
        Model::new(&config, data.modalities(), classes, Seed::new(3), &Device::Cpu).unwrap();
    let mut own = model.method(&config, data.len()).unwrap();
    let features = model.features(batch, true).unwrap();
    let mut found: BTreeMap<String, Option<f32>> =
        model.params().trainable().map(|(name, _)| (name.to_owned(), None)).collect();
    assert!(found.len() > 60);
    own.step(&mut Step {
        head: model.head(),
        features: &features,
        labels: &Labels::from_tensor(&batch.labels, classes).unwrap(),
        rows: &batch.indices,
        owners: model.owners(),
        clock: Clock { epoch: 0, epochs: 4, batch: 0, batches: 1 },
        seed: Seed::new(5),
        // Alternating methods update several times a batch.
        update: &mut |store: &mut GradStore| {
            for (name, var) in model.params().trainable() {
                if let Some(gradient) = store.get(var.as_tensor()) {
                    let size = found[name].unwrap_or(0.0).max(largest(gradient));
                    found.insert(name.to_owned(), Some(size));
                }
            }
            Ok(())
        },
    })
    .unwrap();
    found
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// Whether a parameter is rightly left alone: a layer that a method's loss does not see.
fn is_unused(method: MethodKind, head: HeadKind, name: &str) -> bool {
    let own_layers = name.contains("fusion_module.fc_x") || name.contains("fusion_module.fc_y");
    let fused_layer = name.contains("fusion_module.fc_out");
    match method {
        MethodKind::MmPareto | MethodKind::GBlend => false,
        MethodKind::Unimodal | MethodKind::Qmf | MethodKind::Mla => {
            head == HeadKind::Specific && fused_layer
        }
        // Cosines have no bias.
        MethodKind::MmCosine => name.ends_with("fc_out.bias"),
        _ => head == HeadKind::Specific && own_layers,
    }
}

#[test]
fn every_parameter_is_trained_by_every_method_and_head() {
    let clips =
        SyntheticConfig { train_size: 24, val_size: 1, test_size: 1, ..SyntheticConfig::default() };
    let splits = synthetic::splits(&clips, 3).unwrap();
    let data = splits.train.clone();
    let options =
        LoaderOptions { batch_size: 24, shuffle: false, drop_last: false, workers: 0, prefetch: 1 };
    let loader = Loader::new(data.clone(), options, &Device::Cpu).unwrap();
    let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
    let mut pairs: Vec<(MethodKind, HeadKind)> =
        MethodKind::ALL.iter().map(|&method| (method, method.usual_head())).collect();
    for head in HeadKind::ALL {
        pairs.extend([(MethodKind::Joint, head), (MethodKind::Tcmax, head)]);
        // Beside zeros, layers of heads that multiply features have nothing to learn from.
        if head.is_additive() {
            pairs.push((MethodKind::Unimodal, head));
        }
    }
    for (method, head) in pairs {
        for (name, size) in gradients(method, head, data.as_ref(), &batch) {
            let at = format!("{method}, {head}, {name}");
            match size {
                None => assert!(is_unused(method, head, &name), "{at}: cut"),
                Some(size) => assert!(size.is_finite() && size > 0.0, "{at}: {size}"),
            }
        }
    }
}
