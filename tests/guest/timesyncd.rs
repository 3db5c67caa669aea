//! Scenarios of a real systemd-timesyncd on a real bus.
//!
//! Its server is off by exactly what it states, or the way to it is slow on one side. The guests
//! are at leisure, as those of `daemons`: their minutes take seconds.

use crate::plan::{Act, Leisure, Plan, Process, Reader};
use crate::scenario::{Must, Scenario, Status};
use crate::table::{honest, plan};

const MS: i64 = 1_000_000;
/// 2026-06-01T00:00:00Z: timesyncd sets a clock that is earlier than its own build forward.
const AFTER_ITS_BUILD: i64 = 1_780_272_000;

const BUS_CONF: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <user>messagebus</user>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <policy user="systemd-timesync">
    <allow own="org.freedesktop.timesync1"/>
    <allow send_destination="org.freedesktop.timesync1"/>
    <allow receive_sender="org.freedesktop.timesync1"/>
  </policy>
  <policy context="default">
    <deny send_destination="org.freedesktop.timesync1"/>
    <allow send_destination="org.freedesktop.timesync1"
           send_interface="org.freedesktop.DBus.Properties" send_member="Get"/>
    <allow receive_sender="org.freedesktop.timesync1"/>
  </policy>
</busconfig>
"#;

const PASSWD: &str = "root:x:0:0:root:/:/bin/false\n\
                      messagebus:x:991:991::/:/bin/false\n\
                      systemd-timesync:x:990:990::/:/bin/false\n\
                      nobody:x:65534:65534::/:/bin/false\n";
const GROUP: &str = "root:x:0:\nmessagebus:x:991:\nsystemd-timesync:x:990:\nnogroup:x:65534:\n";

/// timesyncd, and what happens to it and to its server (see `program/timesyncd.rs`).
fn timesyncd(poll_max_s: u32, events: &[&str]) -> Act {
    let conf = format!(
        "[Time]\nNTP=127.0.0.1\nFallbackNTP=\nPollIntervalMinSec=16\nPollIntervalMaxSec={poll_max_s}\n"
    );
    let own = ["/init", "timesyncd", "/usr/bin/dbus-daemon", "/lib/systemd/systemd-timesyncd"];
    let files = [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/run/dbus/bus.conf", BUS_CONF),
        ("/etc/systemd/timesyncd.conf", &conf),
    ];
    Act::Start(Process {
        name: "timesyncd".into(),
        argv: own.iter().chain(events).map(|&word| word.into()).collect(),
        uid: 0,
        files: files.iter().map(|&(path, text)| (path.into(), text.into())).collect(),
    })
}

fn at_leisure(ahead_ns: i64, rate_ppb: i64, seconds: u64) -> Plan {
    Plan {
        date: AFTER_ITS_BUILD,
        ahead_ns,
        leisure: Some(Leisure { period_ms: 100, ask_ms: 100, poll: 0 }),
        observers: vec![
            honest("clock", Reader::Clock),
            honest("manual", Reader::Manual),
            honest("late", Reader::Reborn(23)),
        ],
        ..plan(rate_ppb, seconds)
    }
}

fn always_right() -> Vec<(&'static str, Must)> {
    ["clock", "manual", "late"]
        .into_iter()
        .flat_map(|name| [(name, Must::NeverMiss), (name, Must::NeverContradict)])
        .collect()
}

pub fn all() -> Vec<Scenario> {
    let have = |status, from_ms, to_ms| Must::HaveStatus { status, from_ms, to_ms };
    let mut slewed = always_right();
    slewed.extend([
        ("clock", Must::Answer(5_000, 60_000)),
        // Then it is restarted and stopped, and what it stated before ages meanwhile.
        ("clock", have(Status::Synchronized, 60_000, 219_000)),
        ("clock", have(Status::Synchronized, 310_000, 320_000)),
        ("late", Must::Answer(60_000, 320_000)),
        // The server is mute from 330 s on, and the last exchange ages.
        ("clock", Must::Answer(330_000, 420_000)),
        ("clock", have(Status::Synchronized, 500_000, 520_000)),
    ]);
    let mut stepped = always_right();
    stepped.extend([
        ("clock", Must::Answer(5_000, 60_000)),
        ("clock", Must::Answer(100_000, 110_000)),
        ("clock", have(Status::Synchronized, 260_000, 280_000)),
    ]);
    vec![
        Scenario {
            name: "timesyncd",
            about: "timesyncd slews 300 ms; its server is off by its bound, slow on one side, mute; \
                    it is restarted in a slew, and stopped",
            plan: Plan {
                steps: vec![(
                    300,
                    timesyncd(
                        64,
                        &[
                            "0:serve,5000,5000,0,0",
                            "60000:serve,5000,5000,300,0",
                            "140000:serve,-5000,5000,0,300",
                            "220000:restart",
                            "226000:restart",
                            "230000:serve,-5000,5000,2,0",
                            "260000:restart",
                            "300000:stop",
                            "303000:go",
                            "330000:mute",
                            "420000:serve,1000,1000,1,1",
                        ],
                    ),
                )],
                ..at_leisure(300 * MS, 40_000, 520)
            },
            musts: slewed,
        },
        Scenario {
            name: "timesyncd-steps",
            about: "timesyncd steps 2.5 s; another program steps the clock by -1 s and by 50 ms",
            plan: Plan {
                steps: vec![
                    (300, timesyncd(64, &["0:serve,-2000,2000,20,0"])),
                    (120_000, Act::Step(-1_000 * MS)),
                    (200_000, Act::Step(50 * MS)),
                ],
                ..at_leisure(2_500 * MS, -120_000, 280)
            },
            musts: stepped,
        },
    ]
}
