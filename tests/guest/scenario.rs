//! What a scenario is, and how its outcome is judged and printed.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::check::{self, Evidence, Judged, spread};
use crate::ground::Ground;
use crate::machine::{self, Time};
use crate::plan::{Act, HONEST, Observer, Plan, is_honest};
use crate::sabotage::Sabotage;
use crate::tightness;

/// A story that a guest goes through, and what must be true of it afterwards.
pub struct Scenario {
    pub name: &'static str,
    /// One sentence for the report.
    pub about: &'static str,
    pub plan: Plan,
    pub musts: Vec<(&'static str, Must)>,
}

/// What must be true of one observer's readings; times in milliseconds of the plan.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    /// Every reading held the truth.
    NeverMiss,
    /// Every reading from this time on did.
    NeverMissFrom(u64),
    /// Every reading before this time did.
    NeverMissBefore(u64),
    /// The clock said that its sources contradicted each other.
    Contradict,
    /// Every reading was right, except in the named window: after a resume, until
    /// the clock has sampled for the first time.
    NeverMissButAfterResume,
    /// That window was no longer than so many ms.
    NoticeTheResumeWithin(f64),
    /// No reading between the two times was wider than what the kernel had
    /// vouched for before it.
    BeAsNarrowAsTheEvidence(u64, u64),
    /// From this time on the median width was so many times smaller than the kernel's
    /// median maxerror (see `tightness` for the footing).
    BeNarrowerThanMaxerror { times: f64, from_ms: u64 },
    /// There was nothing to contradict.
    NeverContradict,
    /// Some reading did not hold the truth.
    Miss,
    /// Some reading was an interval between the two times.
    Answer(u64, u64),
    /// From this time on no reading stood on the operator's word any more.
    NotBeAssumedFrom(u64),
    /// No reading was an interval.
    NeverAnswer,
    /// Every reading between the two times was refused, with this reason.
    Refuse { reason: &'static str, from_ms: u64, to_ms: u64 },
    /// Every reading between the two times, and there were some, had this status.
    HaveStatus { status: Status, from_ms: u64, to_ms: u64 },
    /// No interval between the two times was wider than this.
    BeNarrowerThan { width_ms: i64, from_ms: u64, to_ms: u64 },
}

/// A clock's status, by its number in a record (see `program/clocks.rs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Synchronized = 1,
    Holdover = 2,
    Assumed = 3,
}

impl Must {
    /// Whether it takes a guest that gets to run to keep this: what is always to hold,
    /// however seldom it runs, is no such thing.
    fn is_for_the_guest_to_bring_about(self) -> bool {
        match self {
            Must::NeverMiss
            | Must::NeverMissFrom(_)
            | Must::NeverMissBefore(_)
            | Must::NeverMissButAfterResume
            | Must::NeverContradict
            | Must::NeverAnswer
            | Must::Refuse { .. } => false,
            Must::Contradict
            | Must::NoticeTheResumeWithin(_)
            | Must::BeAsNarrowAsTheEvidence(..)
            | Must::BeNarrowerThanMaxerror { .. }
            | Must::Miss
            | Must::Answer(..)
            | Must::NotBeAssumedFrom(_)
            | Must::HaveStatus { .. }
            | Must::BeNarrowerThan { .. } => true,
        }
    }

