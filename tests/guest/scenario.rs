//! What a scenario is, and how its outcome is judged and printed.

use std::fmt::Write;

use crate::check::{self, Evidence, Judged, spread};
use crate::ground::Ground;
use crate::machine;
use crate::plan::{HONEST, Observer, Plan};
use crate::sabotage::Sabotage;

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
    /// the clock has sampled for the first time, and for no longer than so many ms.
    NeverMissButAfterResume(f64),
    /// No reading between the two times was wider than what the kernel had
    /// vouched for before it.
    BeAsNarrowAsTheEvidence(u64, u64),
    /// There was nothing to contradict.
    NeverContradict,
    /// Some reading did not hold the truth.
    Miss,
    /// Some reading was an interval between the two times.
    Answer(u64, u64),
}

impl Must {
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
            Must::NeverMissButAfterResume(longest_ms) => {
                if let Some(window) = check::window_after_resume(readings) {
                    if window.ms() > longest_ms {
                        return Err(format!("{window}, and at most {longest_ms} ms is allowed"));
                    }
                }
                let excused = check::in_window(readings);
                none(misses().filter(|judged| !excused(judged)), "missed the truth")
            }
            Must::BeAsNarrowAsTheEvidence(from, to) => {
                let wide = evidence.wider_than_justified(readings);
                let within = |judged: &&Judged| (from as f64..to as f64).contains(&judged.ms);
                none(wide.filter(within), "were wider than the evidence")
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
        }
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
        let twin = self
            .plan
            .observers
            .iter()
            .find(|twin| twin.build == HONEST && twin.reader == observer.reader);
        let name = twin.map_or(observer.name.as_str(), |twin| twin.name.as_str());
        self.musts.iter().filter(|(of, _)| *of == name).map(|&(_, must)| must).collect()
    }

    /// Plays the scenario; an error lists everything that was not as it must be.
    ///
    /// What must hold must hold each time. But some sabotages show in a window of
    /// milliseconds only, in which an emulated processor that shares its host may
    /// not get to read anything: they are given a few boots to be caught in.
    pub fn run(&self, ground: &Ground) -> Result<(), String> {
        const BOOTS: usize = 4;
        let mut uncaught = self.play(ground)?;
        for _ in 1..BOOTS {
            if uncaught.is_empty() {
                return Ok(());
            }
            let again = self.play(ground)?;
            uncaught.retain(|name| again.contains(name));
        }
        if uncaught.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{}: sabotaged, and it kept all that it must in {BOOTS} boots: {}",
            self.name,
            uncaught.join(", ")
        ))
    }

    /// Plays it once, and returns the sabotaged observers that were not caught.
    fn play(&self, ground: &Ground) -> Result<Vec<String>, String> {
        let outcome = machine::run(ground, self.name, &self.plan)
            .map_err(|error| format!("{}: {error}", self.name))?;
        let evidence = Evidence::new(&self.plan, &outcome)?;
        let mut report = format!("\n{}: {}\n", self.name, self.about);
        let (vouched, lies) = evidence.kernel_lies();
        let widths = evidence.kernel_widths().map_or("none".into(), |widths| widths.to_string());
        let _ = writeln!(
            report,
            "  kernel's own: vouched {vouched} of {}, untrue {lies}; 2 × maxerror {widths}",
            evidence.kernel.len(),
        );
        let (mut wrong, mut uncaught) = (Vec::new(), Vec::new());
        for observer in &self.plan.observers {
            let readings = evidence.judge(&outcome, &observer.name)?;
            summarize(&mut report, &observer.name, &readings);
            let broken: Vec<String> = self
                .musts_of(observer)
                .iter()
                .filter_map(|must| must.judge(&evidence, &readings).err())
                .collect();
            match (observer.build == HONEST, broken.first()) {
                (true, _) => {
                    wrong.extend(broken.iter().map(|words| format!("{}: {words}", observer.name)));
                }
                (false, Some(words)) => {
                    let words = words.split_once(':').map_or(words.as_str(), |(words, _)| words);
                    let what =
                        Sabotage::named(&observer.build).map_or("", |sabotage| sabotage.what);
                    let _ = writeln!(report, "    ({what}) caught: {words}");
                }
                (false, None) => uncaught.push(observer.name.clone()),
            }
        }
        print!("{report}");
        if wrong.is_empty() { Ok(uncaught) } else { Err(format!("{report}{}", wrong.join("\n"))) }
    }
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
    if let Some(window) = check::window_after_resume(readings) {
        let _ = writeln!(report, "    {window}");
    }
}
