//! Scenarios of real daemons that say what is not so, and of what looks like a daemon.
//!
//! All of these guests are at leisure (`plan::Leisure`): their time passes with the
//! instructions that they execute, so that minutes of waiting for a daemon take seconds, and
//! so that no outcome depends on what else the host does. What a daemon writes into the kernel
//! is its own; the truth comes from the plan, as everywhere.

use crate::plan::{Act, Hardware, Leisure, Observer, Place, Plan, Process, Reader, Writer};
use crate::scenario::{Must, Scenario, Status};
use crate::table::{honest, plan};

const MS: i64 = 1_000_000;
/// The user that has no privilege.
const NOBODY: u32 = 65_534;
/// Where the NTP server is that knows the truth: ntpsec follows nothing in 127.0.0.0/8.
const SERVER: &str = "10.0.0.2:123";

pub fn all() -> Vec<Scenario> {
    let mut all = oscillators();
    all.extend(foreign_steps());
    all.extend([chronyd_ends(), a_reference_that_is_off()]);
    all.extend(other_daemons());
    all.extend(impostors());
    all
}

/// A guest at leisure, whose chronyd (if it has one) updates its clock every 2^`poll` seconds.
pub fn at_leisure(rate_ppb: i64, seconds: u64, poll: u32) -> Plan {
    Plan { leisure: Some(Leisure { period_ms: 100, ask_ms: 100, poll }), ..plan(rate_ppb, seconds) }
}

fn contained(name: &str, reader: Reader) -> Observer {
    Observer { place: Place::Container, ..honest(name, reader) }
}

pub fn process(name: &str, argv: &[&str], files: &[(&str, &str)]) -> Process {
    let owned = |text: &&str| (*text).to_owned();
    Process {
        name: name.into(),
        argv: argv.iter().map(owned).collect(),
        uid: 0,
        files: files.iter().map(|&(path, text)| (path.into(), text.into())).collect(),
    }
}

pub fn ntp_server(address: &str) -> Act {
    Act::Start(process("ntp-server", &["/init", "ntp-server", address], &[]))
}

/// The kernel's own statement about the oscillator must not be passed over.
fn oscillators() -> Vec<Scenario> {
    let scenario = |name, about, rate_ppb, observers: Vec<Observer>, more: Vec<(_, Must)>| {
        let never_miss = |observer: &Observer| match observer.reader {
            Reader::MaxDrift(20) => ("narrow", Must::NeverMiss),
            Reader::Manual => ("manual", Must::NeverMiss),
            _ => ("clock", Must::NeverMiss),
        };
        let mut musts: Vec<_> = observers.iter().map(never_miss).collect();
        musts.extend(more);
        let steps = vec![(500, Act::Chronyd { rtcsync: true })];
        let plan = Plan { observers, steps, ..at_leisure(rate_ppb, 60, 0) };
        Scenario { name, about, plan, musts }
    };
    let both = || vec![honest("clock", Reader::Clock), honest("manual", Reader::Manual)];
    let settled = Must::HaveStatus { status: Status::Synchronized, from_ms: 40_000, to_ms: 60_000 };
    let beyond = Must::Refuse { reason: "OscillatorBeyondDrift", from_ms: 40_000, to_ms: 60_000 };
    vec![
        scenario(
            "oscillator-250",
            "the oscillator is 250 ppm slow, chronyd corrects it steadily, and 200 ppm are assumed",
            250_000,
            both(),
            ["clock", "manual"].map(|name| (name, settled)).into(),
        ),
        scenario(
            "oscillator-2000",
            "the oscillator is 2000 ppm fast, chronyd corrects it steadily, and 200 ppm are assumed",
            -2_000_000,
            both(),
            ["clock", "manual"].map(|name| (name, beyond)).into(),
        ),
        scenario(
            "oscillator-100-of-20",
            "the oscillator is 100 ppm fast, chronyd corrects it steadily, and 20 ppm are assumed",
            -100_000,
            vec![honest("narrow", Reader::MaxDrift(20))],
            vec![("narrow", settled)],
        ),
    ]
}

