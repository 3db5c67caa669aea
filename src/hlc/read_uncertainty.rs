//! [`ReadUncertainty`]: the stamps that may have been committed before a reader started.

use super::stamp::Stamp;

/// What a value's stamp tells a reader that started just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// The stamp is at or below the reader's own, so the value is in the reader's snapshot.
    InSnapshot,
    /// The stamp is above the reader's, but the value may have been committed before the
    /// reader started. Read again at the value's stamp, or wait until it has passed.
    Uncertain,
    /// The value was certainly committed after the reader started.
    Later,
}

/// The stamps that a reader must treat as possibly committed before its start.
///
/// Everything that was visible before the reader started has a stamp that true time had
/// reached by then, because ordinary stamps are never ahead of true time, and commit
/// stamps are shown only once they have passed. True time was at most `latest`. So a
/// stamp above `latest` certainly came later, and one between the reader's own stamp and
/// `latest` may be either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadUncertainty {
    at: Stamp,
    limit: Stamp,
}

impl ReadUncertainty {
    pub(super) fn new(at: Stamp, limit: Stamp) -> ReadUncertainty {
        ReadUncertainty { at, limit }
    }

    /// The stamp to read at. The range begins just above it.
    pub fn at(&self) -> Stamp {
        self.at
    }

    /// The last stamp of the range. If it is not above [`at`](Self::at), the range is empty.
    pub fn limit(&self) -> Stamp {
        self.limit
    }

    /// Whether a value with this stamp may have been committed before the reader started,
    /// although the stamp is above the reader's.
    pub fn contains(&self, value: Stamp) -> bool {
        self.classify(value) == Visibility::Uncertain
    }

    /// Whether a value with this stamp is visible to the reader.
    pub fn classify(&self, value: Stamp) -> Visibility {
        if value <= self.at {
            Visibility::InSnapshot
        } else if value <= self.limit {
            Visibility::Uncertain
        } else {
            Visibility::Later
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_range_begins_above_the_readers_stamp_and_includes_its_limit() {
        use Visibility::*;
        let cases = [
            // at, limit, value
            (10, 20, 10, InSnapshot),
            (10, 20, 11, Uncertain),
            (10, 20, 20, Uncertain),
            (10, 20, 21, Later),
            (10, 10, 10, InSnapshot),
            (10, 10, 11, Later),
            (10, 5, 7, InSnapshot),
            (10, 5, 11, Later),
        ];
        for (at, limit, value, expected) in cases {
            let [at, limit, value] = [at, limit, value].map(Stamp::from_bits);
            assert_eq!(ReadUncertainty::new(at, limit).classify(value), expected, "{value:?}");
        }
    }
}
