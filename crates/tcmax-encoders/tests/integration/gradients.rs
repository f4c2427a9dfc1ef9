//! Every trainable parameter of every encoder gets a finite, non-zero gradient.

use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{Encoder, Error, Mlp, MlpConfig, ResNet, ResNetConfig, Stem};
use tcmax_ops::{ParamBuilder, Seed};

fn check_all_gradients(config: &ResNetConfig, shape: &[usize]) {
    let builder = ParamBuilder::new(Seed::new(5), DType::F64, &Device::Cpu);
    let encoder = ResNet::new(config, &builder).unwrap();
    assert!(builder.params().trainable().len() > 20);
    check_encoder(&encoder, &builder, shape);
}

fn check_encoder(encoder: &dyn Encoder, builder: &ParamBuilder, shape: &[usize]) {
    let input = Tensor::randn(0f64, 1.0, shape, &Device::Cpu).unwrap();
    let features = encoder.encode(&input, true).unwrap();
    // A plain sum would hide the last batch norm's gradient behind its zero mean.
    let loss = features.sqr().unwrap().mean_all().unwrap();
    let gradients = loss.backward().unwrap();
    let params = builder.params();
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
fn every_parameter_is_trained_on_feature_vectors() {
    let builder = ParamBuilder::new(Seed::new(5), DType::F64, &Device::Cpu);
    let config = MlpConfig { inputs: 12, widths: vec![16, 8] };
    let encoder = Mlp::new(&config, &builder).unwrap();
    assert_eq!(builder.params().trainable().len(), 6);
    check_encoder(&encoder, &builder, &[20, 3, 4]);
    // Features of any scale make the same network's input.
    let input = Tensor::randn(0f64, 1.0, (20, 12), &Device::Cpu).unwrap();
    let scaled = input.affine(1e6, -3e7).unwrap();
    let values = |x: &Tensor| -> Vec<f64> {
        encoder.encode(x, true).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let gaps = values(&input).into_iter().zip(values(&scaled)).map(|(a, b)| (a - b).abs());
    assert!(gaps.fold(0.0, f64::max) < 1e-4);
    let none = MlpConfig { inputs: 12, widths: Vec::new() };
    assert!(matches!(Mlp::new(&none, &builder.pp("other")), Err(Error::Zero { .. })));
    assert!(
        encoder.encode(&Tensor::zeros((2, 11), DType::F64, &Device::Cpu).unwrap(), true).is_err()
    );
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