/// Another process steps the clock under a chronyd that polls every 16 s.
fn foreign_steps() -> Vec<Scenario> {
    let scenario = |name, about, by| Scenario {
        name,
        about,
        plan: Plan {
            steps: vec![(500, Act::Chronyd { rtcsync: true }), (200_000, Act::Step(by))],
            ..at_leisure(40_000, 320, 4)
        },
        musts: vec![
            ("clock", Must::NeverMiss),
            ("clock", Must::Answer(150_000, 200_000)),
            // By then chronyd has taken the step in.
            ("clock", Must::Answer(300_000, 320_000)),
            ("manual", Must::NeverMiss),
        ],
    };
    vec![
        scenario(
            "foreign-step-ahead",
            "another process steps the clock by 20 ms under a chronyd that polls every 16 s",
            20 * MS,
        ),
        scenario(
            "foreign-step-back",
            "another process steps the clock by -5 ms under a chronyd that polls every 16 s",
            -5 * MS,
        ),
    ]
}

fn chronyd_ends() -> Scenario {
    Scenario {
        name: "chronyd-ends",
        about: "a chronyd that polls every second is killed at 30 s, and another starts at 90 s",
        plan: Plan {
            steps: vec![
                (500, Act::Chronyd { rtcsync: true }),
                (30_000, Act::KillChronyd),
                (90_000, Act::Chronyd { rtcsync: true }),
            ],
            ..at_leisure(40_000, 120, 0)
        },
        musts: ["clock", "manual"]
            .into_iter()
            .flat_map(|name| {
                let (synchronized, holdover) = (Status::Synchronized, Status::Holdover);
                let have = |status, from_ms, to_ms| Must::HaveStatus { status, from_ms, to_ms };
                [
                    (name, Must::NeverMiss),
                    (name, Must::NeverContradict),
                    (name, have(synchronized, 20_000, 30_000)),
                    // Ten of its update intervals later at the latest.
                    (name, have(holdover, 40_000, 90_000)),
                    (name, Must::Answer(40_000, 90_000)),
                    (name, have(synchronized, 110_000, 120_000)),
                ]
            })
            .collect(),
    }
}

/// chronyd takes a network card's clock for exact, as Azure's documented line has it do.
fn a_reference_that_is_off() -> Scenario {
    let chrony_conf = "refclock PHC /dev/ptp0 poll 3 dpoll -2 offset 0 stratum 2\n\
                       rtcsync\nmakestep 1.0 3\nbindcmdaddress 127.0.0.1\n\
                       bindcmdaddress /run/chrony/chronyd.sock\npidfile /run/chronyd.pid\n";
    let argv = ["/usr/sbin/chronyd", "-d", "-u", "root", "-F", "0", "-f", "/run/phc.conf"];
    // The folder is there with a file in it.
    let files = [("/run/phc.conf", chrony_conf), ("/run/chrony/.keep", "")];
    Scenario {
        name: "reference-phc",
        about: "chronyd follows a network card's clock that is 4.65 ms off, and takes it for exact",
        plan: Plan {
            hardware: Hardware::NetworkCards,
            ahead_ns: 0,
            observers: vec![
                honest("clock", Reader::Clock),
                honest("stated", Reader::ReferenceError(10)),
            ],
            steps: vec![
                (100, Act::SetPhc(-4_650_000)),
                (500, Act::Start(process("chronyd", &argv, &files))),
            ],
            ..at_leisure(0, 90, 0)
        },
        musts: vec![
            ("clock", Must::NeverMiss),
            (
                "clock",
                Must::Refuse { reason: "ReferenceStatesNoBound", from_ms: 60_000, to_ms: 90_000 },
            ),
            ("stated", Must::NeverMiss),
            ("stated", Must::NeverContradict),
            (
                "stated",
                Must::HaveStatus { status: Status::Synchronized, from_ms: 60_000, to_ms: 90_000 },
            ),
        ],
    }
}