    fn judge(&self, evidence: &Evidence, readings: &[Judged]) -> Result<(), String> {
        let misses = || readings.iter().filter(|judged| judged.outside > 0);
        match *self {
            Must::NeverMiss => none(misses(), "missed the truth"),
            Must::NeverMissFrom(ms) => {
                none(misses().filter(|judged| judged.ms >= ms as f64), "missed the truth")
            }
            Must::NeverMissBefore(ms) => {
                none(misses().filter(|judged| judged.ms < ms as f64), "missed the truth")
            }
            Must::Contradict => match readings.iter().any(|j| j.reading.contradictions > 0) {
                true => Ok(()),
                false => Err("it noticed no contradiction".into()),
            },
            Must::NeverMissButAfterResume => {
                let excused = check::in_window(readings);
                none(misses().filter(|judged| !excused(judged)), "missed the truth")
            }
            Must::NoticeTheResumeWithin(longest_ms) => {
                match check::window_after_resume(readings).filter(|w| w.ms() > longest_ms) {
                    Some(window) => Err(format!("{window}, and {longest_ms} ms is allowed")),
                    None => Ok(()),
                }
            }
            Must::BeAsNarrowAsTheEvidence(from, to) => {
                let wide = evidence.wider_than_justified(readings);
                let within = |judged: &&Judged| (from as f64..to as f64).contains(&judged.ms);
                none(wide.filter(within), "were wider than the evidence")
            }
            Must::BeNarrowerThanMaxerror { times, from_ms } => {
                match tightness::medians(evidence, readings, from_ms) {
                    Some((width, maxerror)) if width as f64 * times <= maxerror as f64 => Ok(()),
                    Some((width, maxerror)) => Err(format!(
                        "its median width is {width} ns, and that is not {times} times less than \
                         the median maxerror of {maxerror} ns"
                    )),
                    None => Err(format!("nothing was read from {from_ms} ms on")),
                }
            }
            Must::NeverContradict => match readings.iter().any(|j| j.reading.contradictions > 0) {
                true => Err("it saw a contradiction where there was none".into()),
                false => Ok(()),
            },
            Must::Miss => match misses().count() {
                0 => Err("none of its readings missed the truth, and some should have".into()),
                _ => Ok(()),
            },
            Must::Answer(from, to) => {
                let within = |judged: &&Judged| (from as f64..to as f64).contains(&judged.ms);
                match readings.iter().filter(within).any(Judged::answered) {
                    true => Ok(()),
                    false => Err(format!("no reading between {from} and {to} ms was an interval")),
                }
            }
            Must::NotBeAssumedFrom(ms) => {
                let later = readings.iter().filter(|judged| judged.ms >= ms as f64);
                let assumed = Status::Assumed as u8;
                none(later.filter(|j| j.reading.status == assumed), "stood on the operator's word")
            }
            Must::NeverAnswer => {
                none(readings.iter().filter(|judged| judged.answered()), "were intervals")
            }
            Must::Refuse { reason, from_ms, to_ms } => {
                let within = within(readings, from_ms, to_ms)?;
                let other = |judged: &&&Judged| !judged.reading.is_refused_as(reason);
                none(within.iter().filter(other).copied(), "were something else than that refusal")
            }
            Must::HaveStatus { status, from_ms, to_ms } => {
                let within = within(readings, from_ms, to_ms)?;
                let other = |judged: &&&Judged| judged.reading.status != status as u8;
                none(within.iter().filter(other).copied(), "had another status")
            }
            Must::BeNarrowerThan { width_ms, from_ms, to_ms } => {
                let within = within(readings, from_ms, to_ms)?;
                let is_wide = |j: &&&Judged| j.answered() && j.width() > width_ms * 1_000_000;
                none(within.iter().filter(is_wide).copied(), "were wider than that")
            }
        }
    }
}

/// The readings between the two times; that there are none is an error.
fn within(readings: &[Judged], from_ms: u64, to_ms: u64) -> Result<Vec<&Judged>, String> {
    let times = from_ms as f64..to_ms as f64;
    let within: Vec<_> = readings.iter().filter(|judged| times.contains(&judged.ms)).collect();
    match within.is_empty() {
        true => Err(format!("nothing was read between {from_ms} and {to_ms} ms")),
        false => Ok(within),
    }
}

fn none<'j>(bad: impl Iterator<Item = &'j Judged>, did: &str) -> Result<(), String> {
    let bad: Vec<_> = bad.collect();
    let (Some(first), Some(last)) = (bad.first(), bad.last()) else { return Ok(()) };
    Err(format!(
        "{} readings {did}, from {:.3} to {:.3} ms, the first with the truth {} ns outside, width \
         {} ns: {:?}",
        bad.len(),
        first.ms,
        last.ms,
        first.outside,
        first.width(),
        first.reading,
    ))
}

