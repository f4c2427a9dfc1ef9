//! Loading weights into parameters, with a report of what became of every tensor.

mod adapt;
mod names;
mod report;

use std::collections::BTreeMap;

use candle_core::{DType, Shape, Tensor, Var};
use tcmax_ops::Params;

use crate::error::{Error, Result};
use crate::tensors::Tensors;

pub use adapt::{Channels, Interpolation, Positions};
pub use names::{NameRules, Renamed};
pub use report::{Adapted, Report};

/// How weights are loaded. Everything is strict by default.
pub struct Loading<'a> {
    /// What stands before the names of the parameters to load, with its last dot (`text_net.`); others are
    /// left alone.
    pub prefix: &'a str,
    /// What a tensor of the file is for; the name of the parameter is without the prefix.
    pub names: &'a dyn Fn(&str) -> Renamed,
    /// Parameters that keep their values if the file has no tensor for them, as patterns (see
    /// [`NameRules::ignore`]) of names without the prefix.
    pub may_miss: &'a [&'a str],
    /// Whether tensors may be left over that are neither ignored nor for a parameter.
    pub may_leave: bool,
    /// The filters of the first convolution, and what to do if they are for another number of channels.
    pub channels: Option<(&'a str, Channels)>,
    /// The position embedding of patches of pictures, interpolated if it is for another grid.
    pub positions: Option<(&'a str, Positions)>,
}

impl Loading<'_> {
    /// Strict loading by the given names, into parameters under `prefix`.
    pub fn new<'a>(prefix: &'a str, names: &'a dyn Fn(&str) -> Renamed) -> Loading<'a> {
        Loading { prefix, names, may_miss: &[], may_leave: false, channels: None, positions: None }
    }
}

impl std::fmt::Debug for Loading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loading").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What a tensor becomes before it is a parameter's value.
enum Change {
    None,
    Channels(Channels),
    Positions(Positions),
}

/// Loads tensors into the parameters and buffers whose names begin with the prefix.
///
/// Everything is checked and read first: after an error no value has changed.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{Init, ParamBuilder, Seed};
/// use tcmax_pretrained::{Loading, NameRules, Tensors, load};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.safetensors");
/// # let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu);
/// # candle_core::safetensors::save(
/// #     &[("bert.LayerNorm.gamma", tensor(&[1.0, 2.0])?), ("cls.bias", tensor(&[0.0])?)].into(), &path)?;
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let weight = builder.pp("text_net.LayerNorm").param("weight", 2, Init::Const(0.0))?;
///
/// let rules = NameRules::new().ignore("cls.*").strip("bert.").rename_last("gamma", "weight");
/// let names = |name: &str| rules.apply(name);
/// let report = load(&builder.params(), &Tensors::open(&[path])?, &Loading::new("text_net.", &names))?;
/// assert_eq!(weight.to_vec1::<f32>()?, [1.0, 2.0]);
/// assert_eq!(report.to_string(), "1 tensor loaded\n1 ignored: 'cls.bias'");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When a parameter has no tensor and may not miss one, a tensor is for no parameter, two are for the same,
/// a shape differs and no adaptation is meant for it, or a tensor cannot be read. The error names the tensor
/// and the fix.
pub fn load(params: &Params, tensors: &Tensors, loading: &Loading<'_>) -> Result<Report> {
    let wanted: BTreeMap<&str, (&str, &Var)> = params
        .trainable()
        .chain(params.buffers())
        .filter_map(|(name, var)| Some((name.strip_prefix(loading.prefix)?, (name, var))))
        .collect();
    if wanted.is_empty() {
        let problem = format!("no parameter's name begins with '{}'", loading.prefix);
        return Err(Error::Tensor { name: loading.prefix.to_owned(), problem });
    }
    let mut report = Report::default();
    let sources = assign(tensors, loading, &wanted, &mut report)?;
    refuse_gaps(loading, &wanted, &sources, &mut report)?;
    let mut values = Vec::new();
    for (short, source) in &sources {
        let (name, var) = wanted[short.as_str()];
        let shape = params.pytorch_shape(name, var);
        let change = change(short, source, tensors, &shape, loading)?;
        if matches!(change, Change::Channels(Channels::New)) {
            report.adapted.push(Adapted {
                name: source.clone(),
                from: tensors.shape(source).unwrap_or_default().to_vec(),
                to: shape.dims().to_vec(),
                how: "left new".to_owned(),
            });
            continue;
        }
        let dtype = if var.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let value = changed(tensors.get(source, dtype)?, &change, source, &shape, &mut report)?;
        let value = value.to_dtype(var.dtype())?.to_device(var.device())?;
        values.push((var, params.to_native_layout(name, &value)?));
        report.loaded += 1;
    }
    for (var, value) in values {
        var.set(&value)?;
    }
    Ok(report)
}

