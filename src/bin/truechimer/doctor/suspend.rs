//! How long the host was suspended. Its counters may stand still then, and the kernel sets the
//! wall clock from the RTC afterwards.

use std::time::Duration;

use serde::Serialize;
use truechimer::host::TimeNamespace;

use crate::output::{Page, rounded_up};

/// How long the host has been suspended since it booted.
#[derive(Serialize)]
pub struct SuspendView {
    /// BOOTTIME − MONOTONIC, less what a time namespace adds; 0 below the 1 ms by
    /// which the two readings may be apart.
    /// `null` where no clock shows it.
    #[serde(serialize_with = "truechimer::decimal::option::serialize")]
    pub suspended_ns: Option<u64>,
    /// The offsets of this process's time namespace, if it has any.
    pub time_namespace: Option<TimeNamespace>,
}

impl SuspendView {
    pub fn new(suspended: Option<Duration>, namespace: TimeNamespace) -> SuspendView {
        let suspended_ns = suspended.map(|suspended| {
            let ns = u64::try_from(suspended.as_nanos()).unwrap_or(u64::MAX);
            if ns < 1_000_000 { 0 } else { ns }
        });
        let time_namespace = (!namespace.is_zero()).then_some(namespace);
        SuspendView { suspended_ns, time_namespace }
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
        page.line("suspended", &time);
        if let Some(namespace) = &self.time_namespace {
            page.line("time namespace", &format!("{namespace}, which is taken into account"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_namespace_is_shown_if_it_moves_a_clock() {
        let mut namespace = TimeNamespace::default();
        assert!(SuspendView::new(None, namespace).time_namespace.is_none());
        namespace.boottime_ns = 86_400_000_000_000;
        let view = SuspendView::new(Some(Duration::ZERO), namespace);
        assert_eq!(view.time_namespace, Some(namespace));
        assert!(namespace.to_string().contains("CLOCK_BOOTTIME +86400 s"), "{namespace}");
    }

    #[test]
    fn what_no_clock_shows_is_not_called_never() {
        let shown = |suspended| SuspendView::new(suspended, TimeNamespace::default()).suspended_ns;
        assert_eq!(shown(None), None);
        assert_eq!(shown(Some(Duration::from_nanos(300))), Some(0));
        assert_eq!(shown(Some(Duration::from_secs(5))), Some(5_000_000_000));
    }
}
