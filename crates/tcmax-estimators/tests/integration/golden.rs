//! Bounds, critics, products and closed forms agree with recorded values, in f64 to 1e-9.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;
use tcmax_estimators::bound::{
    diagonal, donsker_varadhan, info_nce, jensen_shannon, nwj, off_diagonal, smile,
    symmetric_info_nce,
};
use tcmax_estimators::critic::{Activation, ConcatCritic, Mlp};
use tcmax_estimators::{Bound as CriticBound, Critic, Gaussian, Labels, Reference, Result, Tuples};

struct Case {
    name: String,
    metadata: HashMap<String, String>,
    tensors: HashMap<String, Tensor>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            metadata: header.metadata().clone().unwrap_or_default(),
            tensors: candle_core::safetensors::load(path, &Device::Cpu).unwrap(),
        }
    }

    fn check(&self, quantity: &str, got: &Tensor) {
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (got, wanted) = (flat(got), flat(&self.tensors[quantity]));
        assert_eq!(got.len(), wanted.len(), "{} {quantity}", self.name);
        let scale = wanted.iter().fold(1.0f64, |scale, w| scale.max(w.abs()));
        for (g, w) in got.iter().zip(&wanted) {
            // Not `>`: a NaN must fail.
            assert!((g - w).abs() <= 1e-9 * scale, "{} {quantity}: {g} is not {w}", self.name);
        }
    }
}

/// The files shipped with the crate, and those of the directory TCMAX_GOLDEN names.
fn cases(prefix: &str) -> Vec<Case> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    folders.extend(std::env::var_os("TCMAX_GOLDEN").map(PathBuf::from));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no recorded case {prefix}*");
    files.iter().map(|path| Case::read(path)).collect()
}

#[test]
fn bounds_on_pair_scores_agree() {
    for case in cases("mi_bounds") {
        let tau: f64 = case.metadata["tau"].parse().unwrap();
        let all = |s: &Tensor| -> Result<Tensor> { Ok(s.flatten_all()?) };
        let joint_and =
            |s: &Tensor, rest: Tensor, f: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>| {
                f(&diagonal(s)?, &rest)
            };
        type Bound<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;
        let bounds: Vec<(&str, Bound)> = vec![
            ("infonce", Box::new(info_nce)),
            ("infonce_sym", Box::new(symmetric_info_nce)),
            ("nwj", Box::new(|s| joint_and(s, off_diagonal(s)?, &nwj))),
            ("dv", Box::new(|s| joint_and(s, off_diagonal(s)?, &donsker_varadhan))),
            ("dv_all", Box::new(|s| joint_and(s, all(s)?, &donsker_varadhan))),
            ("smile", Box::new(|s| joint_and(s, off_diagonal(s)?, &|j, p| smile(j, p, tau)))),
            ("smile_all", Box::new(|s| joint_and(s, all(s)?, &|j, p| smile(j, p, tau)))),
            ("js", Box::new(|s| joint_and(s, off_diagonal(s)?, &jensen_shannon))),
        ];
        for (name, bound) in bounds {
            let scores = Var::from_tensor(&case.tensors["input.scores"]).unwrap();
            let value = bound(scores.as_tensor()).unwrap();
            case.check(&format!("output.{name}"), &value);
            let gradients = value.backward().unwrap();
            case.check(&format!("grad.{name}"), gradients.get(scores.as_tensor()).unwrap());
        }
    }
}

/// A recorded critic, its variables and the parameters that have recorded gradients, by name.
struct Recorded {
    critic: ConcatCritic,
    variables: Vec<Tensor>,
    named: Vec<(String, Tensor)>,
}

fn recorded(case: &Case) -> Recorded {
    let var = |name: &str| Var::from_tensor(&case.tensors[name]).unwrap().as_tensor().clone();
    let layers = ["fc1", "fc2"].map(|layer| {
        (var(&format!("weight.{layer}.weight")), var(&format!("weight.{layer}.bias")))
    });
    let count = case.tensors.keys().filter(|name| name.starts_with("input.x")).count();
    let variables: Vec<Tensor> = (0..count).map(|m| var(&format!("input.x{m}"))).collect();
    let widths: Vec<usize> = variables.iter().map(|x| x.dim(1).unwrap()).collect();
    let mut named = Vec::new();
    for (i, (weight, bias)) in layers.iter().enumerate() {
        named.push((format!("fc{}.weight", i + 1), weight.clone()));
        named.push((format!("fc{}.bias", i + 1), bias.clone()));
    }
    named.extend(variables.iter().enumerate().map(|(m, x)| (format!("x{m}"), x.clone())));
    let network = Mlp::from_tensors(layers.to_vec(), Activation::Relu).unwrap();
    let critic = ConcatCritic::from_parts(&widths, network, None).unwrap();
    Recorded { critic, variables, named }
}

