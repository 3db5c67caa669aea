//! Fences, and the record on disk that lets them and the marks outlive a crash.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, loom, unit};
use crate::patched::Change;

const DURABLE: &str = "src/durable.rs";
const LOCK: &str = "src/store/lock.rs";
const FILE_STORE: &str = "src/store/file_store.rs";
const SYSTEM: &str = "src/store/system.rs";
const DURABLE_FENCE: &str = "src/fence/durable.rs";
const FENCE: &str = "src/fence/fence.rs";
const FENCED: &str = "src/fence/fenced.rs";
const KEYED: &str = "src/fence/keyed_fence.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "stale-token-admitted",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a holder that has been replaced writes over its successor",
        changes: &[Change { file: FENCE, from: "if token.get() < before {", to: "if false {" }],
        caught_by: file("fence", &["a_token_is_admitted_exactly_if_none_was_larger"]),
    },
    Mutant {
        name: "present-token-refused",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "the present holder is turned away at its second request",
        changes: &[Change {
            file: FENCE,
            from: "if token.get() == newest {
            return Ok(());",
            to: "if token.get() == newest.wrapping_add(1) {
            return Ok(());",
        }],
        caught_by: file("fence", &["a_token_is_admitted_exactly_if_none_was_larger"]),
    },
    Mutant {
        name: "fence-of-two-steps",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "of two racing tokens the smaller stays",
        changes: &[Change {
            file: FENCE,
            from: "self.newest.fetch_max(token.get(), Ordering::Relaxed)
        } else",
            to: "{
                self.newest.store(token.get(), Ordering::Relaxed);
                seen
            }
        } else",
        }],
        caught_by: loom(&[
            "loom_a_stale_token_is_never_admitted_after_a_newer_one",
            "loom_of_racing_tokens_the_largest_stays_and_is_never_refused",
        ]),
    },
    Mutant {
        name: "fenced-value-open-to-all",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a stale holder changes a fenced value",
        changes: &[Change { file: FENCED, from: "if token < *newest {", to: "if false {" }],
        caught_by: file("fence", &["a_token_is_admitted_exactly_if_none_was_larger"]),
    },
    Mutant {
        name: "floor-forgets-what-is-above",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a key is forgotten although its tokens are in use, and its stale tokens come in again",
        changes: &[Change {
            file: KEYED,
            from: "fence.newest() > floor",
            to: "fence.newest() < floor",
        }],
        caught_by: file("fence", &["a_floor_removes_only_the_keys_that_it_makes_unnecessary"]),
    },
    Mutant {
        name: "token-let-in-before-the-disk",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "after a crash a fence lets in what it had fenced off",
        changes: &[Change {
            file: DURABLE_FENCE,
            from: "if token.get() > record.value() {
                record.advance(token.get())?;
            }",
            to: "if token.get() > record.value() {
                let _ = &mut record;
            }",
        }],
        caught_by: file("fence_durable", &["reopening_a_fence_changes_no_answer"]),
    },
    Mutant {
        name: "shared-fence-admits-the-stale",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "of two processes the one that was replaced changes the resource",
        changes: &[
            Change {
                file: DURABLE_FENCE,
                from: "record.advance(token.get())?;
        self.synced",
                to: "let _ = record.advance(token.get());
        self.synced",
            },
            Change { file: DURABLE_FENCE, from: "if token < newest {", to: "if false {" },
        ],
        caught_by: file("fence_durable", &["reopening_a_fence_changes_no_answer"]),
    },
    Mutant {
        name: "record-goes-back",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a smaller number replaces a larger one on disk",
        changes: &[Change { file: DURABLE, from: "if to < self.value {", to: "if false {" }],
        caught_by: unit(&["it_never_goes_back"]),
    },
    Mutant {
        name: "checksum-ignored",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a torn record is read as a number",
        changes: &[Change {
            file: DURABLE,
            from: "if crc64(head) != u64::from_be_bytes(word(24)) {",
            to: "if false {",
        }],
        caught_by: unit(&["a_file_that_is_not_a_whole_record_is_refused_and_left_unchanged"]),
    },
    Mutant {
        name: "zeros-are-a-record",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a file whose data never reached the disk is read as a number",
        changes: &[Change {
            file: DURABLE,
            from: "if !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0) {",
            to: "if false {",
        }],
        caught_by: unit(&["a_file_that_is_not_a_whole_record_is_refused_and_left_unchanged"]),
    },
    Mutant {
        name: "record-of-another-kind",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a fencing token is read as a time",
        changes: &[Change { file: DURABLE, from: "if word(8) != kind.0 {", to: "if false {" }],
        caught_by: unit(&["a_file_that_is_not_a_whole_record_is_refused_and_left_unchanged"]),
    },
    Mutant {
        name: "lock-is-shared",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "two owners issue the same numbers",
        changes: &[Change {
            file: LOCK,
            from: "FlockArg::LockExclusiveNonblock",
            to: "FlockArg::LockSharedNonblock",
        }],
        caught_by: unit(&["a_record_has_one_owner_at_a_time_under_any_name"]),
    },
    Mutant {
        name: "scratch-file-written-through",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a link that was left in the directory is written through",
        changes: &[
            Change {
                file: SYSTEM,
                from: "OpenOptions::new().write(true).create_new(true).open(path)?",
                to: "OpenOptions::new().write(true).create(true).truncate(true).open(path)?",
            },
            Change {
                file: FILE_STORE,
                from: "match self.files.remove(scratch) {",
                to: "match Ok::<(), io::Error>(()) {",
            },
        ],
        caught_by: unit(&["a_half_written_file_from_a_crash_is_not_read"]),
    },
    Mutant {
        name: "child-admits-in-its-parents-name",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a forked child judges by a copy of the memory that nobody raises",
        changes: &[Change {
            file: DURABLE_FENCE,
            from: "self.owner.check(&self.place).map_err(RecordError::from)?;
",
            to: "",
        }],
        caught_by: file("record_fork", &["a_forked_child_admits_nobody_in_its_parents_name"]),
    },
    Mutant {
        name: "child-unlocks-its-parents-record",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "another process takes the record of an owner that is alive",
        changes: &[Change {
            file: FILE_STORE,
            from: "if !self.owner.is_this_process() {
            lock.forget",
            to: "if false {
            lock.forget",
        }],
        caught_by: file(
            "record_fork",
            &["a_forked_child_that_cleans_up_does_not_unlock_its_parents_record"],
        ),
    },
    Mutant {
        name: "child-writes-its-parents-store",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a forked child replaces what its parent has promised",
        changes: &[Change {
            file: FILE_STORE,
            from: "self.owner.check(&shown(&self.path))?;
        check_length(&self.path, content.len()",
            to: "check_length(&self.path, content.len()",
        }],
        caught_by: file("record_fork", &["a_forked_child_does_not_write_its_parents_store"]),
    },
];
