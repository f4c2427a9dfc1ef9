//! Every trainable parameter of the whole model gets a finite, non-zero gradient under every method
//! and head.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use tcmax_data::{Batch, Dataset, Loader, LoaderOptions};
use tcmax_datasets::{SyntheticConfig, synthetic};
use tcmax_estimators::Labels;
use tcmax_fusion::{HEADS, HeadSpec, SPECIFIC};
use tcmax_losses::methods::{
    AUG, CGGM, DI_MML, G_BLEND, JOINT, MCR, METHODS, MLA, MLB, MM_COSINE, MM_PARETO, QMF,
    RECONBOOST, REMIX, TCMAX, UNIMODAL,
};
use tcmax_losses::{Clock, MethodSpec, Spread, Step};
use tcmax_ops::{Branches, Seed};
use tcmax_train::{Choice, Model, TrainConfig};

use crate::vectors::vectors;

/// The largest entry of every gradient that one step hands to the optimiser, by parameter: the same whether encoders
/// are in the graph of the loss or graphs of their own, as the trainer has them where the method lets it.
fn gradients(
    method: &'static MethodSpec,
    head: &'static HeadSpec,
    data: &dyn Dataset,
    batch: &Batch,
) -> BTreeMap<String, Option<f32>> {
    let [one, several] = [false, true].map(|apart| gradients_of(method, head, data, batch, apart));
    for ((name, one), several) in one.iter().zip(several.values()) {
        let gap = one.zip(*several).map_or(0.0, |(a, b)| (a - b).abs() / a.max(b));
        let agree = one.is_some() == several.is_some() && gap < 1e-5;
        assert!(agree, "{method}, {head}, {name}: {one:?} and {several:?}");
    }
    several
}

fn gradients_of(
    method: &'static MethodSpec,
    head: &'static HeadSpec,
    data: &dyn Dataset,
    batch: &Batch,
    apart: bool,
) -> BTreeMap<String, Option<f32>> {
    let config = TrainConfig {
        method: Choice::named(method.name),
        head: Choice::named(head.name),
        encoder: Choice::named("resnet-slim").with("width", 4),
        ..TrainConfig::default()
    };
    let config = config.check().unwrap();
    let classes = data.classes().len();
    let model =
        Model::new(&config, data.modalities(), classes, Seed::new(3), &Device::Cpu).unwrap();
    model.standardise(data).unwrap();
    let mut own = model.method(&config, data.len()).unwrap();
    let encoded = model.features(batch, true).unwrap();
    let encode = |m: usize| Ok::<_, candle_core::Error>(encoded[m].clone());
    // Joined encoders share parameters, and are never graphs of their own.
    let (branches, features) = match apart && !model.is_joined() {
        true => Branches::grow(encoded.len(), encode).unwrap(),
        false => (Branches::default(), encoded),
    };
    let mut found: BTreeMap<String, Option<f32>> =
        model.params().trainable().map(|(name, _)| (name.to_owned(), None)).collect();
    own.step(&mut Step {
        head: model.head(),
        features: &features,
        branches: &branches,
        labels: &Labels::from_tensor(&batch.labels, classes).unwrap(),
        rows: &batch.indices,
        only: &[],
        taught: None,
        groups: model.groups(),
        clock: Clock { epoch: 0, epochs: 4, batch: 0, batches: 1 },
        seed: Seed::new(5),
        spread: Spread::alone(),
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

/// Whether a parameter is of the encoder of the first modality.
fn is_of_first(name: &str) -> bool {
    ["audio_net.", "left_net."].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a parameter is rightly left alone: a layer that a method's loss does not see.
fn is_unused(method: &MethodSpec, head: &HeadSpec, name: &str) -> bool {
    if *method == RECONBOOST {
        // Its first phase trains one modality and the head, but not the factor of all.
        return name == "method.rho" || !(name.starts_with("method.") || is_of_first(name));
    }
    let own_layers = name.contains("fusion_module.fc_x") || name.contains("fusion_module.fc_y");
    let fused_layer = name.contains("fusion_module.fc_out");
    let is_one_of = |methods: &[&MethodSpec]| methods.contains(&method);
    if is_one_of(&[&G_BLEND, &MCR, &MLB, &MM_PARETO, &REMIX]) {
        return false;
    }
    if is_one_of(&[&MM_COSINE]) {
        // Cosines have no bias.
        return name.ends_with("fc_out.bias");
    }
    if is_one_of(&[&CGGM]) {
        // Its classifiers have an optimiser of their own.
        return name.starts_with("method.classifier");
    }
    if is_one_of(&[&AUG]) {
        // None of them is in use yet.
        return name.starts_with("method.added");
    }
    // DI-MML's first stage leaves the fused layer to its second.
    let unseen =
        if is_one_of(&[&UNIMODAL, &QMF, &MLA, &DI_MML]) { fused_layer } else { own_layers };
    *head == SPECIFIC && unseen
}

/// All examples in one batch.
fn one_batch(data: Arc<dyn Dataset>) -> Batch {
    let options = LoaderOptions::in_order(data.len());
    let loader = Loader::new(data, options, &Device::Cpu).unwrap();
    loader.epoch(Seed::new(0)).next().unwrap().unwrap()
}

#[test]
fn every_parameter_is_trained_on_standardised_vectors_of_which_some_are_missing() {
    let mut data = vectors(24, 3, 1e-4, 7.0);
    data.missing = Box::new(|row, m| row % 3 == m);
    let data: Arc<dyn Dataset> = Arc::new(data);
    let batch = one_batch(data.clone());
    assert!(batch.present.is_some());
    // Perceptrons have no stages.
    for method in METHODS.into_iter().filter(|method| !method.needs_stages) {
        let found = gradients(method, method.usual_head, data.as_ref(), &batch);
        // A norm and two layers for each modality, and the head.
        assert!(found.len() >= 14, "{found:?}");
        for (name, size) in found {
            let at = format!("{method}, {name}");
            match size {
                None => assert!(is_unused(method, method.usual_head, &name), "{at}: cut"),
                Some(size) => assert!(size.is_finite() && size > 0.0, "{at}: {size}"),
            }
        }
    }
}

#[test]
fn every_parameter_is_trained_by_every_method_and_head() {
    let clips =
        SyntheticConfig { train_size: 24, val_size: 1, test_size: 1, ..SyntheticConfig::default() };
    let splits = synthetic::splits(&clips, 3).unwrap();
    let data = splits.train.clone();
    let batch = one_batch(data.clone());
    let mut pairs: Vec<(&'static MethodSpec, &'static HeadSpec)> =
        METHODS.iter().map(|&method| (method, method.usual_head)).collect();
    for head in HEADS {
        pairs.extend([(&JOINT, head), (&TCMAX, head)]);
        // Beside zeros, layers of heads that multiply features have nothing to learn from.
        if head.additive {
            pairs.push((&UNIMODAL, head));
        }
    }
    for (method, head) in pairs {
        let found = gradients(method, head, data.as_ref(), &batch);
        assert!(found.len() > 60);
        for (name, size) in found {
            let at = format!("{method}, {head}, {name}");
            match size {
                None => assert!(is_unused(method, head, &name), "{at}: cut"),
                Some(size) => assert!(size.is_finite() && size > 0.0, "{at}: {size}"),
            }
        }
    }
}
