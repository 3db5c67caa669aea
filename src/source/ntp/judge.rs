//! [`judge`]: one interval of what several servers say.
//!
//! Each server's word is what its last exchanges have in common, carried to one tick of the counter.
//! If the newest exchange excludes an older one, the server was stepped or restarted, and only
//! what is newer counts. Then [`agreement`](crate::agreement) gives the moments in which enough
//! servers agree.
//!
//! Enough is `n − f` of the `n` servers that the operator named, with `f = (n − 1) / 2`. A server
//! that is silent counts among the `n`. If it did not, a wrong server would only have to wait until
//! the others cannot be reached. An address that two names share has one word.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agreement::{Agreement, AgreementError, examine};
use crate::counter::Ageing;
use crate::evidence::{Reason, Sample, SourceCondition, SourceError};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::timestamp::duration_nanos;

use super::exchange::{Exchange, Lines};
use super::packet::Header;

/// From so many servers on, one that is wrong can be told from the others.
pub(crate) const ENOUGH: usize = 3;

/// What is known of one server.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// As the operator wrote it.
    pub(crate) name: Arc<str>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) scale: RealtimeScale,
    /// The oldest first.
    pub(crate) exchanges: Vec<Exchange>,
    /// The last good reply.
    pub(crate) reply: Option<Header>,
    /// Why there is nothing newer.
    pub(crate) trouble: Option<String>,
    pub(crate) poll: Duration,
}

/// What follows from the servers' words.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) sample: Result<Sample, SourceError>,
    pub(crate) details: String,
    pub(crate) condition: SourceCondition,
}

/// What one server states at the tick of the newest exchange of all.
struct Statement<'a> {
    word: &'a Word,
    time: Interval,
    /// The newest exchange took at most so long.
    round_trip_ns: u64,
    age_ns: u64,
    /// An older exchange excludes it.
    was_stepped: bool,
}

/// A server that states nothing, and why.
struct Silence<'a> {
    word: &'a Word,
    why: String,
}

/// Combines the words when the counter shows `now`. `takes_one` is the operator's statement that
/// fewer than three servers are enough.
pub(crate) fn judge(
    words: &[Word],
    takes_one: bool,
    ageing: &Ageing,
    now: u64,
    leaps: &LeapTable,
) -> Verdict {
    let lines = lines_of(words, ageing, now, leaps);
    let tick = lines.iter().flatten().flat_map(|lines| lines.last()).map(|line| line.after).max();
    let tick = tick.unwrap_or(now);
    let (mut statements, mut silences) = (Vec::new(), Vec::new());
    for (i, (word, lines)) in words.iter().zip(&lines).enumerate() {
        let twin =
            words[..i].iter().find(|other| word.address.is_some() && other.address == word.address);
        let stated = match (lines, twin) {
            (_, Some(twin)) => {
                Err(format!("it has the address of {}, and no second word", twin.name))
            }
            (Err(why), None) => Err(why.clone()),
            (Ok(lines), None) => state(word, lines, tick, now, ageing),
        };
        match stated {
            Ok(statement) => statements.push(statement),
            Err(why) => silences.push(Silence { word, why }),
        }
    }
    let needed = words.len() - words.len().saturating_sub(1) / 2;
    let agreed = if words.is_empty() {
        Err(SourceError::no_bound(Reason::ServersSilent, "there is no server to ask"))
    } else if words.len() < ENOUGH && !takes_one {
        Err(too_few(words.len()))
    } else {
        agree(&statements, words.len(), needed)
    };
    let details = describe(&statements, &silences, agreed.as_ref().ok(), words.len());
    let sample = match &agreed {
        Ok(agreement) => Ok(Sample::new(tick, tick, agreement.interval())),
        Err(error) => Err(with_troubles(error.clone(), &silences)),
    };
    Verdict { sample, details, condition: condition(&statements, needed, words) }
}

fn lines_of(
    words: &[Word],
    ageing: &Ageing,
    now: u64,
    leaps: &LeapTable,
) -> Vec<Result<Vec<Lines>, String>> {
    let of_word = |word: &Word| {
        let is_valid = |exchange: &&Exchange| {
            exchange.generation == ageing.generation && exchange.after <= now
        };
        let valid = word.exchanges.iter().filter(is_valid);
        let lines = valid.map(|exchange| exchange.lines(leaps, word.scale));
        lines.collect::<Result<_, _>>().map_err(|why| format!("its time, in TAI: {why}"))
    };
    words.iter().map(of_word).collect()
}

/// What one server states at `tick`: what its newest exchanges have in common.
fn state<'a>(
    word: &'a Word,
    lines: &[Lines],
    tick: u64,
    now: u64,
    ageing: &Ageing,
) -> Result<Statement<'a>, String> {
    let silent = || word.trouble.clone().unwrap_or_else(|| "it has not answered yet".to_owned());
    let newest = lines.last().ok_or_else(silent)?;
    let mut time = newest.at(tick, ageing).ok_or("its reply excludes itself")?;
    let mut was_stepped = false;
    for older in lines.iter().rev().skip(1) {
        match older.at(tick, ageing).and_then(|older| older.intersect(&time)) {
            Some(both) => time = both,
            None => {
                was_stepped = true;
                break;
            }
        }
    }
    Ok(Statement {
        word,
        time,
        round_trip_ns: ageing.rates.most_nanos(newest.after - newest.before),
        age_ns: ageing.rates.most_nanos(now.saturating_sub(newest.after)),
        was_stepped,
    })
}

