//! Scenarios of PTP hardware clocks and of ClockBound's segment, each read directly.
//!
//! The guests are at leisure, as those of `daemons`.

use crate::daemons::{at_leisure, ntp_server, process};
use crate::plan::{Act, Hardware, Observer, Place, Plan, Reader, TSC_INVARIANT, Writer};
use crate::scenario::{Must, Scenario, Status};
use crate::table::{honest, sabotaged};

const MS: i64 = 1_000_000;
const TAI_MINUS_UTC: i64 = 37_000 * MS;
/// Where EC2 has its time servers.
const EC2_SERVER: &str = "169.254.169.123:123";

pub fn all() -> Vec<Scenario> {
    vec![phc(), clockbound()]
}

/// qemu's igb keeps the guest's time, and its e1000e runs 2.6 times too fast.
fn phc() -> Scenario {
    let end_ms = 20_000;
    let narrow = Must::BeNarrowerThan { width_ms: 3, from_ms: 2_000, to_ms: end_ms };
    let named = |reason| Must::Refuse { reason, from_ms: 2_000, to_ms: end_ms };
    Scenario {
        name: "phc",
        about: "two network cards' clocks show TAI within 1 ms, but one of them runs 2.6 times too fast",
        plan: Plan {
            hardware: Hardware::CardThatRunsWrong,
            observers: vec![
                honest("igb", Reader::Phc(0)),
                honest("e1000e", Reader::Phc(1)),
                honest("beside-igb", Reader::PhcBesideKernel(0)),
                honest("beside-e1000e", Reader::PhcBesideKernel(1)),
                honest("report-igb", Reader::PhcInReport(0)),
                honest("report-e1000e", Reader::PhcInReport(1)),
            ],
            steps: vec![
                (0, Act::SetPhc(TAI_MINUS_UTC)),
                (0, Act::Writer(Writer::Honest)),
                // Once more: to its error this is no step.
                (10_000, Act::SetPhc(TAI_MINUS_UTC)),
            ],
            ..at_leisure(0, end_ms / 1_000, 0)
        },
        musts: vec![
            ("igb", Must::NeverMiss),
            ("igb", Must::NeverContradict),
            ("igb", narrow),
            (
                "igb",
                Must::HaveStatus { status: Status::Synchronized, from_ms: 2_000, to_ms: end_ms },
            ),
            ("e1000e", Must::NeverAnswer),
            ("beside-igb", Must::NeverMiss),
            ("beside-igb", Must::NeverContradict),
            ("beside-igb", narrow),
            ("beside-e1000e", Must::NeverMiss),
            ("beside-e1000e", Must::NeverContradict),
            ("beside-e1000e", Must::Answer(2_000, end_ms)),
            ("report-igb", named("NotNamed")),
            ("report-e1000e", named("RunsWrong")),
        ],
    }
}

/// ClockBound's own daemon, as on EC2, follows a server that tells the truth. It slews the clock
/// by 60 ms at first, and leaves that out of the bound that it gives the kernel.
fn clockbound() -> Scenario {
    let segment = Observer {
        name: "segment".into(),
        build: TSC_INVARIANT.into(),
        reader: Reader::ClockBound,
        place: Place::Host,
    };
    let daemon = process(
        "clockbound",
        &["/usr/bin/clockbound", "-c", "/etc/clockbound.toml"],
        // The folder is there with a file in it.
        &[("/etc/clockbound.toml", ""), ("/var/run/clockbound/.keep", "")],
    );
    let (from_ms, end_ms) = (60_000, 120_000);
    Scenario {
        name: "clockbound",
        about: "ClockBound 3 takes the guest for a machine of EC2, and corrects 60 ms",
        plan: Plan {
            hardware: Hardware::Ec2,
            ahead_ns: 60 * MS,
            observers: vec![
                segment,
                honest("clock", Reader::Clock),
                honest("plain", Reader::KernelPlain),
                sabotaged("no-pll-offset", Reader::Clock),
            ],
            steps: vec![(200, ntp_server(EC2_SERVER)), (500, Act::Start(daemon))],
            ..at_leisure(40_000, end_ms / 1_000, 0)
        },
        musts: vec![
            ("segment", Must::NeverMiss),
            ("segment", Must::NeverContradict),
            ("segment", Must::Answer(from_ms, end_ms)),
            ("segment", Must::BeNarrowerThan { width_ms: 10, from_ms, to_ms: end_ms }),
            ("clock", Must::NeverMiss),
            ("clock", Must::Answer(from_ms, end_ms)),
            // What `clock` adds for STA_PLL is missing in it.
            ("plain", Must::Miss),
        ],
    }
}
