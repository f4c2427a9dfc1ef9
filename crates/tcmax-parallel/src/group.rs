//! The trait of groups, and how any group adds.
//!
//! Every member owns a slice of the vector: it gets that slice of all members, adds them in the order of a binary
//! tree over the ranks, and all gather the sums. A member gives every number once, and receives it once.

use std::any::Any;
use std::fmt::Debug;

use crate::error::Result;
use crate::share::share;
use crate::sum::{Number, add_tree, to_bytes, to_numbers};
use crate::traffic::{Purpose, Traffic};

/// Several threads or processes that train one model together, as one of them sees them.
///
/// Every exchange is an act of all: each member calls the same functions in the same order, with the same
/// purpose, and waits for the others. What comes back is the same for every member and in every run.
pub trait Group: Send + Sync + Debug {
    /// Which member this is, from 0.
    fn rank(&self) -> usize;

    /// How many members there are, at least 1.
    fn size(&self) -> usize;

    /// What every member gives, in the order of ranks. Lengths may differ.
    ///
    /// # Errors
    /// When a member has ended or the members disagree about what they exchange.
    fn all_gather(&self, mine: &[u8], purpose: Purpose) -> Result<Vec<Vec<u8>>>;

    /// One message to each member, in the order of ranks (the one to oneself included); returns those that each
    /// member had for this one, in the order of ranks. Lengths may differ.
    ///
    /// # Errors
    /// When there is not one message per member, and those of [`Group::all_gather`].
    fn all_to_all(&self, messages: &[Vec<u8>], purpose: Purpose) -> Result<Vec<Vec<u8>>>;

    /// Replaces `values` by their elementwise sums over all members, which give equally many.
    ///
    /// The order of the additions is a binary tree over the ranks, which are split in halves, the first half
    /// being the smaller one: the sum of the first half plus that of the second. So the sums of 2^p processes
    /// with k members each do not depend on p.
    ///
    /// # Errors
    /// When the lengths differ, and those of [`Group::all_gather`].
    fn sum_f32(&self, values: &mut [f32], purpose: Purpose) -> Result<()> {
        sum_over(self, values, purpose)
    }

    /// As [`Group::sum_f32`], in double precision.
    ///
    /// # Errors
    /// As there.
    fn sum_f64(&self, values: &mut [f64], purpose: Purpose) -> Result<()> {
        sum_over(self, values, purpose)
    }

    /// The bytes that this member has given so far.
    fn traffic(&self) -> Traffic;

    /// What a group of another crate can do beside, such as sums on devices; nothing by default.
    fn beside(&self) -> Option<&dyn Any> {
        None
    }

    /// Ends the work of all: members that wait, or will wait, for this one get an error with the reason, or
    /// their processes end.
    fn abort(&self, reason: &str);
}

/// The sum over a group, of which each member has one vector.
pub(crate) fn sum_over<T: Number, G: Group + ?Sized>(
    group: &G,
    values: &mut [T],
    purpose: Purpose,
) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    let sums = sum_of_each(group, &[values], purpose)?;
    values.copy_from_slice(&sums);
    Ok(())
}

/// The sum over all vectors of a group, of which each member has several, equally many: the tree is over the
/// vectors in the order of ranks, whichever member has them.
pub(crate) fn sum_of_each<T: Number, G: Group + ?Sized>(
    group: &G,
    vectors: &[&[T]],
    purpose: Purpose,
) -> Result<Vec<T>> {
    let (size, length) = (group.size(), vectors.first().map_or(0, |vector| vector.len()));
    let messages: Vec<Vec<u8>> =
        (0..size).map(|rank| to_bytes(vectors, share(length, rank, size))).collect();
    let received = group.all_to_all(&messages, purpose)?;
    let mine = share(length, group.rank(), size).len();
    let mut slices = Vec::with_capacity(size * vectors.len());
    for (rank, bytes) in received.iter().enumerate() {
        let numbers = to_numbers::<T>(bytes, rank, mine * vectors.len())?;
        // Without numbers there are no slices to add.
        slices.extend(numbers.chunks_exact(mine.max(1)).map(<[T]>::to_vec));
    }
    let slices: Vec<&[T]> = slices.iter().map(Vec::as_slice).collect();
    let mut sums = vec![T::default(); mine];
    add_tree(&slices, &mut sums);
    let gathered = group.all_gather(&to_bytes(&[&sums], 0..mine), purpose)?;
    let mut all = Vec::with_capacity(length);
    for (rank, bytes) in gathered.iter().enumerate() {
        all.extend(to_numbers::<T>(bytes, rank, share(length, rank, size).len())?);
    }
    Ok(all)
}
