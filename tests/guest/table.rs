//! The table of scenarios.

use crate::plan::{Act, HONEST, Hardware, Leap, Observer, Place, Plan, Reader, Window, Writer};
use crate::scenario::{Must, Scenario};
use crate::{daemons, devices, tightness, timesyncd};

/// 2024-05-01T00:00:00Z, a day without a leap second near.
const ORDINARY_DAY: i64 = 1_714_521_600;
/// 2017-01-01T00:00:00Z, to which a leap second was inserted.
const AFTER_THE_INSERTED: i64 = 1_483_228_800;
/// 2023-01-01T00:00:00Z: here the world of a scenario deletes one.
const AFTER_THE_DELETED: i64 = 1_672_531_200;
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

/// A guest whose clock starts 300 ms behind the truth on an ordinary day.
pub fn plan(rate_ppb: i64, seconds: u64) -> Plan {
    Plan {
        date: ORDINARY_DAY,
        ahead_ns: 300 * MS,
        rate_ppb,
        wander: None,
        leisure: None,
        tai_offset: 37,
        leap: None,
        hardware: Hardware::Plain,
        observers: vec![honest("clock", Reader::Clock), honest("manual", Reader::Manual)],
        windows: Vec::new(),
        steps: Vec::new(),
        end_ms: seconds * 1000,
    }
}

pub fn honest(name: &str, reader: Reader) -> Observer {
    Observer { name: name.into(), build: HONEST.into(), reader, place: Place::Host }
}

/// The two honest clocks, and `Clock::new()` in these sabotaged builds.
fn and_sabotaged(builds: &[&str]) -> Vec<Observer> {
    let mut observers = vec![honest("clock", Reader::Clock), honest("manual", Reader::Manual)];
    observers.extend(builds.iter().map(|build| sabotaged(build, Reader::Clock)));
    observers
}

pub fn sabotaged(build: &str, reader: Reader) -> Observer {
    Observer { name: build.into(), build: build.into(), reader, place: Place::Host }
}

/// Readings every 100 µs.
fn dense(from_ms: u64, to_ms: u64) -> Window {
    Window { from_ms, to_ms, period_us: 100 }
}

/// Both clocks are always right and, between the times given, do answer, and narrowly.
fn always_right(answer_from_ms: u64, end_ms: u64) -> Vec<(&'static str, Must)> {
    let musts = |name| {
        [
            (name, Must::NeverMiss),
            (name, Must::NeverContradict),
            (name, Must::Answer(answer_from_ms, end_ms)),
            (name, Must::BeAsNarrowAsTheEvidence(answer_from_ms, end_ms)),
        ]
    };
    musts("clock").into_iter().chain(musts("manual")).collect()
}

/// All scenarios; those that take many minutes only if asked for.
pub fn all(with_long: bool) -> Vec<Scenario> {
    let mut all = vec![the_check_is_checked()];
    all.extend(convergence());
    all.extend(leaps());
    all.extend(steps_and_slews());
    all.extend(stops());
    all.extend(lies());
    all.extend(processes());
    all.extend(daemons::all());
    all.extend(devices::all());
    all.extend(timesyncd::all());
    all.extend(tightness::short());
    if with_long {
        all.extend(tightness::long());
    }
    all
}

fn the_check_is_checked() -> Scenario {
    Scenario {
        name: "check",
        about: "a plain reading of the kernel never misses, one with a quarter of the bound does",
        plan: Plan {
            observers: vec![
                honest("plain", Reader::KernelPlain),
                honest("too-sure", Reader::KernelTooSure),
            ],
            steps: vec![(500, Act::Chronyd { rtcsync: true })],
            ..plan(40_000, 15)
        },
        musts: vec![
            ("plain", Must::NeverMiss),
            ("plain", Must::Answer(10_000, 15_000)),
            ("too-sure", Must::Miss),
        ],
    }
}

