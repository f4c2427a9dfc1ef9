//! The losses and all their gradients agree with recorded values, in f64 to 1e-9 and f32 to 1e-5.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use safetensors::SafeTensors;
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::{Bound, Labels, Reference};
use tcmax_fusion::{ConcatHead, FusionHead, SumHead};
use tcmax_losses::{cross_entropy, tcmax, unimodal};

/// One recorded case; tensors are converted to the element type under test.
struct Case {
    name: String,
    metadata: HashMap<String, String>,
    tensors: HashMap<String, Tensor>,
    vars: HashMap<String, Var>,
    dtype: DType,
}

impl Case {
    fn read(path: &Path, dtype: DType) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap_or_default();
        let mut tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        for tensor in tensors.values_mut().filter(|tensor| tensor.dtype() == DType::F64) {
            *tensor = tensor.to_dtype(dtype).unwrap();
        }
        let given = |name: &str| name.starts_with("input.") || name.starts_with("weight.");
        let vars = tensors
            .iter()
            .filter(|(name, tensor)| given(name) && tensor.dtype() == dtype)
            .map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap()))
            .collect();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Self { name, metadata, tensors, vars, dtype }
    }

    fn input(&self, name: &str) -> Tensor {
        let var = self.vars.get(name).unwrap_or_else(|| panic!("{}: no {name}", self.name));
        var.as_tensor().clone()
    }

    fn labels(&self) -> Labels {
        Labels::from_tensor(&self.tensors["input.label"], self.metadata["C"].parse().unwrap())
            .unwrap()
    }

    fn features(&self) -> Vec<Tensor> {
        vec![self.input("input.a"), self.input("input.v")]
    }

    fn head(&self) -> Box<dyn FusionHead> {
        let layer = |name: &str| {
            ["weight", "bias"].map(|kind| self.input(&format!("weight.{name}.{kind}")))
        };
        match self.metadata["fusion"].as_str() {
            "concat" => {
                let widths = self.features().iter().map(|z| z.dim(1).unwrap()).collect::<Vec<_>>();
                let [weight, bias] = layer("fc_out");
                Box::new(ConcatHead::from_tensors(&widths, weight, bias).unwrap())
            }
            "sum" => {
                let layers = ["fc_x", "fc_y"].map(|name| layer(name).into()).to_vec();
                Box::new(SumHead::from_tensors(layers).unwrap())
            }
            other => panic!("{}: no head {other}", self.name),
        }
    }

    fn is_extreme(&self) -> bool {
        self.name.ends_with("huge")
    }

    fn check(&self, quantity: &str, got: &Tensor) {
        self.check_within(quantity, got, if self.dtype == DType::F64 { 1e-9 } else { 1e-5 });
    }

    fn check_within(&self, quantity: &str, got: &Tensor, tolerance: f64) {
        let wanted = &self.tensors[quantity];
        let error = relative_error(got, wanted);
        let dtype = self.dtype;
        assert!(error <= tolerance, "{} {quantity} in {dtype:?}: error {error:e}", self.name);
    }

    /// Every recorded gradient under `prefix` against that of `loss`.
    fn check_gradients(&self, prefix: &str, loss: &Tensor) {
        let gradients = loss.backward().unwrap();
        let tolerance = match self.dtype {
            DType::F64 => 1e-9,
            // Single precision cannot resolve the softmax of logits of +-1000.
            _ if self.is_extreme() => return,
            _ if self.name.contains("large") => 1e-4,
            _ => 1e-5,
        };
        let mut checked = 0;
        for quantity in self.tensors.keys() {
            let Some(name) = quantity.strip_prefix(prefix) else { continue };
            let keys = [format!("input.{name}"), format!("weight.{name}")];
            let Some(var) = keys.iter().find_map(|key| self.vars.get(key)) else { continue };
            let gradient = gradients.get(var.as_tensor());
            let gradient = gradient.unwrap_or_else(|| panic!("{}: {quantity} is cut", self.name));
            self.check_within(quantity, gradient, tolerance);
            checked += 1;
        }
        assert!(checked > 0, "{}: no gradient under {prefix}", self.name);
    }
}

