//! [`Problem`]: why a clock cannot be trusted, as a code and as text, and what to do.

use serde::Serialize;
use truechimer::{ClockError, Reason, Report, Status};

use crate::args::with_option_names;
use crate::output::rounded_up;

/// Why a clock cannot be trusted, and the remedy.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Problem {
    /// One word for programs.
    pub reason_code: String,
    /// What happened.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    fn new(code: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { reason_code: code.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }

    /// What is wrong with a clock; `None` if it can be trusted.
    pub fn of(report: &Report) -> Option<Problem> {
        match report.now {
            Err(error) => Some(Problem::of_error(error)),
            Ok(_) => Problem::of_status(report.status),
        }
    }

    fn of_error(error: ClockError) -> Problem {
        match error {
            ClockError::Unsynchronized(reason) => Problem::of_reason(reason),
            ClockError::TooWide { limit } => Problem::new(
                "too_wide",
                format!("the interval is wider than the limit of {}", rounded_up(limit)),
                "repair the time source, or raise `--max-width`",
            ),
            ClockError::Contradicted => Problem::contradicted(),
            ClockError::Disrupted => Problem::of_reason(Reason::Disrupted),
            ClockError::CounterWentBackwards => Problem::new(
                "counter_went_backwards",
                "the counter ran backwards since the last sample, as after a suspend",
                "run this again; if it stays so, use `--counter monotonic-raw`",
            ),
            other => Problem::new("other", with_option_names(&other), "see `truechimer doctor`"),
        }
    }

    fn of_status(status: Status) -> Option<Problem> {
        match status {
            Status::Synchronized | Status::Assumed => None,
            Status::Holdover => Some(Problem::new(
                "holdover",
                "no source states a bound any longer; the interval rests on earlier evidence \
                 and widens",
                "see in `truechimer doctor` what each source reports",
            )),
            Status::Contradicted => Some(Problem::contradicted()),
            Status::Unsynchronized(reason) => Some(Problem::of_reason(reason)),
            other => Some(Problem::new("other", other.to_string(), "see `truechimer doctor`")),
        }
    }

    fn contradicted() -> Problem {
        Problem::new(
            "contradicted",
            "the sources of time contradict each other: at least one of them is wrong",
            "compare their bounds in `truechimer doctor`, and repair the wrong one",
        )
    }

    fn of_reason(reason: Reason) -> Problem {
        let code = serde_json::to_value(reason).ok();
        let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or("other");
        let remedy = match reason {
            Reason::NotSampled => {
                "run this again, because no source was sampled in time".to_owned()
            }
            Reason::SourceFailed => "see its error in `truechimer doctor`".to_owned(),
            Reason::AssumptionEnded => "check the wall clock, then run this again".to_owned(),
            reason => with_option_names(&reason.remedy()),
        };
        Problem::new(code, with_option_names(&reason.what()), remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const REASONS: [Reason; 18] = [
        Reason::NotSampled,
        Reason::KernelUnsynchronized,
        Reason::NoBoundStated,
        Reason::Slewing,
        Reason::Denied,
        Reason::Suspended,
        Reason::AssumptionEnded,
        Reason::SourceFailed,
        Reason::TooOld,
        Reason::Unsupported,
        Reason::WriterUnknown,
        Reason::ReferenceStatesNoBound,
        Reason::OscillatorBeyondDrift,
        Reason::ShownOtherTime,
        Reason::CounterStopped,
        Reason::Disrupted,
        Reason::ServersSilent,
        Reason::ServersDisagree,
    ];

    #[test]
    fn every_problem_has_a_code_a_reason_and_a_remedy_that_names_options() {
        let errors = REASONS.map(ClockError::Unsynchronized).into_iter().chain([
            ClockError::TooWide { limit: Duration::from_secs(10) },
            ClockError::Contradicted,
            ClockError::CounterWentBackwards,
            ClockError::Disrupted,
        ]);
        let statuses = [Status::Holdover, Status::Contradicted];
        let of_statuses = statuses.into_iter().filter_map(Problem::of_status);
        let problems: Vec<_> = errors.map(Problem::of_error).chain(of_statuses).collect();
        assert_eq!(problems.len(), 24);
        for problem in problems {
            let Problem { reason_code, reason, remedy } = &problem;
            assert!(!reason_code.is_empty() && !reason.is_empty() && !remedy.is_empty());
            assert_ne!(reason_code, "other", "{problem:?}");
            for name in [
                "assume_error",
                "max_width",
                "refresh()",
                "reassume()",
                "source()",
                "ntp()",
                "error()",
                "any_writer",
                "reference_error",
            ] {
                assert!(!reason.contains(name) && !remedy.contains(name), "{problem:?}");
            }
        }
    }

    #[test]
    fn a_clock_that_can_be_trusted_has_no_problem() {
        assert_eq!(Problem::of_status(Status::Synchronized), None);
        assert_eq!(Problem::of_status(Status::Assumed), None);
    }
}
