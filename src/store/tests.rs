//! File stores on a disk that loses what was not synced, and on the machine's own.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use super::crashes::Crashes;
use super::model::ModelDisk;
use super::{FileStore, Store, StoreError};

const PATH: &str = "/place/state";
const LOCK: &str = "/place/state.lock";

fn number(content: Option<Vec<u8>>) -> Option<u64> {
    content.map(|bytes| u64::from_be_bytes(bytes.try_into().expect("a whole number")))
}

/// A store of a number. It promises only while the store is whole.
fn promise(store: &mut FileStore, number: u64) -> Result<(), StoreError> {
    store.persist(&number.to_be_bytes())
}

fn held(disk: &ModelDisk) -> Result<Option<u64>, StoreError> {
    disk.open_existing(PATH)?.load().map(number)
}

/// A disk on which this number is stored.
fn disk_with(number: u64, seed: u64) -> ModelDisk {
    let disk = ModelDisk::new(seed);
    promise(&mut disk.create_new(PATH).expect("new"), number).expect("stored");
    disk
}

#[test]
fn no_crash_loses_what_a_file_store_has_persisted() {
    let campaign = Crashes {
        create: |disk| {
            let mut store = disk.create_new(PATH).map_err(|error| error.to_string())?;
            promise(&mut store, 0).map_err(|error| error.to_string())?;
            Ok(store)
        },
        open: |disk| disk.open_existing(PATH).map_err(|error| error.to_string()),
        held: |store| match store.load() {
            Ok(Some(bytes)) => match bytes.try_into() {
                Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
                Err(bytes) => Err(format!("torn: {bytes:?}")),
            },
            Ok(None) => Err("empty".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        promise: |store, number| promise(store, number).map_err(|error| error.to_string()),
    };
    let happened = campaign.run(10_000).expect("nothing is lost");
    assert!(happened.promises > 5_000 && happened.refused > 1_000, "{happened:?}");
    assert!(happened.found_more > 50 && happened.created_again > 200, "{happened:?}");
}

/// SIGKILL in any operation of a change, then a new process, then power fails.
#[test]
fn what_a_killed_process_left_is_synced_before_it_counts() {
    let mut found = [0; 2];
    for seed in 0..8 {
        for operation in 0.. {
            let disk = disk_with(20, seed);
            let mut store = disk.open_existing(PATH).expect("there");
            disk.stop_after(operation);
            if promise(&mut store, 34).is_ok() {
                assert!(operation >= 6, "the change has at least six operations");
                break;
            }
            disk.kill();
            drop(store);
            let answer = held(&disk).expect("whole");
            disk.lose_power();
            assert_eq!(held(&disk).expect("whole"), answer, "operation {operation}");
            found[usize::from(answer == Some(34))] += 1;
        }
    }
    assert!(found.iter().all(|&count| count > 4), "{found:?}");
}

/// One EIO in any operation, and then the same process asks again.
#[test]
fn after_a_failed_change_nothing_counts_that_is_not_synced() {
    let mut found = [0; 2];
    for seed in 0..8 {
        for operation in 0.. {
            let disk = disk_with(20, seed);
            let mut store = disk.open_existing(PATH).expect("there");
            assert_eq!(number(store.load().expect("whole")), Some(20));
            disk.fail_after(operation, ErrorKind::Other);
            let Err(error) = promise(&mut store, 34) else { break };
            assert!(matches!(error, StoreError::Io { .. }) && !error.is_transient(), "{error}");
            let answer = number(store.load().expect("one error only"));
            disk.lose_power();
            drop(store);
            assert_eq!(held(&disk).expect("whole"), answer, "operation {operation}");
            found[usize::from(answer == Some(34))] += 1;
        }
    }
    assert!(found.iter().all(|&count| count > 2), "{found:?}");
}

#[test]
fn a_load_that_could_not_sync_answers_nothing() {
    // Up to six operations of opening, examining and reading, and then the syncs.
    let mut refused = 0;
    for operation in 0..16 {
        let disk = disk_with(20, operation);
        disk.fail_after(operation, ErrorKind::Other);
        let first = disk.open_existing(PATH).and_then(|mut store| store.load());
        refused += u64::from(first.is_err());
        disk.mend();
        assert_eq!(held(&disk).expect("there"), Some(20));
    }
    assert!((9..16).contains(&refused), "{refused}");
}

#[test]
fn a_file_that_an_operator_copied_here_is_synced_before_it_counts() {
    for seed in 0..50 {
        let disk = ModelDisk::new(seed);
        disk.copy_here(PATH, &34u64.to_be_bytes());
        assert_eq!(held(&disk).expect("a copy"), Some(34));
        disk.lose_power();
        assert_eq!(held(&disk).expect("a copy"), Some(34));
    }
}

#[test]
fn a_full_disk_is_told_and_the_old_content_holds() {
    let disk = disk_with(20, 1);
    let mut store = disk.open_existing(PATH).expect("there");
    disk.fill();
    let error = promise(&mut store, 34).expect_err("full");
    assert!(error.is_transient() && error.to_string().contains("/place/state.new"), "{error}");
    assert_eq!(disk.names(), [PATH, LOCK], "nothing half is left");
    assert_eq!(number(store.load().expect("the old one")), Some(20));
    disk.mend();
    promise(&mut store, 34).expect("there is room");
    drop(store);
    disk.lose_power();
    assert_eq!(held(&disk).expect("there"), Some(34));
}

#[test]
fn a_read_only_disk_is_told_and_nothing_is_promised() {
    let disk = disk_with(20, 1);
    let mut store = disk.open_existing(PATH).expect("there");
    disk.make_read_only();
    let error = promise(&mut store, 34).expect_err("read-only");
    assert!(matches!(error, StoreError::ReadOnly { .. }) && !error.is_transient(), "{error}");
    drop(store);
    for opened in [disk.open_existing(PATH), disk.create_new("/place/other")] {
        assert!(matches!(opened, Err(StoreError::ReadOnly { .. })), "{opened:?}");
    }
    disk.mend();
    assert_eq!(held(&disk).expect("there"), Some(20));
}

#[test]
fn a_creation_that_failed_leaves_nothing_and_can_be_repeated() {
    for seed in 0..4 {
        for operation in 0.. {
            let disk = ModelDisk::new(seed);
            let create = || disk.create_new(PATH).and_then(|mut store| promise(&mut store, 1));
            disk.fail_after(operation, ErrorKind::StorageFull);
            let Err(error) = create() else { break };
            assert!(error.is_transient(), "{error}");
            disk.mend();
            // An operation of the lock that failed may have made it. Nobody holds it then.
            if disk.names() == [LOCK] {
                disk.delete(LOCK);
            }
            assert!(disk.names().is_empty(), "operation {operation}: {:?}", disk.names());
            create().expect("as if for the first time");
        }
    }
}

#[test]
fn a_store_that_was_dropped_before_its_first_content_leaves_nothing() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("state");
    let mut store = FileStore::create_new(&path).expect("new");
    assert_eq!(store.load().expect("new"), None);
    drop(store);
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);
    FileStore::create_new(&path).expect("new again").persist(b"1").expect("stored");
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2);
}

