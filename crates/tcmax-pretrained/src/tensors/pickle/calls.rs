//! What a pickle would have Python make, as far as it is known here: tensors, their storages, dictionaries.

use super::values::{Id, LONGEST_NAME, Node, Storage, Values, View};

/// The persistent identity of a storage: ('storage', type, key, device, numel).
pub(super) fn storage(values: &Values, id: Id) -> Option<Storage> {
    let Node::Tuple(ids) = values.get(id) else { return None };
    let [tag, kind, key, _, numel] = ids[..] else { return None };
    let Node::Global(kind) = values.get(kind) else { return None };
    (values.text(tag) == Some("storage")).then_some(())?;
    Some(Storage {
        kind: kind.rsplit('.').next().unwrap_or_default().to_owned(),
        key: values.text(key).filter(|key| key.len() <= LONGEST_NAME)?.to_owned(),
        numel: values.whole(numel)?,
    })
}

/// What a call of `callable` would make, if it is one of the few calls that state dicts consist of.
pub(super) fn made(values: &mut Values, callable: Id, arguments: Id) -> Id {
    let Node::Global(name) = values.get(callable) else {
        return values.add(Node::Object("a function made while loading".to_owned()));
    };
    let name = name.clone();
    // No call that is known has more arguments than eight.
    let ids: Vec<Id> = match values.get(arguments) {
        Node::Tuple(ids) => ids.iter().take(9).copied().collect(),
        _ => Vec::new(),
    };
    let node = match (name.as_str(), ids.as_slice()) {
        ("collections.OrderedDict" | "collections.defaultdict" | "builtins.dict", _) => {
            Node::Dict(Vec::new())
        }
        ("torch.Size", [sizes]) => return *sizes,
        // A parameter, or a tensor of a subclass, is the tensor that it was made of.
        ("torch._utils._rebuild_parameter", [tensor, ..])
        | ("torch._utils._rebuild_parameter_with_state", [tensor, ..]) => return *tensor,
        ("torch._tensor._rebuild_from_type_v2", [function, _, inner, _]) => {
            let is_tensor = matches!(
                values.get(*function),
                Node::Global(name) if name == "torch._utils._rebuild_tensor_v2"
            );
            match (is_tensor, view_of(values, *inner)) {
                (true, Some(view)) => Node::Tensor(Box::new(view)),
                _ => Node::Object(name),
            }
        }
        ("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", _) => {
            view(values, &ids).map_or(Node::Object(name), |view| Node::Tensor(Box::new(view)))
        }
        _ => Node::Object(name),
    };
    values.add(node)
}

fn view_of(values: &Values, arguments: Id) -> Option<View> {
    match values.get(arguments) {
        Node::Tuple(ids) => view(values, ids),
        _ => None,
    }
}

/// (storage, offset, size, stride, ...)
fn view(values: &Values, ids: &[Id]) -> Option<View> {
    let [storage, offset, size, stride, ..] = ids[..] else { return None };
    let Node::Storage(storage) = values.get(storage) else { return None };
    let shape = values.wholes(size)?;
    Some(View {
        storage: Storage::clone(storage),
        offset: values.whole(offset)?,
        shape: shape.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?,
        stride: values.wholes(stride)?,
    })
}
