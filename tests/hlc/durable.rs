//! The high-water mark: what a restart finds, and which error a broken file gives.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Running, TODAY, UNSYNCHRONIZED, at, manual, span};
use tempfile::TempDir;
use truechimer::hlc::HlcBuilder;
use truechimer::{Hlc, HlcError, ManualClock, RecordError, Stamp, StoreError, TrueTime};

const HOUR: i64 = 3_600_000_000_000;
const WINDOW: Duration = Duration::from_micros(1);

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mark");
    (directory, path)
}

/// Starts a node that does not wait for an old mark. A test knows that its file was not lost.
fn start<'a>(clock: &'a ManualClock, path: &PathBuf) -> Result<Hlc<&'a ManualClock>, RecordError> {
    open(Hlc::builder(clock).window(WINDOW).open_wait(Duration::ZERO), path)
}

fn open<C: TrueTime>(builder: HlcBuilder<C>, path: &PathBuf) -> Result<Hlc<C>, RecordError> {
    if path.exists() { builder.open_existing(path) } else { builder.create_new(path) }
}

#[test]
fn after_a_restart_stamps_are_above_all_before_whatever_the_clock_reads() {
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 100);
    let mut last = Stamp::MIN;
    for offset in [0, 5_000, -HOUR, 10_000, HOUR, 3, i64::MIN / 4] {
        clock.set(span(TODAY + offset, TODAY + offset + 100));
        let hlc = start(&clock, &path).expect("a node");
        for _ in 0..50 {
            let stamp = hlc.stamp().or_else(|_| hlc.stamp_logical()).expect("causality");
            assert!(stamp > last, "{stamp:?} after {last:?} at {offset}");
            last = stamp;
        }
    }
}

#[test]
fn a_commit_stamp_is_not_issued_again_after_a_crash() {
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 50_000);
    let mut last = Stamp::MIN;
    for _ in 0..5 {
        let hlc = start(&clock, &path).expect("a node");
        let commit = hlc.commit_stamp();
        // After the first crash the mark is ahead of `latest`. Then no stamp is issued.
        match commit {
            Ok(commit) => {
                assert!(commit.provisional() > last);
                last = commit.provisional().to_stored();
            }
            Err(HlcError::Ahead { register, .. }) => assert!(register >= last),
            Err(other) => panic!("{other}"),
        }
        let now = last.timestamp().tai_nanos();
        clock.set(span(now - 40_000, now + 10_000));
    }
}

#[test]
fn the_mark_of_a_crash_is_waited_out_and_no_stamp_is_ahead() {
    let (_directory, path) = place();
    let clock = Running::new(Duration::from_micros(100), Duration::from_micros(100));
    let mut last = Stamp::MIN;
    for _ in 0..4 {
        let hlc = open(Hlc::builder(&clock).window(Duration::from_millis(20)), &path);
        let hlc = hlc.expect("a node");
        let stamp = hlc.stamp().expect("the mark has passed");
        assert!(stamp > last, "went back");
        assert!(stamp.timestamp() <= clock.truth(), "ahead of true time");
        last = stamp;
    }
}

#[test]
fn a_node_starts_with_a_mark_that_is_hours_ahead() {
    // In CockroachDB #74909, a node whose clock was hours fast could not start again.
    let (_directory, path) = place();
    let clock = manual(TODAY + 8 * HOUR, TODAY + 8 * HOUR + 10);
    let wrong = start(&clock, &path).expect("a node").stamp().expect("nothing shows the error yet");
    clock.set(span(TODAY, TODAY + 10));

    // It also starts with the default settings, and does not wait for hours.
    drop(Hlc::builder(&clock).open_existing(&path).expect("it starts"));
    let hlc = start(&clock, &path).expect("it starts");
    match hlc.stamp() {
        Err(error @ HlcError::Ahead { register, earliest, by }) => {
            assert!(register >= wrong && earliest == at(TODAY));
            assert!(by >= Duration::from_secs(8 * 3_600) && by < Duration::from_secs(8 * 3_601));
            let text = error.to_string();
            // The message has both moments in one notation, so that a person can compare them.
            let moments = [register.timestamp().to_string(), earliest.to_string()];
            for way in ["wait 288", "`reset()`", "`stamp_logical`", &moments[0], &moments[1]] {
                assert!(text.contains(way), "{text}");
            }
        }
        other => panic!("{other:?}"),
    }
    let logical = hlc.stamp_logical().expect("causality is kept");
    assert!(logical > wrong);
    hlc.note(Stamp::from(at(TODAY + 5))).expect("healthy peers are accepted");

    // It recovers by waiting or by a reset.
    let passed = logical.timestamp().tai_nanos() + HOUR;
    clock.set(span(passed, passed + 10));
    assert!(hlc.stamp().expect("it has passed") > logical);
    clock.set(span(TODAY, TODAY + 10));
    hlc.reset().expect("asked for");
    assert!(hlc.stamp().expect("reset") <= Stamp::from(at(TODAY + 10)));
    drop(hlc);
    // The mark is a window above the clock, and the window is at most 10 s.
    clock.set(span(TODAY + HOUR, TODAY + HOUR + 10));
    start(&clock, &path).expect("a node").stamp().expect("the mark was reset too");
}

