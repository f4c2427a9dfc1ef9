//! Several messages in one: their number, their lengths, then their bytes.

use crate::error::{Error, Result};

/// Bytes of a number.
const WORD: usize = size_of::<u64>();

/// Puts several messages into one.
pub(crate) fn join<M: AsRef<[u8]>>(messages: impl ExactSizeIterator<Item = M>) -> Vec<u8> {
    let mut lengths = (messages.len() as u64).to_le_bytes().to_vec();
    let mut bytes = Vec::new();
    for message in messages {
        lengths.extend((message.as_ref().len() as u64).to_le_bytes());
        bytes.extend(message.as_ref());
    }
    lengths.append(&mut bytes);
    lengths
}

/// The `count` messages that member `rank` put into one.
pub(crate) fn split(mut bytes: &[u8], count: usize, rank: usize) -> Result<Vec<Vec<u8>>> {
    let all = bytes.len();
    let damaged = |problem| Error::Damaged { rank, bytes: all, problem };
    let mut number = || {
        let (first, rest) = bytes.split_first_chunk::<WORD>()?;
        bytes = rest;
        usize::try_from(u64::from_le_bytes(*first)).ok()
    };
    if number() != Some(count) {
        return Err(damaged("another number of messages"));
    }
    let lengths: Option<Vec<usize>> = (0..count).map(|_| number()).collect();
    let lengths = lengths.ok_or_else(|| damaged("it is too short"))?;
    let mut messages = Vec::with_capacity(count);
    for length in lengths {
        let (message, rest) =
            bytes.split_at_checked(length).ok_or_else(|| damaged("it is too short"))?;
        messages.push(message.to_vec());
        bytes = rest;
    }
    if bytes.is_empty() { Ok(messages) } else { Err(damaged("it is too long")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_apart_as_they_were() {
        let messages: [&[u8]; 3] = [b"one", b"", b"three"];
        let joined = join(messages.iter());
        assert_eq!(split(&joined, 3, 0).unwrap(), messages);
        for end in 0..joined.len() {
            assert!(split(&joined[..end], 3, 0).is_err(), "{end}");
        }
        assert!(split(&joined, 2, 0).is_err());
    }
}