fn convergence() -> Vec<Scenario> {
    let life = |rtcsync| {
        vec![
            (500, Act::Chronyd { rtcsync }),
            (24_000, Act::KillChronyd),
            (30_000, Act::Chronyd { rtcsync }),
        ]
    };
    vec![
        Scenario {
            name: "chronyd-fast",
            about: "chronyd with rtcsync, the oscillator 40 ppm slow; killed at 24 s, back at 30 s",
            plan: Plan { steps: life(true), ..plan(40_000, 45) },
            musts: always_right(20_000, 45_000),
        },
        Scenario {
            name: "chronyd-slow",
            about: "chronyd with rtcsync, the oscillator 90 ppm fast; killed at 24 s, back at 30 s",
            plan: Plan { steps: life(true), ..plan(-90_000, 45) },
            musts: always_right(20_000, 45_000),
        },
        Scenario {
            name: "chronyd-plain",
            about: "chronyd without rtcsync: only its own word confirms the kernel's bound",
            plan: Plan { steps: life(false), ..plan(40_000, 45) },
            musts: always_right(20_000, 45_000),
        },
        Scenario {
            name: "chronyd-jump",
            about: "chronyd's source lies by 2 s from 12 s on; chronyd follows it, the clock covers both",
            plan: Plan {
                steps: vec![
                    (500, Act::Chronyd { rtcsync: true }),
                    (12_000, Act::RefclockLies(2 * SECOND)),
                ],
                observers: and_sabotaged(&["newest-wins"]),
                ..plan(40_000, 60)
            },
            musts: vec![
                ("clock", Must::NeverMiss),
                ("clock", Must::Contradict),
                ("manual", Must::NeverMiss),
                ("manual", Must::Contradict),
            ],
        },
    ]
}

/// A leap second at 12 s, with an honest writer; `tai` is what the kernel is told.
fn leap(name: &'static str, about: &'static str, insert: bool, tai: Option<i64>) -> Scenario {
    let (at, before) = if insert { (AFTER_THE_INSERTED, 36) } else { (AFTER_THE_DELETED, 37) };
    let after = if insert { before + 1 } else { before - 1 };
    let mut steps = vec![
        (300, Act::KernelLeap(if insert { 1 } else { 2 })),
        // Last, so that no clock has any evidence before the kernel knows all this.
        (600, Act::Writer(Writer::Honest)),
    ];
    steps.extend(tai.map(|tai| (200, Act::Tai(tai))));
    let mut observers = match tai {
        // A second is deleted at a tick, too, but there is no time past it to be read.
        Some(_) if !insert => vec![],
        Some(_) => vec![sabotaged("kernel-tai", Reader::Eager)],
        None if insert => {
            vec![sabotaged("kernel-tai", Reader::Clock), sabotaged("no-leap-slack", Reader::Eager)]
        }
        None => vec![sabotaged("leap-forgotten", Reader::Clock)],
    };
    observers.extend([
        honest("clock", Reader::Clock),
        honest("manual", Reader::Manual),
        honest("eager", Reader::Eager),
    ]);
    let mut musts = always_right(2_000, 18_000);
    musts.extend([("eager", Must::NeverMiss), ("eager", Must::NeverContradict)]);
    Scenario {
        name,
        about,
        plan: Plan {
            date: at - 12 - i64::from(!insert),
            ahead_ns: 0,
            tai_offset: before,
            leap: Some(Leap { at, offset_after: after }),
            windows: vec![dense(11_800, 13_200)],
            observers,
            steps,
            ..plan(40_000, 18)
        },
        musts,
    }
}

fn leaps() -> Vec<Scenario> {
    vec![
        leap("leap-insert", "a leap second is inserted; nobody told the kernel TAI", true, None),
        leap("leap-insert-tai", "a leap second is inserted; the kernel knows TAI", true, Some(36)),
        leap("leap-delete", "a leap second is deleted; nobody told the kernel TAI", false, None),
        leap("leap-delete-tai", "a leap second is deleted; the kernel knows TAI", false, Some(37)),
    ]
}

