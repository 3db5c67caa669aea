//! [`TimeNamespace`]: by how much this process is shown other clocks than its host keeps.
//!
//! In a time namespace (runc, LXC, a restore by CRIU) `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`
//! are shown with offsets of their own. Differences in time are right. But BOOTTIME −
//! MONOTONIC, which on a host is the time that it was suspended, is off by the difference of
//! the two offsets: a container that was never suspended looks as if it had been, or one
//! that was hides it.
//!
//! The kernel shows the offsets in `/proc/self/timens_offsets`. They are those of the
//! namespace that the *children* of this process will be in. That is another one between
//! `unshare(CLONE_NEWTIME)` and the next fork or exec, which the links in `/proc/self/ns` show.
//! In that state the process is usually still in the host's namespace, so no offset is taken.
//!
//! The offsets of a running process change only by a restore from a checkpoint, and by `setns`
//! in a process with one thread. So they are read once in a process. `Clock::restored` has
//! them read again.

use std::fmt;

/// The offsets of a time namespace: both are 0 in the host's own, and where the system has none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TimeNamespace {
    /// What is added to the host's `CLOCK_MONOTONIC`, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub monotonic_ns: i64,
    /// What is added to the host's `CLOCK_BOOTTIME`, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub boottime_ns: i64,
}

impl TimeNamespace {
    /// Whether the clocks are shown as the host keeps them.
    pub fn is_zero(&self) -> bool {
        *self == TimeNamespace::default()
    }

    /// By how much BOOTTIME − MONOTONIC is more than on the host, in nanoseconds.
    pub(super) fn excess_ns(&self) -> i64 {
        self.boottime_ns.saturating_sub(self.monotonic_ns)
    }
}

/// `CLOCK_MONOTONIC −3600.5 s, CLOCK_BOOTTIME +86400 s`.
impl fmt::Display for TimeNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: i64| ns as f64 / 1e9;
        write!(
            f,
            "CLOCK_MONOTONIC {:+} s, CLOCK_BOOTTIME {:+} s",
            seconds(self.monotonic_ns),
            seconds(self.boottime_ns)
        )
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::{forget, of_this_process};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::TimeNamespace;
    use crate::host::ProcessKey;

    /// The process in which the offsets were read; 0 before. No lock, for a forked child's sake.
    static READ_IN: AtomicU64 = AtomicU64::new(0);
    static MONOTONIC_NS: AtomicI64 = AtomicI64::new(0);
    static BOOTTIME_NS: AtomicI64 = AtomicI64::new(0);

    /// The offsets, read once in a process.
    pub(in crate::host) fn of_this_process() -> TimeNamespace {
        let process = ProcessKey::current().number();
        // Acquire pairs with the release below.
        if READ_IN.load(Ordering::Acquire) == process {
            return TimeNamespace {
                monotonic_ns: MONOTONIC_NS.load(Ordering::Relaxed),
                boottime_ns: BOOTTIME_NS.load(Ordering::Relaxed),
            };
        }
        let read = read_in(Path::new("/proc/self"));
        MONOTONIC_NS.store(read.monotonic_ns, Ordering::Relaxed);
        BOOTTIME_NS.store(read.boottime_ns, Ordering::Relaxed);
        READ_IN.store(process, Ordering::Release);
        read
    }

    /// Has the offsets read again.
    pub(in crate::host) fn forget() {
        READ_IN.store(0, Ordering::Release);
    }

    /// The offsets by what `process`, a directory of `/proc`, shows. What it does not show is 0:
    /// kernels before 5.6 have no time namespaces.
    pub(super) fn read_in(process: &Path) -> TimeNamespace {
        let link = |name: &str| fs::read_link(process.join("ns").join(name)).ok();
        if link("time") != link("time_for_children") {
            return TimeNamespace::default();
        }
        let text = fs::read_to_string(process.join("timens_offsets")).unwrap_or_default();
        let offset = |clock: &str| text.lines().find_map(|line| parse(line, clock)).unwrap_or(0);
        TimeNamespace { monotonic_ns: offset("monotonic"), boottime_ns: offset("boottime") }
    }

    /// `monotonic  -3600  500000000`: seconds, and nanoseconds from there upwards.
    fn parse(line: &str, clock: &str) -> Option<i64> {
        let mut words = line.split_ascii_whitespace();
        words.next().filter(|&word| word == clock)?;
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanos: i64 = words.next()?.parse().ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_offsets_are_read_as_the_kernel_writes_them_and_are_zero_where_it_shows_none() {
        let hour = 3_600_000_000_000;
        let cases = [
            ("", 0, 0),
            ("monotonic           0         0\nboottime            0         0\n", 0, 0),
            ("monotonic       -3600         0\nboottime         3600         5\n", -hour, hour + 5),
            ("monotonic          -1 500000000\nboottime            0         0\n", -500_000_000, 0),
            ("boottime 3600 0\n", 0, hour),
            ("monotonic x 0\nboottime 9223372036854775807 0\n", 0, 0),
        ];
        for (text, monotonic_ns, boottime_ns) in cases {
            let process = tempfile::tempdir().expect("a place for files");
            assert!(linux::read_in(process.path()).is_zero(), "without the file");
            std::fs::write(process.path().join("timens_offsets"), text).expect("writable");
            let expected = TimeNamespace { monotonic_ns, boottime_ns };
            assert_eq!(linux::read_in(process.path()), expected, "{text}");
        }
    }

    #[test]
    fn the_offsets_of_a_namespace_for_children_are_not_those_of_this_process() {
        let process = tempfile::tempdir().expect("a place for files");
        let file = process.path().join("timens_offsets");
        std::fs::write(file, "monotonic 0 0\nboottime 99 0\n").expect("writable");
        std::fs::create_dir(process.path().join("ns")).expect("writable");
        let link = |name: &str, to: &str| {
            symlink(to, process.path().join("ns").join(name)).expect("writable");
        };
        link("time", "time:[4026531834]");
        link("time_for_children", "time:[4026532777]");
        assert!(linux::read_in(process.path()).is_zero());
    }
}
