use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use super::segment::tests::segment_3;
use super::*;
use crate::counter::CounterId;
use crate::host::Host;
use crate::host::scripted::ScriptedHost;
use crate::timestamp::Timestamp;

const SECOND: i64 = NANOS_PER_SECOND;
const BOUND: i64 = 473_629;

/// A scripted machine with a file in which a daemon's segment is.
struct Rig {
    host: Arc<ScriptedHost>,
    counter: Counter,
    folder: PathBuf,
    source: ClockBound,
}

impl Rig {
    fn new(test: &str) -> Rig {
        let folder = std::env::temp_dir()
            .join(format!("truechimer-clockbound-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let host = ScriptedHost::new();
        let counter = Counter::new(host.clone(), CounterId::HARDWARE);
        let path = folder.join("shm1");
        fs::write(&path, segment_3(0, 1, 1, 0)).expect("written");
        let mut source = ClockBound::open(&path).expect("a segment");
        source.vmclock.path = folder.join("vmclock0");
        Rig { host, counter, folder, source }
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.folder.join("shm1"), bytes).expect("written");
    }

    /// The tick and the Unix time at this moment, which are true.
    fn now(&self) -> (u64, i64) {
        (self.host.truth_ns() as u64, self.host.nanos(HostClock::Realtime).expect("allowed"))
    }

    /// A segment of `age_ns` ago, whose centre is off by `off_ns`.
    fn segment(&self, age_ns: i64, off_ns: i64) -> [u8; segment::LENGTH] {
        let (tick, unix_ns) = self.now();
        segment_3(1, tick - age_ns as u64, unix_ns - age_ns + off_ns, BOUND)
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.source.sample(&self.counter)
    }

    fn refusal(&mut self) -> String {
        self.sample().expect_err("it must be refused").to_string()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_segment_is_a_sample_at_its_own_tick() {
    let mut rig = Rig::new("sample");
    let (tick, unix_ns) = rig.now();
    rig.host.pass(6 * SECOND);
    rig.write(&segment_3(1, tick, unix_ns, BOUND));
    let sample = rig.sample().expect("good");
    assert_eq!((sample.before, sample.after), (tick, tick), "it ages from there");
    let centre = unix_ns + 37 * SECOND;
    assert_eq!(sample.time.earliest().tai_nanos(), centre - BOUND);
    assert!((0..=20).contains(&(sample.time.latest().tai_nanos() - centre - BOUND)), "rounded up");
    assert_eq!(rig.source.condition().holdover, None);
    let details = rig.source.details().expect("sampled");
    assert!(details.contains("synchronised") && details.contains("473.629µs"), "{details}");
    // The same for as long as the daemon writes nothing else, and holdover by its word.
    assert_eq!(rig.sample(), Ok(sample));
    rig.write(&segment_3(2, tick, unix_ns, BOUND));
    assert_eq!(rig.sample(), Ok(sample));
    assert!(rig.source.condition().holdover.expect("free running").contains("lost"));
}

#[test]
fn what_states_nothing_is_refused_with_the_reason() {
    let mut rig = Rig::new("refused");
    let (tick, unix_ns) = rig.now();
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("unknown", segment_3(0, tick, unix_ns, BOUND).into(), "unknown"),
        ("disrupted", segment_3(3, tick, unix_ns, BOUND).into(), "disrupted"),
        ("no bound", segment_3(1, tick, unix_ns, 0).into(), "bound is 0"),
        ("below zero", segment_3(1, tick, unix_ns, -5).into(), "bound is -5"),
        (
            "a later tick",
            segment_3(1, tick + 1_000_000, unix_ns, BOUND).into(),
            "another machine's",
        ),
        ("no tick", segment_3(1, 0, unix_ns, BOUND).into(), "another machine's"),
        ("old", rig.segment(301 * SECOND, 0).into(), "301 s old"),
        ("ahead", segment_3(1, tick, unix_ns + 2 * SECOND, BOUND).into(), "s old"),
        // The wall clock and the counter do not agree on its age.
        ("old tick", segment_3(1, tick - 301 * SECOND as u64, unix_ns, BOUND).into(), "301 s old"),
        ("old time", segment_3(1, tick, unix_ns - 301 * SECOND, BOUND).into(), "301 s by"),
        ("cut off", rig.segment(0, 0)[..103].into(), "has 103 bytes"),
        ("empty", Vec::new(), "has 0 bytes"),
    ];
    for (case, bytes, word) in cases {
        rig.write(&bytes);
        let refusal = rig.refusal();
        assert!(refusal.contains(word), "{case}: {refusal}");
        assert!(refusal.contains("shm1"), "{refusal}");
        rig.write(&rig.segment(300 * SECOND - 1_000_000, 0));
        rig.sample().expect("good again");
    }
    fs::remove_file(rig.folder.join("shm1")).expect("removed");
    assert!(rig.refusal().contains("cannot be read"));
}

#[test]
fn its_statement_ends_when_it_says_so() {
    let mut rig = Rig::new("void");
    let mut bytes = rig.segment(10 * SECOND, 0);
    rig.write(&bytes);
    rig.sample().expect("void after 1000 s");
    let (_, unix_ns) = rig.now();
    bytes[40..48].copy_from_slice(&(unix_ns / SECOND - 1).to_ne_bytes());
    rig.write(&bytes);
    assert!(rig.refusal().contains("by the wall clock"));
}

#[test]
fn a_daemon_that_starts_again_says_nothing_and_then_something() {
    let mut rig = Rig::new("restart");
    rig.write(&rig.segment(0, 0));
    rig.sample().expect("good");
    // It wipes the segment, then writes its version, and then states what it has.
    let mut wiped = rig.segment(0, 0);
    wiped[12..].fill(0);
    rig.write(&wiped);
    assert!(rig.refusal().contains("written nothing yet"));
    wiped[12..14].copy_from_slice(&0x0303u16.to_ne_bytes());
    rig.write(&wiped);
    assert!(rig.refusal().contains("written nothing yet"));
    rig.write(&rig.segment(0, 0));
    rig.sample().expect("good");
}

#[test]
fn a_segment_that_is_being_written_leaves_the_last_one() {
    let mut rig = Rig::new("torn");
    let mut odd = rig.segment(0, 0);
    odd[14..16].copy_from_slice(&7u16.to_ne_bytes());
    rig.write(&odd);
    assert!(rig.refusal().contains("being written"), "there is none yet");
    rig.write(&rig.segment(0, 0));
    let sample = rig.sample().expect("good");
    rig.write(&odd);
    assert_eq!(rig.sample(), Ok(sample));
    // Which is judged again.
    rig.host.pass(301 * SECOND);
    assert!(rig.refusal().contains("301 s old"));
}

/// A file whose bytes are others at each read.
struct Changing {
    reads: Vec<Vec<u8>>,
    at: usize,
}

impl Read for Changing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.reads[0][self.at..];
        let length = rest.read(buffer)?;
        self.at += length;
        Ok(length)
    }
}

