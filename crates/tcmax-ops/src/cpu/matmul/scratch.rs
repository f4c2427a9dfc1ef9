//! Buffers that a thread keeps from one call to the next.
//!
//! Packed weights and transformed tiles are megabytes that live for microseconds. New pages for each would
//! take longer than filling them.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, to which buffers are aligned.
const LINE: usize = 64;
const LINE_FLOATS: usize = LINE / size_of::<f32>();

/// The most buffers that one thread keeps; the smallest are freed first.
const KEPT: usize = 12;

thread_local! {
    static POOL: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of floats aligned to a cache line. Its first values are arbitrary.
pub(crate) struct Scratch {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    pub(crate) fn new(len: usize) -> Self {
        let needed = len + LINE_FLOATS;
        let mut memory = POOL.with_borrow_mut(|pool| {
            let fitting = pool.iter().enumerate().filter(|(_, kept)| kept.len() >= needed);
            let smallest = fitting.min_by_key(|(_, kept)| kept.len()).map(|(index, _)| index);
            smallest.map(|index| pool.swap_remove(index)).unwrap_or_default()
        });
        if memory.len() < needed {
            memory = vec![0.0; needed];
        }
        // At most one line from the start; on a platform that cannot tell, unaligned but right.
        let start = memory.as_ptr().align_offset(LINE).min(LINE_FLOATS);
        Self { memory, start, len }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        // A thread that ends no longer has a pool; its buffers are freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.push(memory);
            if pool.len() > KEPT {
                let smallest = pool.iter().enumerate().min_by_key(|(_, kept)| kept.len());
                if let Some((index, _)) = smallest {
                    pool.swap_remove(index);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_long_as_asked_for_and_is_used_again() {
        let mut first = Scratch::new(100);
        first.fill(3.0);
        assert_eq!(first.len(), 100);
        let address = first.as_ptr();
        drop(first);
        let second = Scratch::new(50);
        assert_eq!((second.len(), second.as_ptr()), (50, address));
        let third = Scratch::new(50);
        assert_ne!(third.as_ptr(), address);
    }
}