#[test]
fn a_clock_two_milliseconds_past_the_mark_is_not_fatal() {
    // In CockroachDB #119859, wall time beyond the persisted bound ended the process.
    const PAST: i64 = 2_000_000;
    let (_directory, path) = place();
    let mark = || {
        let bytes = fs::read(&path).expect("a file");
        Stamp::from_be_bytes(bytes[16..24].try_into().expect("eight bytes"))
    };
    let clock = manual(TODAY, TODAY + 100);
    let hlc = start(&clock, &path).expect("a node");
    let mut last = hlc.stamp().expect("a stamp");
    // First while it runs, as after a stall of the thread that should have raised the mark.
    for commits in [false, true] {
        let beyond = mark().timestamp().tai_nanos() + PAST;
        clock.set(span(beyond, beyond + 100));
        let stamp = match commits {
            false => hlc.stamp().expect("the mark is raised first"),
            true => hlc.commit_stamp().expect("the mark is raised first").provisional().to_stored(),
        };
        assert!(stamp > last && stamp.timestamp() >= at(beyond));
        assert!(mark() >= stamp, "{stamp:?} went out before the mark {:?}", mark());
        last = stamp;
    }
    drop(hlc);
    // Then at a restart: the old mark is 2 ms back, or 2 ms ahead.
    for offset in [PAST, -PAST] {
        drop(hlc_at(&clock, mark().timestamp().tai_nanos() + offset, &path, &mut last));
    }
}

/// Starts a node when its clock reads `now`, and takes a stamp that is above all before.
fn hlc_at<'a>(
    clock: &'a ManualClock,
    now: i64,
    path: &PathBuf,
    last: &mut Stamp,
) -> Hlc<&'a ManualClock> {
    clock.set(span(now, now + 100));
    let hlc = start(clock, path).expect("it starts");
    let stamp = match hlc.stamp() {
        // The mark is not reached. The error says how long that takes.
        Err(HlcError::Ahead { by, .. }) => {
            let wait = i64::try_from(by.as_nanos()).expect("milliseconds");
            assert!(wait <= 2_000_001 + 1_000, "{by:?}");
            clock.set(span(now + wait, now + wait + 100));
            hlc.stamp().expect("it was waited out")
        }
        other => other.expect("a stamp"),
    };
    assert!(stamp > *last, "{stamp:?} after {last:?}");
    *last = stamp;
    hlc
}

#[test]
fn a_node_without_a_clock_starts_and_keeps_causality() {
    // In YugabyteDB #28377, a short loss of synchronization ended the process.
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    let before = start(&clock, &path).expect("a node").stamp().expect("a stamp");
    clock.fail(UNSYNCHRONIZED);
    let hlc = start(&clock, &path).expect("it starts");
    assert!(matches!(hlc.stamp(), Err(HlcError::Clock(_))));
    assert!(hlc.stamp_logical().expect("causality") > before);
    clock.set(span(TODAY + HOUR, TODAY + HOUR + 10));
    hlc.stamp().expect("the clock works again");
}

#[test]
fn with_a_window_of_zero_every_stamp_is_on_disk() {
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    let hlc = Hlc::builder(&clock).window(Duration::ZERO).create_new(&path).expect("a node");
    for _ in 0..10 {
        let stamp = hlc.stamp().expect("a stamp");
        let bytes = fs::read(&path).expect("a file");
        assert!(bytes[16..24] >= stamp.to_be_bytes()[..], "{stamp:?} is above the mark");
    }
}

#[test]
fn the_error_for_a_broken_file_says_what_to_do_and_the_file_is_unchanged() {
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    start(&clock, &path).expect("a node").stamp().expect("a stamp");
    let good = fs::read(&path).expect("a file");
    let mut torn = good.clone();
    torn[20] ^= 4;
    let cases: &[(&[u8], &str)] = &[
        (&good[..20], "truncated"),
        (&[], "truncated"),
        (&torn, "torn"),
        (b"[settings]\n", "use another path"),
    ];
    for &(bytes, says) in cases {
        fs::write(&path, bytes).expect("written");
        let error = start(&clock, &path).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(fs::read(&path).expect("there"), bytes);
    }
    fs::write(&path, &good).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("set");
    let error = start(&clock, &path).expect_err("read-only");
    assert!(matches!(error, RecordError::Store(StoreError::ReadOnly { .. })), "{error}");
    assert!(error.to_string().contains("give this process the right"), "{error}");
}

