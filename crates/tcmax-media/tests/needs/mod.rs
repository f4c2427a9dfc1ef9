//! Tests that need a program which may not be installed.

use std::io::Write;
use std::panic::Location;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Whether `ffmpeg` is there. Where it is not, the test is to return: it is named, with all before it in
/// this file of tests, past the harness's capture. With `CI=true` a missing `ffmpeg` fails the test.
///
/// ```no_run
/// if !needs::ffmpeg() {
///     return;
/// }
/// ```
#[track_caller]
pub fn ffmpeg() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let there = *THERE.get_or_init(|| {
        let mut command = Command::new("ffmpeg");
        command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    if there {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI must test with ffmpeg: apt-get install ffmpeg"
    );
    let caller = Location::caller();
    let thread = std::thread::current();
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", caller.file(), caller.line()),
    };
    let mut skipped = SKIPPED.lock().unwrap();
    skipped.push(test);
    let note = format!(
        "SKIPPED {} tests of {}, which need ffmpeg (apt-get install ffmpeg): {}\n",
        skipped.len(),
        caller.file(),
        skipped.join(", ")
    );
    std::io::stderr().write_all(note.as_bytes()).unwrap();
    false
}