impl Seek for Changing {
    fn seek(&mut self, _to: io::SeekFrom) -> io::Result<u64> {
        if self.at > 0 && self.reads.len() > 1 {
            self.reads.remove(0);
        }
        self.at = 0;
        Ok(0)
    }
}

#[test]
fn bytes_count_when_two_reads_agree() {
    let reads = |bytes: &[u8]| bytes.iter().map(|&byte| vec![byte; 4]).collect();
    for (bytes, expected) in [
        (&[1, 1][..], Some(1)),
        (&[1, 2, 2], Some(2)),
        (&[1, 2, 3, 4, 4], Some(4)),
        (&[1, 2, 1, 2, 1, 1], None),
    ] {
        let mut file = Changing { reads: reads(bytes), at: 0 };
        let read = read_stable(&mut file).expect("no error");
        assert_eq!(read, expected.map(|byte| vec![byte; 4]), "{bytes:?}");
    }
}

#[test]
fn a_clock_that_counts_otherwise_has_no_use_for_it() {
    let mut rig = Rig::new("raw");
    rig.write(&rig.segment(0, 0));
    let raw = Counter::new(rig.host.clone(), CounterId::MONOTONIC_RAW);
    let refusal = rig.source.sample(&raw).expect_err("ticks of another counter").to_string();
    assert!(refusal.contains("CLOCK_MONOTONIC_RAW") && refusal.contains("Clock::new()"));
    // Version 2 is of the kernel's clock.
    let mut bytes = rig.segment(0, 0);
    bytes[12..14].copy_from_slice(&2u16.to_ne_bytes());
    bytes[16..32].copy_from_slice(&rig.segment(0, 0)[24..40]);
    bytes[40..48].fill(0);
    bytes[48..56].copy_from_slice(&BOUND.to_ne_bytes());
    bytes[68..72].copy_from_slice(&1i32.to_ne_bytes());
    bytes[72] = 0;
    rig.write(&bytes);
    assert!(rig.refusal().contains("version 2"), "{}", rig.refusal());
}

