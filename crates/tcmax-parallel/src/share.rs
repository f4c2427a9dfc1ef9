//! Shares of work.

use std::ops::Range;

/// The contiguous share of `total` things that belongs to one of `members`; sizes differ by at most one, and the
/// first members have the larger ones.
///
/// ```
/// use tcmax_parallel::share;
///
/// let shares: Vec<_> = (0..3).map(|rank| share(8, rank, 3)).collect();
/// assert_eq!(shares, [0..3, 3..6, 6..8]);
/// ```
pub fn share(total: usize, rank: usize, members: usize) -> Range<usize> {
    let members = members.max(1);
    let (each, left) = (total / members, total % members);
    let start = |rank: usize| rank.min(members) * each + rank.min(left);
    start(rank)..start(rank.saturating_add(1))
}
