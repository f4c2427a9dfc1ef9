//! Encoders run stage by stage.

use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{BlockKind, Encoder, Mlp, MlpConfig, ResNet, ResNetConfig, Staged, Stem};
use tcmax_ops::{Init, ParamBuilder, Seed, to_vec_f64};

fn random(shape: &[usize]) -> Tensor {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(2), DType::F32, &Device::Cpu).unwrap()
}

fn builder() -> ParamBuilder {
    ParamBuilder::new(Seed::new(1), DType::F32, &Device::Cpu)
}

fn by_stages(encoder: &dyn Staged, input: &Tensor, train: bool) -> Tensor {
    let mut maps = encoder.begin(input, train).unwrap();
    for (stage, &channels) in encoder.channels().iter().enumerate() {
        maps = encoder.stage(stage, maps, train).unwrap();
        assert_eq!(maps.maps().dims()[3], channels);
        assert_eq!(maps.means().unwrap().dims(), [input.dims()[0], channels]);
    }
    encoder.end(&maps).unwrap()
}

#[test]
fn begin_stages_and_end_make_the_bits_of_the_whole_encoder() {
    let deep = ResNetConfig {
        blocks: [1, 2, 1, 1],
        kind: BlockKind::Bottleneck,
        ..ResNetConfig::slim(2, Stem::Conv3x3, 2)
    };
    for (config, shape) in [
        (ResNetConfig::slim(1, Stem::Conv7x7, 4), &[3, 1, 65, 41][..]),
        (deep, &[2, 2, 16, 12]),
        (ResNetConfig::slim(3, Stem::Conv3x3, 4), &[2, 3, 3, 12, 10]),
    ] {
        let input = random(shape);
        for train in [true, false] {
            let encoder = ResNet::new(&config, &builder()).unwrap();
            let whole = encoder.encode(&input, train).unwrap();
            let staged = by_stages(encoder.staged().unwrap(), &input, train);
            assert_eq!(to_vec_f64(&whole).unwrap(), to_vec_f64(&staged).unwrap(), "{shape:?}");
        }
    }
}

#[test]
fn the_frames_of_an_example_have_its_factors() {
    let encoder = ResNet::new(&ResNetConfig::slim(1, Stem::Conv3x3, 2), &builder()).unwrap();
    let maps = encoder.begin(&random(&[2, 1, 3, 8, 8]), false).unwrap();
    assert_eq!(maps.maps().dims()[0], 6);
    let factors = Tensor::new(&[[2f32, 3.0], [5.0, 7.0]], &Device::Cpu).unwrap();
    let scaled = maps.scaled(&factors).unwrap();
    let (before, after) = (to_vec_f64(maps.maps()).unwrap(), to_vec_f64(scaled.maps()).unwrap());
    let of_example = before.len() / 2;
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        let factor = [[2.0, 3.0], [5.0, 7.0]][at / of_example][at % 2];
        assert!((after - factor * before).abs() < 1e-5);
    }
    let ratio = (scaled.means().unwrap() / maps.means().unwrap()).unwrap();
    let found = to_vec_f64(&ratio).unwrap();
    assert!(found.iter().zip([2.0, 3.0, 5.0, 7.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
}

#[test]
fn what_has_no_stages_and_inputs_that_do_not_fit_are_said() {
    let config = MlpConfig { inputs: 3, widths: vec![4] };
    assert!(Mlp::new(&config, &builder()).unwrap().staged().is_none());
    let encoder = ResNet::new(&ResNetConfig::slim(1, Stem::Conv3x3, 2), &builder()).unwrap();
    let error = encoder.begin(&random(&[2, 3, 8, 8]), false).unwrap_err().to_string();
    assert!(error.contains("wanted [batch, 1, height, width]"), "{error}");
    let maps = encoder.begin(&random(&[2, 1, 8, 8]), false).unwrap();
    assert!(maps.scaled(&Tensor::ones((3, 2), DType::F32, &Device::Cpu).unwrap()).is_err());
}
