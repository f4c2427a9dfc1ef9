//! Every trainable parameter of the whole model gets a finite, non-zero gradient under every
//! objective.

use candle_core::{Device, Tensor};
use tcmax_data::{Loader, LoaderOptions, SyntheticConfig, synthetic};
use tcmax_estimators::Labels;
use tcmax_losses::Objective;
use tcmax_ops::Seed;
use tcmax_train::{EncoderConfig, Model, TrainConfig};

#[test]
fn every_parameter_is_trained_by_every_objective() {
    let clips =
        SyntheticConfig { train_size: 24, val_size: 1, test_size: 1, ..SyntheticConfig::default() };
    let splits = synthetic::splits(&clips, 3).unwrap();
    let data = splits.train.clone();
    let options =
        LoaderOptions { batch_size: 24, shuffle: false, drop_last: false, workers: 0, prefetch: 1 };
    let loader = Loader::new(data.clone(), options, &Device::Cpu).unwrap();
    let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
    for objective in Objective::ALL {
        for head in ["concat", "sum"] {
            let config = TrainConfig {
                method: objective.name().to_owned(),
                head: head.to_owned(),
                encoder: EncoderConfig::ResnetSlim { width: 4 },
                ..TrainConfig::default()
            };
            let config = config.check().unwrap();
            let classes = data.classes().len();
            let model = Model::new(&config, data.modalities(), classes, Seed::new(3), &Device::Cpu)
                .unwrap();
            let labels = Labels::from_tensor(&batch.labels, classes).unwrap();
            let features = model.features(&batch.inputs, true).unwrap();
            let output = objective.loss(model.head(), &features, &labels).unwrap();
            let gradients = output.loss.backward().unwrap();
            assert!(model.params().trainable().len() > 60);
            for (name, var) in model.params().trainable() {
                let at = format!("{objective}, {head}, {name}");
                let gradient =
                    gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{at}: cut"));
                let size: f32 = largest(gradient);
                assert!(size.is_finite() && size > 0.0, "{at}: largest gradient {size}");
            }
        }
    }
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}
