//! [`Node`]: a process that acquires leases, as a value that can be copied and compared.
//!
//! `Holder`, `Lease` and `Hlc` are neither copied nor compared, and that is right: a copy of a
//! lease would be held twice. So a state of the search keeps what each of them was told, and makes
//! the real object of it for each step, with public calls alone. Each one is checked to be what
//! was asked for.

use std::cell::Cell;
use std::rc::Rc;

use truechimer::fence::FencingToken;
use truechimer::lease::{Command, Grant, GrantError, Holder, HolderId, Lease};
use truechimer::{ClockError, Hlc, Interval, PendingCommit, Timestamp, TrueTime};

/// A clock that reads what the search tells it to.
#[derive(Clone)]
pub struct Reads(Rc<Cell<Interval>>);

impl Reads {
    pub fn new(now: Interval) -> Reads {
        Reads(Rc::new(Cell::new(now)))
    }

    pub fn set(&self, now: Interval) {
        self.0.set(now);
    }
}

impl TrueTime for Reads {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(self.0.get())
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    pub id: HolderId,
    /// How many requests its `Holder` has made.
    pub asked: u64,
    pub accepted: Option<FencingToken>,
    pub seen: FencingToken,
    pub lease: Option<Held>,
    /// How many commit stamps it may still take.
    pub stamps_left: u8,
    /// The greatest commit stamp that its `Hlc` issued. `None` once no reading can be below it.
    pub issued: Option<Timestamp>,
    /// A commit that it has not shown to anybody. `None` once to show it proves nothing more.
    pub pending: Option<Timestamp>,
}

/// A lease in its hands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Held {
    pub token: FencingToken,
    pub expires: Timestamp,
    /// The greatest commit stamp under it. `None` once it has passed for every honest clock.
    pub newest_stamp: Option<Timestamp>,
    /// How many commands it has made.
    pub commands: u64,
}

impl Node {
    pub fn new(id: u64, stamps_left: u8) -> Node {
        Node {
            id: HolderId(id),
            asked: 0,
            accepted: None,
            seen: FencingToken::MIN,
            lease: None,
            stamps_left,
            issued: None,
            pending: None,
        }
    }

    /// The shipping `Holder` in this state.
    pub fn holder(&self) -> Holder {
        let mut holder = Holder::new(self.id);
        if let Some(token) = self.accepted {
            let grant = Grant { holder: self.id, token, expires: Timestamp::MAX };
            holder.accept(&grant).expect("it is the first");
        }
        if self.seen > self.accepted.unwrap_or(FencingToken::MIN) {
            holder.refused(&GrantError::MayBeRepeated { newest: self.seen });
        }
        for _ in 0..self.asked {
            holder.acquire();
        }
        holder
    }

    /// Remembers what `holder` knows, by asking it for a request that is not sent.
    pub fn learn_from(&mut self, mut holder: Holder) {
        let Command::Acquire { seen, number, .. } = holder.acquire() else {
            unreachable!("an Acquire")
        };
        (self.seen, self.asked) = (seen, number - 1);
    }

    /// The shipping `Hlc` in this state, with a clock that reads `now`.
    pub fn hlc(&self, now: Interval) -> Hlc<Reads> {
        let clock = Reads::new(now);
        let hlc = Hlc::new(clock.clone());
        if let Some(issued) = self.issued {
            drop(stamp_at(&hlc, &clock, issued));
        }
        clock.set(now);
        hlc
    }
}

impl Held {
    pub fn new(lease: &Lease) -> Held {
        Held { token: lease.token(), expires: lease.expires(), newest_stamp: None, commands: 0 }
    }

    /// The shipping `Lease` in this state.
    pub fn lease(&self) -> Lease {
        let lease = Lease::new(self.token, self.expires);
        for number in 0..self.commands {
            lease.renewal(number);
        }
        if let Some(stamp) = self.newest_stamp {
            let hlc = Hlc::new(Reads::new(Interval::from(stamp)));
            drop(lease.commit_stamp(&hlc).expect("it lies before the end"));
            assert_eq!(lease.newest_stamp(), Some(stamp));
        }
        lease
    }
}

/// A pending commit with this stamp.
pub fn pending(stamp: Timestamp) -> PendingCommit {
    let clock = Reads::new(Interval::from(stamp));
    stamp_at(&Hlc::new(clock.clone()), &clock, stamp)
}

/// Takes the commit stamp `stamp`, which `hlc` once issued, from it.
fn stamp_at(hlc: &Hlc<Reads>, clock: &Reads, stamp: Timestamp) -> PendingCommit {
    clock.set(Interval::from(stamp));
    let pending = hlc.commit_stamp().expect("the clock has a reading");
    assert_eq!(pending.timestamp(), stamp);
    pending
}