fn steps_and_slews() -> Vec<Scenario> {
    let hour = 3600 * SECOND;
    vec![
        Scenario {
            name: "steps",
            about: "the wall clock is stepped by ±1 s, ±1 h and 5 ms, under an honest writer",
            plan: Plan {
                ahead_ns: 2 * MS,
                windows: (0..5).map(|i| dense(3_900 + i * 4_000, 4_200 + i * 4_000)).collect(),
                steps: vec![
                    (200, Act::Writer(Writer::Honest)),
                    (4_000, Act::Step(SECOND)),
                    (8_000, Act::Step(-SECOND)),
                    (12_000, Act::Step(hour)),
                    (16_000, Act::Step(-hour)),
                    (20_000, Act::SetOffset(5 * MS)),
                ],
                observers: [
                    and_sabotaged(&["trust-in-16-seconds"]),
                    vec![
                        honest("assumed", Reader::Assumed(500)),
                        sabotaged("no-step-timer", Reader::Assumed(500)),
                    ],
                ]
                .concat(),
                ..plan(40_000, 25)
            },
            musts: [
                always_right(2_000, 4_000),
                // A step ends the operator's word, and wakes the clock to find that out.
                vec![
                    ("assumed", Must::NeverMiss),
                    ("assumed", Must::Answer(1_000, 4_000)),
                    ("assumed", Must::NotBeAssumedFrom(5_000)),
                ],
            ]
            .concat(),
        },
        Scenario {
            name: "slews",
            about: "the wall clock is slewed by 500 ppm and by 100 000 ppm, under an honest writer",
            plan: Plan {
                ahead_ns: 2 * MS,
                steps: vec![
                    (200, Act::Writer(Writer::Honest)),
                    (4_000, Act::Frequency(500_000)),
                    (10_000, Act::Frequency(-500_000)),
                    (16_000, Act::Frequency(0)),
                    (17_000, Act::Tick(11_000)),
                    (21_000, Act::Tick(9_000)),
                    (25_000, Act::Tick(10_000)),
                ],
                observers: and_sabotaged(&["no-stale-addition", "no-slew-limit"]),
                ..plan(-90_000, 28)
            },
            musts: always_right(2_000, 4_000),
        },
    ]
}

fn stops() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "suspend",
            about: "suspended to memory for some 5 s, under an honest writer",
            plan: Plan {
                ahead_ns: 2 * MS,
                windows: vec![dense(7_500, 9_500)],
                steps: vec![(200, Act::Writer(Writer::Honest)), (7_000, Act::Suspend(5))],
                observers: and_sabotaged(&["old-bound-after-suspend", "suspend-unnoticed"]),
                ..plan(40_000, 14)
            },
            musts: vec![
                ("clock", Must::NeverMissButAfterResume),
                ("clock", Must::NoticeTheResumeWithin(500.0)),
                ("clock", Must::Answer(2_000, 7_000)),
                ("clock", Must::Answer(10_000, 14_000)),
                // Not in the seconds after the resume: the writer and the clock get to
                // run when they can, and which of them saw what first is not logged.
                ("clock", Must::BeAsNarrowAsTheEvidence(2_000, 7_000)),
                ("clock", Must::BeAsNarrowAsTheEvidence(10_500, 14_000)),
                // Until somebody calls `refresh()`.
                ("manual", Must::NeverMissButAfterResume),
                ("manual", Must::NoticeTheResumeWithin(500.0)),
                ("manual", Must::BeAsNarrowAsTheEvidence(2_000, 7_000)),
                ("manual", Must::BeAsNarrowAsTheEvidence(10_500, 14_000)),
            ],
        },
        Scenario {
            name: "pause",
            about: "the host stops the machine for 4 s, which nothing inside but the RTC shows",
            plan: Plan {
                ahead_ns: 2 * MS,
                observers: vec![
                    honest("clock", Reader::Clock),
                    honest("with-rtc", Reader::WithRtc),
                ],
                steps: vec![
                    (200, Act::Writer(Writer::Honest)),
                    (8_000, Act::Writer(Writer::None)),
                    (8_000, Act::HostPause(4_000)),
                    // The daemon finds out, and mends it.
                    (16_000, Act::Step(4 * SECOND)),
                    (16_000, Act::Writer(Writer::Honest)),
                ],
                ..plan(40_000, 20)
            },
            musts: vec![
                ("clock", Must::NeverMissBefore(8_000)),
                ("clock", Must::NeverMissFrom(16_500)),
                ("clock", Must::Contradict),
                ("with-rtc", Must::NeverMissBefore(8_000)),
                // The RTC is asked once a second.
                ("with-rtc", Must::NeverMissFrom(9_500)),
                ("with-rtc", Must::Answer(10_000, 16_000)),
                ("with-rtc", Must::Contradict),
            ],
        },
    ]
}

