//! Programs whose output is read while they run, under a time limit.

use std::io::{BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// No file is decoded for longer.
pub(super) const LONGEST_DECODING: Duration = Duration::from_secs(600);
/// Bytes of messages that are kept.
const MOST_MESSAGES: u64 = 1 << 20;

/// How a program ended.
pub(super) struct Ended<T> {
    /// What was made of its output, or what was wrong with that.
    pub(super) value: Result<T, String>,
    /// Whether it says that all went well.
    pub(super) success: bool,
    /// Whether it was killed because it took too long.
    pub(super) too_long: bool,
    /// What it wrote to standard error.
    pub(super) messages: Vec<u8>,
}

/// Runs `command` and hands what it writes to `read`; kills it after `limit`.
///
/// # Errors
/// When it cannot be started.
pub(super) fn run<T>(
    command: &mut Command,
    limit: Duration,
    read: impl FnOnce(&mut BufReader<ChildStdout>) -> Result<T, String>,
) -> std::io::Result<Ended<T>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::Error::other("it has no output"));
    };
    let child = &Mutex::new(child);
    let (ended, end) = channel::<()>();
    std::thread::scope(|scope| {
        // A full pipe of messages would stop the program.
        let messages = scope.spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.by_ref().take(MOST_MESSAGES).read_to_end(&mut text);
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            text
        });
        let watch = scope.spawn(move || {
            let too_long = end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if too_long {
                kill(child);
            }
            too_long
        });
        let mut reader = BufReader::with_capacity(1 << 16, stdout);
        let value = read(&mut reader);
        drop(reader);
        if value.is_err() {
            kill(child);
        }
        let status = wait(child);
        drop(ended);
        Ok(Ended {
            value,
            success: status?.success(),
            too_long: watch.join().unwrap_or_default(),
            messages: messages.join().unwrap_or_default(),
        })
    })
}

fn kill(child: &Mutex<Child>) {
    if let Ok(mut child) = child.lock() {
        // It may have ended by itself.
        let _ = child.kill();
    }
}

/// Waits for the end without keeping the watch from killing.
fn wait(child: &Mutex<Child>) -> std::io::Result<std::process::ExitStatus> {
    loop {
        let mut guard = child.lock().map_err(|_| std::io::Error::other("a thread panicked"))?;
        if let Some(status) = guard.try_wait()? {
            return Ok(status);
        }
        drop(guard);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::BufRead;
    use std::time::Instant;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let start = Instant::now();
        let limit = Duration::from_millis(200);
        for script in ["echo one; exec sleep 60", "exec >&-; exec sleep 60 2>&-"] {
            let read = |reader: &mut BufReader<ChildStdout>| {
                let mut lines = Vec::new();
                reader.read_to_end(&mut lines).map_err(|e| e.to_string())
            };
            let ended = run(&mut shell(script), limit, read).unwrap();
            assert!(ended.too_long && !ended.success);
        }
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn output_messages_and_exit_status_are_reported() {
        let read = |reader: &mut BufReader<ChildStdout>| {
            let mut line = String::new();
            reader.read_line(&mut line).map_err(|e| e.to_string()).map(|_| line)
        };
        let limit = Duration::from_secs(60);
        let ended = run(&mut shell("echo out; echo err >&2; exit 3"), limit, read).unwrap();
        assert_eq!((ended.value.unwrap().as_str(), &ended.messages[..]), ("out\n", &b"err\n"[..]));
        assert!(!ended.success && !ended.too_long);
        // A reader that does not want the rest does not wait for it.
        let refuse = |_: &mut BufReader<ChildStdout>| Err::<(), _>("no".to_owned());
        assert!(run(&mut shell("yes"), limit, refuse).unwrap().value.is_err());
    }
}
