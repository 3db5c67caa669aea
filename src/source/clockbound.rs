//! ClockBound's shared memory as a source: what AWS's time daemon states of a tick.
//!
//! ClockBound 3 is a time daemon for EC2: it polls the local NTP servers and PTP clocks, and sets
//! the clock. `Clock::new()` believes the bound that it gives the kernel (see
//! `src/source/writer.rs`). Its segment of version 3 says more directly: *at this tick of the
//! processor's counter, UTC was this, within this bound*. No clock of the kernel, and no slew of
//! it, is between that and a reading.
//!
//! Only that statement is taken. The daemon also states the counter's period, by which its own
//! client goes on. Right after the first sync that was seen to be 1.6 % off. Here the statement
//! ages by assumption A2, as any other ([`_design`](crate::_design#the-assumptions)).
//!
//! | what is there | what counts |
//! |---|---|
//! | version 3, synchronised or free running, at most five minutes old | the statement |
//! | version 2 (`shm0`), or a clock that counts by `CLOCK_MONOTONIC_RAW` | nothing here; the kernel's bound, which the daemon writes too |
//! | status unknown or disrupted, or a daemon that has just started | nothing |
//! | written under another VMClock marker than the present one | nothing: the machine was moved |
//! | a damaged, short or half-written file | nothing |
//!
//! The file is read and not mapped, because a mapped file that is truncated kills its readers with
//! SIGBUS. It is read twice: if both reads have the same bytes, no write was under way.
//!
//! The daemon takes no notice of leap seconds, and the servers that it follows on EC2 smear them.
//! So within a day of one its UTC is taken to be up to a second off, in either direction.

pub mod segment;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::counter::{Counter, CounterKind};
use crate::evidence::{Reason, Sample, Source, SourceCondition, SourceError};
use crate::host::{HostClock, VMCLOCK_PATH, VmClockError, VmClockPage};
use crate::scale::LeapTable;
use crate::source::realtime::Realtime;
use crate::source::wall_clock::{RealtimeScale, WallClock};
use crate::timestamp::NANOS_PER_SECOND;

pub use segment::{Segment, SegmentError, SegmentStatus};

/// Where ClockBound 3 writes its segment of version 3.
pub const PATH: &str = "/var/run/clockbound/shm1";
/// How old a statement may be, in ns. The daemon writes each 2 s, and under jitter has been seen
/// to pause for 136 s.
pub(crate) const FRESH_NS: i64 = 300 * NANOS_PER_SECOND;
/// By how much its moment may lie ahead of the wall clock, which may be slewed, in ns.
pub(crate) const AHEAD_NS: i64 = NANOS_PER_SECOND;
/// How often it is read again while it is being written, which takes less than a microsecond.
const TRIES: u32 = 4;

/// Why a segment cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClockBoundError {
    /// The file cannot be opened or read.
    #[error(
        "ClockBound's segment {} cannot be read: {source}; check that the daemon (`clockbound`, \
         version 3 or newer) runs, and that its folder is shared with this container", .path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another user than root, and than the one that this process runs as, could have written it.
    #[error(
        "{} belongs to user {owner}, who could write anything into it: ClockBound's daemon runs as \
         root", .path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// It is no segment.
    #[error("{}: {source}", .path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SegmentError,
    },
}

impl ClockBoundError {
    /// Whether the same call may succeed later: the daemon may be started, or write.
    pub fn is_transient(&self) -> bool {
        match self {
            ClockBoundError::Open { .. } => true,
            ClockBoundError::Owner { .. } => false,
            ClockBoundError::Segment { source, .. } => source.is_transient(),
        }
    }
}

/// What ClockBound's daemon states, as a source of time.
///
/// ```no_run
/// use truechimer::Clock;
/// use truechimer::source::clockbound::{self, ClockBound};
///
/// let segment = ClockBound::open(clockbound::PATH)?;
/// let clock = Clock::builder().source(segment).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClockBound {
    path: PathBuf,
    vmclock: VmClockMarker,
    wall_clock: WallClock,
    /// The last segment that was whole, which stands in for one that is being written.
    last: Option<Segment>,
    /// The tick of the statement that stood there when the machine was moved: it is void.
    void_tick: Option<u64>,
}