/// ntpd of ntpsec, which follows `reference`, with the restrictions of Debian's configuration.
fn ntpsec(reference: &str) -> Act {
    let conf = format!(
        "driftfile /run/ntp.drift\n\
         restrict default kod nomodify nopeer noquery limited\n\
         restrict 127.0.0.1\nrestrict ::1\n{reference}\n"
    );
    let argv = ["/usr/sbin/ntpd", "-n", "-g", "-c", "/run/ntp.conf"];
    // With a drift file it does not measure the frequency first, for a quarter of an hour.
    let files = [("/run/ntp.conf", conf.as_str()), ("/run/ntp.drift", "0.000\n")];
    Act::Start(process("ntpsec", &argv, &files))
}

fn other_daemons() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "ntpsec",
            about: "ntpsec follows a server by NTP",
            plan: Plan {
                observers: vec![
                    honest("clock", Reader::Clock),
                    honest("manual", Reader::Manual),
                    contained("contained", Reader::Clock),
                ],
                steps: vec![
                    (200, ntp_server(SERVER)),
                    (500, ntpsec("server 10.0.0.2 iburst minpoll 3 maxpoll 3")),
                ],
                ..at_leisure(40_000, 120, 3)
            },
            musts: vec![
                ("clock", Must::NeverMiss),
                ("clock", Must::NeverContradict),
                ("clock", Must::Answer(60_000, 120_000)),
                // The step of 300 ms at its start is its own.
                ("clock", Must::BeNarrowerThan { width_ms: 150, from_ms: 60_000, to_ms: 120_000 }),
                ("manual", Must::NeverMiss),
                ("manual", Must::Answer(60_000, 120_000)),
                ("contained", Must::NeverMiss),
                ("contained", unknown_writer(60_000, 120_000)),
            ],
        },
        Scenario {
            name: "ntpsec-local",
            about: "ntpsec follows nothing but its own clock, 300 ms off",
            plan: Plan {
                steps: vec![(500, ntpsec("refclock local prefer minpoll 3 maxpoll 3 stratum 10"))],
                ..at_leisure(40_000, 120, 3)
            },
            musts: ["clock", "manual"]
                .into_iter()
                .flat_map(|name| [(name, Must::NeverMiss), (name, Must::NeverAnswer)])
                .collect(),
        },
        Scenario {
            name: "ntpd-rs-hidden",
            about: "ntpd-rs, out of sight in another process namespace, has 8 ms still to correct",
            plan: Plan {
                ahead_ns: 8 * MS,
                observers: vec![
                    contained("contained", Reader::Clock),
                    contained("any-writer", Reader::AnyWriter),
                ],
                steps: vec![(200, ntp_server("10.0.0.2:11123")), (500, Act::Start(ntpd_rs()))],
                ..at_leisure(0, 150, 4)
            },
            musts: vec![
                ("contained", Must::NeverMiss),
                ("contained", unknown_writer(60_000, 150_000)),
                // The operator believes it, and that shows that there is something to refuse.
                ("any-writer", Must::Miss),
            ],
        },
        Scenario {
            name: "ptpd",
            about: "ptpd follows a master that is 300 ms off, and states its last offset as its error",
            plan: Plan {
                hardware: Hardware::NetworkCards,
                observers: vec![
                    honest("clock", Reader::Clock),
                    honest("manual", Reader::Manual),
                    contained("any-writer", Reader::AnyWriter),
                ],
                steps: vec![
                    (500, Act::Start(ptpd("master", "eth1", "masteronly", "Y"))),
                    (1_000, Act::Start(ptpd("slave", "eth0", "slaveonly", "N"))),
                ],
                ..at_leisure(0, 60, 0)
            },
            musts: vec![
                ("clock", Must::NeverMiss),
                ("clock", Must::NeverAnswer),
                ("manual", Must::NeverMiss),
                ("any-writer", Must::Miss),
            ],
        },
    ]
}