#[test]
fn what_is_missing_is_not_new_and_what_is_new_was_not_there() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("state");
    let lock = place.path().join("state.lock");
    let create = || FileStore::create_new(&path);
    let open = || FileStore::open_existing(&path);

    let missing = open().expect_err("nothing is there");
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("mount"), "{missing}");
    assert!(!lock.exists(), "a call that failed has made a file");

    create().expect("new").persist(b"34").expect("stored");
    let exists = create().expect_err("it is there");
    assert!(matches!(exists, StoreError::Exists { .. }), "{exists}");
    assert!(exists.to_string().contains("open_existing"), "{exists}");

    // A file from before its lock, for example from a backup.
    fs::remove_file(&lock).expect("unlocked");
    assert!(matches!(create(), Err(StoreError::Exists { .. })) && !lock.exists());
    assert_eq!(open().expect("there").load().expect("whole").as_deref(), Some(&b"34"[..]));

    fs::remove_file(&path).expect("there");
    for lost in [create(), open()] {
        let lost = lost.expect_err("34 was promised");
        assert!(matches!(lost, StoreError::Lost { .. }) && !lost.is_transient(), "{lost}");
        let text = lost.to_string();
        assert!(text.contains(path.to_str().expect("text")), "{text}");
        assert!(text.contains(&format!("remove {} and call `create_new`", lock.display())));
        assert!(lock.exists() && !path.exists());
    }
    // The way out that the error names.
    fs::remove_file(&lock).expect("unlocked");
    create().expect("new").persist(b"35").expect("stored");
}