impl ClockBound {
    /// The segment at `path`, usually [`PATH`]. The leap table is the builtin one.
    ///
    /// # Errors
    ///
    /// If there is no file that can be read, it is not root's, or it is not ClockBound's. A daemon
    /// that has no bound yet is no error here. The file is opened again for each sample, so the
    /// daemon may be restarted.
    pub fn open(path: impl AsRef<Path>) -> Result<ClockBound, ClockBoundError> {
        let path = path.as_ref().to_owned();
        match read(&path) {
            Err(ClockBoundError::Segment { source, .. }) if source.is_transient() => {}
            outcome => drop(outcome?),
        }
        Ok(ClockBound {
            path,
            vmclock: VmClockMarker { path: VMCLOCK_PATH.into(), page: None },
            wall_clock: wall_clock(LeapTable::builtin()),
            last: None,
            void_tick: None,
        })
    }

    /// The leap seconds by which its UTC is converted.
    #[must_use]
    pub fn leap_table(mut self, leaps: LeapTable) -> ClockBound {
        self.wall_clock = wall_clock(leaps);
        self
    }

    /// What `segment` says, when the counter shows `tick` and the wall clock `unix_ns`.
    fn judge(
        &mut self,
        segment: &Segment,
        kind: CounterKind,
        tick: u64,
        unix_ns: i64,
    ) -> Result<Sample, SourceError> {
        let refuse =
            |why: String| Err(SourceError::failed(format_args!("{}: {why}", self.path.display())));
        if segment.version < 3 {
            return refuse(
                "a segment of version 2 is of the kernel's clock: use that clock's own bound, \
                 which `Clock::new()` reads, or the segment shm1"
                    .to_owned(),
            );
        }
        if !matches!(kind, CounterKind::Tsc | CounterKind::Cntvct) {
            return refuse(format!(
                "its statement is of a tick of the processor's counter, and this clock counts by \
                 {kind}: the kernel's bound, which `Clock::new()` reads, is the daemon's too"
            ));
        }
        match segment.status {
            SegmentStatus::Synchronized | SegmentStatus::FreeRunning => {}
            status => return refuse(format!("the daemon says of itself that it is {status}")),
        }
        if let Some(marker) = segment.disruption_marker {
            match self.vmclock.now() {
                Ok(present) if present == marker => {}
                Ok(present) => {
                    return refuse(format!(
                        "it was written under the VMClock's marker {marker}, which is {present} \
                         now: the machine was moved or restored since"
                    ));
                }
                Err(error) => {
                    return refuse(format!(
                        "the daemon follows a VMClock, and this process cannot: {error}"
                    ));
                }
            }
        }
        if self.void_tick == Some(segment.as_of_tick) {
            return Err(SourceError::no_bound(
                Reason::Disrupted,
                format_args!("{}: its statement is from before", self.path.display()),
            ));
        }
        if segment.as_of_tick == 0 || segment.as_of_tick > tick {
            return refuse(format!(
                "it is of tick {}, and the counter is at {tick}: it is another machine's, or from \
                 before this one was started",
                segment.as_of_tick
            ));
        }
        // By the counter and by the wall clock, of which either may be wrong.
        let by_clock_ns = unix_ns.saturating_sub(segment.as_of_unix_ns);
        let is_fresh = segment.age_ns(tick) <= FRESH_NS.unsigned_abs().into()
            && (-AHEAD_NS..=FRESH_NS).contains(&by_clock_ns)
            && unix_ns <= segment.void_after_ns;
        if !is_fresh {
            return refuse(format!(
                "its statement is {} s old by the counter and {} s by the wall clock: the daemon has \
                 ended, or has lost all of its sources",
                segment.age_ns(tick) / NANOS_PER_SECOND.unsigned_abs() as u128,
                by_clock_ns / NANOS_PER_SECOND
            ));
        }
        let at = segment.as_of_tick;
        let shown =
            Realtime { before: at, unix_ns: segment.as_of_unix_ns, after: at, offset: (0, 0) };
        let bound = Duration::from_nanos(segment.bound_ns.unsigned_abs());
        let time = self.wall_clock.tai(&shown, bound, None, None)?;
        Ok(Sample::new(at, at, time))
    }
}

/// The marker of the machine's VMClock, which changes when the machine is moved or restored.
#[derive(Debug)]
struct VmClockMarker {
    path: PathBuf,
    /// Mapped when it is first asked for: most segments follow no VMClock.
    page: Option<VmClockPage>,
}