/// Which tensor every parameter gets.
fn assign(
    tensors: &Tensors,
    loading: &Loading<'_>,
    wanted: &BTreeMap<&str, (&str, &Var)>,
    report: &mut Report,
) -> Result<BTreeMap<String, String>> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for source in tensors.names() {
        match (loading.names)(source) {
            Renamed::Ignored => report.ignored.push(source.to_owned()),
            Renamed::To(name) if wanted.contains_key(name.as_str()) => {
                if let Some(other) = sources.insert(name.clone(), source.to_owned()) {
                    let problem = format!("parameter '{name}' has got tensor '{other}' already");
                    return Err(Error::Tensor { name: source.to_owned(), problem });
                }
            }
            Renamed::To(_) => report.unexpected.push(source.to_owned()),
        }
    }
    Ok(sources)
}

/// Refuses parameters without a tensor and tensors without a parameter, unless they are allowed.
fn refuse_gaps(
    loading: &Loading<'_>,
    wanted: &BTreeMap<&str, (&str, &Var)>,
    sources: &BTreeMap<String, String>,
    report: &mut Report,
) -> Result<()> {
    let missing = wanted.keys().filter(|name| !sources.contains_key(**name));
    let (allowed, refused): (Vec<&str>, Vec<&str>) = missing
        .copied()
        .partition(|name| loading.may_miss.iter().any(|pattern| names::matches(pattern, name)));
    let full = |names: Vec<&str>| -> Vec<String> {
        names.into_iter().map(|name| format!("{}{name}", loading.prefix)).collect()
    };
    if !refused.is_empty() {
        return Err(Error::MissingTensors { names: full(refused) });
    }
    report.missing = full(allowed);
    if !report.unexpected.is_empty() && !loading.may_leave {
        return Err(Error::UnexpectedTensors { names: std::mem::take(&mut report.unexpected) });
    }
    Ok(())
}

/// Which change makes a tensor fit its parameter, by the shapes alone.
fn change(
    short: &str,
    source: &str,
    tensors: &Tensors,
    wanted: &Shape,
    loading: &Loading<'_>,
) -> Result<Change> {
    // An entry that is no tensor has no shape; reading it says what it is.
    let Some(got) = tensors.shape(source) else {
        tensors.get(source, DType::F32)?;
        return Ok(Change::None);
    };
    if got == wanted.dims() {
        return Ok(Change::None);
    }
    let refuse = |fix: &str| Error::WrongShape {
        name: source.to_owned(),
        parameter: format!("{}{short}", loading.prefix),
        got: got.into(),
        wanted: wanted.dims().into(),
        fix: fix.to_owned(),
    };
    match (loading.channels, loading.positions) {
        (Some((name, channels)), _) if name == short => {
            let same_but_channels = match (got, wanted.dims()) {
                ([a, _, b, c], [d, _, e, f]) => a == d && b == e && c == f,
                _ => false,
            };
            if !same_but_channels {
                return Err(refuse("only the number of input channels can be adapted"));
            }
            if channels == Channels::Same {
                return Err(refuse(
                    "average the filters over the channels, or leave them new, by the option for \
                     input channels",
                ));
            }
            Ok(Change::Channels(channels))
        }
        (_, Some((name, positions))) if name == short => match positions.fits(got, wanted.dims()) {
            Ok(()) => Ok(Change::Positions(positions)),
            Err(fix) => Err(refuse(&fix)),
        },
        _ => Err(refuse("choose the sizes of the network that the weights were made for")),
    }
}

fn changed(
    value: Tensor,
    change: &Change,
    source: &str,
    wanted: &Shape,
    report: &mut Report,
) -> Result<Tensor> {
    let from = value.dims().to_vec();
    let (value, how) = match change {
        Change::Channels(_) => {
            (adapt::mean_channels(&value, wanted.dims()[1])?, "averaged over channels".to_owned())
        }
        Change::Positions(positions) => {
            (positions.apply(&value, wanted)?, format!("interpolated, {}", positions.by))
        }
        Change::None => return Ok(value),
    };
    let to = wanted.dims().to_vec();
    report.adapted.push(Adapted { name: source.to_owned(), from, to, how });
    Ok(value)
}
