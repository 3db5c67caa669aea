//! [`Watch`]: what was seen of the wall clock and heard from timesyncd, and what follows.
//!
//! Two threads feed it: the clock's own at each of its polls, and the one that listens to the bus.
//! Both hold its lock for moments only. It reads nothing itself, so it can be tested by data, and a
//! simulated daemon can feed it as well.

use crate::counter::CounterId;

use super::exchange::{self, Dropped, Exchange};
use super::late::{self, LateLook, TooLate};
use super::message::NtpMessage;
use super::pairs::{Pair, Pairs};

/// A message that was heard later than its exchange, and could not be judged for so long, never
/// will be, in ns.
const JUDGED_WITHIN_NS: i64 = 4_000_000_000;

/// A message that replaced another.
#[derive(Clone, Copy, Debug)]
struct Pending {
    message: NtpMessage,
    /// The raw clock when the message before it was known to be the last.
    known_raw: i64,
    heard_raw: i64,
}

/// An interval, and the exchange that it follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) exchange: Exchange,
    pub(super) message: NtpMessage,
    /// The exchange was made before the clock watched.
    pub(super) is_late: bool,
    /// The raw clock when it was heard.
    pub(super) heard_raw: i64,
}

/// Why there is no interval, although timesyncd has made an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The exchange was watched and dropped.
    Dropped(Dropped),
    /// It was made before, and cannot be carried on to now.
    Late(TooLate),
    /// The host was suspended since.
    Suspended,
    /// The machine was moved to another host, or restored from a snapshot, since.
    Moved,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    max_drift_ppm: u32,
    pairs: Pairs,
    /// The last answer to a request, and the raw clock before that request. No message is what a
    /// daemon answers that does not run.
    heard: Option<(Option<NtpMessage>, i64)>,
    pending: Option<Pending>,
    known: Option<Known>,
    refusal: Option<Refusal>,
    /// The raw clock when an exchange was heard that was not known before.
    exchanged_raw: Option<i64>,
    /// The machine was moved since the last exchange that was watched. The wall clock stood still
    /// meanwhile, and nothing in the kernel's state shows it.
    is_moved: bool,
}

impl Watch {
    pub(super) fn new(max_drift_ppm: u32) -> Watch {
        Watch {
            max_drift_ppm,
            pairs: Pairs::default(),
            heard: None,
            pending: None,
            known: None,
            refusal: None,
            exchanged_raw: None,
            is_moved: false,
        }
    }

    /// The machine was moved to another host, or restored: only an exchange that is made from now
    /// on counts.
    pub(super) fn disrupted(&mut self) {
        let refusal = Some(Refusal::Moved);
        *self = Watch { refusal, is_moved: true, ..Watch::new(self.max_drift_ppm) };
    }

    /// The wall clock was looked at.
    pub(super) fn look(&mut self, pair: Pair) {
        if let Some(known) = &self.known {
            let slept = Pair::was_suspended(known.exchange.suspended_ns, pair.suspended_ns);
            if slept {
                self.refusal = Some(Refusal::Suspended);
            }
            if slept || known.exchange.counter != pair.counter {
                self.known = None;
            }
        }
        self.pairs.push(pair);
        self.settle();
    }

    /// timesyncd has answered a request, or is known not to run. The raw clock showed these two
    /// before the request and after the answer.
    pub(super) fn hear(&mut self, message: Option<NtpMessage>, (asked_raw, heard_raw): (i64, i64)) {
        let message = message.filter(|message| message.packet_count > 0);
        let before = self.heard.replace((message, asked_raw));
        let last = before.and_then(|(message, _)| message);
        if let Some(message) = message.filter(|message| last != Some(*message)) {
            self.exchanged_raw = Some(asked_raw);
            // What was the last message at the first request is from before the clock watched.
            self.pending = before.map(|(_, known_raw)| Pending { message, known_raw, heard_raw });
        }
        self.settle();
    }

    /// Judges the message that waits, once the wall clock was looked at after it. Before that, a
    /// step could be overlooked that was made before the exchange.
    fn settle(&mut self) {
        let Some(Pending { message, known_raw, heard_raw }) = self.pending else { return };
        let Some(now) = self.pairs.last().map(|pair| pair.raw.0) else { return };
        if now < heard_raw {
            return;
        }
        let judged = exchange::judge(&message, &self.pairs, known_raw, self.max_drift_ppm);
        match judged {
            Some(Ok(exchange)) => {
                self.known = Some(Known { exchange, message, is_late: false, heard_raw });
                self.refusal = None;
                self.is_moved = false;
            }
            Some(Err(why)) => self.refusal = Some(Refusal::Dropped(why)),
            None if now.saturating_sub(heard_raw) > JUDGED_WITHIN_NS => {
                self.refusal = Some(Refusal::Dropped(Dropped::Inconsistent));
            }
            None => return,
        }
        self.pending = None;
    }

    /// Whether an exchange that was made before the clock watched would help.
    pub(super) fn needs_late(&self) -> bool {
        self.known.is_none() && self.pending.is_none() && !self.is_moved
    }

    /// The kernel's state was read around a request.
    pub(super) fn hear_late(&mut self, look: &LateLook) {
        if !self.needs_late() {
            return;
        }
        match late::judge(look, self.max_drift_ppm) {
            Ok(exchange) => {
                let (message, heard_raw) = (look.message, look.pair.raw.0);
                self.known = Some(Known { exchange, message, is_late: true, heard_raw });
                self.refusal = None;
            }
            Err(why) => self.refusal = Some(Refusal::Late(why)),
        }
    }

    /// Forgets what was known, because the leap table by which it is read has changed.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// What is known, on this counter.
    pub(super) fn known(&self, counter: CounterId) -> Option<Known> {
        self.known.filter(|known| known.exchange.counter == counter)
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The last look.
    pub(super) fn last_look(&self) -> Option<&Pair> {
        self.pairs.last()
    }

    /// The raw clock when an exchange was heard that was not known before.
    pub(super) fn exchanged_raw(&self) -> Option<i64> {
        self.exchanged_raw
    }
}
