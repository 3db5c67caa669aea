//! The bytes of ClockBound's shared memory, each of them checked.
//!
//! The segment is a file that another program writes and may be replacing, so every byte is
//! validated before it means anything. (ClockBound's own client copies the status and a flag into
//! Rust types that not every byte is a value of.)
//!
//! ```text
//!  both versions               version 2 (80 bytes)     version 3 (104 bytes)
//!   0  magic, two numbers      16  as of                 16  the counter's tick it is as of
//!   8  size                    32  void after            24  as of
//!  12  version                 48  bound, ns             40  void after
//!  14  generation              56  disruption marker     56  period of a tick, fraction
//!      odd: being written      64  drift, ppb            64  its relative error, fraction
//!      0: never written        68  status                72  bound, ns
//!                              72  disruption support    80  disruption marker
//!                                                        88  drift, ppb
//!                                                        92  status
//!                                                        96  disruption support
//!                                                        97  shifts of the fractions
//! ```
//!
//! Numbers have the machine's byte order. "As of" and "void after" are a second and a
//! nanosecond: by `CLOCK_MONOTONIC_COARSE` in version 2 (only "void after"), and of UTC otherwise.

use std::fmt;

use crate::timestamp::NANOS_PER_SECOND;

/// The length of the longest segment that is known.
pub const LENGTH: usize = 104;

const MAGIC: [u32; 2] = [0x414D_5A4E, 0x4342_0200];
const VERSION_2: u16 = 0x0002;
const VERSION_3: u16 = 0x0303;
const LENGTH_2: usize = 80;
/// More than any version's size, which a page is.
const LARGEST_SIZE: u32 = 4096;
/// The periods of counters of 1 MHz and of 1 THz, in s × 2⁻⁶⁴.
const LONGEST_PERIOD: u128 = (1 << 64) / 1_000_000;
const SHORTEST_PERIOD: u128 = (1 << 64) / 1_000_000_000_000;

/// What the daemon says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SegmentStatus {
    /// It has no bound.
    Unknown,
    /// It follows its sources.
    Synchronized,
    /// It has lost its sources, and the bound holds.
    FreeRunning,
    /// The machine was moved or restored, and the bound is void.
    Disrupted,
}

impl fmt::Display for SegmentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SegmentStatus::Unknown => "unknown",
            SegmentStatus::Synchronized => "synchronised",
            SegmentStatus::FreeRunning => "free running",
            SegmentStatus::Disrupted => "disrupted",
        })
    }
}

/// Why bytes are no segment that means anything.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The file is shorter than its version says.
    #[error("the segment has {0} bytes, and a segment of its version has more")]
    Short(usize),
    /// It does not begin as ClockBound's segments do.
    #[error("the segment does not begin as ClockBound's do")]
    Magic,
    /// The version is not known here.
    #[error("the segment has version {0:#06x}, and not 0x0002 or 0x0303")]
    Version(u16),
    /// The daemon has started and has written nothing yet.
    #[error("the daemon has written nothing yet")]
    NeverWritten,
    /// It is being written at this moment.
    #[error("the segment is being written")]
    BeingWritten,
    /// A field has a value that it cannot have.
    #[error("the segment's field {field} is {value}, which it cannot be")]
    Field {
        /// Which.
        field: &'static str,
        /// What was there.
        value: i128,
    },
}

impl SegmentError {
    /// Whether another look a moment later may find a segment.
    pub fn is_transient(&self) -> bool {
        matches!(self, SegmentError::NeverWritten | SegmentError::BeingWritten)
    }
}

/// What a segment states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Segment {
    /// 2 or 3.
    pub version: u8,
    /// Even; it grows by two with each write.
    pub generation: u16,
    /// The counter's tick (TSC, CNTVCT) of which it is a statement. Version 3 has it.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub as_of_tick: u64,
    /// At that tick UTC was this, in ns of Unix time, within the bound.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub as_of_unix_ns: i64,
    /// From here on the statement is void: ns of Unix time, in version 2 of `CLOCK_MONOTONIC`.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub void_after_ns: i64,
    /// The bound, in ns. It is above 0 if the status is synchronised or free running.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub bound_ns: i64,
    /// By how much the bound grows for its own client, in ppb.
    pub drift_ppb: u32,
    /// What the daemon says of itself.
    pub status: SegmentStatus,
    /// The VMClock's marker under which it was written, if the daemon follows a VMClock.
    pub disruption_marker: Option<u64>,
    /// The period of a tick in s × 2⁻⁶⁴, in version 3. It was seen to be 1.6 % off.
    #[cfg_attr(feature = "serde", serde(skip))]
    period: u64,
}

