//! Positions evenly in a file.

/// The centres of `count` equal pieces of `0..len`.
pub(super) fn evenly(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |n| (2 * n + 1) * len / (2 * count))
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn frames_are_taken_evenly_and_few_are_repeated() {
        assert_eq!(evenly(10, 3).collect::<Vec<_>>(), [1, 5, 8]);
        assert_eq!(evenly(3, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(evenly(1, 3).collect::<Vec<_>>(), [0, 0, 0]);
        assert_eq!(evenly(2, 4).collect::<Vec<_>>(), [0, 0, 1, 1]);
    }
}
