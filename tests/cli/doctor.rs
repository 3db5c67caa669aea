//! `truechimer doctor`.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};
use serde_json::Value;
use truechimer::source::KernelState;

use crate::bus::Bus;
use crate::{fits, host_is_undisciplined, run, truechimer, wait};

#[test]
fn the_verdict_comes_first_and_every_part_follows() {
    let ran = run(&["doctor"]);
    assert!(ran.out.starts_with("This host's clock "), "{}", ran.out);
    let mut rest = ran.out.as_str();
    for part in [
        "\nSources of time\n",
        "\nCounter\n",
        "clocksource",
        "\nKernel (adjtimex)\n",
        "\nTime daemon\n",
        "\nLeap seconds and TAI\n",
        "TAI − UTC",
        "leap second",
        "table in use",
        "built into truechimer",
        "system table",
        "\nHost\n",
        "machine",
        "container",
        "suspended",
        "VMClock",
        "PTP clock",
        "RTC",
        "\nWhat to do next\n",
        "  1. ",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} in {}", ran.out));
        rest = &rest[at + part.len()..];
    }
    assert!(fits(&ran.out), "{}", ran.out);
    assert!(!ran.out.contains('\x1b'), "no colours into a pipe");
}

#[test]
fn every_field_of_adjtimex_is_there() {
    if KernelState::read().is_err() {
        return;
    }
    let text = run(&["doctor"]).out;
    for field in [
        "time",
        "state",
        "status",
        "maxerror",
        "esterror",
        "offset",
        "freq",
        "tick",
        "constant",
        "precision",
        "tolerance",
        "tai",
    ] {
        assert!(text.contains(&format!("\n  {field:<13} ")), "{field} in {text}");
    }
    assert!(text.contains("\n  PPS ") || text.contains("\n  ppsfreq "), "{text}");
}

#[test]
fn its_exit_code_is_that_of_now() {
    assert_eq!(run(&["doctor"]).code, run(&["now"]).code);
    let assumed = run(&["doctor", "--assume", "250ms"]);
    assert_eq!((assumed.code, assumed.err.as_str()), (Some(0), ""));
    if host_is_undisciplined() {
        assert_eq!(run(&["doctor"]).code, Some(2));
        assert!(assumed.out.starts_with("This host's clock is assumed to be right"));
    }
}

#[test]
fn the_json_has_the_verdict_and_every_part() {
    for args in [&["doctor", "--json"][..], &["doctor", "--json", "--assume", "250ms"]] {
        let ran = run(args);
        let answer = ran.json();
        assert_eq!(ran.code, Some(if answer["usable"] == true { 0 } else { 2 }));
        for part in [
            "verdict",
            "status",
            "counter_details",
            "kernel",
            "daemons",
            "tai",
            "leap",
            "leap_tables",
            "virtual_machine",
            "container",
            "suspend",
            "devices",
            "clockbound",
            "timesyncd",
            "sources",
            "sampler",
            "limits",
            "next_steps",
        ] {
            assert!(!answer[part].is_null(), "{part}");
        }
        let explained = answer["reason"].is_string() && answer["remedy"].is_string();
        assert_eq!(explained, answer["usable"] == false);
        assert!(answer["next_steps"].as_array().is_some_and(|steps| !steps.is_empty()));
        if let Ok(kernel) = KernelState::read() {
            assert_eq!(answer["kernel"]["status"], kernel.status);
            assert_eq!(answer["kernel"]["tai"], kernel.tai);
            assert!(answer["kernel"]["tick_us"].is_string() && answer["kernel"]["pps"].is_object());
        }
    }
}

#[test]
fn timesyncd_s_last_exchange_is_shown() {
    let bus = Bus::new();
    let doctor = |args: &[&str]| {
        let mut command = truechimer(args);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", bus.path().display()));
        String::from_utf8(command.output().expect("it starts").stdout).expect("UTF-8")
    };
    let json = doctor(&["doctor", "--json", "--assume", "250ms"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let view = &json["timesyncd"];
    let exchange = &view["exchange"];
    let fields = (&exchange["stratum"], &exchange["root_dispersion_us"], &exchange["spike"]);
    assert_eq!(fields, (&Value::from(2), &Value::from("500"), &Value::from(false)), "{view}");
    assert!(exchange["destination_us"].is_string(), "{view}");
    assert!(view["age_s"].as_i64().is_some_and(|age| (-1..60).contains(&age)), "{view}");
    assert!(view["refusal"].is_null() && view["error"].is_null(), "{view}");
    let mut found = Vec::new();
    numbers_that_should_be_text("timesyncd", view, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let text = doctor(&["doctor", "--assume", "250ms"]);
    assert!(text.contains("\n  timesyncd "), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("s ago by the wall clock: stratum 2, root distance 1.002 ms"), "{text}");
}

/// The paths of all numbers in `json` that a double would not keep, or whose names say that
/// they count nanoseconds or microseconds.
fn numbers_that_should_be_text(path: &str, json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                let counts = ["_ns", "_us", "_nanos"].iter().any(|unit| name.ends_with(unit));
                if counts && field.is_number() {
                    found.push(path.clone());
                }
                numbers_that_should_be_text(&path, field, found);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| numbers_that_should_be_text(path, item, found));
        }
        Value::Number(number) => {
            let is_kept = number.as_i64().is_none_or(|n| n.unsigned_abs() <= 1 << 53);
            if !is_kept || number.as_u64().is_some_and(|n| n > 1 << 53) {
                found.push(path.to_owned());
            }
        }
        _ => {}
    }
}

#[test]
fn what_counts_nanoseconds_is_text_in_every_command() {
    for args in [
        &["now", "--json", "--assume", "250ms"][..],
        &["doctor", "--json", "--assume", "250ms"],
        &["leaps", "--json"],
        &["convert", "--json", "2016-12-31T23:59:60.5Z"],
        &["convert", "--json", "[2016-12-31T23:59:60Z, 2017-01-01T00:00:00Z]"],
    ] {
        let mut found = Vec::new();
        numbers_that_should_be_text(args[0], &run(args).json(), &mut found);
        assert_eq!(found, Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn a_counter_that_cannot_be_trusted_does_not_end_the_diagnosis() {
    let foreign = if cfg!(target_arch = "aarch64") { "tsc" } else { "cntvct" };
    let ran = run(&["doctor", "--assume", "250ms", "--counter", foreign]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("may not be trusted"), "{}", ran.err);
}

/// What the doctor writes to a terminal with these environment variables.
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).expect("a terminal can be opened");
    let mut child = truechimer(&["doctor", "--assume", "250ms"])
        .envs(variables.iter().copied())
        .stdout(Stdio::from(terminal.slave))
        .spawn()
        .expect("it starts");
    let mut screen = fs::File::from(terminal.master);
    let mut seen = Vec::new();
    let mut some = [0; 4096];
    while let Ok(read @ 1..) = screen.read(&mut some) {
        seen.extend_from_slice(&some[..read]);
    }
    assert_eq!(wait(&mut child).code(), Some(0));
    String::from_utf8(seen).expect("UTF-8")
}

#[test]
fn colours_are_written_to_terminals_whose_users_want_them() {
    assert!(on_a_terminal(&[("TERM", "xterm")]).contains("\x1b["));
    assert!(on_a_terminal(&[("TERM", "xterm"), ("NO_COLOR", "")]).contains("\x1b["));
    for plain in [&[("TERM", "xterm"), ("NO_COLOR", "1")][..], &[("TERM", "dumb")]] {
        assert!(!on_a_terminal(plain).contains('\x1b'), "{plain:?}");
    }
}