impl Segment {
    /// Reads a segment out of the bytes of its file.
    ///
    /// # Errors
    ///
    /// If they are too few, or some field has a value that it cannot have.
    pub fn parse(bytes: &[u8]) -> Result<Segment, SegmentError> {
        let fields = Fields(bytes);
        if [fields.u32(0)?, fields.u32(4)?] != MAGIC {
            return Err(SegmentError::Magic);
        }
        let (size, version, generation) = (fields.u32(8)?, fields.u16(12)?, fields.u16(14)?);
        // A daemon that starts wipes the version too.
        if generation == 0 {
            return Err(SegmentError::NeverWritten);
        }
        if generation % 2 == 1 {
            return Err(SegmentError::BeingWritten);
        }
        let length = match version {
            VERSION_2 => LENGTH_2,
            VERSION_3 => LENGTH,
            other => return Err(SegmentError::Version(other)),
        };
        if !(length as u32..=LARGEST_SIZE).contains(&size) {
            return Err(wrong("size", size));
        }
        if bytes.len() < length {
            return Err(SegmentError::Short(bytes.len()));
        }
        let segment = match version {
            VERSION_2 => fields.version_2(generation),
            _ => fields.version_3(generation),
        }?;
        let states_a_bound =
            matches!(segment.status, SegmentStatus::Synchronized | SegmentStatus::FreeRunning);
        if segment.bound_ns < 0 || (states_a_bound && segment.bound_ns == 0) {
            return Err(wrong("bound", segment.bound_ns));
        }
        Ok(segment)
    }

    /// How long ago its tick was when the counter shows `tick`, in ns, by the daemon's own idea of
    /// the counter's rate. That is good enough to tell an old segment and for nothing else.
    pub(crate) fn age_ns(&self, tick: u64) -> u128 {
        let ticks = u128::from(tick.saturating_sub(self.as_of_tick));
        let nanos_per_second = u128::from(NANOS_PER_SECOND.unsigned_abs());
        // Both fractions are shifted out in two steps, because all of it would not fit.
        (((ticks * u128::from(self.period)) >> 32) * nanos_per_second) >> 32
    }
}

/// Fields of a segment at their places.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn version_2(&self, generation: u16) -> Result<Segment, SegmentError> {
        Ok(Segment {
            version: 2,
            generation,
            as_of_tick: 0,
            as_of_unix_ns: self.time("as_of", 16)?,
            void_after_ns: self.time("void_after", 32)?,
            bound_ns: self.i64(48)?,
            drift_ppb: self.u32(64)?,
            status: self.status(68)?,
            disruption_marker: self.flag("clock_disruption_support", 72)?.then_some(self.u64(56)?),
            period: 0,
        })
    }

    fn version_3(&self, generation: u16) -> Result<Segment, SegmentError> {
        let status = self.status(92)?;
        let period = self.fraction("period", 56, 97)?;
        self.fraction("period_error", 64, 98)?;
        // Before it has measured anything the daemon writes a period of 0.
        let is_plausible = (SHORTEST_PERIOD..=LONGEST_PERIOD).contains(&u128::from(period));
        if matches!(status, SegmentStatus::Synchronized | SegmentStatus::FreeRunning)
            && !is_plausible
        {
            return Err(wrong("period", period));
        }
        Ok(Segment {
            version: 3,
            generation,
            as_of_tick: self.u64(16)?,
            as_of_unix_ns: self.time("as_of", 24)?,
            void_after_ns: self.time("void_after", 40)?,
            bound_ns: self.i64(72)?,
            drift_ppb: self.u32(88)?,
            status,
            disruption_marker: self.flag("clock_disruption_support", 96)?.then_some(self.u64(80)?),
            period,
        })
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], SegmentError> {
        let field = self.0.get(at..).and_then(|rest| rest.first_chunk());
        field.copied().ok_or(SegmentError::Short(self.0.len()))
    }

    fn u16(&self, at: usize) -> Result<u16, SegmentError> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Result<u32, SegmentError> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64, SegmentError> {
        self.array(at).map(u64::from_ne_bytes)
    }

    fn i64(&self, at: usize) -> Result<i64, SegmentError> {
        self.array(at).map(i64::from_ne_bytes)
    }

    /// A second and a nanosecond, as ns. Far off seconds become the end of the range.
    fn time(&self, field: &'static str, at: usize) -> Result<i64, SegmentError> {
        let (seconds, nanos) = (self.i64(at)?, self.i64(at + 8)?);
        if !(0..NANOS_PER_SECOND).contains(&nanos) {
            return Err(wrong(field, nanos));
        }
        Ok(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
    }

    fn status(&self, at: usize) -> Result<SegmentStatus, SegmentError> {
        match self.array(at).map(i32::from_ne_bytes)? {
            0 => Ok(SegmentStatus::Unknown),
            1 => Ok(SegmentStatus::Synchronized),
            2 => Ok(SegmentStatus::FreeRunning),
            3 => Ok(SegmentStatus::Disrupted),
            other => Err(wrong("status", other)),
        }
    }

    fn flag(&self, field: &'static str, at: usize) -> Result<bool, SegmentError> {
        match self.array(at)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(wrong(field, other)),
        }
    }

    /// A number below 1 times 2⁶⁴, rounded down: the fraction, shifted to the right once more.
    fn fraction(
        &self,
        field: &'static str,
        at: usize,
        shift_at: usize,
    ) -> Result<u64, SegmentError> {
        let [shift] = self.array(shift_at)?;
        if shift >= 64 {
            return Err(wrong(field, shift));
        }
        Ok(self.u64(at)? >> shift)
    }
}

