//! Pickles read as data: nothing in them is imported, called or executed.
//!
//! A pickle is a program for a stack machine. Here the machine knows the values that state dicts are made
//! of (numbers, texts, tuples, lists, dictionaries, tensors that refer to a storage); whatever would need a
//! Python function becomes [`Node::Object`], which holds the function's name and nothing else. Values live
//! in an arena and are shared by number, so memory grows with the length of the pickle, however its parts
//! refer to each other.

mod calls;
mod machine;
mod values;

use machine::Machine;
use values::MOST;

pub(super) use values::{Id, Node, Values, View};

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
    let mut machine = Machine::new(bytes);
    loop {
        let code = machine.byte()?;
        if code == b'.' {
            let result = machine.pop()?;
            return Ok((machine.values, result));
        }
        machine.step(code)?;
        if machine.is_full() {
            return Err(format!("it has more than {MOST} values"));
        }
    }
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
        assert_eq!(values.len(), 3 + 201);
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