// VMClocks are on 64-bit Linux, and elsewhere such a segment is refused.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_segment_of_before_a_migration_is_void() {
    use crate::host::MARKER_WORD;

    let mut rig = Rig::new("marker");
    let marked = |rig: &Rig| {
        let mut bytes = rig.segment(0, 0);
        bytes[96] = 1;
        bytes[80..88].copy_from_slice(&7u64.to_ne_bytes());
        bytes
    };
    rig.write(&marked(&rig));
    let refusal = rig.refusal();
    assert!(refusal.contains("follows a VMClock") && refusal.contains("vmclock0"), "{refusal}");
    assert!(refusal.contains("does not exist") && rig.source.vmclock.page.is_none(), "{refusal}");
    fs::write(&rig.source.vmclock.path, [0; 4096]).expect("written");
    assert!(rig.refusal().contains("not a device"), "it is looked for each time until it is there");
    rig.source.vmclock.page = Some(rig.host.vmclock());
    rig.host.set_vmclock_word(MARKER_WORD, 7);
    rig.sample().expect("the same marker");
    for other in [8, 6, 0] {
        rig.host.set_vmclock_word(MARKER_WORD, other);
        let refusal = rig.refusal();
        assert!(refusal.contains(&format!("marker 7, which is {other} now")), "{refusal}");
    }
    // A clock that saw the move itself needs no marker: what stood there then is void.
    rig.host.set_vmclock_word(MARKER_WORD, 7);
    let stated = marked(&rig);
    rig.write(&stated);
    rig.source.disrupted();
    assert!(rig.refusal().contains("moved this machine"), "{}", rig.refusal());
    rig.host.pass(SECOND);
    rig.write(&marked(&rig));
    rig.sample().expect("stated since");
    // Without the flag the marker means nothing.
    let mut bytes = marked(&rig);
    bytes[96] = 0;
    rig.write(&bytes);
    rig.sample().expect("no VMClock is followed");
}

#[test]
fn near_a_leap_second_its_utc_may_be_a_second_off() {
    const LEAP: i64 = 1_483_228_800;
    let mut rig = Rig::new("leap");
    for (hours, is_near) in [(-30, false), (-20, true), (0, true), (20, true), (30, false)] {
        let unix_ns = (LEAP + hours * 3_600) * SECOND;
        let bytes = segment_3(1, 50, unix_ns, BOUND);
        let segment = Segment::parse(&bytes).expect("good");
        let sample = rig.source.judge(&segment, CounterKind::Tsc, 60, unix_ns).expect("fresh");
        let offset = if hours < 0 { 36 } else { 37 };
        for off in [-SECOND, 0, SECOND] {
            let truth = Timestamp::from_tai_nanos(unix_ns + offset * SECOND + off);
            assert_eq!(sample.time.contains(truth), is_near || off == 0, "{hours} h, {off}");
        }
    }
}

#[test]
fn what_cannot_be_a_segment_is_an_error_when_it_is_opened() {
    let rig = Rig::new("open");
    let path = rig.folder.join("shm1");
    let error = |path: &Path| ClockBound::open(path).expect_err("refused");
    let absent = error(&rig.folder.join("shm9"));
    assert!(absent.is_transient() && absent.to_string().contains("shm9"), "{absent}");
    rig.write(
        b"something else, and as long as a segment is, so that only its first bytes tell, \
                which they do at once",
    );
    let other = error(&path);
    assert!(!other.is_transient() && other.to_string().contains("does not begin"), "{other}");
    let folder = error(&rig.folder);
    assert!(folder.to_string().contains("cannot be read"), "{folder}");
    let mut starting = rig.segment(0, 0);
    starting[12..].fill(0);
    rig.write(&starting);
    ClockBound::open(&path).expect("the daemon has just started");
    let strict = read_of(&path, |_| false).expect_err("nobody is believed");
    assert!(matches!(strict, ClockBoundError::Owner { .. }) && !strict.is_transient(), "{strict}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_its_place_keeps_nobody_waiting() {
    let mut rig = Rig::new("pipe");
    let path = rig.folder.join("shm1");
    fs::remove_file(&path).expect("removed");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert!(rig.refusal().contains("cannot be read"));
}

proptest! {
    /// A hostile file never makes it crash, and never gives a sample of a tick that is yet to come,
    /// or a bound of nothing.
    #[test]
    fn no_file_makes_it_crash_or_say_what_the_file_does_not(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        changes in proptest::collection::vec((0..segment::LENGTH, any::<u8>()), 0..6),
        keeps in prop_oneof![Just(0), Just(14), Just(24), Just(72), Just(segment::LENGTH)],
    ) {
        let mut rig = Rig::new("hostile");
        let mut changed = rig.segment(SECOND, 0);
        for (at, byte) in changes {
            changed[at] = byte;
        }
        let mut framed = bytes;
        let kept = framed.len().min(keeps);
        framed[..kept].copy_from_slice(&changed[..kept]);
        for bytes in [&framed[..], &changed[..]] {
            rig.write(bytes);
            let Ok(sample) = rig.sample() else { continue };
            let (now, _) = rig.now();
            prop_assert!(sample.before == sample.after && sample.before <= now && sample.before > 0);
            prop_assert!(sample.time.width() > Duration::ZERO);
            prop_assert_eq!(i64::from_ne_bytes(*bytes[72..].first_chunk().expect("long")).max(0) > 0, true);
            prop_assert!(bytes[14] % 2 == 0, "its generation is even");
        }
    }
}
