//! `cargo xtask check-weights`: weights exchanged with torchvision and transformers, in both directions.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use candle_core::{DType, Device, Tensor};
use clap::Args;
use comfy_table::{CellAlignment, presets};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tcmax_encoders::{Encoder, EncoderSpec, Input, InputKind, Pretrained, UpstreamName, encoders};
use tcmax_ops::{Init, ParamBuilder, Params, Seed};
use tcmax_pretrained::{Files, Loading, Renamed, Source, Tensors, load};
use tcmax_registry::Table;

/// The other side, run by the given Python.
const CASES: &str = include_str!("../../benches/peers/weights_check.py");

/// The largest difference of features that passes, relative to the larger of the largest feature and 1.
const TOLERANCE: f64 = 1e-4;

/// What our networks have and no file: the counter of dropout's draws.
const OWN: &str = "dropout.steps";

#[derive(Args)]
pub struct CheckWeights {
    /// A Python for it: python3 -m venv DIR && DIR/bin/pip install torch torchvision transformers
    #[arg(long, env = "TCMAX_TORCH_PYTHON", value_name = "FILE", default_value = "python3")]
    python: PathBuf,
}

/// A case that the script made.
#[derive(Deserialize)]
struct Made {
    name: String,
    encoder: String,
    /// Options beside those of the configuration.
    options: Table,
}

/// What the script found out of our weights.
#[derive(Deserialize)]
struct Checked {
    name: String,
    difference: f64,
    missing: Vec<String>,
    unexpected: Vec<String>,
}

/// What we found out of the script's weights.
struct Loaded {
    parameters: usize,
    loaded: usize,
    ignored: usize,
    difference: f64,
}

