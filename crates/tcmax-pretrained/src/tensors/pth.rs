//! PyTorch's files since 1.6: a zip archive of a pickle, which says what there is, and of storages, the
//! numbers. The pickle is read as data (`pickle`), never run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use candle_core::DType;
use zip::{CompressionMethod, ZipArchive};

use super::bytes::{Bytes, Entries, room};
use super::pickle::{self, Id, Node, Values, View};
use crate::error::{Error, Result};

/// What is said of files that `torch.save` wrote before 1.6, or writes on request.
pub(super) const OLD_FORMAT: &str = "this is PyTorch's old format (before 1.6), a plain pickle, which is not read; write it anew in Python: \
     torch.save(torch.load(path, weights_only=True), path)";

/// Under which names training scripts keep a state dict, the likeliest first.
const NESTED: [&str; 8] =
    ["state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params"];
/// No module has a longer name.
const LONGEST_KEY: usize = 1 << 10;
/// So deep are state dicts searched for.
const DEPTH: usize = 3;

pub(super) struct File {
    archive: ZipArchive<Box<dyn Bytes>>,
    /// What stands before the names of all members, such as `archive/`.
    folder: String,
    views: BTreeMap<String, (View, DType)>,
    /// The storage read last: tensors that share one usually follow each other.
    last: Option<(String, Vec<u8>)>,
}

pub(super) fn open(path: &Path, bytes: Box<dyn Bytes>) -> Result<(File, Entries)> {
    let bad = |problem: String| Error::bad_file(path, problem);
    let mut archive = ZipArchive::new(bytes).map_err(|error| {
        bad(format!("a damaged or incomplete PyTorch archive ({error}); fetch it again"))
    })?;
    let names: Vec<String> =
        archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let pickles: Vec<&String> = names.iter().filter(|name| is_pickle(name)).collect();
    let [pickle] = pickles[..] else {
        return Err(bad("a zip archive, but not one that `torch.save` writes".to_owned()));
    };
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    if names.iter().any(|name| *name == format!("{folder}constants.pkl")) {
        let problem = "this is a TorchScript archive; write its weights in Python: \
                       torch.save(torch.jit.load(path).state_dict(), other_path)";
        return Err(bad(problem.to_owned()));
    }
    let byte_order = format!("{folder}byteorder");
    if names.contains(&byte_order) && member(path, &mut archive, &byte_order)? != b"little" {
        let problem = "its numbers are not in little-endian order; write it anew with torch.save \
                       on a usual machine";
        return Err(bad(problem.to_owned()));
    }
    let program = member(path, &mut archive, pickle)?;
    let (values, root) = pickle::read(&program)
        .map_err(|problem| bad(format!("its pickle cannot be read: {problem}")))?;
    drop(program);
    let state = state_dict(&values, root).map_err(bad)?;
    let mut file = File { archive, folder, views: BTreeMap::new(), last: None };
    let mut entries = Entries::new();
    for (name, id) in state {
        let (shape, problem) = match file.usable(path, &values, id)? {
            Ok((view, dtype)) => {
                let shape = view.shape.clone();
                file.views.insert(name.clone(), (view, dtype));
                (shape, None)
            }
            Err(problem) => (Vec::new(), Some(problem)),
        };
        entries.insert(name, (shape, problem));
    }
    Ok((file, entries))
}

fn is_pickle(name: &str) -> bool {
    name == "data.pkl" || name.strip_suffix("/data.pkl").is_some_and(|f| !f.contains('/'))
}

/// A member's bytes; its checksum is compared when its last byte is read.
fn member(path: &Path, archive: &mut ZipArchive<Box<dyn Bytes>>, name: &str) -> Result<Vec<u8>> {
    let bad = |problem: String| Error::bad_file(path, format!("member {name}: {problem}"));
    let member = archive.by_name(name).map_err(|error| bad(error.to_string()))?;
    // What is stored as it is cannot declare more bytes than the file has, once they are read.
    if member.compression() != CompressionMethod::Stored {
        return Err(bad("it is compressed, which `torch.save` does not do".to_owned()));
    }
    if member.size() != member.compressed_size() {
        return Err(bad("its sizes contradict each other".to_owned()));
    }
    let size = member.size();
    let mut bytes = Vec::new();
    // Grows as bytes come, so that a size that is a lie takes no memory. The checksum is compared at the end,
    // which is one byte further.
    member
        .take(size.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| bad(format!("damaged ({error}); fetch the file again")))?;
    if bytes.len() as u64 != size {
        return Err(bad("it is cut off; fetch the file again".to_owned()));
    }
    Ok(bytes)
}

/// The names and values of the state dict that a file holds, be it under a usual name.
fn state_dict(values: &Values, root: Id) -> std::result::Result<BTreeMap<String, Id>, String> {
    let dict = match values.get(root) {
        Node::Dict(_) => root,
        Node::Object(class) => {
            return Err(format!(
                "it holds an object of {class}, not a state dict, and no code of a file is run; write the \
                 weights in Python: torch.save(model.state_dict(), path)"
            ));
        }
        Node::Tensor(_) => return Err("it holds one tensor, not a state dict".to_owned()),
        _ => return Err("it holds no state dict".to_owned()),
    };
    let Some(found) = nested(values, dict, DEPTH, &mut BTreeSet::new()) else {
        let names: Vec<String> = entries(values, dict).into_keys().collect();
        return Err(format!(
            "it holds no state dict (a dictionary of tensors); its entries: {}",
            crate::error::listed(&names)
        ));
    };
    Ok(found)
}

