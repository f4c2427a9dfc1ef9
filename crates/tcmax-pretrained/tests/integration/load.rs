//! Weights become values of parameters, or an error says why not.

use candle_core::{DType, Device, Tensor};
use tcmax_ops::{Init, ParamBuilder, Params, Seed};
use tcmax_pretrained::{
    Channels, Error, Interpolation, Loading, NameRules, Positions, Renamed, Tensors, load,
};

const NEW: Init = Init::Const(-1.0);

/// A network with a first convolution, a norm with buffers and a table of positions.
fn network(channels: usize, positions: usize) -> Params {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu).pp("image_net");
    builder.filters("conv1.weight", [2, channels, 1, 2], NEW).unwrap();
    builder.pp("bn1").param("weight", 2, NEW).unwrap();
    builder.pp("bn1").buffer("running_mean", 2, 0.0).unwrap();
    builder.param("positions", (1, positions, 2), NEW).unwrap();
    builder.params()
}

fn weights(tensors: &[(&str, Tensor)]) -> Tensors {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone()));
    candle_core::safetensors::save(&tensors.collect(), &path).unwrap();
    Tensors::from_bytes(&path, std::fs::read(&path).unwrap()).unwrap()
}

fn arange(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values = Tensor::arange(0f32, count as f32, &Device::Cpu).unwrap();
    values.reshape(shape).unwrap()
}

fn usual() -> Vec<(&'static str, Tensor)> {
    vec![
        ("module.conv1.weight", arange(&[2, 3, 1, 2])),
        ("module.bn1.gamma", arange(&[2])),
        ("module.bn1.running_mean", arange(&[2])),
        ("module.bn1.num_batches_tracked", Tensor::new(&[7i64], &Device::Cpu).unwrap()),
        ("module.positions", arange(&[1, 5, 2])),
        ("module.fc.weight", arange(&[4, 4])),
    ]
}

fn rules() -> NameRules {
    NameRules::new()
        .strip("module.")
        .ignore("fc.*")
        .ignore("*.num_batches_tracked")
        .rename_last("gamma", "weight")
}

