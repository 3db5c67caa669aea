//! The program inside the guests: the first process, and the observers that it starts.
//!
//! As the first process it is the conductor: it knows the truth, plays the
//! reference clock to chronyd, and does to the guest what the plan says. As
//! `observe NAME RAW0` it reads a clock until the plan ends. Statically linked,
//! so that the guest needs nothing but this file, the plan and chronyd.

// Each side uses its half of what is shared.
#[allow(dead_code)]
#[path = "../plan.rs"]
mod plan;
#[allow(dead_code)]
#[path = "../record.rs"]
mod record;

mod chronyd;
mod clocks;
mod conductor;
mod container;
mod forged_chronyd;
mod ntp_server;
mod observer;
mod phc;
mod processes;
mod refclock;
mod sys;
mod timesyncd;
mod truth;
mod vmclock;
mod writer;

use std::fs;
use std::io;

use plan::Plan;

/// Where the plan lies in the guest.
const PLAN: &str = "/plan.json";
/// Where what was seen is collected.
const LOGS: &str = "/log";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match arguments.get(1).map(String::as_str) {
        Some("observe") => observer::run(&arguments[2..]),
        // What a plan may start as a process (`plan::Process`).
        Some("ntp-server") => ntp_server::run(&arguments[2..]),
        Some("timesyncd") => timesyncd::run(&arguments[2..]),
        Some("forge-chronyd") => forged_chronyd::run(),
        Some("idle-as") => processes::idle_as(&arguments[2..]),
        _ if std::process::id() == 1 => match fs::read_to_string(vmclock::STORY) {
            Ok(story) => vmclock::run(&story),
            Err(_) => conductor::run(),
        },
        _ => Err(io::Error::other("this program is the first process of a guest")),
    };
    if let Err(error) = outcome {
        println!("FAILED {error}");
        if std::process::id() == 1 {
            conductor::power_off();
        }
        std::process::exit(1);
    }
}

fn read_plan() -> io::Result<Plan> {
    serde_json::from_slice(&fs::read(PLAN)?).map_err(io::Error::other)
}
