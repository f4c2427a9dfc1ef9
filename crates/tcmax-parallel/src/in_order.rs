//! Work that one member does before the others.

use crate::error::Error;
use crate::group::Group;
use crate::traffic::Purpose;

/// Does something in the first member, and then in the others, who find what it has left, such as files in a cache.
///
/// ```
/// use tcmax_parallel::{Alone, Error, after_the_first};
///
/// assert_eq!(after_the_first(&Alone, || Ok::<_, Error>(3)), Ok(3));
/// ```
///
/// # Errors
/// Those of `work`, and when another member has ended.
pub fn after_the_first<T, E: From<Error>>(
    group: &dyn Group,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let meet = || group.all_gather(&[], Purpose::Control).map(drop);
    if group.rank() > 0 {
        meet()?;
        return work();
    }
    let result = work()?;
    meet()?;
    Ok(result)
}