#[test]
fn a_mark_that_is_missing_is_not_a_new_one_and_one_that_exists_is_not_made_again() {
    let (directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    let builder = || Hlc::builder(&clock).open_wait(Duration::ZERO);
    let count = || fs::read_dir(directory.path()).expect("a directory").count();
    let missing = builder().open_existing(&path).expect_err("nothing is there");
    assert!(matches!(missing, RecordError::Store(StoreError::Missing { .. })), "{missing}");
    assert_eq!(count(), 0, "something was created");

    drop(builder().create_new(&path).expect("the first start"));
    let content = fs::read(&path).expect("a file");
    let exists = builder().create_new(&path).expect_err("it exists");
    assert!(matches!(exists, RecordError::Store(StoreError::Exists { .. })), "{exists}");
    assert_eq!(fs::read(&path).expect("a file"), content);
    drop(builder().open_existing(&path).expect("a later start"));

    // The volume is not mounted, or the file was deleted: its stamps would be issued again.
    fs::remove_file(&path).expect("removed");
    for lost in [builder().open_existing(&path), builder().create_new(&path)] {
        let lost = lost.expect_err("it is lost");
        assert!(matches!(lost, RecordError::Store(StoreError::Lost { .. })), "{lost}");
    }
    assert!(!path.exists());
}

#[test]
fn own_history_counts_though_the_mark_is_older() {
    // A node that was restored from a backup: its mark is old, and its log is newer.
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    drop(start(&clock, &path).expect("a node"));
    let newest = Stamp::from(at(TODAY + HOUR));
    let builder = Hlc::builder(&clock).open_wait(Duration::ZERO).not_below(newest);
    let hlc = builder.open_existing(&path).expect("a node");
    assert!(matches!(hlc.stamp(), Err(HlcError::Ahead { register, .. }) if register == newest));
    hlc.note(newest).expect("its own stamp");
    clock.set(span(TODAY + HOUR + 1, TODAY + HOUR + 11));
    assert!(hlc.stamp().expect("time has passed it") > newest);
    drop(hlc);
    // And the other way around: the mark counts though the given stamp is older.
    clock.set(span(TODAY, TODAY + 10));
    let builder = Hlc::builder(&clock).open_wait(Duration::ZERO).not_below(Stamp::from(at(TODAY)));
    let hlc = builder.open_existing(&path).expect("a node");
    assert!(matches!(hlc.stamp(), Err(HlcError::Ahead { register, .. }) if register > newest));
}

#[test]
fn a_commit_that_a_crash_interrupted_is_waited_out_with_the_mark() {
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 10_000);
    let hlc = Hlc::builder(&clock).create_new(&path).expect("a node");
    let log = hlc.commit_stamp().expect("a commit stamp").provisional().to_stored();
    drop(hlc);
    let hlc = start(&clock, &path).expect("a node");
    let commit = hlc.release(hlc.resume(log)).expect_err("it has not passed").into_pending();
    let Err(HlcError::Ahead { by, .. }) = hlc.stamp() else { panic!("the mark is ahead") };
    clock.advance(by);
    // Where the mark has passed, the commit has too.
    assert_eq!(hlc.release(commit).expect("passed"), log);
    assert!(hlc.stamp().expect("passed") > log);
}

#[test]
fn two_nodes_do_not_share_a_mark() {
    let (_directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    let first = start(&clock, &path).expect("a node");
    assert!(matches!(start(&clock, &path), Err(RecordError::Store(StoreError::Locked { .. }))));
    drop(first);
    start(&clock, &path).expect("free again");
}

#[test]
fn when_the_disk_fails_no_stamp_above_the_mark_is_issued() {
    let (directory, path) = place();
    let clock = manual(TODAY, TODAY + 10);
    let hlc = start(&clock, &path).expect("a node");
    hlc.stamp().expect("a stamp");
    // The mark's thread may be writing there, and then the directory is not empty after all.
    while directory.path().exists() {
        let _ = fs::remove_dir_all(directory.path());
    }
    // The second half of the window can still be used.
    clock.set(span(TODAY + 900, TODAY + 910));
    hlc.stamp().expect("below the mark");
    clock.set(span(TODAY + HOUR, TODAY + HOUR + 10));
    for _ in 0..3 {
        assert!(matches!(hlc.stamp(), Err(HlcError::Record(_))));
        assert!(matches!(hlc.stamp_logical(), Err(HlcError::Record(_))));
        assert!(matches!(hlc.commit_stamp(), Err(HlcError::Record(_))));
    }
    fs::create_dir(directory.path()).expect("made");
    // The opened directory is gone. The new directory of the same name is a different one.
    assert!(hlc.stamp().is_err() || path.exists());
}
