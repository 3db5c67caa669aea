//! What the guest writes down and the host reads: fixed records of 40 bytes.
//!
//! Compiled into both: the guest's program appends records to a file in
//! memory, and after the scenario all files leave through the second serial
//! port in one go, so that writing them down disturbs nothing while it counts.

/// One reading of one observer, or one look at the kernel.
pub const SIZE: usize = 40;

/// What an observer saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// `CLOCK_MONOTONIC_RAW` before and after the reading, ns.
    pub raw: (i64, i64),
    /// The interval in TAI ns. Unless `answer` is [`ANSWERED`], the two are the beginning of
    /// the error's name instead (see [`Reading::refusal`]).
    pub earliest: i64,
    pub latest: i64,
    /// [`ANSWERED`], or which error it was.
    pub answer: u8,
    /// The clock's status, as a number.
    pub status: u8,
    /// Contradictions so far, as far as 255.
    pub contradictions: u8,
    /// How many suspends the observer knew of before and after the reading, at most 15.
    pub suspends: (u8, u8),
    /// The clock's epoch just before the reading.
    pub epoch: u32,
}

/// The reading is an interval.
pub const ANSWERED: u8 = 0;

/// What the kernel said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// `CLOCK_MONOTONIC_RAW` before and after `realtime` was read, ns.
    pub raw: (i64, i64),
    pub realtime: i64,
    /// `adjtimex`'s own fields: `maxerror` in µs, `offset` in its unit, ppm × 2¹⁶ and so on.
    pub maxerror: u32,
    pub status: u16,
    pub state: u8,
    pub tai: i16,
    /// What the truth has gained over `base + raw × rate` so far, ns: suspends and pauses.
    pub gained: i64,
    pub suspends: u8,
    /// By how much the wall clock is made to run faster, in parts per billion.
    pub rate_ppb: i32,
}

/// As much of a refusal's name as is kept.
const NAME: usize = 16;

impl Reading {
    /// The two numbers that stand for the name of an error, such as `WriterUnknown`.
    pub fn name_as_numbers(name: &str) -> (i64, i64) {
        let mut bytes = [0; NAME];
        let length = name.len().min(NAME);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        let half = |at: usize| bytes[at..at + NAME / 2].try_into().expect("half of them");
        (i64::from_le_bytes(half(0)), i64::from_le_bytes(half(NAME / 2)))
    }

    /// The beginning of the name of the error, if the reading is one.
    pub fn refusal(&self) -> Option<String> {
        let bytes = [self.earliest.to_le_bytes(), self.latest.to_le_bytes()].concat();
        let name = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
        (self.answer != ANSWERED).then_some(name)
    }

    /// Whether the reading is this error.
    pub fn is_refused_as(&self, name: &str) -> bool {
        self.answer != ANSWERED && (self.earliest, self.latest) == Reading::name_as_numbers(name)
    }

    pub fn encode(&self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        out[0..8].copy_from_slice(&self.raw.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.raw.1.to_le_bytes());
        out[16..24].copy_from_slice(&self.earliest.to_le_bytes());
        out[24..32].copy_from_slice(&self.latest.to_le_bytes());
        out[32] = self.answer;
        out[33] = self.status;
        out[34] = self.contradictions;
        out[35] = self.suspends.0 | self.suspends.1 << 4;
        out[36..40].copy_from_slice(&self.epoch.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8; SIZE]) -> Reading {
        Reading {
            raw: (i64_at(bytes, 0), i64_at(bytes, 8)),
            earliest: i64_at(bytes, 16),
            latest: i64_at(bytes, 24),
            answer: bytes[32],
            status: bytes[33],
            contradictions: bytes[34],
            suspends: (bytes[35] & 15, bytes[35] >> 4),
            epoch: u32::from_le_bytes([bytes[36], bytes[37], bytes[38], bytes[39]]),
        }
    }
}

impl Kernel {
    pub fn encode(&self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        out[0..8].copy_from_slice(&self.raw.0.to_le_bytes());
        // Reading a clock takes far less than 4 s.
        let took = u16::try_from((self.raw.1 - self.raw.0) / 1000 + 1).unwrap_or(u16::MAX);
        out[8..10].copy_from_slice(&took.to_le_bytes());
        out[10..12].copy_from_slice(&self.tai.to_le_bytes());
        out[12..16].copy_from_slice(&self.maxerror.to_le_bytes());
        out[16..24].copy_from_slice(&self.realtime.to_le_bytes());
        out[24..32].copy_from_slice(&self.gained.to_le_bytes());
        out[32..34].copy_from_slice(&self.status.to_le_bytes());
        out[34] = self.state;
        out[35] = self.suspends;
        out[36..40].copy_from_slice(&self.rate_ppb.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8; SIZE]) -> Kernel {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let before = i64_at(bytes, 0);
        Kernel {
            raw: (before, before + i64::from(u16_at(8)) * 1000),
            tai: u16_at(10) as i16,
            maxerror: u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
            realtime: i64_at(bytes, 16),
            gained: i64_at(bytes, 24),
            status: u16_at(32),
            state: bytes[34],
            suspends: bytes[35],
            rate_ppb: i32::from_le_bytes([bytes[36], bytes[37], bytes[38], bytes[39]]),
        }
    }
}

fn i64_at(bytes: &[u8; SIZE], at: usize) -> i64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(word)
}
