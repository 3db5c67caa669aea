//! How the timeline of a broken promise reads.

use std::fmt;

use truechimer::fence::FencingToken;
use truechimer::lease::{Command, Decision, Grant, GrantError, HolderId};
use truechimer::{Interval, Timestamp};

use super::{START, TICK};

pub(super) fn name(node: usize) -> &'static str {
    ["A", "B"][node]
}

pub(super) fn named(id: HolderId) -> &'static str {
    name(id.0 as usize - 1)
}

/// A moment in ticks, with a mark for the nanoseconds after it.
pub(super) fn moment(moment: Timestamp) -> String {
    let nanos = moment.tai_nanos() - START * TICK;
    let (ticks, rest) = (nanos.div_euclid(TICK), nanos.rem_euclid(TICK));
    if rest == 0 { ticks.to_string() } else { format!("{ticks}+{rest}ns") }
}

pub(super) fn token(token: FencingToken) -> String {
    format!("token {token}")
}

pub(super) struct Ticks(pub(super) Interval);

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", moment(self.0.earliest()), moment(self.0.latest()))
    }
}

pub(super) fn asked(command: &Command) -> String {
    match *command {
        Command::Acquire { holder, number, .. } => {
            format!("request {number} of {} for the lease", named(holder))
        }
        Command::Renew { token, number, .. } => format!("renewal {number} of token {token}"),
        Command::Transfer { token, to, .. } => {
            format!("the transfer of token {token} to {}", named(to))
        }
        Command::Release { token, .. } => format!("the release of token {token}"),
        _ => "a look for an expired lease".into(),
    }
}

pub(super) fn said(answer: &Result<Decision, GrantError>) -> String {
    let until = |grant: &Grant| {
        format!("{} has token {} until {}", named(grant.holder), grant.token, moment(grant.expires))
    };
    match answer {
        Ok(Decision::Granted(grant)) => format!("granted, {}", until(grant)),
        Ok(Decision::Renewed(grant)) => format!("renewed, {}", until(grant)),
        Ok(Decision::Transferred(grant)) => format!("transferred, {}", until(grant)),
        Ok(Decision::Released(_)) => "released".into(),
        Ok(Decision::Expired(None)) => "there is none".into(),
        Ok(_) => "removed".into(),
        Err(GrantError::Taken { .. }) => "refused, it is taken".into(),
        Err(GrantError::Quiet { .. }) => "refused, it is quiet".into(),
        Err(GrantError::NotCurrent { .. }) => "refused, not the present lease".into(),
        Err(GrantError::Expired { .. }) => "refused, it has expired".into(),
        Err(GrantError::Overtaken { .. }) => "refused, it was overtaken".into(),
        Err(GrantError::MayBeRepeated { .. }) => "refused, it may be a repeat".into(),
        Err(other) => format!("refused, {other:?}"),
    }
}