fn agree(
    statements: &[Statement<'_>],
    servers: usize,
    needed: usize,
) -> Result<Agreement, SourceError> {
    let inputs: Vec<Interval> = statements.iter().map(|statement| statement.time).collect();
    // Of those that answer, so many may be wrong that `needed` are right.
    let Some(faulty) = inputs.len().checked_sub(needed) else {
        return Err(SourceError::no_bound(
            Reason::ServersSilent,
            format_args!(
                "{} of {servers} servers have answered, and {needed} are needed",
                inputs.len()
            ),
        ));
    };
    examine(&inputs, faulty).map_err(|error| match error {
        AgreementError::NoCommonMoment { most, .. } => SourceError::no_bound(
            Reason::ServersDisagree,
            format_args!(
                "{needed} of {servers} servers have to agree, and at most {most} do: {}",
                in_order(statements)
            ),
        ),
        error => SourceError::failed(error),
    })
}

/// Which server is how far ahead of the first, to show who disagrees with whom.
fn in_order(statements: &[Statement<'_>]) -> String {
    let Some(first) = statements.first() else { return String::new() };
    let apart = statements.iter().map(|statement| {
        let middle = statement.time.midpoint();
        let ahead = middle.tai_nanos().saturating_sub(first.time.midpoint().tai_nanos());
        let half = statement.time.width() / 2;
        format!("{} {} ± {half:?}", statement.word.name, signed(ahead))
    });
    apart.collect::<Vec<_>>().join(", ")
}

fn signed(nanos: i64) -> String {
    let sign = if nanos < 0 { '-' } else { '+' };
    format!("{sign}{:?}", Duration::from_nanos(nanos.unsigned_abs()))
}

fn too_few(servers: usize) -> SourceError {
    SourceError::no_bound(
        Reason::ServersDisagree,
        format_args!(
            "{servers} servers cannot show which of them is wrong: name {ENOUGH}, or call \
             `ntp_trust_single()` if each of them may be taken at its word"
        ),
    )
}

fn with_troubles(error: SourceError, silences: &[Silence<'_>]) -> SourceError {
    let SourceError::NoBound { reason, detail } = error else { return error };
    let mut detail = detail;
    for silence in silences {
        let _ = write!(detail, "; {}: {}", silence.word.name, silence.why);
    }
    SourceError::NoBound { reason, detail }
}

/// How old a server's last exchange may be before the server counts as silent.
fn fresh_for_ns(word: &Word) -> u64 {
    duration_nanos(word.poll).saturating_mul(4).saturating_add(2_000_000_000)
}

fn condition(statements: &[Statement<'_>], needed: usize, words: &[Word]) -> SourceCondition {
    let is_fresh = |statement: &&Statement<'_>| statement.age_ns <= fresh_for_ns(statement.word);
    let fresh = statements.iter().filter(is_fresh).count();
    let mut condition = SourceCondition::default();
    if let Some(poll) = words.iter().map(|word| word.poll).max() {
        condition = condition.updated_every(poll);
    }
    if fresh < needed && !statements.is_empty() {
        condition = condition.in_holdover(format_args!(
            "{fresh} of {} servers have answered lately, and {needed} are needed",
            words.len()
        ));
    }
    condition
}

fn describe(
    statements: &[Statement<'_>],
    silences: &[Silence<'_>],
    agreement: Option<&Agreement>,
    servers: usize,
) -> String {
    let falsetickers: Vec<usize> =
        agreement.map(|agreement| agreement.falsetickers().collect()).unwrap_or_default();
    let mut text = match agreement {
        Some(agreement) => format!(
            "{} of {servers} servers agree to within {:?}",
            statements.len() - falsetickers.len(),
            agreement.interval().width()
        ),
        None => format!("{} of {servers} servers have answered", statements.len()),
    };
    for (i, statement) in statements.iter().enumerate() {
        let is_false = falsetickers.contains(&i);
        let _ = write!(text, "; {}", if is_false { "falseticker: " } else { "" });
        describe_one(&mut text, statement);
        if let Some(agreement) = agreement.filter(|_| is_false) {
            let _ = write!(
                text,
                ", off by {:?} or more",
                apart(&agreement.interval(), &statement.time)
            );
        }
    }
    for silence in silences {
        let _ = write!(text, "; {}: {}", silence.word.name, silence.why);
    }
    text
}

fn describe_one(text: &mut String, statement: &Statement<'_>) {
    let Statement { word, time, round_trip_ns, was_stepped, .. } = statement;
    let _ = write!(text, "{}", word.name);
    if let Some(address) = word.address.filter(|at| !word.name.contains(&at.ip().to_string())) {
        let _ = write!(text, " at {}", address.ip());
    }
    if let Some(reply) = &word.reply {
        let _ = write!(text, " (stratum {} of {})", reply.stratum, reply.follows());
    }
    let round_trip = Duration::from_nanos(*round_trip_ns);
    let _ = write!(text, " ± {:?}, round trip {round_trip:?}", time.width() / 2);
    if *was_stepped {
        text.push_str(", stepped or restarted lately");
    }
    if let Some(trouble) = &word.trouble {
        let _ = write!(text, ", now: {trouble}");
    }
}

/// How far two intervals are apart.
fn apart(a: &Interval, b: &Interval) -> Duration {
    let gap = |first: &Interval, second: &Interval| {
        second.earliest().duration_since(first.latest()).unwrap_or_default()
    };
    gap(a, b).max(gap(b, a))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
