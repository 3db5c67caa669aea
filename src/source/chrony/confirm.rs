//! [`Confirmer`]: chronyd's word beside the kernel's, and the larger of the two counts.
//!
//! chronyd tells the kernel its bound at each update, and the kernel lets it
//! grow. Asked itself it says what it knows *now*. The two differ in three ways:
//!
//! - Without `rtcsync` the kernel stays flagged as unsynchronised; that chronyd
//!   is synchronised, only chronyd can say.
//! - The kernel's copy may be smaller than what chronyd says now: its sources
//!   went away, or it has seen an offset that it is still thinking about.
//! - Somebody may have stepped the clock behind chronyd's back. The kernel
//!   notices (its bound goes to 16 s), and chronyd does not before its next
//!   measurement. So the kernel must have a bound of its own, always.
//!
//! chronyd is asked once a second, not at every poll: a process with a
//! thousand clocks should be no burden to it. What is remembered in between is
//! by how much its bound exceeded the kernel's, while the kernel's has the same
//! mark (see `source::kernel`); a new mark means a new update, and a new question.

use std::time::{Duration, Instant};

use super::client::{ChronyError, Client, Endpoint};
use super::tracking::{Leap, Tracking};

/// How long an answer is good, as long as the kernel's bound was not written anew.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How long nobody is asked after there was no answer: a stopped chronyd
/// costs a timeout each time, in the thread that the clock samples in.
const LEAVE_ALONE: Duration = Duration::from_secs(5);

/// What chronyd says of the clock that the kernel shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// The clock is as good as the kernel says, plus `excess_ns`.
    Vouches { excess_ns: u64 },
    /// chronyd gives no word, and why.
    Nothing(String),
}

/// Asks chronyd, and remembers the answer for a second.
#[derive(Debug)]
pub(crate) struct Confirmer {
    endpoints: Vec<Endpoint>,
    /// Which endpoint answered last.
    answered: Option<usize>,
    heard: Option<Heard>,
    last: Option<Tracking>,
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    good_for: Duration,
    /// `maxerror mod 500` of the kernel at the time.
    mark_us: i64,
    word: Word,
}

impl Confirmer {
    /// Asks the chronyd of this host.
    pub(crate) fn usual() -> Confirmer {
        Confirmer::new(Endpoint::usual())
    }

    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Confirmer {
        Confirmer { endpoints, answered: None, heard: None, last: None }
    }

    /// chronyd's last report, if it answered when it was asked last.
    pub(crate) fn tracking(&self) -> Option<&Tracking> {
        self.last.as_ref()
    }

    /// chronyd's word on a clock of which the kernel says `maxerror_us`.
    pub(crate) fn word(&mut self, maxerror_us: i64, mark_us: i64) -> Word {
        let fresh = self.heard.as_ref().filter(|heard| {
            let same = heard.mark_us == mark_us || matches!(heard.word, Word::Nothing(_));
            same && heard.at.elapsed() < heard.good_for
        });
        if let Some(heard) = fresh {
            return heard.word.clone();
        }
        let at = Instant::now();
        let answer = self.ask();
        let good_for = match &answer {
            Err(error) if !matches!(error, ChronyError::NotRunning { .. }) => LEAVE_ALONE,
            _ => GOOD_FOR,
        };
        let word = match &answer {
            Ok(tracking) => judge(tracking, maxerror_us),
            Err(error) => Word::Nothing(error.to_string()),
        };
        self.last = answer.ok();
        self.heard = Some(Heard { at, good_for, mark_us, word: word.clone() });
        word
    }

    /// Asks where the last answer came from; everywhere, in order, if there was none.
    ///
    /// Each question has a socket of its own: a clock needs none in between.
    fn ask(&mut self) -> Result<Tracking, ChronyError> {
        let ask = |endpoint: &Endpoint| Client::to(endpoint.clone())?.tracking();
        if let Some(answered) = self.answered.take() {
            match ask(&self.endpoints[answered]) {
                Err(ChronyError::NotRunning { .. }) => {}
                answer => {
                    self.answered = Some(answered);
                    return answer;
                }
            }
        }
        let mut first_error = None;
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            match ask(endpoint) {
                Ok(tracking) => {
                    self.answered = Some(i);
                    return Ok(tracking);
                }
                // The first is the one that answers anybody: its error says most.
                Err(error) => first_error.get_or_insert(error),
            };
        }
        let nowhere = || ChronyError::NotRunning { at: "no endpoint".to_owned() };
        Err(first_error.unwrap_or_else(nowhere))
    }
}

/// What a report is worth beside the kernel's bound.
fn judge(tracking: &Tracking, maxerror_us: i64) -> Word {
    match tracking.bound_ns() {
        Some(bound_ns) => {
            let kernels = maxerror_us.max(0).unsigned_abs().saturating_mul(1000);
            Word::Vouches { excess_ns: bound_ns.saturating_sub(kernels) }
        }
        None if tracking.leap == Leap::Unsynchronized => {
            Word::Nothing("chronyd is not synchronised to anything (yet)".to_owned())
        }
        None => Word::Nothing("chronyd follows nothing but its own clock (`local`)".to_owned()),
    }
}

#[cfg(test)]
mod tests;
