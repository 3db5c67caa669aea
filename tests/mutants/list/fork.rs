//! What a fork leaves behind, and what a child may not wait for.

use crate::mutant::Broken::{self, Promise, Rule};
use crate::mutant::{Mutant, file};
use crate::patched::Change;

const CORE: &str = "src/clock/core.rs";
const DURABLE_FENCE: &str = "src/fence/durable.rs";
const MARK: &str = "src/hlc/high_water_mark.rs";

const NEVER_WAITS: Broken = Promise("a child waits for nothing that a thread of its parent holds");

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fence-locked-before-the-fork-is-noticed",
        breaks: NEVER_WAITS,
        harm: "a child waits for ever for a thread that does not exist in it",
        changes: &[Change {
            file: DURABLE_FENCE,
            from: "        self.owner.check(&self.place).map_err(RecordError::from)?;\n        if token",
            to: "        let _ = (token > self.stored.newest()).then(|| self.record.lock());\n        self.owner.check(&self.place).map_err(RecordError::from)?;\n        if token",
        }],
        caught_by: file(
            "forks",
            &["a_child_is_refused_though_a_thread_of_its_parent_is_writing_the_record"],
        ),
    },
    Mutant {
        name: "mark-locked-before-the-fork-is-noticed",
        breaks: NEVER_WAITS,
        harm: "a child waits for ever for a thread that does not exist in it",
        changes: &[Change {
            file: MARK,
            from: "Ok(self.owner.check(&self.place).map_err(RecordError::from)?)",
            to: "Ok(())",
        }],
        caught_by: file(
            "forks",
            &["a_child_is_refused_though_a_thread_of_its_parent_is_writing_the_mark"],
        ),
    },
    Mutant {
        name: "child-keeps-its-parents-record",
        breaks: Rule(6),
        harm: "a child reports its parent's thread as its own",
        changes: &[Change {
            file: CORE,
            from: "let record = record.after_loss(lost);",
            to: "let _: Vec<String> = lost;",
        }],
        caught_by: file(
            "forks",
            &["a_child_uses_its_clock_though_the_parents_thread_is_in_a_round"],
        ),
    },
];