/// max |x - y| / max(1, max |y|), as the tolerances are stated.
fn relative_error(got: &Tensor, wanted: &Tensor) -> f64 {
    let flat = |tensor: &Tensor| {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let (got, wanted) = (flat(got), flat(wanted));
    assert_eq!(got.len(), wanted.len());
    let scale = wanted.iter().fold(1.0f64, |scale, w| scale.max(w.abs()));
    // NaN must not pass: f64::max would drop it.
    assert!(got.iter().all(|x| x.is_finite()), "a value is not finite");
    got.iter().zip(&wanted).fold(0.0f64, |error, (g, w)| error.max((g - w).abs())) / scale
}

/// The files shipped with the crate, and those of the directory TCMAX_GOLDEN names.
fn files(prefix: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    folders.extend(std::env::var_os("TCMAX_GOLDEN").map(PathBuf::from));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
        .filter(|path| !path.to_string_lossy().contains("concat_msh"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no recorded case {prefix}*");
    files
}

/// The losses of single modalities under the normalised product, as scalars of the features' type.
fn modality_losses(head: &dyn FusionHead, features: &[Tensor], labels: &Labels) -> Vec<Tensor> {
    let own =
        Bound::new(head, features, labels, Reference::all()).unwrap().variable_losses().unwrap();
    let scalar = |loss: f64| Tensor::new(loss, &Device::Cpu)?.to_dtype(features[0].dtype());
    own.into_iter().map(|loss| scalar(loss).unwrap()).collect()
}

#[test]
fn tcmax_of_additive_heads_agrees_with_the_reference() {
    for dtype in [DType::F64, DType::F32] {
        for path in [files("tcmax_concat_"), files("tcmax_sum_")].concat() {
            let case = Case::read(&path, dtype);
            let (head, features, labels) = (case.head(), case.features(), case.labels());
            let loss = tcmax(head.as_ref(), &features, &labels).unwrap();
            case.check("output.dv", &loss);
            let own = modality_losses(head.as_ref(), &features, &labels);
            case.check("output.loss_a", &own[0]);
            case.check("output.loss_v", &own[1]);
            case.check_gradients("grad.", &loss);
        }
    }
}

#[test]
fn tcmax_of_one_to_four_modalities_agrees_with_exact_values() {
    for dtype in [DType::F64, DType::F32] {
        for path in files("tcmax_m") {
            let case = Case::read(&path, dtype);
            let modalities: usize = case.metadata["M"].parse().unwrap();
            let input = |kind: &str, m: usize, rest: &str| case.input(&format!("{kind}{m}{rest}"));
            let layers = (0..modalities)
                .map(|m| (input("weight.fc", m, ".weight"), input("weight.fc", m, ".bias")))
                .collect();
            let features: Vec<Tensor> = (0..modalities).map(|m| input("input.x", m, "")).collect();
            let head = SumHead::from_tensors(layers).unwrap();
            let labels = case.labels();
            let loss = tcmax(&head, &features, &labels).unwrap();
            case.check("output.bound", &loss.neg().unwrap());
            for (m, own) in modality_losses(&head, &features, &labels).iter().enumerate() {
                case.check(&format!("output.loss_m{m}"), own);
            }
            case.check("output.loss_dv", &loss);
            case.check_gradients("grad.", &loss);
        }
    }
}

#[test]
fn unimodal_and_joint_cross_entropy_agree_with_the_reference() {
    for dtype in [DType::F64, DType::F32] {
        for path in [files("unimodal_concat"), files("unimodal_sum")].concat() {
            let case = Case::read(&path, dtype);
            let (head, labels) = (case.head(), case.labels());
            let own = head.modality_logits(&case.features()).unwrap();
            case.check("output.loss_a", &cross_entropy(&own[0], &labels).unwrap());
            case.check("output.loss_v", &cross_entropy(&own[1], &labels).unwrap());
            case.check("output.loss", &unimodal(&own, &labels).unwrap());
            case.check_gradients("grad.", &unimodal(&own, &labels).unwrap());
            let logits = head.logits(&case.features()).unwrap();
            let joint = cross_entropy(&logits, &labels).unwrap();
            case.check("output.ce", &joint);
            case.check_gradients("grad_ce.", &joint);
        }
    }
}

/// The definition itself: every tuple and class enumerated.
fn brute_force_bound(terms: &[Tensor], labels: &[u32]) -> f64 {
    let terms: Vec<Vec<Vec<f64>>> = terms.iter().map(|t| t.to_vec2().unwrap()).collect();
    let (n, classes) = (labels.len(), terms[0][0].len());
    let mut scores = Vec::new();
    for tuple in 0..n.pow(terms.len() as u32) {
        for class in 0..classes {
            let member = |m: usize| tuple / n.pow(m as u32) % n;
            scores.push((0..terms.len()).map(|m| terms[m][member(m)][class]).sum::<f64>());
        }
    }
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
    let log_mean = max + sum.ln() - (scores.len() as f64).ln();
    let own = |i: usize| terms.iter().map(|t| t[i][labels[i] as usize]).sum::<f64>();
    (0..n).map(own).sum::<f64>() / n as f64 - log_mean
}

#[test]
fn the_factorised_bound_is_the_mean_over_all_tuples() {
    let device = Device::Cpu;
    let y = [2u32, 0, 1, 1, 3];
    let labels = Labels::new(&y, 4, &device).unwrap();
    for modalities in 1..=4 {
        for scale in [1.0, 30.0, 1000.0] {
            let terms: Vec<Tensor> = (0..modalities)
                .map(|_| Tensor::randn(0.0, scale, (5, 4), &device).unwrap())
                .collect();
            let critic = TermsCritic::new(modalities, 4);
            let got =
                Bound::new(&critic, &terms, &labels, Reference::all()).unwrap().nats().unwrap();
            let wanted = brute_force_bound(&terms, &y);
            let error = (got - wanted).abs() / wanted.abs().max(1.0);
            assert!(error < 1e-12, "M = {modalities}, scale {scale}: {got} is not {wanted}");
        }
    }
}
