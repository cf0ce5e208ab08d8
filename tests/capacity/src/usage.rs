//! What a process has used so far, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// Processor time and memory of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Time on a processor since the process began, in its own code and in the kernel's for it; 10 ms exact.
    pub cpu: Duration,
    /// Memory that is resident now, in KiB.
    pub resident: u64,
    /// The most that ever was, in KiB.
    pub peak: u64,
}

/// What `/proc` counts processor time in. It is 100 a second on every Linux that people run, whatever the kernel's own tick.
const TICKS_PER_SECOND: u64 = 100;

impl Usage {
    /// The usage of the process with this id.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn of(process: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{process}/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        Self::parse(&stat, &status).context("/proc is not as proc(5) says: has the process ended?")
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is the name in parentheses, in which there may be spaces and parentheses too.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // utime and stime are the fields 14 and 15, and the first one here is the third.
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches("kB").trim().parse().ok()
        };
        Some(Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
            resident: kib("VmRSS:")?,
            peak: kib("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";

    #[test]
    fn a_name_with_parentheses_and_spaces_moves_no_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 600 0 0 0 150 25 0 0 20 0 3 0 100 1 2";
        let usage = Usage::parse(stat, STATUS).unwrap();
        assert_eq!(usage.cpu, Duration::from_millis(1750));
        assert_eq!((usage.resident, usage.peak), (1024, 2048));
    }

    #[test]
    fn a_process_that_has_ended_has_no_memory_to_tell() {
        assert!(Usage::parse("7 (a) Z 1", "Name:\ta\n").is_none());
    }
}
