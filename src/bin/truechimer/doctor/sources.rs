//! The sources of time, what each reported last, and the clock's settings.

use std::time::Duration;

use serde::Serialize;
use truechimer::clock::{Said, SamplerReport, SourceReport};
use truechimer::{Limits, Role};

use crate::args::with_option_names;
use crate::output::{Page, rounded_up};
use crate::reading::IntervalView;

/// A source, and its last report.
#[derive(Serialize)]
pub struct SourceView {
    pub name: String,
    /// Whether its bounds are evidence, or only compared with the evidence.
    pub role: Role,
    /// Whether it stated a bound.
    pub vouches: bool,
    /// The interval that it stated; `null` if it stated none.
    pub interval: Option<IntervalView>,
    /// Why it stated none.
    pub refusal: Option<String>,
    /// What it knows beside that, in its own words.
    pub details: Option<String>,
    /// How long ago it answered.
    #[serde(serialize_with = "truechimer::decimal::option::serialize")]
    pub age_ns: Option<u64>,
    /// How long it has been sampled without an answer.
    #[serde(serialize_with = "truechimer::decimal::option::serialize")]
    pub asked_for_ns: Option<u64>,
    pub samples: u64,
    pub failures: u64,
    pub contradictions: u64,
}

impl From<&SourceReport> for SourceView {
    fn from(source: &SourceReport) -> SourceView {
        let (interval, refusal) = match &source.said {
            Some(Said::Time { time, .. }) => (Some(IntervalView::from(*time)), None),
            Some(Said::Nothing(why)) => (None, Some(with_option_names(why))),
            _ => (None, None),
        };
        SourceView {
            name: source.name.clone(),
            role: source.role,
            details: source.details.as_deref().map(|details| with_option_names(&details)),
            vouches: interval.is_some(),
            interval,
            refusal,
            age_ns: source.age.map(nanos),
            asked_for_ns: source.asked_for.map(nanos),
            samples: source.samples,
            failures: source.failures,
            contradictions: source.contradictions,
        }
    }
}

impl SourceView {
    fn to_text(&self) -> String {
        let mut text = match (&self.interval, &self.refusal) {
            (Some(interval), _) => {
                let half = rounded_up(Duration::from_nanos(interval.error_ns));
                match self.role {
                    Role::CrossCheck => format!("states ± {half}, which is only compared"),
                    _ => format!("states ± {half}"),
                }
            }
            (None, Some(refusal)) => format!("states no bound: {refusal}"),
            (None, None) => "has not answered yet".to_owned(),
        };
        if let Some(since) = self.asked_for_ns {
            let since = rounded_up(Duration::from_nanos(since));
            text += &format!("; sampled again {since} ago, without an answer so far");
        }
        if self.contradictions > 0 {
            text += &format!("; contradicted earlier evidence {} times", self.contradictions);
        }
        text
    }
}

/// The clock's own thread.
#[derive(Serialize)]
pub struct SamplerView {
    pub running: bool,
    pub rounds: u64,
    /// Why a step of the wall clock does not wake it; `null` if it does.
    pub step_timer_error: Option<String>,
    pub steps: u64,
    pub lost_sources: Vec<String>,
}

impl From<&SamplerReport> for SamplerView {
    fn from(sampler: &SamplerReport) -> SamplerView {
        SamplerView {
            running: sampler.running,
            rounds: sampler.rounds,
            step_timer_error: sampler.step_timer.clone(),
            steps: sampler.steps,
            lost_sources: sampler.lost_sources.clone(),
        }
    }
}

/// The clock's limits.
#[derive(Serialize)]
pub struct LimitsView {
    pub max_drift_ppm: u32,
    /// `null` if no rate is learnt.
    pub max_wander_ppm: Option<u32>,
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub max_width_ns: u64,
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub poll_interval_ns: u64,
}

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> LimitsView {
        LimitsView {
            max_drift_ppm: limits.max_drift_ppm,
            max_wander_ppm: limits.max_wander_ppm,
            max_width_ns: nanos(limits.max_width),
            poll_interval_ns: nanos(limits.poll_interval),
        }
    }
}

pub fn lines(sources: &[SourceView], sampler: &SamplerView, limits: &LimitsView, page: &mut Page) {
    page.heading("Sources of time");
    for source in sources {
        page.line(&source.name, &source.to_text());
        // A refusal contains them.
        if let (Some(details), None) = (&source.details, &source.refusal) {
            page.line("", details);
        }
    }
    let step = match &sampler.step_timer_error {
        None => "a step of the wall clock is noticed at once".to_owned(),
        Some(why) => format!("a step of the wall clock is noticed only at the next poll ({why})"),
    };
    let poll = rounded_up(Duration::from_nanos(limits.poll_interval_ns));
    page.line("polling", &format!("every {poll}; {step}"));
    let width = rounded_up(Duration::from_nanos(limits.max_width_ns));
    page.line(
        "limits",
        &format!(
            "the counter's rate is within {} ppm of nominal; an interval wider than {width} is \
             an error",
            limits.max_drift_ppm
        ),
    );
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
