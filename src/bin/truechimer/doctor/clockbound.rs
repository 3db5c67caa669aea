//! ClockBound's shared memory: what its daemon states, and how old it is.

use std::path::Path;

use serde::Serialize;
use truechimer::source::clockbound::{self, ClockBoundError, Segment};

use crate::output::{Page, rounded_up};

/// What stands in ClockBound's segment.
#[derive(Serialize)]
pub struct ClockBoundView {
    pub path: &'static str,
    /// `null` if there is none, or it makes no sense.
    pub segment: Option<Segment>,
    /// Why it cannot be read; `null` if it can, or there is none.
    pub error: Option<String>,
}

impl ClockBoundView {
    pub fn gather() -> ClockBoundView {
        let path = clockbound::PATH;
        match clockbound::read(Path::new(path)) {
            Ok(segment) => ClockBoundView { path, segment: Some(segment), error: None },
            // Most hosts have none, which needs no line.
            Err(error) if is_absent(&error) => ClockBoundView { path, segment: None, error: None },
            Err(error) => ClockBoundView { path, segment: None, error: Some(error.to_string()) },
        }
    }

    pub fn lines(&self, page: &mut Page) {
        match (&self.segment, &self.error) {
            (Some(segment), _) => page.line("ClockBound", &text_of(segment)),
            (None, Some(error)) => page.line("ClockBound", error),
            (None, None) => {}
        }
    }
}

fn is_absent(error: &ClockBoundError) -> bool {
    matches!(error, ClockBoundError::Open { source, .. }
        if source.kind() == std::io::ErrorKind::NotFound)
}

fn text_of(segment: &Segment) -> String {
    let bound = std::time::Duration::from_nanos(segment.bound_ns.unsigned_abs());
    format!(
        "its segment (version {}) is {}, ± {} when it was written; a program can use it with \
         `source::clockbound`",
        segment.version,
        segment.status,
        rounded_up(bound),
    )
}
