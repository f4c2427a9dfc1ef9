//! Pickles read as data: nothing in them is imported, called or executed.
//!
//! A pickle is a program for a stack machine. Here the machine knows the values that state dicts are made
//! of (numbers, texts, tuples, lists, dictionaries, tensors that refer to a storage); whatever would need a
//! Python function becomes [`Node::Object`], which holds the function's name and nothing else. Values live
//! in an arena and are shared by number, so memory grows with the length of the pickle, however its parts
//! refer to each other.

use std::collections::HashMap;

/// The number of a value in the arena.
pub(super) type Id = u32;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// None, bytes, real numbers and sets, of which nothing is asked.
    Other,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name that Python would import.
    Global(String),
    /// What Python would make by calling something; its name.
    Object(String),
    Storage(Box<Storage>),
    Tensor(Box<View>),
    Mark,
}

/// A block of numbers in another member of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    /// The name of its type, such as `FloatStorage`.
    pub kind: String,
    /// The member's name under `data/`.
    pub key: String,
    /// How many numbers it holds.
    pub numel: u64,
}

/// A tensor: a view of a storage. Offset and strides count numbers, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub storage: Storage,
    pub offset: u64,
    pub shape: Vec<usize>,
    pub stride: Vec<u64>,
}

/// All values of a pickle.
#[derive(Debug)]
pub(super) struct Values {
    nodes: Vec<Node>,
}

/// Values that never change are there once.
const OTHER: Id = 0;
const MARK: Id = 1;
const EMPTY_TUPLE: Id = 2;

/// Most values, and most that a pickle may remember: a tensor takes about twelve.
const MOST: usize = 4 << 20;
/// Names of types, storages and functions are cut off here,
const LONGEST_NAME: usize = 256;
/// and tensors have at most so many dimensions.
const MOST_DIMS: usize = 32;

impl Values {
    pub fn get(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    fn new() -> Self {
        Self { nodes: vec![Node::Other, Node::Mark, Node::Tuple(Vec::new())] }
    }

    /// Adds a value; `MOST` keeps their numbers below 2^32.
    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    fn whole(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Node::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    fn wholes(&self, id: Id) -> Option<Vec<u64>> {
        match self.get(id) {
            Node::Tuple(ids) | Node::List(ids) if ids.len() <= MOST_DIMS => {
                ids.iter().map(|id| self.whole(*id)).collect()
            }
            _ => None,
        }
    }
}

/// Most bytes of a pickle; that of a network with 100,000 tensors has 20 MB.
pub(super) const LARGEST: usize = 64 << 20;

/// Reads a pickle: its values, and which is the result.
///
/// # Errors
/// What is wrong with it, as a part of a sentence.
pub(super) fn read(bytes: &[u8]) -> Result<(Values, Id), String> {
    if bytes.len() > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    let mut machine =
        Machine { bytes, values: Values::new(), stack: Vec::new(), memo: HashMap::new() };
    loop {
        let code = machine.byte()?;
        if code == b'.' {
            let result = machine.pop()?;
            return Ok((machine.values, result));
        }
        machine.step(code)?;
        if machine.values.nodes.len() > MOST || machine.memo.len() > MOST {
            return Err(format!("it has more than {MOST} values"));
        }
    }
}

struct Machine<'a> {
    /// What is left of the program.
    bytes: &'a [u8],
    values: Values,
    stack: Vec<Id>,
    memo: HashMap<u32, Id>,
}

type Step<T = ()> = Result<T, String>;

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("it is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number of `count` bytes, the lowest first.
    fn unsigned(&mut self, count: usize) -> Step<u64> {
        Ok(self.take(count)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn length(&mut self, count: usize) -> Step<usize> {
        usize::try_from(self.unsigned(count)?).map_err(|_| "a length is too large".to_owned())
    }

    fn line(&mut self) -> Step<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n').ok_or("it is cut off")?;
        let line = String::from_utf8_lossy(&self.bytes[..end.min(LONGEST_NAME)]).into_owned();
        self.bytes = &self.bytes[end + 1..];
        Ok(line)
    }

    fn push(&mut self, node: Node) {
        let id = self.values.add(node);
        self.stack.push(id);
    }

    fn pop(&mut self) -> Step<Id> {
        self.stack.pop().ok_or_else(|| "it takes a value from an empty stack".to_owned())
    }

    fn top(&self) -> Step<Id> {
        self.stack.last().copied().ok_or_else(|| "it uses a value of an empty stack".to_owned())
    }

    /// What lies above the last mark.
    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.stack.iter().rposition(|id| *id == MARK).ok_or("a mark is missing")?;
        let above = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(above)
    }

    fn pop_tuple(&mut self, count: usize) -> Step {
        let start = self.stack.len().checked_sub(count).ok_or("a tuple lacks values")?;
        let ids = self.stack.split_off(start);
        self.push(Node::Tuple(ids));
        Ok(())
    }

    fn text(&mut self, bytes_of_length: usize) -> Step {
        let length = self.length(bytes_of_length)?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Node::Text(text));
        Ok(())
    }

