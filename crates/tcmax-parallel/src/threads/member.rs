//! One of the threads, as a group.

use std::sync::Arc;

use super::room::{Call, Room};
use crate::error::{Error, Result};
use crate::frames;
use crate::group::{Group, sum_of_each};
use crate::share::share;
use crate::sum::{Number, add_tree};
use crate::traffic::{Counter, Purpose, Traffic};

/// A member that is a thread of this process.
///
/// Whichever thread comes last to an exchange calls the group of processes for all: calls of that group come from
/// different threads, one at a time (in MPI's words, serialised).
#[derive(Debug)]
pub struct Threads {
    room: Arc<Room>,
    /// The processes.
    outer: Arc<dyn Group>,
    /// Which thread of this process it is, of how many.
    index: usize,
    threads: usize,
    counter: Counter,
}

impl Threads {
    /// `threads` members in this process, together with as many in each other process of `outer`
    /// ([`Alone`](crate::Alone): there is no other). Ranks are in the order of processes, then of threads.
    ///
    /// # Errors
    /// When there would be no member.
    pub fn members(threads: usize, outer: &Arc<dyn Group>) -> Result<Vec<Self>> {
        if threads == 0 {
            return Err(Error::Nobody);
        }
        let room = Arc::new(Room::new(threads, outer.rank() * threads));
        let member = |index| Self {
            room: room.clone(),
            outer: outer.clone(),
            index,
            threads,
            counter: Counter::default(),
        };
        Ok((0..threads).map(member).collect())
    }

    /// The member comes to no further exchange; whoever waits for it gets an error with the reason.
    pub(super) fn leave(&self, reason: &str) {
        self.room.leave(self.index, reason);
    }

    fn sum<T: Summed>(&self, values: &mut [T], purpose: Purpose) -> Result<()> {
        self.counter.add(purpose, values.len() * T::BYTES);
        if self.size() == 1 {
            return Ok(());
        }
        let length = values.len();
        let call = |operation| Call { operation, purpose, length };
        let vectors = self.room.meet(self.index, call("a vector to add"), values.to_vec(), Ok)?;
        let vectors: Vec<&[T]> = vectors.iter().map(Vec::as_slice).collect();
        // The threads are a branch of the tree over all members if the processes are a power of two.
        let sums = if self.outer.size().is_power_of_two() || self.threads == 1 {
            let mine = share(length, self.index, self.threads);
            let slices: Vec<&[T]> = vectors.iter().map(|vector| &vector[mine.clone()]).collect();
            let mut sums = vec![T::default(); mine.len()];
            add_tree(&slices, &mut sums);
            self.room.meet(self.index, call("a slice of sums"), sums, |slices| {
                let mut sums = slices.concat();
                T::sum(self.outer.as_ref(), &mut sums, purpose)?;
                Ok(sums)
            })?
        } else {
            self.room.meet(self.index, call("vectors to add"), (), |_| {
                sum_of_each(self.outer.as_ref(), &vectors, purpose)
            })?
        };
        values.copy_from_slice(&sums);
        Ok(())
    }
}

/// Numbers that the group of processes adds.
trait Summed: Number {
    fn sum(group: &dyn Group, values: &mut [Self], purpose: Purpose) -> Result<()>;
}

impl Summed for f32 {
    fn sum(group: &dyn Group, values: &mut [Self], purpose: Purpose) -> Result<()> {
        group.sum_f32(values, purpose)
    }
}

impl Summed for f64 {
    fn sum(group: &dyn Group, values: &mut [Self], purpose: Purpose) -> Result<()> {
        group.sum_f64(values, purpose)
    }
}

impl Group for Threads {
    fn rank(&self) -> usize {
        self.outer.rank() * self.threads + self.index
    }

    fn size(&self) -> usize {
        self.outer.size() * self.threads
    }

    fn all_gather(&self, mine: &[u8], purpose: Purpose) -> Result<Vec<Vec<u8>>> {
        self.counter.add(purpose, mine.len());
        let call = Call { operation: "a message to all", purpose, length: 0 };
        let gathered = self.room.meet(self.index, call, mine.to_vec(), |messages| {
            if self.outer.size() == 1 {
                return Ok(messages);
            }
            let joined = self.outer.all_gather(&frames::join(messages.iter()), purpose)?;
            let split = joined.iter().enumerate();
            let split = split.map(|(rank, bytes)| frames::split(bytes, self.threads, rank));
            Ok(split.collect::<Result<Vec<_>>>()?.concat())
        })?;
        Ok(Vec::clone(&gathered))
    }

    fn all_to_all(&self, messages: &[Vec<u8>], purpose: Purpose) -> Result<Vec<Vec<u8>>> {
        let members = self.size();
        if messages.len() != members {
            return Err(Error::Messages { got: messages.len(), members });
        }
        let to_others = messages.iter().enumerate().filter(|(rank, _)| *rank != self.rank());
        self.counter.add(purpose, to_others.map(|(_, message)| message.len()).sum());
        let call = Call { operation: "a message to each", purpose, length: 0 };
        let received = self.room.meet(self.index, call, messages.to_vec(), |from| {
            Ok(if self.outer.size() == 1 { from } else { self.deliver(&from, purpose)? })
        })?;
        // By sender, then by receiver among the threads here.
        let first = if self.outer.size() == 1 { self.rank() } else { self.index };
        Ok(received.iter().map(|messages| messages[first].clone()).collect())
    }

    fn sum_f32(&self, values: &mut [f32], purpose: Purpose) -> Result<()> {
        self.sum(values, purpose)
    }

    fn sum_f64(&self, values: &mut [f64], purpose: Purpose) -> Result<()> {
        self.sum(values, purpose)
    }

    fn traffic(&self) -> Traffic {
        self.counter.traffic()
    }

    fn abort(&self, reason: &str) {
        self.leave(reason);
        self.outer.abort(reason);
    }
}

impl Threads {
    /// What each member of all processes has for the threads of this one, of what the threads here have for each.
    fn deliver(&self, from: &[Vec<Vec<u8>>], purpose: Purpose) -> Result<Vec<Vec<Vec<u8>>>> {
        let to_process = |process: usize| {
            let range = process * self.threads..(process + 1) * self.threads;
            let messages: Vec<&Vec<u8>> = from.iter().flat_map(|m| &m[range.clone()]).collect();
            frames::join(messages.into_iter())
        };
        let joined: Vec<Vec<u8>> = (0..self.outer.size()).map(to_process).collect();
        let received = self.outer.all_to_all(&joined, purpose)?;
        let mut by_sender = Vec::with_capacity(self.size());
        for (rank, bytes) in received.iter().enumerate() {
            let messages = frames::split(bytes, self.threads * self.threads, rank)?;
            by_sender.extend(messages.chunks(self.threads).map(<[Vec<u8>]>::to_vec));
        }
        Ok(by_sender)
    }
}
