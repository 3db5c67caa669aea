//! Sabotage: the crate with one safety taken out, which the rig must catch.
//!
//! A sabotage is a change to the source text, made in a copy. Nothing of it is
//! in the crate itself, not even behind a `cfg`; and a sabotage whose text is
//! no longer found fails a test, so the list cannot go stale unseen.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

use patched::Change;

use crate::plan::TSC_INVARIANT;

#[path = "../support/patched.rs"]
mod patched;

/// One safety taken out.
pub struct Sabotage {
    pub name: &'static str,
    /// What a reader of the report should know.
    pub what: &'static str,
    pub changes: &'static [Change],
}

/// A writer that is not known is believed: without this, it would be refused before its mark is.
const BELIEVE_UNKNOWN: Change = Change {
    file: "src/source/writer/judge.rs",
    from: "None => refuse(Reason::WriterUnknown, format!(\"{after}{}\", unknown(seen, &running))),",
    to: "None => Ok(0),",
};

/// Every sabotage there is.
///
/// For each of them an observer runs in some scenario of `table`; there it must
/// break what its honest twin keeps.
pub const ALL: &[Sabotage] = &[
    Sabotage {
        name: "no-step-timer",
        what: "a step of the wall clock does not wake the clock's thread",
        changes: &[Change {
            file: "src/clock/thread.rs",
            from: "match timer.and_then(|timer| Waker::arm(&timer).map(|()| timer)) {",
            to: "match timer.and_then(|_| Err::<TimerFd, _>(Errno::ENOSYS)) {",
        }],
    },
    Sabotage {
        name: "no-stale-addition",
        what: "the bound is taken as it stands, though the kernel adds to it once a second only",
        changes: &[Change {
            file: "src/source/kernel.rs",
            from: ".saturating_add(stale_ns(uncounted_ns.min(since_ns)))",
            to: "",
        }],
    },
    Sabotage {
        name: "kernel-tai",
        what: "adjtimex's tai is added to CLOCK_REALTIME",
        changes: &[Change {
            file: "src/source/realtime.rs",
            from: "offsets(leaps, seconds, slack, kernel, pending).ok_or_else",
            to: "kernel.map(|k| (k.tai, k.tai)).ok_or_else",
        }],
    },
    Sabotage {
        name: "no-leap-slack",
        what: "by the table alone, to the second",
        changes: &[Change {
            file: "src/source/realtime.rs",
            from: "let slack = LEAP_SLACK_S.saturating_add_unsigned(error.as_secs() + 1);",
            to: "let slack = 0;",
        }],
    },
    Sabotage {
        name: "leap-forgotten",
        what: "a leap second that the table does not know is forgotten when it has passed",
        changes: &[Change {
            file: "src/source/kernel.rs",
            from: ".tai(read, error, Some(kernel), self.pending_leap)?",
            to: ".tai(read, error, Some(kernel), None)?",
        }],
    },
    Sabotage {
        name: "trust-in-zero",
        what: "a maxerror of 0 is believed",
        changes: &[
            Change {
                file: "src/host/kernel_state.rs",
                from: "self.maxerror_us < 0 || residue == 0 || ntpd_startup",
                to: "self.maxerror_us < 0 || ntpd_startup",
            },
            BELIEVE_UNKNOWN,
        ],
    },
    Sabotage {
        name: "trust-in-16",
        what: "the 16 µs of an ntpd that has heard from nobody are believed",
        changes: &[
            Change {
                file: "src/host/kernel_state.rs",
                from: "self.maxerror_us < 0 || residue == 0 || ntpd_startup",
                to: "self.maxerror_us < 0 || residue == 0 && !ntpd_startup",
            },
            BELIEVE_UNKNOWN,
        ],
    },
    Sabotage {
        name: "no-pll-offset",
        what: "what the kernel's PLL has still to work off is left out",
        changes: &[Change {
            file: "src/source/kernel.rs",
            from: "if k.status & STA_PLL != 0",
            to: "if false",
        }],
    },
    Sabotage {
        name: "no-in-flight",
        what: "the part of a correction that is under way is left out",
        changes: &[Change {
            file: "src/source/kernel.rs",
            from: "error_ns.saturating_add(under_way)",
            to: "{ let _ = under_way; error_ns }",
        }],
    },
    Sabotage {
        name: "no-slew-limit",
        what: "a clock that is slewed faster than its bound grows is believed",
        changes: &[Change {
            file: "src/source/kernel.rs",
            from: "check_covered(correction, evidence)?;",
            to: "let _ = (correction, check_covered);",
        }],
    },
    Sabotage {
        name: "trust-in-16-seconds",
        what: "what the kernel shows after a step is believed",
        changes: &[
            Change {
                file: "src/host/kernel_state.rs",
                from: "self.status & STA_UNSYNC == 0 && self.state != TIME_ERROR",
                to: "true",
            },
            Change {
                file: "src/host/kernel_state.rs",
                from: "self.maxerror_us < 0 || residue == 0 || ntpd_startup",
                to: "self.maxerror_us < 0 || ntpd_startup",
            },
            Change {
                file: "src/source/writer/judge.rs",
                from: "if rules.believes_any_writer && has_bound {",
                to: "if rules.believes_any_writer {",
            },
        ],
    },
    Sabotage {
        name: "old-bound-after-suspend",
        what: "after a suspend the bound from before it is believed",
        changes: &[Change {
            file: "src/source/kernel.rs",
            from: "if since_suspend.is_some() {",
            to: "if false {",
        }],
    },
    Sabotage {
        name: "suspend-unnoticed",
        what: "what was known before a suspend is carried on after it",
        changes: &[Change {
            file: "src/clock/driver.rs",
            from: "if before != NO_SUSPENDS && now.saturating_sub(before) <= SUSPEND_NOISE_NS {",
            to: "if true {",
        }],
    },
    Sabotage {
        name: "no-drift",
        what: "the oscillator is taken for perfect",
        changes: &[Change {
            file: "src/counter/calibration.rs",
            from: "self.ratio.with_drift(max_drift_ppm)",
            to: "{ let _ = max_drift_ppm; self.ratio }",
        }],
    },
    // The guests with a VMClock run on it, and nothing else can show the page's time.
    Sabotage {
        name: crate::vmclock::BUILD,
        what: "the processor's counter is used although the emulator does not call it invariant, and \
               so is a page that the emulator is slow to read",
        changes: &[
            Change {
                file: "src/host/hardware.rs",
                from: "is_invariant: is_invariant && has_rdtscp,",
                to: "is_invariant: has_rdtscp || is_invariant,",
            },
            // Every instruction takes several ns there, and on a busy host many.
            Change {
                file: "src/clock/vmclock.rs",
                from: "const SLOWEST_LOAD_NS: u64 = 20;",
                to: "const SLOWEST_LOAD_NS: u64 = 20_000;",
            },
            Change {
                file: "src/counter/calibration.rs",
                from: "const SLOWEST_READ_NS: u64 = 100;",
                to: "const SLOWEST_READ_NS: u64 = 100_000;",
            },
        ],
    },
    Sabotage {
        name: "newest-wins",
        what: "of two sides that contradict each other the newer one is published",
        changes: &[Change {
            file: "src/estimator/mod.rs",
            from: "(Some(fused), Some(other)) => Some(self.hull(fused, other.bound)),",
            to: "(Some(fused), Some(_)) => Some(fused),",
        }],
    },
];