impl VmClockMarker {
    /// What it is now.
    ///
    /// # Errors
    ///
    /// If there is no VMClock that this process can read.
    fn now(&mut self) -> Result<u64, VmClockError> {
        let page = match self.page.take() {
            Some(page) => page,
            None => VmClockPage::open(&self.path)?,
        };
        Ok(self.page.insert(page).marker())
    }
}

impl Source for ClockBound {
    fn name(&self) -> &str {
        "clockbound"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        use ClockBoundError::Segment as Unreadable;
        let segment = match (read(&self.path), self.last) {
            (Ok(segment), _) => segment,
            (Err(Unreadable { source: SegmentError::BeingWritten, .. }), Some(last)) => last,
            (Err(error), _) => {
                self.last = None;
                return Err(SourceError::failed(error));
            }
        };
        // The clocks are read after the segment, so that it is not of a later tick than they show.
        let unix_ns = counter.host().nanos(HostClock::Realtime)?;
        let tick = counter.try_read()?;
        self.last = Some(segment);
        self.judge(&segment, counter.kind(), tick, unix_ns)
    }

    fn disrupted(&mut self) {
        let stated = read(&self.path).ok().or(self.last.take());
        self.void_tick = stated.map(|segment| segment.as_of_tick).or(self.void_tick);
    }

    fn details(&self) -> Option<String> {
        let Segment { status, bound_ns, generation, .. } = self.last?;
        let bound = Duration::from_nanos(bound_ns.unsigned_abs());
        Some(format!("{status}, within {bound:?} at its tick, generation {generation}"))
    }

    fn condition(&self) -> SourceCondition {
        match self.last {
            Some(Segment { status: SegmentStatus::FreeRunning, .. }) => SourceCondition::default()
                .in_holdover("ClockBound's daemon has lost its sources (free running)"),
            _ => SourceCondition::default(),
        }
    }
}

/// Reads the segment at `path`, for whoever wants to show it.
///
/// # Errors
///
/// If it cannot be read, is not root's, or is no segment.
///
/// ```no_run
/// use truechimer::source::clockbound;
///
/// let segment = clockbound::read(clockbound::PATH.as_ref())?;
/// println!("{}, within {} ns", segment.status, segment.bound_ns);
/// # Ok::<(), clockbound::ClockBoundError>(())
/// ```
pub fn read(path: &Path) -> Result<Segment, ClockBoundError> {
    // What this process could have written itself cannot deceive it.
    read_of(path, |owner| owner == 0 || is_own(owner))
}

/// Reads the segment at `path` if its owner may be believed.
pub(crate) fn read_of(
    path: &Path,
    is_believed: impl Fn(u32) -> bool,
) -> Result<Segment, ClockBoundError> {
    let failed = |source| ClockBoundError::Open { path: path.to_owned(), source };
    let mut file = open(path).map_err(failed)?;
    let owner = owner(&file).map_err(failed)?;
    if !is_believed(owner) {
        return Err(ClockBoundError::Owner { path: path.to_owned(), owner });
    }
    let bytes = read_stable(&mut file).map_err(failed)?;
    bytes
        .ok_or(SegmentError::BeingWritten)
        .and_then(|bytes| Segment::parse(&bytes))
        .map_err(|source| ClockBoundError::Segment { path: path.to_owned(), source })
}

/// The same bytes twice in a row, or `None` if they change all the time.
///
/// A writer makes the generation odd before anything else, and it is in the bytes. So a write that
/// began during the first read shows in the second.
fn read_stable(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    let mut once = || -> io::Result<Vec<u8>> {
        file.rewind()?;
        let mut bytes = Vec::with_capacity(segment::LENGTH);
        file.by_ref().take(segment::LENGTH as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut before = once()?;
    for _ in 0..TRIES {
        let after = once()?;
        if after == before {
            return Ok(Some(after));
        }
        before = after;
    }
    Ok(None)
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // To open a pipe would wait for its writer otherwise.
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(unix)]
fn owner(file: &File) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map(|metadata| metadata.uid())
}

#[cfg(unix)]
fn is_own(owner: u32) -> bool {
    owner == nix::unistd::geteuid().as_raw()
}

#[cfg(not(unix))]
fn open(_path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn owner(_file: &File) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn is_own(_owner: u32) -> bool {
    false
}

/// By what its UTC becomes TAI: it ignores leap seconds, and may follow servers that smear.
fn wall_clock(leaps: LeapTable) -> WallClock {
    WallClock::new(leaps, RealtimeScale::Unknown)
}

#[cfg(test)]
mod tests;
