//! Fences, and the record on disk that lets them and the marks outlive a crash.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, loom, serde, unit, unit_serde};
use crate::patched::Change;

const DURABLE: &str = "src/durable.rs";
const LOCK: &str = "src/store/lock.rs";
const FILE_STORE: &str = "src/store/file_store.rs";
const SYSTEM: &str = "src/store/system.rs";
const DURABLE_FENCE: &str = "src/fence/durable.rs";
const FENCE: &str = "src/fence/fence.rs";
const FENCED: &str = "src/fence/fenced.rs";
const KEYED: &str = "src/fence/keyed_fence.rs";
const KEYED_SNAPSHOT: &str = "src/fence/keyed_snapshot.rs";
const DURABLE_KEYED: &str = "src/fence/durable_keyed_fence.rs";
const SHARED_ASYNC: &str = "src/fence/shared_async.rs";
const EXCLUSIVE: &str = "src/exclusive.rs";
const DECIMAL: &str = "src/decimal.rs";

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
        changes: &[Change {
            file: FENCED,
            from: "self.fence.admit(token)?;
        Ok(change(&mut value))",
            to: "let _ = self.fence.admit(token);
        Ok(change(&mut value))",
        }],
        caught_by: file("fence", &["a_token_is_admitted_exactly_if_none_was_larger"]),
    },
    Mutant {
        name: "fenced-value-open-to-all-tasks",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a stale holder's task changes a fenced value",
        changes: &[Change {
            file: FENCED,
            from: "self.fence.admit(token)?;
        Ok(change(&mut value).await)",
            to: "let _ = self.fence.admit(token);
        Ok(change(&mut value).await)",
        }],
        caught_by: file("fence", &["a_successor_waits_until_the_old_holders_future_has_ended"]),
    },
    Mutant {
        name: "turn-passed-to-one-task",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a task that is woken and never polled keeps all others waiting for ever",
        changes: &[Change {
            file: EXCLUSIVE,
            from: "waiting.into_values().for_each(Waker::wake);",
            to: "waiting.into_values().take(1).for_each(Waker::wake);",
        }],
        caught_by: unit(&["a_task_that_is_woken_and_not_polled_keeps_nobody_from_the_value"]),
    },
    Mutant {
        name: "keyed-section-waits-for-nobody",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "an old holder's task goes on changing a resource beside its successor's",
        changes: &[Change {
            file: KEYED,
            from: "let _turn = place.turn_async().await;",
            to: "let _ = &place;",
        }],
        caught_by: file(
            "fence",
            &["at_one_key_sections_take_turns_and_other_keys_and_questions_do_not_wait"],
        ),
    },
    Mutant {
        name: "snapshot-beside-admissions",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a restored fence knows the later of two tokens and admits below the earlier",
        changes: &[Change {
            file: KEYED,
            from: "let fences = self.fences.write();
        let newest =",
            to: "let fences = self.fences.read();
        let newest =",
        }],
        caught_by: loom(&["loom_a_snapshot_has_the_floor_and_the_keys_of_one_moment"]),
    },
    Mutant {
        name: "snapshot-in-two-calls",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a fence restored without a floor that was raised meanwhile admits stale tokens",
        changes: &[Change {
            file: KEYED,
            from: "let fences = self.fences.write();
        let newest = fences.by_key.iter().map(|(key, fence)| (key.clone(), fence.newest()));
        KeyedSnapshot { floor: fences.floor,",
            to: "let floor = self.floor();
        let fences = self.fences.write();
        let newest = fences.by_key.iter().map(|(key, fence)| (key.clone(), fence.newest()));
        KeyedSnapshot { floor,",
        }],
        caught_by: loom(&["loom_a_snapshot_has_the_floor_and_the_keys_of_one_moment"]),
    },
    Mutant {
        name: "restored-without-its-floor",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a restored fence admits what the floor refused",
        changes: &[Change {
            file: KEYED,
            from: "RwLock::new(Fences { by_key, floor })",
            to: "RwLock::new(Fences { by_key, floor: FencingToken::MIN })",
        }],
        caught_by: file("fence", &["a_raised_floor_gives_the_memory_of_its_keys_back"]),
    },
    Mutant {
        name: "floor-keeps-its-memory",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a fence of millions of keys keeps their memory for ever",
        changes: &[Change { file: KEYED, from: "fences.by_key.shrink_to_fit();", to: "" }],
        caught_by: file("fence", &["a_raised_floor_gives_the_memory_of_its_keys_back"]),
    },
    Mutant {
        name: "keyed-token-let-in-before-the-store",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "after a failed write and a restart a fence with keys lets in what it had fenced off",
        changes: &[Change {
            file: DURABLE_KEYED,
            from: "self.persist(&mut **store, &content)?;
        // Inside the lock, so that the memory",
            to: "let _ = self.persist(&mut **store, &content);
        // Inside the lock, so that the memory",
        }],
        caught_by: file(
            "fence",
            &["a_token_that_was_not_stored_is_not_admitted_and_the_section_does_not_run"],
        ),
    },
    Mutant {
        name: "keyed-floor-is-not-stored",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "after a restart tokens below a raised floor come in, at keys that were forgotten",
        changes: &[Change {
            file: DURABLE_KEYED,
            from: "shared.content(floor, &HashMap::new())",
            to: "shared.content(shared.stored.floor(), &HashMap::new())",
        }],
        caught_by: file("fence", &["raising_the_floor_bounds_the_store_and_makes_room"]),
    },
    Mutant {
        name: "keyed-write-forgets-the-other-keys",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "after a restart a zombie comes in at each key but the one that was written last",
        changes: &[Change {
            file: DURABLE_KEYED,
            from: "if newest > floor && !batch.contains_key(key) {",
            to: "if newest < floor && !batch.contains_key(key) {",
        }],
        caught_by: file("fence", &["no_crash_and_no_failure_admits_what_was_refused"]),
    },
    Mutant {
        name: "file-unlocked-before-the-future-ends",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "another process changes the resource in the middle of a task's section",
        changes: &[
            Change {
                file: SHARED_ASYNC,
                from: "let result = change().await;",
                to: "drop(record);
        let result = change().await;",
            },
            Change {
                file: SHARED_ASYNC,
                from: "        drop(record);
        drop(turn);",
                to: "        drop(turn);",
            },
        ],
        caught_by: file(
            "fence",
            &["the_file_is_locked_while_the_future_runs_and_a_dropped_one_unlocks_it"],
        ),
    },
    Mutant {
        name: "child-goes-on-in-its-parents-section",
        breaks: Promise("no smaller token is let in after a larger one"),
        harm: "a forked child and its parent change the resource under one lock",
        changes: &[Change {
            file: SHARED_ASYNC,
            from: "owner.check(&self.place())",
            to: "Owner::this_process().check(&self.place())",
        }],
        caught_by: file(
            "forks",
            &["a_task_of_the_parent_does_not_go_on_in_the_child_under_the_parents_lock"],
        ),
    },
    Mutant {
        name: "numbers-in-json",
        breaks: Promise("no value is changed on its way through a format"),
        harm: "a reader with doubles narrows intervals and changes tokens",
        changes: &[Change {
            file: DECIMAL,
            from: "if output.is_human_readable() { output.collect_str(number) }",
            to: "if output.is_human_readable() && number.to_string().is_empty() {
        output.collect_str(number)
    }",
        }],
        caught_by: serde("json_numbers", &["a_reader_with_doubles_changes_no_value"]),
    },
    Mutant {
        name: "decimal-in-any-spelling",
        breaks: Promise("no value is changed on its way through a format"),
        harm: "one number has many texts, and texts that are compared differ",
        changes: &[Change {
            file: DECIMAL,
            from: ".filter(|number| number.to_string() == text)",
            to: "",
        }],
        caught_by: unit_serde(&["whatever_is_not_the_one_text_of_a_number_is_refused"]),
    },
    Mutant {
        name: "snapshot-of-any-version",
        breaks: Promise("no value is changed on its way through a format"),
        harm: "a stored fence of another version is read as if it were of this one",
        changes: &[Change {
            file: KEYED_SNAPSHOT,
            from: "if version == VERSION {",
            to: "if version > 0 {",
        }],
        caught_by: serde("json_numbers", &["a_stored_fence_without_a_part_of_it_is_refused"]),
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
        caught_by: file("fence", &["reopening_a_fence_changes_no_answer"]),
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
        caught_by: file("fence", &["reopening_a_fence_changes_no_answer"]),
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
            from: "if crc64(sealed) != u64::from_be_bytes(*sum) {",
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
            from: "if !content.is_empty() && content.iter().all(|&byte| byte == 0) {",
            to: "if false {",
        }],
        caught_by: unit(&["a_file_that_is_not_a_whole_record_is_refused_and_left_unchanged"]),
    },
    Mutant {
        name: "record-of-another-kind",
        breaks: Promise("what was promised before a crash is promised after it"),
        harm: "a fencing token is read as a time",
        changes: &[Change {
            file: DURABLE,
            from: "if head[MAGIC.len()..] != kind.0 {",
            to: "if false {",
        }],
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
        caught_by: file("forks", &["a_forked_child_admits_nobody_in_its_parents_name"]),
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
            "forks",
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
        caught_by: file("forks", &["a_forked_child_does_not_write_its_parents_store"]),
    },
];