/// No sabotage, but what an emulated processor does not say: see [`TSC_INVARIANT`].
pub const PREMISE: Sabotage = Sabotage {
    name: TSC_INVARIANT,
    what: "the TSC is taken for invariant, and may be as slow as an emulated one",
    changes: &[
        Change {
            file: "src/host/hardware.rs",
            from: "is_invariant: is_invariant && has_rdtscp,",
            to: "is_invariant: (is_invariant || has_rdtscp) && has_rdtscp,",
        },
        Change {
            file: "src/counter/calibration.rs",
            from: "const SLOWEST_READ_NS: u64 = 100;",
            to: "const SLOWEST_READ_NS: u64 = 1_000;",
        },
    ],
};

impl Sabotage {
    pub fn named(name: &str) -> Option<&'static Sabotage> {
        ALL.iter().chain([&PREMISE]).find(|sabotage| sabotage.name == name)
    }

    /// Whether each text to be changed is where it should be, once.
    pub fn applies_to(&self, sources: &Path) -> Result<(), String> {
        patched::check(self.changes, sources).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Takes the safety out of a copy of the crate.
    pub fn apply_to(&self, copy: &Path) -> io::Result<()> {
        patched::apply(self.changes, copy)
    }
}

/// Copies what cargo needs to build the crate and the guests' program.
pub fn copy_sources(from: &Path, to: &Path) -> io::Result<()> {
    patched::copy_crate(from, to)?;
    // The versions that all else was tested with.
    fs::copy(from.join("Cargo.lock"), to.join("tests/guest/program/Cargo.lock")).map(|_| ())
}

/// A number that is another one when anything is that the guests' program is made of.
pub fn fingerprint(copy: &Path) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    let rig = ["program", "plan.rs", "record.rs"].map(|part| Path::new("tests/guest").join(part));
    for part in
        [Path::new("Cargo.toml"), Path::new("src")].into_iter().chain(rig.iter().map(AsRef::as_ref))
    {
        hash_tree(&copy.join(part), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn hash_tree(at: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    at.hash(hasher);
    if !at.is_dir() {
        fs::read(at)?.hash(hasher);
        return Ok(());
    }
    let mut entries: Vec<_> = fs::read_dir(at)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    entries.iter().try_for_each(|entry| hash_tree(&entry.path(), hasher))
}