    fn skip(&mut self, bytes_of_length: usize) -> Step {
        let length = self.length(bytes_of_length)?;
        self.take(length)?;
        self.stack.push(OTHER);
        Ok(())
    }

    /// A whole number of `count` bytes in two's complement; one that does not fit is nobody's size.
    fn long(&mut self, count: usize) -> Step {
        let bytes = self.take(count)?;
        let node = if count > 8 {
            Node::Other
        } else {
            let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            let start = if negative { -1i64 } else { 0 };
            Node::Int(bytes.iter().rev().fold(start, |value, byte| value << 8 | i64::from(*byte)))
        };
        self.push(node);
        Ok(())
    }

    fn remember(&mut self, index: u64) -> Step {
        let top = self.top()?;
        self.memo.insert(index as u32, top);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Step {
        let id = self.memo.get(&(index as u32)).ok_or("it uses a value that it never made")?;
        self.stack.push(*id);
        Ok(())
    }

    /// Adds to the list on top; of what an object would do with it, nothing.
    fn append(&mut self, ids: &[Id]) -> Step {
        let top = self.top()?;
        match &mut self.values.nodes[top as usize] {
            Node::List(list) => list.extend_from_slice(ids),
            Node::Object(_) | Node::Other => {}
            _ => return Err("it appends to what is no list".to_owned()),
        }
        Ok(())
    }

    /// Adds to the dictionary on top.
    fn set(&mut self, ids: &[Id]) -> Step {
        if !ids.len().is_multiple_of(2) {
            return Err("a dictionary has a key without a value".to_owned());
        }
        let top = self.top()?;
        match &mut self.values.nodes[top as usize] {
            Node::Dict(entries) => {
                entries.extend(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            Node::Object(_) => {}
            _ => return Err("it adds entries to what is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn step(&mut self, code: u8) -> Step {
        match code {
            // PROTO, FRAME
            0x80 => _ = self.byte()?,
            0x95 => _ = self.take(8)?,
            b'(' => self.stack.push(MARK),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(OTHER),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' => self.number(1)?,
            b'M' => self.number(2)?,
            b'J' => self.long(4)?,
            0x8a => {
                let count = self.length(1)?;
                self.long(count)?;
            }
            0x8b => {
                let count = self.length(4)?;
                self.long(count)?;
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(OTHER);
            }
            // Texts and bytes, with lengths of several sizes.
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'C' => self.skip(1)?,
            b'B' => self.skip(4)?,
            0x8e | 0x96 => self.skip(8)?,
            b')' => self.stack.push(EMPTY_TUPLE),
            0x85..=0x87 => self.pop_tuple(usize::from(code - 0x84))?,
            b't' => {
                let ids = self.pop_to_mark()?;
                self.push(Node::Tuple(ids));
            }
            b']' => self.push(Node::List(Vec::new())),
            b'l' => {
                let ids = self.pop_to_mark()?;
                self.push(Node::List(ids));
            }
            b'a' => {
                let id = self.pop()?;
                self.append(&[id])?;
            }
            b'e' => {
                let ids = self.pop_to_mark()?;
                self.append(&ids)?;
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let ids = self.pop_to_mark()?;
                self.push(Node::Dict(Vec::new()));
                self.set(&ids)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let ids = self.pop_to_mark()?;
                self.set(&ids)?;
            }
            // Sets.
            0x8f => self.stack.push(OTHER),
            0x90 => _ = self.pop_to_mark()?,
            0x91 => {
                self.pop_to_mark()?;
                self.stack.push(OTHER);
            }
            b'q' => {
                let index = self.unsigned(1)?;
                self.remember(index)?;
            }
            b'r' => {
                let index = self.unsigned(4)?;
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let index = self.unsigned(1)?;
                self.recall(index)?;
            }
            b'j' => {
                let index = self.unsigned(4)?;
                self.recall(index)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| shortened(self.values.text(id).unwrap_or_default());
                let global = format!("{}.{}", text(module), text(name));
                self.push(Node::Global(global));
            }
            // REDUCE and NEWOBJ
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.made(callable, arguments);
                self.stack.push(made);
            }
            0x92 => {
                self.pop()?;
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.made(callable, arguments);
                self.stack.push(made);
            }
            // BUILD gives an object its attributes, of which nothing is asked.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id);
                self.push(storage.map_or(Node::Other, |storage| Node::Storage(Box::new(storage))));
            }
            other => return Err(format!("it has the unknown instruction {other:#04x}")),
        }
        Ok(())
    }

    fn number(&mut self, count: usize) -> Step {
        let value = self.unsigned(count)?;
        self.push(Node::Int(value as i64));
        Ok(())
    }

    /// The persistent identity of a storage: ('storage', type, key, device, numel).
    fn storage(&self, id: Id) -> Option<Storage> {
        let Node::Tuple(ids) = self.values.get(id) else { return None };
        let [tag, kind, key, _, numel] = ids[..] else { return None };
        let Node::Global(kind) = self.values.get(kind) else { return None };
        (self.values.text(tag) == Some("storage")).then_some(())?;
        Some(Storage {
            kind: kind.rsplit('.').next().unwrap_or_default().to_owned(),
            key: self.values.text(key).filter(|key| key.len() <= LONGEST_NAME)?.to_owned(),
            numel: self.values.whole(numel)?,
        })
    }

    /// What a call of `callable` would make, if it is one of the few calls that state dicts consist of.
    fn made(&mut self, callable: Id, arguments: Id) -> Id {
        let Node::Global(name) = self.values.get(callable) else {
            return self.values.add(Node::Object("a function made while loading".to_owned()));
        };
        let name = name.clone();
        // No call that is known has more arguments than eight.
        let ids: Vec<Id> = match self.values.get(arguments) {
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
                    self.values.get(*function),
                    Node::Global(name) if name == "torch._utils._rebuild_tensor_v2"
                );
                match (is_tensor, self.view_of(*inner)) {
                    (true, Some(view)) => Node::Tensor(Box::new(view)),
                    _ => Node::Object(name),
                }
            }
            ("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", _) => {
                self.view(&ids).map_or(Node::Object(name), |view| Node::Tensor(Box::new(view)))
            }
            _ => Node::Object(name),
        };
        self.values.add(node)
    }

    fn view_of(&self, arguments: Id) -> Option<View> {
        match self.values.get(arguments) {
            Node::Tuple(ids) => self.view(ids),
            _ => None,
        }
    }

    /// (storage, offset, size, stride, ...)
    fn view(&self, ids: &[Id]) -> Option<View> {
        let [storage, offset, size, stride, ..] = ids[..] else { return None };
        let Node::Storage(storage) = self.values.get(storage) else { return None };
        let shape = self.values.wholes(size)?;
        Some(View {
            storage: Storage::clone(storage),
            offset: self.values.whole(offset)?,
            shape: shape.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?,
            stride: self.values.wholes(stride)?,
        })
    }
}

fn shortened(name: &str) -> &str {
    let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called() {
        // os.system("echo"), as a hostile file would have it.
        let (values, root) = read(b"cos\nsystem\n(X\x04\0\0\0echotR.").unwrap();
        assert_eq!(*values.get(root), Node::Object("os.system".to_owned()));
    }

    #[test]
    fn values_refer_to_each_other_without_copies() {
        // Lists that each hold the one before twice: 2^200 entries if they were copied.
        let mut bytes = b"]q\0".to_vec();
        for index in 0..200u8 {
            bytes.extend([b']', b'(', b'h', index, b'h', index, b'e', b'q', index + 1]);
        }
        bytes.push(b'.');
        let (values, _) = read(&bytes).unwrap();
        assert_eq!(values.nodes.len(), 3 + 201);
    }

    #[test]
    fn damage_is_an_error() {
        for (bytes, wanted) in [
            (&b""[..], "cut off"),
            (b"X\xff\xff\xff\xff", "cut off"),
            (b"R.", "empty stack"),
            (b"t.", "mark"),
            (b"h\x01.", "never made"),
            (b"}(K\x01u.", "without a value"),
            (b"\x85.", "lacks values"),
            (b"K\x01K\x02a.", "no list"),
            (b"I1\n.", "unknown instruction 0x49"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(wanted), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn whole_numbers_have_signs() {
        let value = |bytes: &[u8]| {
            let (values, root) = read(bytes).unwrap();
            values.get(root).clone()
        };
        assert_eq!(value(b"\x8a\x01\xff."), Node::Int(-1));
        assert_eq!(value(b"\x8a\x00."), Node::Int(0));
        assert_eq!(value(b"\x8a\x02\xff\x00."), Node::Int(255));
        assert_eq!(value(b"J\xfe\xff\xff\xff."), Node::Int(-2));
        assert_eq!(value(b"\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01."), Node::Other);
    }
}
