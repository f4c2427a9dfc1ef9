//! The stack machine whose program a pickle is.

use std::collections::HashMap;

use super::calls;
use super::values::{EMPTY_TUPLE, Id, LONGEST_NAME, MARK, MOST, Node, OTHER, Values, shortened};

pub(super) struct Machine<'a> {
    /// What is left of the program.
    bytes: &'a [u8],
    pub(super) values: Values,
    stack: Vec<Id>,
    memo: HashMap<u32, Id>,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, values: Values::new(), stack: Vec::new(), memo: HashMap::new() }
    }

    /// Whether it has made or remembers more values than any state dict has.
    pub(super) fn is_full(&self) -> bool {
        self.values.len() > MOST || self.memo.len() > MOST
    }

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("it is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Step<u8> {
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

    pub(super) fn pop(&mut self) -> Step<Id> {
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

    pub(super) fn step(&mut self, code: u8) -> Step {
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
                let made = calls::made(&mut self.values, callable, arguments);
                self.stack.push(made);
            }
            0x92 => {
                self.pop()?;
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = calls::made(&mut self.values, callable, arguments);
                self.stack.push(made);
            }
            // BUILD gives an object its attributes, of which nothing is asked.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = calls::storage(&self.values, id);
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
}