impl Scenario {
    /// What must be true of an observer. A sabotaged one is held against what
    /// its honest twin, which reads in the same way, must keep.
    fn musts_of(&self, observer: &Observer) -> Vec<Must> {
        let is_twin = |twin: &&Observer| {
            let (reader, place) = (twin.reader, twin.place);
            twin.build == HONEST && reader == observer.reader && place == observer.place
        };
        let twin = match is_honest(&observer.build) {
            true => None,
            false => self.plan.observers.iter().find(is_twin),
        };
        let name = twin.map_or(observer.name.as_str(), |twin| twin.name.as_str());
        self.musts.iter().filter(|(of, _)| *of == name).map(|&(_, must)| must).collect()
    }

    /// Plays the scenario; an error lists everything that was not as it must be.
    ///
    /// What is never to happen must not happen in any boot, and is not tried again.
    /// But some of it is for the guest to bring about: a sabotage that shows in a window
    /// of milliseconds only, a clock that is to notice something soon. An emulated
    /// processor that shares its host may not get to run then. Such things are given
    /// a few boots more, in one of which they must come about; and in those the guest's
    /// time passes only while it runs, if that can be.
    pub fn run(&self, ground: &Ground) -> Result<(), Failure> {
        const BOOTS: usize = 4;
        // While a machine is stopped or suspended, nothing but the host's time passes.
        let stops = |(_, act): &(u64, Act)| matches!(act, Act::HostPause(_) | Act::Suspend(_));
        let may_jump = !self.plan.steps.iter().any(stops);
        let first = self.plan.leisure.map_or(Time::OfTheHost, |_| Time::OfItsOwn);
        let later = if may_jump { Time::OfItsOwn } else { Time::OfTheHost };
        let mut missing = self.play(ground, first)?;
        for _ in 1..BOOTS {
            if missing.is_empty() {
                return Ok(());
            }
            println!("{}: again, since {}", self.name, words(&missing).join("; "));
            let again = self.play(ground, later)?;
            missing.retain(|(what, _)| again.iter().any(|(other, _)| other == what));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let line = |words: &String| format!("{}: in each of {BOOTS} boots: {words}", self.name);
        Err(Failure { lines: words(&missing).iter().map(line).collect(), report: String::new() })
    }

    /// Plays it once, and returns what has not come about.
    fn play(&self, ground: &Ground, time: Time) -> Result<Vec<Missing>, Failure> {
        let fail = |error| Failure::of(&format!("{}: {error}", self.name));
        let outcome =
            machine::run(ground, self.name, &self.plan, time).map_err(|e| fail(e.to_string()))?;
        let evidence = Evidence::new(&self.plan, &outcome).map_err(fail)?;
        let mut report = format!("\n{}: {}\n", self.name, self.about);
        summarize_kernel(&mut report, &evidence);
        let (mut wrong, mut missing, mut judged) = (Vec::new(), Vec::new(), Vec::new());
        for observer in &self.plan.observers {
            let readings = evidence.judge(&outcome, &observer.name).map_err(fail)?;
            summarize(&mut report, &observer.name, &readings);
            let musts = self.musts_of(observer);
            let broken: Vec<(Must, String)> = musts
                .iter()
                .filter_map(|must| Some((*must, must.judge(&evidence, &readings).err()?)))
                .collect();
            match (is_honest(&observer.build), broken.first()) {
                (true, _) => {
                    for (must, words) in broken {
                        let line = format!("{}, {must:?}: {words}", observer.name);
                        if must.is_for_the_guest_to_bring_about() {
                            missing.push((format!("{} {must:?}", observer.name), line));
                        } else {
                            wrong.push(format!("{}: {line}", self.name));
                        }
                    }
                }
                (false, Some((_, words))) => {
                    let words = words.split_once(':').map_or(words.as_str(), |(words, _)| words);
                    let what =
                        Sabotage::named(&observer.build).map_or("", |sabotage| sabotage.what);
                    let _ = writeln!(report, "    ({what}) caught: {words}");
                }
                (false, None) => {
                    let line = format!("{}, sabotaged, kept all that it must", observer.name);
                    missing.push((observer.name.clone(), line));
                }
            }
            judged.push((observer.name.as_str(), readings));
        }
        report.extend(tightness::table(self, &evidence, &judged));
        print!("{report}");
        if wrong.is_empty() { Ok(missing) } else { Err(Failure { lines: wrong, report }) }
    }
}

/// Something that has not come about, by a name and in words.
type Missing = (String, String);

fn words(missing: &[Missing]) -> Vec<String> {
    missing.iter().map(|(_, words)| words.clone()).collect()
}

/// Why a scenario failed.
pub struct Failure {
    /// A line for each thing that was wrong: which scenario, which observer, what.
    pub lines: Vec<String>,
    /// All that is known of it.
    pub report: String,
}

impl Failure {
    /// The first line stands for all.
    pub fn of(report: &str) -> Failure {
        let line = report.lines().next().unwrap_or_default().to_owned();
        Failure { lines: vec![line], report: report.to_owned() }
    }
}

fn summarize_kernel(report: &mut String, evidence: &Evidence) {
    let (vouched, lies) = evidence.kernel_lies();
    let widths = evidence.kernel_widths().map_or("none".into(), |widths| widths.to_string());
    let _ = writeln!(
        report,
        "  kernel's own: vouched {vouched} of {}, untrue {lies}; 2 × maxerror {widths}",
        evidence.kernel.len(),
    );
}

fn summarize(report: &mut String, name: &str, readings: &[Judged]) {
    let answered = || readings.iter().filter(|judged| judged.answered());
    let misses = readings.iter().filter(|judged| judged.outside > 0).count();
    let contradictions = readings.iter().map(|judged| judged.reading.contradictions).max();
    let widths = spread(answered().map(Judged::width)).map_or("none".into(), |w| w.to_string());
    let _ = writeln!(
        report,
        "  {name}: readings {}, refused {}, misses {misses}, contradictions {}; width {widths}",
        answered().count(),
        readings.len() - answered().count(),
        contradictions.unwrap_or(0),
    );
    let mut refusals = BTreeMap::<String, usize>::new();
    for refusal in readings.iter().filter_map(|judged| judged.reading.refusal()) {
        *refusals.entry(refusal).or_default() += 1;
    }
    if !refusals.is_empty() {
        let counts = refusals.iter().map(|(name, count)| format!("{count} {name}"));
        let _ = writeln!(report, "    refused: {}", counts.collect::<Vec<_>>().join(", "));
    }
    let _ = writeln!(report, "    status: {}", statuses(readings));
    if let Some(window) = check::window_after_resume(readings) {
        let _ = writeln!(report, "    {window}");
    }
}

/// Which statuses followed each other, and from when on, in seconds.
fn statuses(readings: &[Judged]) -> String {
    const NAMES: [&str; 6] =
        ["other", "Synchronized", "Holdover", "Assumed", "Contradicted", "Unsynchronized"];
    const SHOWN: usize = 12;
    let mut changes = readings.chunk_by(|a, b| a.reading.status == b.reading.status);
    let shown = changes.by_ref().take(SHOWN).map(|run| {
        let name = NAMES.get(usize::from(run[0].reading.status)).unwrap_or(&NAMES[0]);
        format!("{:.1} {name}", run[0].ms / 1000.0)
    });
    let mut words = shown.collect::<Vec<_>>().join(", ");
    match changes.count() {
        0 => {}
        more => words.push_str(&format!(" and {more} changes more")),
    }
    words
}
