//! A ResNet-18 an eighth as wide agrees with PyTorch's: evaluation, one training step, running
//! statistics after it, and every gradient.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use tcmax_encoders::{BlockKind, Encoder, ResNet, ResNetConfig, Stem};
use tcmax_ops::{ParamBuilder, Params, Seed};

struct Case {
    tensors: HashMap<String, Tensor>,
    dtype: DType,
}

impl Case {
    fn read(path: &Path, dtype: DType) -> Self {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        Self { tensors, dtype }
    }

    fn get(&self, name: &str) -> Tensor {
        self.tensors[name].to_dtype(self.dtype).unwrap()
    }

    /// All tensors under `prefix`, without it.
    fn under(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let inside = self.tensors.keys().filter_map(|key| key.strip_prefix(prefix));
        // PyTorch counts batches in a buffer nothing reads; a ResNet here has none.
        let inside = inside.filter(|name| !name.ends_with("num_batches_tracked"));
        inside.map(|name| (name.to_owned(), self.get(&format!("{prefix}{name}")))).collect()
    }

    fn network(&self) -> (ResNet, Params) {
        let state = self.under("state.");
        let channels = |name: &str| state[name].dim(0).unwrap();
        let blocks = |stage: usize| {
            let of_stage =
                |b: &usize| state.contains_key(&format!("layer{stage}.{b}.conv1.weight"));
            (0..9).take_while(of_stage).count()
        };
        let width = |stage: usize| channels(&format!("layer{stage}.0.conv1.weight"));
        let config = ResNetConfig {
            in_channels: state["conv1.weight"].dim(1).unwrap(),
            stem: Stem::Conv7x7,
            widths: [1, 2, 3, 4].map(width),
            blocks: [1, 2, 3, 4].map(blocks),
            kind: BlockKind::Basic,
        };
        let builder = ParamBuilder::new(Seed::new(0), self.dtype, &Device::Cpu);
        let network = ResNet::new(&config, &builder).unwrap();
        let params = builder.params();
        params.load(&state).unwrap();
        (network, params)
    }
}

/// max |x - y| / max(floor, max |y|).
fn relative_error(got: &Tensor, wanted: &Tensor, floor: f64) -> f64 {
    let flat = |tensor: &Tensor| {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let (got, wanted) = (flat(got), flat(wanted));
    assert_eq!(got.len(), wanted.len());
    assert!(got.iter().all(|x| x.is_finite()), "a value is not finite");
    let scale = wanted.iter().fold(floor, |scale, w| scale.max(w.abs()));
    got.iter().zip(&wanted).fold(0.0f64, |error, (g, w)| error.max((g - w).abs())) / scale
}

fn files() -> Vec<PathBuf> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = vec![shipped.join("resnet18_slim_audio.safetensors")];
    if let Some(folder) = std::env::var_os("TCMAX_GOLDEN") {
        for name in ["visual", "optic_flow"] {
            files.push(Path::new(&folder).join(format!("resnet18_slim_{name}.safetensors")));
        }
    }
    files
}

/// Clips (B, C, T, H, W) as recorded, or plain images.
fn check(path: &Path, dtype: DType, value_tolerance: f64, gradient_tolerance: f64) {
    let case = Case::read(path, dtype);
    let (network, params) = case.network();
    let at = |what: &str| format!("{} {what} in {dtype:?}", path.display());
    let input = Var::from_tensor(&case.get("input.x")).unwrap();
    let close = |what: &str, got: &Tensor, wanted: &Tensor, tolerance: f64| {
        let error = relative_error(got, wanted, 1.0);
        assert!(error <= tolerance, "{}: error {error:e}", at(what));
    };

    let evaluated = network.encode(&input, false).unwrap();
    close("pooled_eval", &evaluated, &case.get("output.pooled_eval"), value_tolerance);

    let trained = network.encode(&input, true).unwrap();
    let train_tolerance = if dtype == DType::F64 { value_tolerance } else { 1e-4 };
    close("pooled_train", &trained, &case.get("output.pooled_train"), train_tolerance);
    let after = case.under("after.");
    for (name, buffer) in params.buffers() {
        close(name, buffer.as_tensor(), &after[name], train_tolerance);
    }

    let loss = (trained * case.get("input.cotangent")).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let inputs = [("input", &input)];
    for (name, var) in params.trainable().chain(inputs) {
        let got = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{name} is cut"));
        let Some(wanted) = case.tensors.get(&format!("grad.{name}")) else {
            assert!(name != "conv1.weight", "no gradient recorded");
            continue;
        };
        // Relative to the largest entry: some gradients are tiny throughout.
        let got = params.to_pytorch_layout(name, got).unwrap();
        let error = relative_error(&got, wanted, 1e-300);
        assert!(error <= gradient_tolerance, "{}: error {error:e}", at(name));
    }
}

#[test]
fn resnet_agrees_with_pytorch_in_double_precision() {
    for path in files() {
        check(&path, DType::F64, 1e-9, 1e-8);
    }
}

/// Sums of up to some thousand products through twenty layers, at 6e-8 a rounding, grow to about 1e-5 of
/// the largest entry (7e-6 is the most that is found here), a little more where other instructions sum
/// in another order. A wrong term of a gradient is far above, and so would be a ReLU whose input is so
/// near zero that it opens in one precision alone: these recordings have none.
const SINGLE_GRADIENT: f64 = 1e-4;

#[test]
fn resnet_agrees_with_pytorch_in_single_precision() {
    for path in files() {
        check(&path, DType::F32, 1e-5, SINGLE_GRADIENT);
    }
}
