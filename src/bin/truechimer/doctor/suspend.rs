//! How long the host was suspended. Its counters may stand still then, and the kernel sets the
//! wall clock from the RTC afterwards.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::files::contents_of;
use crate::output::{Page, rounded_up};

/// How long the host has been suspended since it booted.
#[derive(Serialize)]
pub struct SuspendView {
    /// BOOTTIME − MONOTONIC, less what a time namespace adds; 0 below the 1 ms by
    /// which the two readings may be apart.
    /// `null` where no clock shows it.
    pub suspended_ns: Option<u64>,
    /// Whether this process is in a time namespace with offsets of its own.
    pub time_namespace: bool,
}

impl SuspendView {
    pub fn gather(difference: Option<Duration>, root: &Path) -> SuspendView {
        let offset_ns = namespace_offset_ns(&contents_of(root, "/proc/self/timens_offsets"));
        let suspended_ns = difference.map(|difference| {
            let ns = i128::try_from(difference.as_nanos()).unwrap_or(i128::MAX);
            let ns = ns.saturating_sub(offset_ns.unwrap_or(0));
            if ns < 1_000_000 { 0 } else { ns.try_into().unwrap_or(u64::MAX) }
        });
        SuspendView { suspended_ns, time_namespace: offset_ns.is_some() }
    }

    pub fn lines(&self, page: &mut Page) {
        let time = match self.suspended_ns {
            None => "not known, because no clock that can be read here shows it".to_owned(),
            Some(0) => "never since boot (BOOTTIME − MONOTONIC is 0)".to_owned(),
            Some(ns) => {
                let time = rounded_up(Duration::from_nanos(ns));
                format!("for {time} in all since boot (BOOTTIME − MONOTONIC)")
            }
        };
        let namespace = if self.time_namespace { "; in a time namespace" } else { "" };
        page.line("suspended", &format!("{time}{namespace}"));
    }
}

/// By how much a time namespace moves BOOTTIME further than MONOTONIC; `None` if there is no
/// namespace, or it moves neither.
fn namespace_offset_ns(offsets: &str) -> Option<i128> {
    let offset_of = |clock: &str| {
        let line = offsets.lines().find_map(|line| line.trim_start().strip_prefix(clock))?;
        let mut numbers = line.split_whitespace().map(str::parse::<i64>);
        let (seconds, nanos) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
    };
    let (monotonic, boottime) = (offset_of("monotonic")?, offset_of("boottime")?);
    (monotonic != 0 || boottime != 0).then_some(boottime - monotonic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::files::fake_root::Host;

    #[test]
    fn a_time_namespace_is_not_taken_for_a_suspend() {
        let day = 86_400;
        let cases = [
            (Duration::from_nanos(300), "", 0, false),
            (Duration::from_secs(5), "", 5_000_000_000, false),
            (Duration::from_secs(5), "monotonic 0 0\nboottime 0 0\n", 5_000_000_000, false),
            (Duration::from_secs(day), "monotonic   0  0\nboottime  86400 0\n", 0, true),
            (Duration::from_secs(7), "monotonic -3 0\nboottime 2 0\n", 2_000_000_000, true),
            (Duration::ZERO, "monotonic 0 0\nboottime 9223372036854775807 999\n", 0, true),
            (Duration::from_secs(5), "monotonic x\nboottime", 5_000_000_000, false),
        ];
        for (difference, offsets, slept, namespace) in cases {
            let host = Host::with(&[("/proc/self/timens_offsets", offsets)]);
            let view = SuspendView::gather(Some(difference), host.root());
            let found = (view.suspended_ns, view.time_namespace);
            assert_eq!(found, (Some(slept), namespace), "{offsets:?}");
        }
    }

    #[test]
    fn what_no_clock_shows_is_not_called_never() {
        let host = Host::with(&[]);
        assert_eq!(SuspendView::gather(None, host.root()).suspended_ns, None);
    }
}