#[test]
fn a_file_that_vanishes_from_a_running_owner_is_lost() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("state");
    let mut store = FileStore::create_new(&path).expect("new");
    store.persist(b"34").expect("stored");
    fs::remove_file(&path).expect("there");
    assert!(matches!(store.load(), Err(StoreError::Lost { .. })));
}

#[test]
fn of_many_creators_one_succeeds_and_no_other_thinks_that_the_file_is_lost() {
    for _ in 0..50 {
        let place = tempfile::tempdir().expect("a place for files");
        let path = place.path().join("state");
        let barrier = Barrier::new(4);
        let created: Vec<_> = thread::scope(|scope| {
            let create = || {
                barrier.wait();
                let mut store = FileStore::create_new(&path)?;
                store.persist(b"1")?;
                Ok(store)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
        });
        let failed: Vec<_> = created.iter().filter_map(|created| created.as_ref().err()).collect();
        assert_eq!(failed.len(), 3);
        for error in failed {
            let is_told = matches!(error, StoreError::Locked { .. } | StoreError::Exists { .. });
            assert!(is_told, "{error}");
        }
    }
}

#[test]
fn what_is_no_store_is_refused_before_it_is_read() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("large");
    let file = fs::File::create(&path).expect("a file");
    file.set_len(FileStore::MAX_LENGTH + 1).expect("a hole");
    let mut store = FileStore::open_existing(&path).expect("a file");
    let error = store.load().expect_err("too long");
    assert!(matches!(error, StoreError::TooLong { .. }), "{error}");
    let content = vec![0; FileStore::MAX_LENGTH as usize + 1];
    let error = store.persist(&content).expect_err("too long");
    assert!(error.to_string().contains("at most 67108864"), "{error}");
    assert_eq!(fs::metadata(&path).expect("there").len(), FileStore::MAX_LENGTH + 1);

    for opened in [FileStore::open_existing(place.path()), FileStore::create_new(place.path())] {
        assert!(matches!(opened, Err(StoreError::NotAFile { .. })), "{opened:?}");
    }
    for nowhere in ["/no such place/state", ""] {
        let opened = [FileStore::open_existing(nowhere), FileStore::create_new(nowhere)];
        for error in opened.map(|opened| opened.expect_err("nowhere")) {
            assert!(error.to_string().contains(&format!("cannot find {nowhere}")), "{error}");
        }
    }
}

#[test]
fn an_empty_content_is_a_content() {
    let disk = ModelDisk::new(1);
    disk.create_new(PATH).expect("new").persist(b"").expect("stored");
    disk.lose_power();
    let content = disk.open_existing(PATH).expect("there").load().expect("whole");
    assert_eq!(content, Some(Vec::new()));
}

#[test]
fn the_model_loses_what_was_not_synced() {
    use super::Files;

    // All that a file system may do to a file that was replaced without any sync.
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let disk = disk_with(20, seed);
        let handle = disk.handle();
        let (from, to) = (Path::new("/place/state.new"), Path::new(PATH));
        let mut file = handle.create(from, None).expect("made");
        file.write_all(&34u64.to_be_bytes()).expect("written");
        handle.rename(from, to).expect("renamed");
        disk.lose_power();
        let content = disk.open_existing(PATH).expect("there").load().expect("a file");
        found.insert((content, disk.names().contains(&"/place/state.new".to_owned())));
    }
    let has = |content: &[u8], scratch| found.contains(&(Some(content.to_vec()), scratch));
    assert!(has(&20u64.to_be_bytes(), true) && has(&20u64.to_be_bytes(), false));
    assert!(has(&34u64.to_be_bytes(), true) && has(&34u64.to_be_bytes(), false));
    assert!(has(b"", false) && has(&[0; 8], false) && has(&[0; 3], false));
}