fn lies() -> Vec<Scenario> {
    let lying = |name, about, writer, sabotage| Scenario {
        name,
        about,
        plan: Plan {
            steps: vec![(200, Act::Writer(writer))],
            observers: and_sabotaged(&[sabotage]),
            ..plan(40_000, 8)
        },
        musts: vec![("clock", Must::NeverMiss), ("manual", Must::NeverMiss)],
    };
    vec![
        lying(
            "writer-zero",
            "a daemon writes a maxerror of 0, 300 ms off",
            Writer::Zero,
            "trust-in-zero",
        ),
        lying(
            "writer-16",
            "a daemon writes 16 µs with STA_PLL, 300 ms off",
            Writer::Sixteen,
            "trust-in-16",
        ),
        Scenario {
            name: "writer-pll",
            about: "a daemon has the kernel's PLL work 300 ms off, and states the rest",
            plan: Plan {
                steps: vec![(200, Act::Writer(Writer::Pll))],
                observers: and_sabotaged(&["no-pll-offset", "no-in-flight"]),
                ..plan(40_000, 14)
            },
            musts: vec![
                ("clock", Must::NeverMiss),
                ("clock", Must::Answer(2_000, 14_000)),
                ("manual", Must::NeverMiss),
            ],
        },
        Scenario {
            name: "writer-turns",
            about: "an honest daemon steps 300 ms away at 6 s and states a tenth of it",
            plan: Plan {
                ahead_ns: 2 * MS,
                steps: vec![
                    (200, Act::Writer(Writer::Honest)),
                    (6_000, Act::Step(300 * MS)),
                    (6_000, Act::Writer(Writer::Tenth)),
                ],
                observers: and_sabotaged(&["newest-wins"]),
                ..plan(40_000, 12)
            },
            musts: vec![
                ("clock", Must::NeverMiss),
                ("clock", Must::Contradict),
                ("manual", Must::NeverMiss),
                ("manual", Must::Contradict),
            ],
        },
        Scenario {
            name: "writer-tenth",
            about: "a daemon writes a tenth of its error, until the truth comes out at 8 s",
            plan: Plan {
                steps: vec![
                    (200, Act::Writer(Writer::Tenth)),
                    (8_000, Act::Step(300 * MS)),
                    (8_000, Act::Writer(Writer::Honest)),
                ],
                ..plan(40_000, 14)
            },
            musts: vec![
                ("clock", Must::Contradict),
                ("clock", Must::NeverMissFrom(8_500)),
                ("manual", Must::Contradict),
                ("manual", Must::NeverMissFrom(8_500)),
            ],
        },
    ]
}

fn processes() -> Vec<Scenario> {
    let honestly = |name, about, observers, mut steps: Vec<(u64, Act)>, seconds| {
        steps.push((200, Act::Writer(Writer::Honest)));
        let plan = Plan { ahead_ns: 0, observers, steps, ..plan(-190_000, seconds) };
        Scenario { name, about, plan, musts: Vec::new() }
    };
    vec![
        Scenario {
            musts: always_right(2_000, 5_000)
                .into_iter()
                .chain(always_right(15_500, 18_000))
                .collect(),
            ..honestly(
                "frozen",
                "the program and its sampler are stopped from 5 s to 15 s",
                and_sabotaged(&["no-drift"]),
                vec![(5_000, Act::Freeze(true)), (15_000, Act::Freeze(false))],
                18,
            )
        },
        Scenario {
            musts: vec![("forked", Must::NeverMiss), ("forked", Must::Answer(8_000, 20_000))],
            ..honestly(
                "forked",
                "a child of a fork reads on, and refreshes every 3 s",
                vec![honest("forked", Reader::Forked)],
                vec![],
                20,
            )
        },
        Scenario {
            musts: vec![("many", Must::NeverMiss), ("many", Must::Answer(0, 60_000))],
            ..honestly(
                "many",
                "1000 clocks in one process",
                vec![honest("many", Reader::Many(1000))],
                vec![],
                60,
            )
        },
    ]
}
