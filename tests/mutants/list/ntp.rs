//! What NTP servers say, what of it is believed, and what a cross-check may do.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, file, sim, unit};
use crate::patched::Change;

const ASSOCIATION: &str = "src/source/ntp/association.rs";
const DRIVER: &str = "src/clock/driver.rs";
const ESTIMATOR: &str = "src/estimator/mod.rs";
const EXCHANGE: &str = "src/source/ntp/exchange.rs";
const JUDGE: &str = "src/source/ntp/judge.rs";
const PACKET: &str = "src/source/ntp/packet.rs";
const POLL: &str = "src/source/ntp/poll.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "announced-leap-forgotten-in-a-fork",
        breaks: Rule(4),
        harm: "a child that asks the servers anew after a leap second is a second off",
        changes: &[Change {
            file: ASSOCIATION,
            from: "        self.announced = announced;\n        self",
            to: "        let _ = announced;\n        self",
        }],
        caught_by: sim(
            "sim",
            &["a_forked_child_knows_of_the_leap_second_that_was_announced_to_its_parent"],
        ),
    },
    Mutant {
        name: "half-of-the-round-trip",
        breaks: Rule(2),
        harm: "half of the round trip is taken for the error, and the way is longer in one direction",
        changes: &[Change {
            file: EXCHANGE,
            from: "let since_before = tick.checked_sub(self.before)?;",
            to: "let since_before = tick.checked_sub(self.before + (self.after - self.before) / 2)?;",
        }],
        caught_by: sim("sim", &["a_way_that_is_longer_in_one_direction_makes_no_reading_wrong"]),
    },
    Mutant {
        name: "dispersion-left-out",
        breaks: Rule(2),
        harm: "what the clocks on the way to the primary source have drifted is missing in the bound",
        changes: &[Change {
            file: PACKET,
            from: "let dispersion = nanos(units(self.root_dispersion), 1 << 16);",
            to: "let dispersion = 0;",
        }],
        caught_by: unit(&["the_bound_is_rounded_up_and_covers_what_the_server_cut_off"]),
    },
    Mutant {
        name: "cut-off-fractions-ignored",
        breaks: Rule(1),
        harm: "a server that cuts its delay and dispersion off states up to 23 µs too little",
        changes: &[Change {
            file: PACKET,
            from: "let units = |of: u32| u64::from(of) + 1;",
            to: "let units = |of: u32| u64::from(of);",
        }],
        caught_by: unit(&["the_bound_is_rounded_up_and_covers_what_the_server_cut_off"]),
    },
    Mutant {
        name: "precision-left-out",
        breaks: Rule(2),
        harm: "a server that reads its clock coarsely is believed to the nanosecond",
        changes: &[Change {
            file: PACKET,
            from: "delay.saturating_add(dispersion).saturating_add(self.precision_ns())",
            to: "delay.saturating_add(dispersion)",
        }],
        caught_by: unit(&["the_bound_is_rounded_up_and_covers_what_the_server_cut_off"]),
    },
    Mutant {
        name: "stamps-rounded-inward",
        breaks: Rule(1),
        harm: "an interval loses a nanosecond on each side",
        changes: &[Change {
            file: EXCHANGE,
            from: "around(self.transmit)?.earliest()",
            to: "around(self.transmit)?.latest()",
        }],
        caught_by: unit(&["both_stamps_and_the_bound_are_rounded_outward"]),
    },
    Mutant {
        name: "own-clock-accepted",
        breaks: Rule(3),
        harm: "a chronyd with `local` follows itself, and states a bound of next to nothing",
        changes: &[Change {
            file: PACKET,
            from: "is_named || matches!(self.reference_id, [127, 127, 1, _])",
            to: "is_named",
        }],
        caught_by: unit(&["what_is_refused_and_why"]),
    },
    Mutant {
        name: "locl-accepted",
        breaks: Rule(3),
        harm: "a server that follows its own clock by another name is believed",
        changes: &[Change {
            file: PACKET,
            from: "self.stratum == 1 && self.reference_id == *b\"LOCL\"",
            to: "false",
        }],
        caught_by: unit(&["what_is_refused_and_why"]),
    },
    Mutant {
        name: "origin-not-checked",
        breaks: Promise("a reply is the server's"),
        harm: "anybody may answer in the server's place, and old replies count again",
        changes: &[Change {
            file: ASSOCIATION,
            from: "if header.origin.to_bits() != pending.random {",
            to: "if false {",
        }],
        caught_by: unit(&["what_is_not_the_answer_is_ignored_and_the_answer_still_counts"]),
    },
    Mutant {
        name: "any-address-may-answer",
        breaks: Promise("a reply is the server's"),
        harm: "a reply of another host counts as the server's",
        changes: &[Change {
            file: ASSOCIATION,
            from: "if (from.ip(), from.port()) != (self.address.ip(), self.address.port()) {",
            to: "if false {",
        }],
        caught_by: unit(&["what_is_not_the_answer_is_ignored_and_the_answer_still_counts"]),
    },
    Mutant {
        name: "not-authentic-is-an-answer",
        breaks: Promise("a reply is the server's"),
        harm: "a forged kiss of death ends an authenticated association",
        changes: &[Change {
            file: ASSOCIATION,
            from: "Err(error) => return Received::Ignored(error.into()),\n                Ok(()) => {}",
            to: "Err(_) => {}\n                Ok(()) => {}",
        }],
        caught_by: unit(&[
            "what_is_not_authentic_is_ignored_and_a_refused_cookie_asks_for_new_keys",
        ]),
    },
    Mutant {
        name: "kept-for-longer-than-it-was-away",
        breaks: Rule(9),
        harm: "a server whose clock is stepped between its two stamps is believed",
        changes: &[Change {
            file: ASSOCIATION,
            from: "if held_ns > elapsed_ns {",
            to: "if false {",
        }],
        caught_by: unit(&["an_answer_without_a_time_ends_the_exchange_with_its_reason"]),
    },
    Mutant {
        name: "rate-kiss-ignored",
        breaks: Promise("a server is asked no more often than it wants"),
        harm: "a server that asks for fewer requests is asked as often as before",
        changes: &[Change { file: ASSOCIATION, from: "self.policy.double();\n", to: "" }],
        caught_by: unit(&["a_kiss_of_death_with_our_bits_is_obeyed"]),
    },
    Mutant {
        name: "public-servers-as-told",
        breaks: Promise("a server is asked no more often than it wants"),
        harm: "public servers are polled each second",
        changes: &[Change { file: POLL, from: "{ every.max(PUBLIC_POLL) }", to: "{ every }" }],
        caught_by: unit(&["the_address_decides_how_often_and_a_public_server_is_spared"]),
    },
    Mutant {
        name: "exchanges-outlive-a-suspend",
        breaks: Rule(6),
        harm: "an exchange from before a suspend is carried on by a counter that stood still",
        changes: &[Change {
            file: JUDGE,
            from: "exchange.generation == ageing.generation && exchange.after <= now",
            to: "exchange.after <= now",
        }],
        caught_by: unit(&["what_was_measured_by_another_counter_does_not_count"]),
    },
    Mutant {
        name: "a-suspend-is-no-new-generation",
        breaks: Rule(6),
        harm: "sources that keep evidence are not told that it is void",
        changes: &[Change {
            file: DRIVER,
            from: "        self.estimator.forget(self.last_tick);\n        self.generation += 1;",
            to: "        self.estimator.forget(self.last_tick);",
        }],
        caught_by: unit(&["a_source_is_told_the_rate_of_its_counter_and_when_ticks_are_void"]),
    },
    Mutant {
        name: "silent-servers-have-no-vote",
        breaks: Promise("a minority of wrong servers does no harm"),
        harm: "a server that lies is believed as soon as the others cannot be reached",
        changes: &[Change {
            file: JUDGE,
            from: "let needed = words.len() - words.len().saturating_sub(1) / 2;",
            to: "let needed = statements.len().max(1) - statements.len().saturating_sub(1) / 2;",
        }],
        caught_by: unit(&["without_a_majority_there_is_no_time_and_the_reason_says_who_disagrees"]),
    },
    Mutant {
        name: "one-server-is-enough",
        breaks: Promise("a minority of wrong servers does no harm"),
        harm: "one of two servers is believed, although nobody said that it may be",
        changes: &[Change {
            file: JUDGE,
            from: "if words.len() < ENOUGH && !takes_one {",
            to: "if false {",
        }],
        caught_by: unit(&["without_a_majority_there_is_no_time_and_the_reason_says_who_disagrees"]),
    },
    Mutant {
        name: "falsetickers-outvote",
        breaks: Promise("a minority of wrong servers does no harm"),
        harm: "one server more may be wrong than a majority allows, and its piece is covered too",
        changes: &[Change {
            file: JUDGE,
            from: "let needed = words.len() - words.len().saturating_sub(1) / 2;",
            to: "let needed = (words.len() / 2).max(1);",
        }],
        caught_by: unit(&[
            "without_a_majority_there_is_no_time_and_the_reason_says_who_disagrees",
            "a_falseticker_is_outvoted_and_named",
        ]),
    },
    Mutant {
        name: "two-names-two-votes",
        breaks: Promise("a minority of wrong servers does no harm"),
        harm: "one server under two names outvotes another",
        changes: &[Change {
            file: JUDGE,
            from: "word.address.is_some() && other.address == word.address",
            to: "word.address.is_none() && other.address != word.address",
        }],
        caught_by: unit(&["two_names_of_one_address_have_one_word"]),
    },
    Mutant {
        name: "servers-leap-forgotten",
        breaks: Rule(6),
        harm: "after a leap second that the table does not list, servers seem a second off",
        changes: &[Change {
            file: EXCHANGE,
            from: "self.announced.filter(|leap| leap.is_in_doubt(unix, slack, leaps))",
            to: "self.announced.filter(|_| false)",
        }],
        caught_by: unit(&[
            "a_leap_second_that_a_server_announces_is_covered_until_a_table_decides",
        ]),
    },
    Mutant {
        name: "smear-ignored",
        breaks: Rule(6),
        harm: "a server that smears is up to half a second off around a leap second",
        changes: &[Change {
            file: EXCHANGE,
            from: "let shown = Smeared::from_nanos(unix_ns, smear);\n                leaps.smeared_to_interval(ScaleInterval::from(shown))",
            to: "let _ = Smeared::from_nanos(unix_ns, smear);\n                self.of_utc(unix_ns, leaps)",
        }],
        caught_by: unit(&["a_server_that_smears_gives_true_tai_on_its_own_scale_only"]),
    },
    Mutant {
        name: "cross-check-intersected",
        breaks: Rule(9),
        harm: "a daemon's bound, which is untrue at times, narrows what exchanges have shown",
        changes: &[Change {
            file: DRIVER,
            from: "Role::CrossCheck => self.estimator.cross_check(&sample, tick),",
            to: "Role::CrossCheck => self.estimator.fuse(i, &sample, sample.time, tick),",
        }],
        caught_by: unit(&["a_cross_check_narrows_nothing_and_synchronizes_nothing"]),
    },
    Mutant {
        name: "cross-check-synchronizes",
        breaks: Rule(2),
        harm: "a clock without evidence says that it is synchronized",
        changes: &[Change {
            file: DRIVER,
            from: "matches!(self.kind, SourceKind::Evidence(_)) && !self.is_cross_check()",
            to: "matches!(self.kind, SourceKind::Evidence(_))",
        }],
        caught_by: unit(&["a_cross_check_narrows_nothing_and_synchronizes_nothing"]),
    },
    Mutant {
        name: "kernel-evidence-beside-servers",
        breaks: Rule(9),
        harm: "the kernel's bound is intersected although servers are asked",
        changes: &[Change {
            file: "src/clock/own_sources.rs",
            from: "        if self.ntp.is_some() {\n            kernel = kernel.cross_checking();\n        }\n",
            to: "",
        }],
        caught_by: file(
            "ntp",
            &["the_kernel_is_a_cross_check_beside_servers_and_evidence_without"],
        ),
    },
    Mutant {
        name: "contradicting-cross-check-not-covered",
        breaks: Rule(7),
        harm: "a kernel that excludes the servers' time is counted, and readers see nothing of it",
        changes: &[Change {
            file: ESTIMATOR,
            from: "(Some(known), Some(check)) => Some(self.hull(known, check.bound)),",
            to: "(Some(known), Some(_)) => Some(known),",
        }],
        caught_by: unit(&["a_cross_check_is_compared_and_never_intersected"]),
    },
];
