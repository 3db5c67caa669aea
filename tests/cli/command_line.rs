//! Right and wrong command lines.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::{fits, run, truechimer};

#[test]
fn a_wrong_command_line_has_an_exit_code_of_its_own() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["tomorrow"], "tomorrow"),
        (&["now", "--tomorrow"], "--tomorrow"),
        (&["now", "today"], "today"),
        (&["now", "--assume"], "--assume"),
        (&["now", "--assume", "250"], "needs a unit"),
        (&["now", "--assume", "-5ms"], "cannot be negative"),
        (&["now", "--assume=-5ms"], "cannot be negative"),
        (&["now", "--assume", "0s"], "more than 0"),
        (&["now", "--assume", ""], "250ms"),
        (&["now", "--assume", "soon"], "250ms"),
        (&["now", "--assume", "25h"], "at most"),
        (&["now", "--assume", "500000000000y"], "at most 86400s"),
        (&["now", "--assume", "99999999999999999999999s"], "too long"),
        (&["now", "--assume", "1s", "--assume", "2s"], "--assume"),
        (&["now", "--max-drift-ppm", "0"], "from 1 to"),
        (&["now", "--max-drift-ppm", "100001"], "from 1 to"),
        (&["now", "--max-drift-ppm", "-1"], "from 1 to 100000"),
        (&["now", "--max-drift-ppm", "many"], "from 1 to 100000"),
        (&["now", "--max-drift-ppm", "4294967296"], "from 1 to 100000"),
        (&["now", "--wall-scale", "bing"], "utc, unknown, or a smear"),
        (&["now", "--max-width", "0s"], "more than 0"),
        (&["now", "--max-width", "1ns"], "--max-width"),
        (&["now", "--max-width", "1y"], "--max-width"),
        (&["now", "--counter", "sundial"], "monotonic-raw"),
        (&["watch", "--interval", "0s"], "more than 0"),
        (&["watch", "--interval", "1us"], "from 1ms to 1h"),
        (&["watch", "--interval", "2h"], "from 1ms to 1h"),
        (&["doctor", "--max-drift-ppm", "0"], "--max-drift-ppm"),
        (&["bench", "--assume", "1week"], "--assume"),
        (&["convert", "yesterday"], "yesterday"),
        (&["convert", ""], "truechimer: \"\": expected"),
        (&["leaps", "now"], "now"),
    ];
    for (args, part) in cases {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{args:?}: {}", ran.err);
        let in_one_line = ran.err.replace('\n', " ");
        assert!(in_one_line.contains(part), "{args:?}: {}", ran.err);
        assert!(fits(&ran.err), "{args:?}: {}", ran.err);
    }
}

#[test]
fn an_argument_that_is_not_utf_8_is_refused() {
    let output = truechimer(&["now", "--assume"]).arg(OsStr::from_bytes(b"\xff\xfe")).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn help_and_version_succeed() {
    let of = ["now", "watch", "doctor", "bench", "convert", "leaps"];
    let cases = of.iter().map(|command| vec![*command, "--help"]);
    for args in cases.chain([vec!["--help"], vec!["help", "now"], vec!["-h"]]) {
        let ran = run(&args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(fits(&ran.out), "{args:?}: {}", ran.out);
    }
    assert!(run(&["now", "--help"]).out.contains("64"), "exit codes are in the help");
    let version = run(&["--version"]);
    assert_eq!(version.out.trim(), concat!("truechimer ", env!("CARGO_PKG_VERSION")));
}
