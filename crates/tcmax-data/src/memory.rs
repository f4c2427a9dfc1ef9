//! What fits into this machine's memory, checked before anything large is allocated.

/// Bytes of memory this process may use: the machine's, or the limit of its control group if that is
/// lower; `None` where the system does not say (only Linux is asked).
pub fn memory_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = groups.iter().filter_map(|path| {
        // "max" where there is no limit.
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    });
    machine.into_iter().chain(group).min()
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What is refused where the system does not say how much memory there is.
const UNKNOWN: u64 = 1 << 40;

/// Refuses more than this machine has. The reason goes on after the name of what needs the memory.
///
/// # Errors
/// How much is needed and how much there is.
pub fn check_memory(bytes: u64) -> Result<(), String> {
    let most = memory_bytes().unwrap_or(UNKNOWN);
    if bytes <= most {
        return Ok(());
    }
    Err(format!("need about {} of memory, and there are {}", size(bytes), size(most)))
}

fn size(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1u32 << 30);
    if gib < 10_000.0 { format!("{gib:.1} GiB") } else { format!("{:.0} TiB", gib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused_with_both_sizes() {
        check_memory(1 << 20).unwrap();
        let problem = check_memory(u64::MAX / 2).unwrap_err();
        assert!(problem.contains("8388608 TiB of memory, and there are"), "{problem}");
    }

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       16 kB\n"), Some(16_384));
        assert_eq!(total("MemTotal: many kB"), None);
    }
}