fn value(params: &Params, name: &str) -> Vec<f32> {
    params.snapshot().unwrap()[name].flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn values_arrive_in_the_layout_of_pytorch() {
    let params = network(3, 5);
    let rules = rules();
    let names = |name: &str| rules.apply(name);
    let report = load(&params, &weights(&usual()), &Loading::new("image_net.", &names)).unwrap();
    let count = |n: usize| (0..n).map(|i| i as f32).collect::<Vec<_>>();
    assert_eq!(value(&params, "image_net.conv1.weight"), count(12));
    assert_eq!(value(&params, "image_net.bn1.weight"), count(2));
    assert_eq!(value(&params, "image_net.bn1.running_mean"), count(2));
    assert_eq!(value(&params, "image_net.positions"), count(10));
    let wanted = "4 tensors loaded\n\
                  2 ignored: 'module.bn1.num_batches_tracked', 'module.fc.weight'";
    assert_eq!(report.to_string(), wanted);
}

#[test]
fn inputs_of_another_size_are_adapted() {
    let rules = rules();
    let names = |name: &str| rules.apply(name);
    let positions = Positions { extra: 1, grid: (1, 3), by: Interpolation::Bilinear };
    let with = |channels| Loading {
        channels: Some(("conv1.weight", channels)),
        positions: Some(("positions", positions)),
        ..Loading::new("image_net.", &names)
    };
    let params = network(1, 4);
    let report = load(&params, &weights(&usual()), &with(Channels::Mean)).unwrap();
    // The sums over 0, 2, 4 and so on: three equal channels give what one gave.
    assert_eq!(value(&params, "image_net.conv1.weight"), [6.0, 9.0, 24.0, 27.0]);
    // The class's row, then the mean of the two rows of patches, resampled to three.
    let wanted = [0.0, 1.0, 4.0, 5.0, 5.0, 6.0, 6.0, 7.0];
    for (got, wanted) in value(&params, "image_net.positions").iter().zip(wanted) {
        assert!((got - wanted).abs() < 1e-5, "{got} {wanted}");
    }
    let text = report.to_string();
    let lines = "'module.conv1.weight' adapted from [2, 3, 1, 2] to [2, 1, 1, 2]: averaged over channels\n\
                 'module.positions' adapted from [1, 5, 2] to [1, 4, 2]: interpolated, bilinear";
    assert!(text.starts_with("4 tensors loaded\n") && text.contains(lines), "{text}");

    let params = network(20, 5);
    let report = load(&params, &weights(&usual()), &with(Channels::New)).unwrap();
    assert!(value(&params, "image_net.conv1.weight").iter().all(|value| *value == -1.0));
    assert_eq!((report.loaded, report.adapted[0].how.as_str()), (3, "left new"));
}

#[test]
fn other_shapes_are_errors_and_change_nothing() {
    let rules = rules();
    let names = |name: &str| rules.apply(name);
    let loading = Loading::new("image_net.", &names);
    let same = Loading {
        channels: Some(("conv1.weight", Channels::Same)),
        ..Loading::new("image_net.", &names)
    };
    for (params, loading, wanted) in [
        (network(1, 5), &loading, "choose the sizes"),
        (network(1, 5), &same, "average the filters"),
        (
            network(3, 7),
            &loading,
            "'module.positions' has shape [1, 5, 2], parameter \
                                   'image_net.positions' has [1, 7, 2]",
        ),
    ] {
        let error = load(&params, &weights(&usual()), loading).unwrap_err();
        assert!(matches!(error, Error::WrongShape { .. }), "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(value(&params, "image_net.bn1.weight"), [-1.0, -1.0]);
    }
}

#[test]
fn nothing_is_loaded_in_part_without_leave() {
    let params = network(3, 5);
    let rules = rules();
    let names = |name: &str| rules.apply(name);
    let mut tensors = usual();
    tensors.remove(4);
    let error = load(&params, &weights(&tensors), &Loading::new("image_net.", &names)).unwrap_err();
    assert!(matches!(&error, Error::MissingTensors { names } if names == &["image_net.positions"]));
    let allowed = Loading { may_miss: &["posi*"], ..Loading::new("image_net.", &names) };
    let report = load(&params, &weights(&tensors), &allowed).unwrap();
    assert_eq!(report.missing, ["image_net.positions"]);
    assert_eq!(value(&params, "image_net.positions"), [-1.0; 10]);

    let mut tensors = usual();
    tensors.push(("module.layer12.weight", arange(&[2])));
    let error = load(&params, &weights(&tensors), &Loading::new("image_net.", &names)).unwrap_err();
    assert!(error.to_string().contains("no parameter for 'module.layer12.weight'"), "{error}");
    let allowed = Loading { may_leave: true, ..Loading::new("image_net.", &names) };
    let report = load(&params, &weights(&tensors), &allowed).unwrap();
    assert_eq!(report.unexpected, ["module.layer12.weight"]);

    let both = |name: &str| match name {
        "module.fc.weight" => Renamed::To("conv1.weight".to_owned()),
        name => rules.apply(name),
    };
    let error = load(&params, &weights(&usual()), &Loading::new("image_net.", &both)).unwrap_err();
    assert!(error.to_string().contains("has got tensor"), "{error}");
    let error = load(&params, &weights(&usual()), &Loading::new("net.", &names)).unwrap_err();
    assert!(error.to_string().contains("begins with 'net.'"), "{error}");
}

#[test]
fn double_precision_stays_double() {
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let weight = builder.param("w", 1, NEW).unwrap();
    let third = Tensor::new(&[1f64 / 3.0], &Device::Cpu).unwrap();
    let names = |name: &str| Renamed::To(name.to_owned());
    load(&builder.params(), &weights(&[("w", third)]), &Loading::new("", &names)).unwrap();
    assert_eq!(weight.to_vec1::<f64>().unwrap(), [1.0 / 3.0]);
}
