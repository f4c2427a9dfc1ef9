//! The values that a pickle makes.

/// The number of a value in the arena.
pub type Id = u32;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
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
pub struct Storage {
    /// The name of its type, such as `FloatStorage`.
    pub kind: String,
    /// The member's name under `data/`.
    pub key: String,
    /// How many numbers it holds.
    pub numel: u64,
}

/// A tensor: a view of a storage. Offset and strides count numbers, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub storage: Storage,
    pub offset: u64,
    pub shape: Vec<usize>,
    pub stride: Vec<u64>,
}

/// All values of a pickle.
#[derive(Debug)]
pub struct Values {
    pub(super) nodes: Vec<Node>,
}

/// Values that never change are there once.
pub(super) const OTHER: Id = 0;
pub(super) const MARK: Id = 1;
pub(super) const EMPTY_TUPLE: Id = 2;

/// Most values, and most that a pickle may remember: a tensor takes about twelve.
pub(super) const MOST: usize = 4 << 20;
/// Names of types, storages and functions are cut off here,
pub(super) const LONGEST_NAME: usize = 256;
/// and tensors have at most so many dimensions.
pub(super) const MOST_DIMS: usize = 32;

impl Values {
    pub fn get(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::Other, Node::Mark, Node::Tuple(Vec::new())] }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a value; `MOST` keeps their numbers below 2^32.
    pub(super) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn whole(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Node::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn wholes(&self, id: Id) -> Option<Vec<u64>> {
        match self.get(id) {
            Node::Tuple(ids) | Node::List(ids) if ids.len() <= MOST_DIMS => {
                ids.iter().map(|id| self.whole(*id)).collect()
            }
            _ => None,
        }
    }
}

/// The beginning of a name.
pub(super) fn shortened(name: &str) -> &str {
    let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}
