//! `truechimer now`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use truechimer::{Interval, Timestamp};

use crate::{assert_host_is_undisciplined, fits, host_is_undisciplined, run};

/// The wall clock, as TAI.
fn wall_clock() -> Timestamp {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_tai_nanos(37_000_000_000).saturating_add(unix)
}

#[test]
#[ignore = "needs a host whose clock nothing disciplines"]
fn without_evidence_it_says_why_and_what_to_do_and_exits_2() {
    assert_host_is_undisciplined();
    let ran = run(&["now"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.out, "", "there is no time to print");
    let (reason, remedy) = ran.err.split_once("\nto do: ").expect("a remedy on a new line");
    assert!(reason.contains("nothing disciplines its clock"), "{}", ran.err);
    assert!(remedy.contains("chronyd") && remedy.contains("`--assume 250ms`"), "{}", ran.err);
    assert!(fits(&ran.err));
}

#[test]
#[ignore = "needs a host whose clock nothing disciplines"]
fn without_evidence_the_json_has_reason_and_remedy_and_it_exits_2_too() {
    assert_host_is_undisciplined();
    let ran = run(&["now", "--json"]);
    assert_eq!(ran.code, Some(2));
    let answer = ran.json();
    assert_eq!(answer["status"], "unsynchronized");
    assert_eq!(answer["usable"], false);
    assert_eq!(answer["reason_code"], "kernel_unsynchronized");
    assert!(answer["reason"].as_str().is_some_and(|text| text.contains("STA_UNSYNC")));
    assert!(answer["remedy"].as_str().is_some_and(|text| text.contains("--assume")));
    assert!(answer["interval"].is_null());
}

#[test]
fn an_assumed_error_gives_an_interval_around_the_wall_clock() {
    let before = wall_clock();
    let ran = run(&["now", "--assume", "250ms"]);
    let after = wall_clock();
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(fits(&ran.out), "{}", ran.out);
    let mut lines = ran.out.lines();
    let interval: Interval = lines.next().expect("a line").parse().expect("an interval");
    let read = Interval::new(before, after).expect("in order");
    assert!(interval.overlaps(&read), "{interval} and {read}");
    let how_well = lines.next().expect("a second line");
    assert!(how_well.starts_with("± ") && how_well.contains("width "), "{how_well}");
    if host_is_undisciplined() {
        assert!(interval.width() >= Duration::from_millis(500), "{interval}");
        assert!(interval.width() < Duration::from_millis(600), "{interval}");
        assert!(how_well.contains("assumed"), "{how_well}");
        assert!(ran.out.contains("you (--assume)"), "{}", ran.out);
    }
}

#[test]
fn the_json_gives_each_moment_twice_and_each_width_in_nanoseconds() {
    let ran = run(&["now", "--assume", "1.5s", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let answer = ran.json();
    let end = |name: &str| {
        let end = &answer["interval"][name];
        let text = end["utc"].as_str().expect("text");
        let t: Timestamp = text.parse().expect("UTC");
        assert_eq!(end["tai_ns"], t.tai_nanos().to_string(), "{name}");
        t.tai_nanos()
    };
    let width = u64::try_from(end("latest") - end("earliest")).expect("in order");
    assert_eq!(answer["interval"]["width_ns"], width.to_string());
    assert_eq!(answer["interval"]["error_ns"], width.div_ceil(2).to_string());
    assert_eq!(answer["usable"], true);
    assert!(answer["reason"].is_null() && answer["remedy"].is_null());
    assert!(!answer["vouched_by"].as_array().expect("a list").is_empty());
}

#[test]
fn the_counter_can_be_chosen() {
    let ran = run(&["now", "--assume", "250ms", "--json", "--counter", "monotonic-raw"]);
    assert_eq!((ran.code, ran.json()["counter"].as_str()), (Some(0), Some("monotonic_raw")));
    // One of the two is of another architecture than this.
    let foreign = if cfg!(target_arch = "aarch64") { "tsc" } else { "cntvct" };
    let ran = run(&["now", "--assume", "250ms", "--counter", foreign]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("--counter auto"), "{}", ran.err);
}

#[test]
fn the_wall_clocks_scale_can_be_chosen() {
    for scale in ["utc", "google", "aws", "meta", "meta-ptp", "chrony", "utc-sls", "unknown"] {
        for command in ["now", "doctor"] {
            let ran = run(&[command, "--assume", "250ms", "--wall-scale", scale]);
            assert_eq!(ran.code, Some(0), "{command} {scale}: {}", ran.err);
        }
    }
}

#[test]
fn a_wide_assumption_needs_a_wide_limit() {
    let ran = run(&["now", "--assume", "10s"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""));
    assert!(ran.err.contains("--max-width") && ran.err.contains("--assume"), "{}", ran.err);
    let ran = run(&["now", "--assume", "10s", "--max-width", "1min", "--max-drift-ppm", "100000"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
