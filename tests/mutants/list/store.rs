//! Stores: what a crash may not take, and what is not new because it is missing.

use crate::mutant::Broken::{self, Promise};
use crate::mutant::{Mutant, sim, unit};
use crate::patched::Change;

const FILE_STORE: &str = "src/store/file_store.rs";
const DURABLE: &str = "src/durable.rs";
const DISK: &str = "src/sim/disk.rs";

const SURVIVES: Broken = Promise("what was promised before a crash is promised after it");
const NOT_NEW: Broken = Promise("what is missing is not a new promise");

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "content-not-written",
        breaks: SURVIVES,
        harm: "step 1 of 4 is missing: the file is empty",
        changes: &[Change {
            file: FILE_STORE,
            from: "file.write_all(content).map_err(failed(\"write\", scratch))?;",
            to: "let _ = (&mut file, content);",
        }],
        caught_by: unit(&["no_crash_loses_what_a_file_store_has_persisted"]),
    },
    Mutant {
        name: "content-not-synced",
        breaks: SURVIVES,
        harm: "step 2 of 4 is missing: when power fails, the file has its name and not its content",
        changes: &[Change {
            file: FILE_STORE,
            from: "file.sync().map_err(failed(\"sync\", scratch))",
            to: "Ok(())",
        }],
        caught_by: unit(&[
            "no_crash_loses_what_a_file_store_has_persisted",
            "no_crash_makes_a_durable_fence_forget",
        ]),
    },
    Mutant {
        name: "file-not-renamed",
        breaks: SURVIVES,
        harm: "step 3 of 4 is missing: the new content is in a file that nobody reads",
        changes: &[Change {
            file: FILE_STORE,
            from: "self.files.rename(scratch, &self.path).map_err(failed(\"replace\", &self.path))?;",
            to: "let _ = scratch;",
        }],
        caught_by: unit(&["no_crash_loses_what_a_file_store_has_persisted"]),
    },
    Mutant {
        name: "rename-not-synced",
        breaks: SURVIVES,
        harm: "step 4 of 4 is missing: when power fails, the old file comes back",
        changes: &[Change {
            file: FILE_STORE,
            from: "failed(\"replace\", &self.path))?;
        directory.sync().map_err(failed(\"sync\", parent))?;",
            to: "failed(\"replace\", &self.path))?;
        let _ = &directory;",
        }],
        caught_by: unit(&[
            "no_crash_loses_what_a_file_store_has_persisted",
            "no_crash_makes_a_durable_fence_forget",
            "no_crash_makes_a_shared_fence_forget",
        ]),
    },
    Mutant {
        name: "load-does-not-sync-the-file",
        breaks: SURVIVES,
        harm: "a file that was copied here is lost when power fails, after its promise was relied on",
        changes: &[Change {
            file: FILE_STORE,
            from: "file.sync().map_err(failed(\"sync\", &self.path))?;",
            to: "let _ = &file;",
        }],
        caught_by: unit(&["a_file_that_an_operator_copied_here_is_synced_before_it_counts"]),
    },
    Mutant {
        name: "load-does-not-sync-the-directory",
        breaks: SURVIVES,
        harm: "what a killed process had renamed counts, until power fails",
        changes: &[Change {
            file: FILE_STORE,
            from: "let directory = self.files.open_directory(parent).map_err(failed(\"open\", parent))?;
        directory.sync().map_err(failed(\"sync\", parent))?;",
            to: "let _ = parent;",
        }],
        caught_by: unit(&["what_a_killed_process_left_is_synced_before_it_counts"]),
    },
    Mutant {
        name: "failed-change-counts-as-synced",
        breaks: SURVIVES,
        harm: "after an error of the directory's sync the new content is answered all the same",
        changes: &[Change {
            file: FILE_STORE,
            from: "        self.is_synced = false;\n",
            to: "",
        }],
        caught_by: unit(&["after_a_failed_change_nothing_counts_that_is_not_synced"]),
    },
    Mutant {
        name: "record-certain-after-a-failed-write",
        breaks: SURVIVES,
        harm: "the same number again is Ok without a write, though the store may hold another",
        changes: &[Change { file: DURABLE, from: "        self.is_certain = false;\n", to: "" }],
        caught_by: unit(&["after_a_failed_write_the_same_number_is_written_again"]),
    },
    Mutant {
        name: "shared-fence-trusts-what-it-reads",
        breaks: SURVIVES,
        harm: "a token that no sync covers is admitted, and after a loss of power its zombie",
        changes: &[Change {
            file: DURABLE,
            from: "let is_certain = synced == Some(value);",
            to: "let is_certain = synced <= Some(value);",
        }],
        caught_by: unit(&["a_token_that_another_process_has_left_unsynced_is_written_again"]),
    },
    Mutant {
        name: "missing-file-is-new",
        breaks: NOT_NEW,
        harm: "a fence whose volume is not mounted admits every zombie",
        changes: &[Change {
            file: FILE_STORE,
            from: "let Some(found) = examine(&*files, &path)? else {
            return Err(absent(&*files, &path));
        };",
            to: "let Some(found) = examine(&*files, &path)? else {
            return FileStore::create_new_on(files, &path);
        };",
        }],
        caught_by: unit(&["what_is_missing_is_not_new_and_what_is_new_was_not_there"]),
    },
    Mutant {
        name: "existing-file-is-made-anew",
        breaks: NOT_NEW,
        harm: "a second first start forgets what the first one promised",
        changes: &[Change {
            file: FILE_STORE,
            from: "Some(_) => Err(StoreError::Exists { place: shown(&path) }),",
            to: "Some(_) => Ok(()),",
        }],
        caught_by: unit(&["what_is_missing_is_not_new_and_what_is_new_was_not_there"]),
    },
    Mutant {
        name: "lost-file-is-new",
        breaks: NOT_NEW,
        harm: "the lock file says that something was promised, and a new promise begins at 0",
        changes: &[
            Change {
                file: FILE_STORE,
                from: "take_lock(&*files, &lock_path, LockFile::Existing)?;",
                to: "let lock = take_lock(&*files, &lock_path, LockFile::Existing)?;",
            },
            Change {
                file: FILE_STORE,
                from: "return Err(StoreError::Lost { place: shown(&path), lock: shown(&lock_path) });",
                to: "lock",
            },
        ],
        caught_by: unit(&["what_is_missing_is_not_new_and_what_is_new_was_not_there"]),
    },
    Mutant {
        name: "failed-creation-is-left-behind",
        breaks: NOT_NEW,
        harm: "after a full disk the next attempt says that a promise was lost",
        changes: &[Change {
            file: FILE_STORE,
            from: "New::Empty => lock.remove(),",
            to: "New::Empty => drop(lock),",
        }],
        caught_by: unit(&[
            "a_creation_that_failed_leaves_nothing_and_can_be_repeated",
            "a_store_that_was_dropped_before_its_first_content_leaves_nothing",
        ]),
    },
    Mutant {
        name: "simulated-store-does-not-sync",
        breaks: SURVIVES,
        harm: "in the simulated world a promise is lost in a crash",
        changes: &[Change {
            file: DISK,
            from: "files.change(self.name.clone(), Some(content.to_vec()));
            files.sync_file(&self.name);",
            to: "files.change(self.name.clone(), Some(content.to_vec()));",
        }],
        caught_by: sim("sim", &["a_fence_on_a_nodes_disk_survives_its_crashes"]),
    },
];