impl CheckWeights {
    /// Exchanges all weights and prints a table; fails where features differ or names do not fit.
    pub fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let cases: Vec<Made> = self.script("make", folder.path())?;
        ensure!(!cases.is_empty(), "nothing was made");
        let ours = cases.iter().map(|case| exchange(&folder.path().join(&case.name), case));
        let ours: Vec<anyhow::Result<Loaded>> = ours.collect();
        let theirs: Vec<Checked> = self.script("check", folder.path())?;
        let theirs: BTreeMap<&str, &Checked> =
            theirs.iter().map(|checked| (checked.name.as_str(), checked)).collect();
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header([
            "case",
            "encoder",
            "parameters",
            "loaded",
            "ignored",
            "from PyTorch",
            "to PyTorch",
            "result",
        ]);
        for column in 2..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut failed = 0;
        for (case, ours) in cases.iter().zip(&ours) {
            let (cells, result) = judged(ours, theirs.get(case.name.as_str()).copied());
            failed += usize::from(result != "pass");
            let start = [case.name.clone(), case.encoder.clone()];
            table.add_row(start.into_iter().chain(cells).chain([result]));
        }
        writeln!(std::io::stdout(), "{table}")?;
        ensure!(failed == 0, "{failed} of {} cases fail", cases.len());
        Ok(())
    }

    /// Runs the script; the lines that it prints.
    fn script<T: DeserializeOwned>(&self, step: &str, folder: &Path) -> anyhow::Result<Vec<T>> {
        let mut command = Command::new(&self.python);
        let output = command.args(["-c", CASES, step]).arg(folder).output();
        let output = output.with_context(|| self.python.display().to_string())?;
        if !output.status.success() {
            bail!("{}: {}", self.python.display(), String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

/// The cells of a case, and whether it passes.
fn judged(ours: &anyhow::Result<Loaded>, theirs: Option<&Checked>) -> ([String; 5], String) {
    let loaded = match ours {
        Ok(loaded) => loaded,
        Err(error) => return (Default::default(), format!("FAIL: {error:#}")),
    };
    let mut problems = Vec::new();
    // Not `>`: a difference that is no number is none that passes.
    let is_close = |difference: f64| difference <= TOLERANCE;
    let back = match theirs {
        None => {
            problems.push("PyTorch read nothing".to_owned());
            String::new()
        }
        Some(checked) => {
            for (names, what) in [(&checked.missing, "missing"), (&checked.unexpected, "left over")]
            {
                if !names.is_empty() {
                    problems.push(format!("{what} there: {}", names.join(", ")));
                }
            }
            if !is_close(checked.difference) {
                problems.push("features differ there".to_owned());
            }
            format!("{:.1e}", checked.difference)
        }
    };
    if !is_close(loaded.difference) {
        problems.push("features differ here".to_owned());
    }
    let numbers = [loaded.parameters, loaded.loaded, loaded.ignored].map(|n| n.to_string());
    let [parameters, count, ignored] = numbers;
    let cells = [parameters, count, ignored, format!("{:.1e}", loaded.difference), back];
    let result = match problems.is_empty() {
        true => "pass".to_owned(),
        false => format!("FAIL: {}", problems.join("; ")),
    };
    (cells, result)
}

/// Loads the published files of a case, compares features, and writes other weights of our own with their
/// features.
fn exchange(folder: &Path, case: &Made) -> anyhow::Result<Loaded> {
    let recorded = folder.join("recorded.safetensors");
    let recorded = candle_core::safetensors::load(recorded, &Device::Cpu)?;
    let [input, wanted] = ["input", "features"].map(|name| recorded.get(name).context(name));
    let (input, wanted) = (input?, wanted?);
    let catalogue = encoders();
    let spec = catalogue.get(&case.encoder)?;
    let published = spec.pretrained.context("nobody publishes its weights")?;
    let files = Source::Path(folder.join("upstream")).open()?;
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let options = sizes(&files, published, &case.options)?;
    let encoder = built(spec, &options, input, &builder)?;
    let params = builder.params();
    let names = |name: &str| match (published.names)(name) {
        UpstreamName::Parameter(name) => Renamed::To(name),
        UpstreamName::Ignored => Renamed::Ignored,
    };
    let tensors = Tensors::open(&files.weights)?;
    let loading = Loading { may_miss: &[OWN], ..Loading::new("", &names) };
    let report = load(&params, &tensors, &loading)?;
    let difference = difference(&encoder.encode(input, false)?, wanted)?;
    change(&params)?;
    write_back(&folder.join("back"), &params, &encoder.encode(input, false)?)?;
    Ok(Loaded {
        parameters: params.num_trainable(),
        loaded: report.loaded,
        ignored: report.ignored.len(),
        difference,
    })
}

/// The options that the configuration gives, and more of them.
fn sizes(files: &Files, published: &Pretrained, more: &Table) -> anyhow::Result<Table> {
    let mut options = match &files.config {
        Some(path) => (published.options)(&serde_json::from_slice(&std::fs::read(path)?)?)?,
        None => Table::new(),
    };
    options.extend(more.clone());
    Ok(options)
}

fn built(
    spec: &EncoderSpec,
    options: &Table,
    input: &Tensor,
    builder: &ParamBuilder,
) -> anyhow::Result<Box<dyn Encoder>> {
    let kind = if spec.takes(InputKind::Image) { InputKind::Image } else { InputKind::Tokens };
    let input = Input { kind, shape: &input.dims()[1..] };
    Ok(spec.build(&spec.options.complete(options)?, input, builder)?)
}

/// Changes every value by a factor of its own, so that what PyTorch gets is not what it gave.
fn change(params: &Params) -> anyhow::Result<()> {
    for (name, var) in params.trainable().chain(params.buffers()).filter(|(name, _)| *name != OWN) {
        let draws = Init::Uniform { bound: 0.1 };
        let draws =
            draws.tensor(var.shape(), Seed::new(1).stream(name), var.dtype(), var.device())?;
        var.set(&(var.as_tensor() * (draws + 1.0)?)?)?;
    }
    Ok(())
}

/// Writes all parameters and buffers under their upstream names, and the features computed with them.
fn write_back(folder: &Path, params: &Params, features: &Tensor) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    let state = params.snapshot()?.into_iter().filter(|(name, _)| name != OWN);
    // transformers asks which library a file is for.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(state, Some(format), &folder.join("model.safetensors"))?;
    let features = HashMap::from([("features", features.clone())]);
    Ok(candle_core::safetensors::save(&features, folder.join("features.safetensors"))?)
}

/// max |x - y| / max(1, max |y|); NaN if anything is.
fn difference(got: &Tensor, wanted: &Tensor) -> anyhow::Result<f64> {
    ensure!(got.dims() == wanted.dims(), "features {:?}, wanted {:?}", got.dims(), wanted.dims());
    let flat = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (got, wanted) = (flat(got)?, flat(wanted)?);
    let mut largest = 0f64;
    for (got, wanted) in got.iter().zip(&wanted) {
        let gap = (got - wanted).abs();
        if gap.is_nan() {
            return Ok(f64::NAN);
        }
        largest = largest.max(gap);
    }
    Ok(largest / wanted.iter().fold(1f64, |scale, value| scale.max(value.abs())))
}
