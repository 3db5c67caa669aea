//! [`Answers`]: what was decided on the last request of each sender.
//!
//! # What is remembered
//!
//! Of each sender the last command and its answer are kept, refusals included. So the repeat
//! of a command gets the same answer, and a late copy of an earlier command is told that it
//! was overtaken. There are at most [`REMEMBERED`] senders. When another one asks, the one
//! that was answered longest ago is forgotten.
//!
//! # What a forgotten request can still do
//!
//! - **`Renew`, `Transfer`, `Release`** name the token of their lease. They were carried out, so
//!   the progress has been shown or the token is no longer the present one, and a repeat is
//!   refused. If they were refused, a repeat is decided anew.
//! - **`Acquire`** could grant the lease a second time, to a holder that has gone. So it says
//!   which token its sender had *seen*. If it was granted, its token is larger than that.
//!   When a holder is forgotten, the last token that was granted is kept, as `forgotten`. From
//!   then on an `Acquire` whose sender had not seen so large a token is refused, because it
//!   may be a repeat. The refusal names the token, so a living holder asks again at once.
//! - **An `Acquire` that was refused** and forgotten may be decided anew, if no other token was
//!   granted since. Then a lease may be granted to a holder that no longer wants it, which
//!   costs the others a term. This takes more than [`REMEMBERED`] requests of other senders
//!   under one lease, and a copy that arrives after all of them.

use super::grant_error::GrantError;
use super::granted::Granted;
use super::message::{Command, Decision};
use super::request_id::{RequestId, Sender};
use crate::fence::FencingToken;

/// How many senders are remembered.
pub(super) const REMEMBERED: usize = 64;

/// An answer: the decision, or the refusal.
pub(super) type Answer<T> = Result<Decision<Granted<T>>, GrantError>;

/// The last request of each of the last senders.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Answers<T> {
    /// In the order of the decisions. No sender occurs twice.
    last: Vec<Answered<T>>,
    /// An `Acquire` of a holder that had not seen this token may be a repeat.
    forgotten: FencingToken,
}

/// A command that was decided on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Answered<T> {
    pub(super) command: Command,
    pub(super) answer: Answer<T>,
}

impl<T> Answered<T> {
    fn sender(&self) -> Option<Sender> {
        self.command.id().map(|id| id.sender)
    }
}

impl<T: Copy> Answers<T> {
    /// Remembers nothing. No request that was granted a token up to `forgotten` is granted again.
    pub(super) fn new(forgotten: FencingToken) -> Answers<T> {
        Answers { last: Vec::new(), forgotten }
    }

    /// What was stored. `None` if it cannot have been written by a grantor.
    #[cfg(feature = "serde")]
    pub(super) fn restored(last: Vec<Answered<T>>, forgotten: FencingToken) -> Option<Answers<T>> {
        let senders: Vec<Option<Sender>> = last.iter().map(Answered::sender).collect();
        let is_twice = |(at, sender)| senders[..at].contains(sender);
        let is_wrong = last.len() > REMEMBERED
            || senders.contains(&None)
            || senders.iter().enumerate().any(is_twice);
        (!is_wrong).then_some(Answers { last, forgotten })
    }

    #[cfg(feature = "serde")]
    pub(super) fn last(&self) -> &[Answered<T>] {
        &self.last
    }

    pub(super) fn forgotten(&self) -> FencingToken {
        self.forgotten
    }

    /// The answer to a repeat of `command`, or to a command that was overtaken. `None` if the
    /// command is new.
    pub(super) fn to(&self, id: RequestId, command: Command) -> Option<Answer<T>> {
        let known = self.last.iter().find(|known| known.sender() == Some(id.sender))?;
        let newest = known.command.id()?.number;
        if id.number < newest {
            return Some(Err(GrantError::Overtaken { offered: id.number, newest }));
        }
        if id.number > newest {
            return None;
        }
        let is_repeat = known.command == command;
        Some(if is_repeat {
            known.answer
        } else {
            Err(GrantError::NumberReused { number: newest })
        })
    }

    /// Refuses an `Acquire` that may be the repeat of a request that was forgotten.
    pub(super) fn refuse_forgotten(
        &self,
        seen: FencingToken,
        last_token: FencingToken,
    ) -> Result<(), GrantError> {
        if seen < self.forgotten {
            return Err(GrantError::MayBeRepeated { newest: last_token.max(self.forgotten) });
        }
        Ok(())
    }

    /// Remembers an answer. `last_token` is the largest token that has been granted by now.
    pub(super) fn remember(
        &mut self,
        command: Command,
        answer: Answer<T>,
        last_token: FencingToken,
    ) {
        let answered = Answered { command, answer };
        match self.last.iter().position(|known| known.sender() == answered.sender()) {
            Some(at) => _ = self.last.remove(at),
            None if self.last.len() >= REMEMBERED => {
                let oldest = self.last.remove(0);
                if matches!(oldest.command, Command::Acquire { .. }) {
                    self.forgotten = self.forgotten.max(last_token);
                }
            }
            None => {}
        }
        self.last.push(answered);
    }
}
