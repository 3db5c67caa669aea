//! `truechimer bench`.

use crate::{fits, host_is_undisciplined, run};

#[test]
fn it_measures_every_way_and_works_without_evidence() {
    let ran = run(&["bench", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let table = ran.json();
    let rows = table["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    let mut wanted = vec![
        "CLOCK_REALTIME",
        "CLOCK_MONOTONIC",
        "CLOCK_MONOTONIC_RAW",
        "CLOCK_REALTIME_COARSE",
        "CLOCK_BOOTTIME",
        "CLOCK_TAI",
        "SystemTime::now()",
        "Instant::now()",
        "Clock::now()",
        "Clock::earliest()",
    ];
    if cfg!(target_arch = "x86_64") {
        wanted.extend(["rdtsc", "rdtscp"]);
    }
    for name in wanted {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for row in rows {
        let number = |name: &str| row[name].as_f64().expect("a number");
        assert!(number("min_ns") > 0.0 && number("min_ns") <= number("median_ns"), "{row}");
        assert!(number("ratio_to_system_time") > 0.0, "{row}");
    }
    assert!(table["clock_error"].is_null(), "{table}");
    let assumed = table["assumed_error_ns"].as_str();
    assert_eq!(assumed, host_is_undisciplined().then_some("250000000"), "{table}");
}

#[test]
fn the_table_fits_and_says_what_was_assumed() {
    let ran = run(&["bench"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(fits(&ran.out), "{}", ran.out);
    if host_is_undisciplined() {
        assert!(ran.out.contains("assumes an error of 250ms"), "{}", ran.out);
    }
    let assumed = run(&["bench", "--assume", "1s"]);
    assert!(!assumed.out.contains("assumes an error"), "{}", assumed.out);
}
