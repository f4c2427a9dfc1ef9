//! Long messages in rounds that MPI can count: its lengths and offsets are 32-bit numbers.

use std::ops::Range;

/// The most bytes that all messages of one round have together.
const MOST: usize = 1 << 30;

/// The rounds of an exchange among `members`, of which no message is longer than `longest` bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// The most bytes of each message in a round.
    each: usize,
    count: usize,
}

impl Rounds {
    pub(crate) fn new(members: usize, longest: usize) -> Self {
        let each = (MOST / members.max(1)).max(1);
        Self { each, count: longest.div_ceil(each) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The part of a message of `length` bytes that goes in round `round`.
    pub(crate) fn part(&self, round: usize, length: usize) -> Range<usize> {
        let end = |round: usize| (round * self.each).min(length);
        end(round)..end(round + 1)
    }
}

/// Lengths as MPI counts them, and where each part starts.
pub(crate) fn counted(lengths: impl Iterator<Item = usize>) -> (Vec<i32>, Vec<i32>) {
    let mut start = 0;
    let counted = |length| {
        // A round has at most `MOST` bytes.
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        let place = start;
        start += length;
        (length, place)
    };
    lengths.map(counted).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_message_follow_each_other_and_are_all_of_it() {
        let rounds = Rounds { each: 10, count: 4 };
        let parts: Vec<_> = (0..rounds.count()).map(|round| rounds.part(round, 25)).collect();
        assert_eq!(parts, [0..10, 10..20, 20..25, 25..25]);
        assert_eq!(counted([3, 0, 5].into_iter()), (vec![3, 0, 5], vec![0, 3, 3]));
    }

    #[test]
    fn rounds_are_as_many_as_the_longest_message_needs() {
        assert_eq!(Rounds::new(4, 0).count(), 0);
        assert_eq!(Rounds::new(4, 1).count(), 1);
        assert_eq!(Rounds::new(4, MOST / 4).count(), 1);
        assert_eq!(Rounds::new(4, MOST / 4 + 1).count(), 2);
        let all: usize = (0..4).map(|_| Rounds::new(4, MOST).part(0, MOST).len()).sum();
        assert_eq!(all, MOST);
    }
}
