//! Flags of a thread that hold while something runs.

use std::cell::Cell;
use std::thread::LocalKey;

/// Runs `f` with a thread's flag set to `value`, and puts back what it was, when `f` panics too.
///
/// ```
/// use std::cell::Cell;
///
/// thread_local! {
///     static IS_ON: Cell<bool> = const { Cell::new(false) };
/// }
/// assert!(tcmax_ops::with_flag(&IS_ON, true, || IS_ON.get()));
/// assert!(!IS_ON.get());
/// ```
pub fn with_flag<T>(flag: &'static LocalKey<Cell<bool>>, value: bool, f: impl FnOnce() -> T) -> T {
    struct Before(&'static LocalKey<Cell<bool>>, bool);
    impl Drop for Before {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _before = Before(flag, flag.replace(value));
    f()
}