fn nested(
    values: &Values,
    dict: Id,
    depth: usize,
    seen: &mut BTreeSet<Id>,
) -> Option<BTreeMap<String, Id>> {
    // A dictionary may hold itself.
    if !seen.insert(dict) {
        return None;
    }
    let entries = entries(values, dict);
    if depth > 0 {
        let mut inner = NESTED.iter().filter_map(|name| entries.get(*name));
        if let Some(found) = inner.find_map(|id| nested(values, *id, depth - 1, seen)) {
            return Some(found);
        }
    }
    let is_tensor = |id: &Id| matches!(values.get(*id), Node::Tensor(_));
    entries.values().any(is_tensor).then_some(entries)
}

/// The entries of a dictionary whose keys are texts; none for what is no dictionary.
fn entries(values: &Values, dict: Id) -> BTreeMap<String, Id> {
    let Node::Dict(pairs) = values.get(dict) else { return BTreeMap::new() };
    let named = pairs.iter().filter_map(|(key, value)| match values.get(*key) {
        Node::Text(key) if key.len() <= LONGEST_KEY => Some((key.clone(), *value)),
        _ => None,
    });
    named.collect()
}

impl File {
    /// The tensor of an entry, after it was held against the storage that it is a view of. The inner error
    /// is for an entry that nobody may ask for.
    fn usable(
        &mut self,
        path: &Path,
        values: &Values,
        id: Id,
    ) -> Result<std::result::Result<(View, DType), String>> {
        let view = match values.get(id) {
            Node::Tensor(view) => View::clone(view),
            Node::Object(class) => {
                return Ok(Err(format!("an object of {class}, which is not read")));
            }
            _ => return Ok(Err("not a tensor".to_owned())),
        };
        let Some(dtype) = candle_type(&view.storage.kind) else {
            let problem = format!("its type {} cannot be read; convert it", view.storage.kind);
            return Ok(Err(problem));
        };
        if let Err(problem) = check_view(&view) {
            return Ok(Err(problem));
        }
        let name = self.member_of(&view);
        let size = self.archive.by_name(&name).map(|member| member.size());
        let wanted = view.storage.numel.saturating_mul(dtype.size_in_bytes() as u64);
        match size {
            Ok(size) if size == wanted => Ok(Ok((view, dtype))),
            Ok(size) => {
                let problem = format!(
                    "member {name} has {size} bytes where its pickle says {wanted}; fetch the file again"
                );
                Err(Error::bad_file(path, problem))
            }
            Err(error) => Err(Error::bad_file(path, format!("member {name}: {error}"))),
        }
    }

    fn member_of(&self, view: &View) -> String {
        format!("{}data/{}", self.folder, view.storage.key)
    }

    pub(super) fn read(&mut self, path: &Path, name: &str) -> Result<(Vec<u8>, DType)> {
        let (view, dtype) = &self.views[name];
        let key = self.member_of(view);
        if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
            self.last = None;
            self.last = Some((key.clone(), member(path, &mut self.archive, &key)?));
        }
        let storage = self.last.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        Ok((gather(path, name, storage, view, dtype.size_in_bytes())?, *dtype))
    }
}

/// Whether a view lies within its storage, and is not larger than it (as views that repeat numbers are).
fn check_view(view: &View) -> std::result::Result<(), String> {
    if view.shape.len() != view.stride.len() {
        return Err("its shape and its strides do not fit together".to_owned());
    }
    let sizes = view.shape.iter().map(|size| *size as u64);
    let count = sizes.clone().try_fold(1u64, u64::checked_mul).unwrap_or(u64::MAX);
    if count == 0 {
        return Ok(());
    }
    // The position of the last number.
    let last = sizes.zip(&view.stride).try_fold(view.offset, |sum, (size, stride)| {
        sum.checked_add((size - 1).checked_mul(*stride)?)
    });
    if last.is_none_or(|last| last >= view.storage.numel) {
        return Err("it reaches beyond its storage; the file is damaged".to_owned());
    }
    if count > view.storage.numel {
        return Err("it repeats numbers of its storage; save a copy of it (`clone`)".to_owned());
    }
    Ok(())
}

/// The numbers of a view, row after row.
fn gather(path: &Path, name: &str, storage: &[u8], view: &View, size: usize) -> Result<Vec<u8>> {
    let count: usize = view.shape.iter().product();
    let mut out = room(path, (count * size) as u64)?;
    let damaged = || Error::bad_file(path, format!("tensor '{name}' reaches beyond its storage"));
    // The trailing dimensions that lie in one piece are copied at once.
    let mut run = 1;
    let mut outer = view.shape.len();
    while outer > 0 && (view.shape[outer - 1] == 1 || view.stride[outer - 1] == run as u64) {
        outer -= 1;
        run *= view.shape[outer];
    }
    let mut index = vec![0; outer];
    let mut left = count.checked_div(run).unwrap_or(0);
    while left > 0 {
        let steps = index.iter().zip(&view.stride).map(|(i, stride)| *i as u64 * stride);
        let start = (view.offset + steps.sum::<u64>()) as usize * size;
        out.extend_from_slice(storage.get(start..start + run * size).ok_or_else(damaged)?);
        for axis in (0..outer).rev() {
            index[axis] += 1;
            if index[axis] < view.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
        left -= 1;
    }
    Ok(out)
}

fn candle_type(storage: &str) -> Option<DType> {
    Some(match storage {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        // Truth values are bytes of 0 and 1.
        "ByteStorage" | "BoolStorage" => DType::U8,
        _ => return None,
    })
}