/// The identity for the first variable, the recorded permutations (K, n - 1, B) for the others.
fn permutations(case: &Case, examples: usize) -> Tuples {
    let recorded = case.tensors["input.permutations"].to_vec3::<i64>().unwrap();
    let identity: Vec<u32> = (0..examples as u32).collect();
    let with_first = |others: &Vec<Vec<i64>>| {
        let others = others.iter().map(|rows| rows.iter().map(|&row| row as u32).collect());
        std::iter::once(identity.clone()).chain(others).collect::<Vec<_>>()
    };
    Tuples::from_permutations(&recorded.iter().map(with_first).collect::<Vec<_>>()).unwrap()
}

#[test]
fn tcne_agrees_over_all_tuples_and_over_permutations() {
    for case in cases("tcne_") {
        let Recorded { critic, variables, named } = recorded(&case);
        let joint = critic.scores(&variables).unwrap().squeeze(1).unwrap();
        case.check("output.pos", &joint);
        let examples = joint.elem_count();
        let all = Tuples::all(examples, variables.len()).unwrap();
        for (kind, tuples) in [("product", all), ("perm", permutations(&case, examples))] {
            let product =
                critic.scores(&tuples.gather(&variables).unwrap()).unwrap().squeeze(1).unwrap();
            let bound = donsker_varadhan(&joint, &product).unwrap();
            case.check(&format!("output.dv_{kind}"), &bound);
            if kind == "product" {
                case.check("output.nwj_product", &nwj(&joint, &product).unwrap());
            }
            let gradients = bound.backward().unwrap();
            for (name, tensor) in &named {
                let zero = tensor.zeros_like().unwrap();
                let gradient = gradients.get(tensor).unwrap_or(&zero);
                case.check(&format!("grad_{kind}.{name}"), gradient);
            }
        }
        // The bound of all tuples, together and in chunks.
        let none = Labels::none(examples, &Device::Cpu).unwrap();
        for chunk in [1, 10, 1 << 20] {
            let reference = Reference::all().in_chunks_of(chunk);
            let bound = CriticBound::new(&critic, &variables, &none, reference).unwrap();
            let value = bound.value().unwrap();
            case.check("output.dv_product", &value);
            let gradients = value.backward().unwrap();
            for (name, tensor) in &named {
                let zero = tensor.zeros_like().unwrap();
                let gradient = gradients.get(tensor).unwrap_or(&zero);
                case.check(&format!("grad_product.{name}"), gradient);
            }
        }
    }
}

#[test]
fn gaussian_total_correlations_agree() {
    for case in cases("gaussian_tc") {
        let gaussian = |name: &str| {
            let matrix = case.tensors[name].flatten_all().unwrap().to_vec1().unwrap();
            Gaussian::new(matrix).unwrap()
        };
        for name in case.tensors.keys() {
            let Some(matrix) = name.strip_prefix("input.R.").or(name.strip_prefix("input.S."))
            else {
                continue;
            };
            let gaussian = gaussian(name);
            let single: Vec<[usize; 1]> = (0..gaussian.dim()).map(|i| [i]).collect();
            let groups: Vec<&[usize]> = single.iter().map(<[usize; 1]>::as_slice).collect();
            let value = gaussian.total_correlation(&groups).unwrap();
            case.check(&format!("output.tc.{matrix}"), &Tensor::new(value, &Device::Cpu).unwrap());
        }
        if let Some(covariance) = case.tensors.keys().find(|name| *name == "input.S.random5_cov") {
            let block = gaussian(covariance).total_correlation(&[&[0, 1], &[2, 3], &[4]]).unwrap();
            case.check("output.tc.block", &Tensor::new(block, &Device::Cpu).unwrap());
        }
    }
}
