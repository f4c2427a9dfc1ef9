//! Every trainable parameter of every encoder gets a finite, non-zero gradient.

use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{Encoder, Error, ResNet, ResNetConfig, Stem};
use tcmax_ops::{ParamBuilder, Seed};

fn check_all_gradients(config: &ResNetConfig, shape: &[usize]) {
    let builder = ParamBuilder::new(Seed::new(5), DType::F64, &Device::Cpu);
    let encoder = ResNet::new(config, &builder).unwrap();
    let input = Tensor::randn(0f64, 1.0, shape, &Device::Cpu).unwrap();
    let features = encoder.encode(&input, true).unwrap();
    // A plain sum would hide the last batch norm's gradient behind its zero mean.
    let loss = features.sqr().unwrap().mean_all().unwrap();
    let gradients = loss.backward().unwrap();
    let params = builder.params();
    assert!(params.trainable().len() > 20);
    for (name, var) in params.trainable() {
        let gradient = gradients.get(var.as_tensor());
        let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(size.is_finite() && size > 0.0, "{name}: largest gradient {size}");
    }
    for (name, buffer) in params.buffers() {
        assert!(gradients.get(buffer.as_tensor()).is_none(), "{name} must not be trained");
    }
}

#[test]
fn every_parameter_is_trained_on_spectrograms_images_and_clips() {
    check_all_gradients(&ResNetConfig::slim(1, Stem::Conv7x7, 4), &[3, 1, 129, 51]);
    check_all_gradients(&ResNetConfig::slim(1, Stem::Conv3x3, 4), &[3, 1, 28, 28]);
    check_all_gradients(&ResNetConfig::slim(3, Stem::Conv7x7, 4), &[2, 3, 2, 40, 33]);
    let narrow = ResNetConfig {
        widths: [4, 4, 8, 8],
        blocks: [2; 4],
        ..ResNetConfig::slim(2, Stem::Conv7x7, 4)
    };
    check_all_gradients(&narrow, &[2, 2, 65, 47]);
}

#[test]
fn wrong_input_and_settings_are_named() {
    let builder = ParamBuilder::new(Seed::new(5), DType::F32, &Device::Cpu);
    let encoder = ResNet::new(&ResNetConfig::slim(1, Stem::Conv3x3, 4), &builder).unwrap();
    let colour = Tensor::zeros((1, 3, 28, 28), DType::F32, &Device::Cpu).unwrap();
    let error = encoder.encode(&colour, false).unwrap_err();
    assert!(error.to_string().contains("[1, 3, 28, 28]"), "{error}");
    let none = ResNetConfig::slim(1, Stem::Conv3x3, 0);
    assert!(matches!(ResNet::new(&none, &builder.pp("other")), Err(Error::Zero { .. })));
}