fn wrong(field: &'static str, value: impl Into<i128>) -> SegmentError {
    SegmentError::Field { field, value: value.into() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1 ns in s × 2⁻⁶⁴, with 29 bits more.
    const PERIOD: u64 = ((1u128 << 93) / 1_000_000_000) as u64;

    /// The bytes of a segment of version 3, of a counter of 1 GHz.
    pub(crate) fn segment_3(status: i32, tick: u64, as_of_ns: i64, bound_ns: i64) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC[0].to_ne_bytes());
        put(4, &MAGIC[1].to_ne_bytes());
        put(8, &(LENGTH as u32).to_ne_bytes());
        put(12, &VERSION_3.to_ne_bytes());
        put(14, &4u16.to_ne_bytes());
        put(16, &tick.to_ne_bytes());
        let (seconds, nanos) =
            (as_of_ns.div_euclid(NANOS_PER_SECOND), as_of_ns.rem_euclid(NANOS_PER_SECOND));
        put(24, &seconds.to_ne_bytes());
        put(32, &nanos.to_ne_bytes());
        put(40, &(seconds.saturating_add(1_000)).to_ne_bytes());
        put(48, &nanos.to_ne_bytes());
        put(56, &PERIOD.to_ne_bytes());
        put(97, &[29]);
        put(64, &(1u64 << 60).to_ne_bytes());
        put(98, &[5]);
        put(72, &bound_ns.to_ne_bytes());
        put(88, &15_000u32.to_ne_bytes());
        put(92, &status.to_ne_bytes());
        bytes
    }

    const AS_OF: i64 = 1_764_000_000_123_456_789;

    fn good() -> [u8; LENGTH] {
        segment_3(1, 5_000_000, AS_OF, 473_629)
    }

    fn with(at: usize, field: &[u8]) -> Result<Segment, SegmentError> {
        let mut bytes = good();
        bytes[at..at + field.len()].copy_from_slice(field);
        Segment::parse(&bytes)
    }

    #[test]
    fn a_segment_of_version_3_is_read_field_by_field() {
        let segment = Segment::parse(&good()).expect("good");
        assert_eq!((segment.version, segment.generation), (3, 4));
        assert_eq!((segment.as_of_tick, segment.as_of_unix_ns), (5_000_000, AS_OF));
        assert_eq!(segment.void_after_ns, AS_OF + 1_000 * NANOS_PER_SECOND);
        assert_eq!((segment.bound_ns, segment.drift_ppb), (473_629, 15_000));
        assert_eq!(
            (segment.status, segment.disruption_marker),
            (SegmentStatus::Synchronized, None)
        );
        // 1 ns a tick.
        assert_eq!(segment.age_ns(5_000_000), 0);
        assert_eq!(segment.age_ns(4_000_000), 0, "a tick before it");
        assert!((999_999_900..=1_000_000_000).contains(&segment.age_ns(1_005_000_000)));
        assert!(segment.age_ns(u64::MAX) > 1 << 63);
        // Longer files are read as well, and a marker with its flag.
        let mut longer = good().to_vec();
        longer.resize(4096, 7);
        assert_eq!(Segment::parse(&longer), Ok(segment));
        let mut marked = good();
        marked[96] = 1;
        marked[80..88].copy_from_slice(&345u64.to_ne_bytes());
        assert_eq!(Segment::parse(&marked).expect("good").disruption_marker, Some(345));
    }

    #[test]
    fn a_segment_of_version_2_is_told_apart() {
        let mut bytes = [0; LENGTH_2];
        bytes[..16].copy_from_slice(&good()[..16]);
        bytes[8..12].copy_from_slice(&80u32.to_ne_bytes());
        bytes[12..14].copy_from_slice(&VERSION_2.to_ne_bytes());
        // As the daemon leaves it before its first sync.
        let segment = Segment::parse(&bytes).expect("status unknown needs no bound");
        assert_eq!((segment.version, segment.status), (2, SegmentStatus::Unknown));
        bytes[68..72].copy_from_slice(&1i32.to_ne_bytes());
        assert_eq!(Segment::parse(&bytes), Err(wrong("bound", 0)));
        bytes[48..56].copy_from_slice(&2_518_693i64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&1_764_000_000i64.to_ne_bytes());
        let segment = Segment::parse(&bytes).expect("good");
        assert_eq!(
            (segment.bound_ns, segment.as_of_unix_ns),
            (2_518_693, AS_OF / 1_000_000_000 * 1_000_000_000)
        );
        assert_eq!(Segment::parse(&bytes[..79]), Err(SegmentError::Short(79)));
    }

    #[test]
    fn each_field_is_checked() {
        let i64_of = |value: i64| value.to_ne_bytes();
        let cases: &[(usize, &[u8], SegmentError)] = &[
            (0, &[0], SegmentError::Magic),
            (7, &[0], SegmentError::Magic),
            (8, &103u32.to_ne_bytes(), wrong("size", 103)),
            (8, &u32::MAX.to_ne_bytes(), wrong("size", u32::MAX)),
            (12, &0x0301u16.to_ne_bytes(), SegmentError::Version(0x0301)),
            (12, &0u16.to_ne_bytes(), SegmentError::Version(0)),
            (14, &0u16.to_ne_bytes(), SegmentError::NeverWritten),
            (14, &5u16.to_ne_bytes(), SegmentError::BeingWritten),
            (32, &i64_of(-1), wrong("as_of", -1)),
            (32, &i64_of(1_000_000_000), wrong("as_of", 1_000_000_000)),
            (48, &i64_of(1_000_000_000), wrong("void_after", 1_000_000_000)),
            (56, &i64_of(0), wrong("period", 0)),
            (97, &[0], wrong("period", PERIOD)),
            (97, &[64], wrong("period", 64)),
            (98, &[255], wrong("period_error", 255)),
            (72, &i64_of(0), wrong("bound", 0)),
            (72, &i64_of(-1), wrong("bound", -1)),
            (72, &i64_of(i64::MIN), wrong("bound", i64::MIN)),
            (92, &4i32.to_ne_bytes(), wrong("status", 4)),
            (92, &(-1i32).to_ne_bytes(), wrong("status", -1)),
            (96, &[2], wrong("clock_disruption_support", 2)),
        ];
        for (at, field, expected) in cases {
            let error = with(*at, field).expect_err("refused");
            assert_eq!(error, *expected, "at {at}");
            assert_eq!(error.is_transient(), *at == 14, "{error}");
        }
        for length in 0..LENGTH {
            let error = Segment::parse(&good()[..length]).expect_err("too short");
            assert_eq!(error, SegmentError::Short(length));
        }
        let far = with(24, &i64_of(i64::MAX)).expect("seconds may be any");
        assert_eq!(far.as_of_unix_ns, i64::MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_can_be(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            changes in proptest::collection::vec((0..LENGTH, any::<u8>()), 0..12),
        ) {
            let mut changed = good();
            for (at, byte) in changes {
                changed[at] = byte;
            }
            let mut framed = bytes.clone();
            let header = framed.len().min(14);
            framed[..header].copy_from_slice(&good()[..header]);
            for bytes in [&bytes[..], &framed[..], &changed[..]] {
                let Ok(segment) = Segment::parse(bytes) else { continue };
                prop_assert!(segment.generation != 0 && segment.generation % 2 == 0);
                prop_assert!(segment.bound_ns > 0 || !matches!(
                    segment.status,
                    SegmentStatus::Synchronized | SegmentStatus::FreeRunning
                ));
                let _ = segment.age_ns(u64::MAX);
            }
        }
    }
}