fn unknown_writer(from_ms: u64, to_ms: u64) -> Must {
    Must::Refuse { reason: "WriterUnknown", from_ms, to_ms }
}

fn ntpd_rs() -> Process {
    let conf = "[observability]\nlog-level = \"info\"\n\
                [[source]]\nmode = \"server\"\naddress = \"10.0.0.2:11123\"\n\
                [source-defaults]\npoll-interval-limits = { min = 4, max = 4 }\n\
                [synchronization]\nminimum-agreeing-sources = 1\n";
    let argv = ["/usr/bin/ntp-daemon", "-c", "/run/ntp.toml"];
    process("ntpd-rs", &argv, &[("/run/ntp.toml", conf)])
}

/// One end of a PTP domain of two, over the wire between the network cards.
fn ptpd(role: &str, interface: &str, preset: &str, no_adjust: &str) -> Process {
    let at = format!("/run/ptpd-{role}.conf");
    let conf = format!(
        "ptpengine:interface={interface}\nptpengine:preset={preset}\n\
         ptpengine:transport=ethernet\nptpengine:delay_mechanism=E2E\n\
         clock:no_adjust={no_adjust}\nglobal:foreground=Y\nglobal:ignore_lock=Y\n\
         global:verbose_foreground=Y\n"
    );
    process(&format!("ptpd-{role}"), &["/usr/sbin/ptpd", "-c", &at], &[(&at, &conf)])
}

/// Whoever has no privilege can neither be the writer of the kernel's bound nor confirm it.
fn impostors() -> Vec<Scenario> {
    let impostor = process("impostor", &["/init", "idle-as", "phc2sys"], &[]);
    let forge = process(
        "forge",
        &["/init", "forge-chronyd"],
        &[("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")],
    );
    vec![
        Scenario {
            name: "impostor-phc2sys",
            about: "beside chronyd runs a process of some user that calls itself phc2sys",
            plan: Plan {
                observers: vec![
                    honest("clock", Reader::Clock),
                    honest("manual", Reader::Manual),
                    contained("contained", Reader::Clock),
                    contained("any-writer", Reader::AnyWriter),
                ],
                steps: vec![
                    (300, Act::Start(Process { uid: NOBODY, ..impostor })),
                    (500, Act::Chronyd { rtcsync: true }),
                ],
                ..at_leisure(40_000, 60, 0)
            },
            musts: ["clock", "manual", "any-writer"]
                .into_iter()
                .flat_map(|name| {
                    let status = Status::Synchronized;
                    [
                        (name, Must::NeverMiss),
                        (name, Must::NeverContradict),
                        (name, Must::HaveStatus { status, from_ms: 30_000, to_ms: 60_000 }),
                    ]
                })
                .chain([
                    ("contained", Must::NeverMiss),
                    ("contained", unknown_writer(30_000, 60_000)),
                ])
                .collect(),
        },
        Scenario {
            name: "forged-chronyd",
            about: "a process of some user answers as chronyd, and confirms what is 300 ms off",
            plan: Plan {
                observers: vec![
                    honest("clock", Reader::Clock),
                    honest("manual", Reader::Manual),
                    honest("chrony", Reader::ChronyOnly),
                ],
                steps: vec![
                    (200, Act::Start(Process { uid: NOBODY, ..forge })),
                    (500, Act::Writer(Writer::TenthFlagged)),
                ],
                ..at_leisure(40_000, 30, 0)
            },
            musts: ["clock", "manual", "chrony"]
                .into_iter()
                .flat_map(|name| [(name, Must::NeverMiss), (name, Must::NeverAnswer)])
                .collect(),
        },
    ]
}
