//! [`DurableGrantor`]: a grantor whose state is stored before any decision is told.
//!
//! A [`Grantor`] that has forgotten a lease grants it a second time. Without stored state it has to
//! be quiet for a term after each restart. With it, it goes on at once, if each decision was on
//! disk before anybody heard of it. So the next state is computed on a copy, stored, and put in
//! the place of the old one, and only then is the decision returned.
//!
//! If the store fails, the decision is not told. The store may then hold the old state or the new
//! one. Both are safe: the new one has a lease at most that nobody was told of, and its requester
//! gets the same answer when it asks again after a restart. In memory the old state stays, and the
//! next decision is stored over either.
//!
//! The state goes into the store in a format of the caller's choice, because the crate reads and
//! writes its values by serde and depends on no format. Around it is what every record of this crate
//! has: its kind and a checksum. So a damaged state is an error, and never a grantor that knows of
//! no lease.

use std::fmt;
use std::time::Duration;

use super::error::LeaseError;
use super::grant_error::GrantError;
use super::grantor::Grantor;
use super::message::{Command, Decision, Grant};
use crate::clock::truetime::TrueTime;
use crate::durable::{Kind, RecordError, seal, unseal};
use crate::interval::Interval;
use crate::store::{Store, StoreError};

/// The kind of the content in the store.
const KIND: Kind = Kind(*b"grantor\0");

/// How a grantor's state becomes bytes and is read back.
#[derive(Clone, Copy, Debug)]
pub struct GrantorFormat {
    /// The bytes of a state, or why there are none.
    pub encode: fn(&Grantor) -> Result<Vec<u8>, String>,
    /// The state of these bytes, or what is wrong with them.
    pub decode: fn(&[u8]) -> Result<Grantor, String>,
}

/// Why a durable grantor did not grant, or does not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableGrantorError {
    /// The grantor refuses the command. The refusal is stored, so a repeat is refused as well.
    #[error(transparent)]
    Refused(#[from] GrantError),
    /// The new term cannot be used.
    #[error(transparent)]
    Term(#[from] LeaseError),
    /// The store failed. The state in memory is as it was, and nothing was decided. Send
    /// the same command again.
    #[error(transparent)]
    Store(StoreError),
    /// The content of the store is damaged, or is no grantor's state.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The state in the store was not written by this format.
    #[error(
        "the grantor's state in {place} cannot be read ({found}), so it may lack a lease: restore \
         it, or start with `Grantor::after_restart`, which grants nothing for a term"
    )]
    Damaged {
        /// The store.
        place: String,
        /// What is wrong with it.
        found: String,
    },
    /// The format did not make bytes of the state. Nothing was decided.
    #[error("the grantor's state cannot be written in this format, so nothing was decided: {0}")]
    Format(String),
}

/// A [`Grantor`] that stores its state before it tells a decision.
///
/// Calls wait for the store. On an async executor make them on a thread that may block. For a
/// replicated log keep the plain [`Grantor`], which each replica applies the log to.
///
/// ```
/// use std::time::Duration;
/// use truechimer::lease::{DurableGrantor, Grantor, GrantorFormat, Holder, HolderId};
/// use truechimer::store::FileStore;
/// # use truechimer::{Interval, ManualClock, Timestamp};
/// # let clock = ManualClock::new(Interval::from(Timestamp::from_tai_nanos(1_000)));
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("grantor");
///
/// let json = GrantorFormat {
///     encode: |grantor| serde_json::to_vec(grantor).map_err(|error| error.to_string()),
///     decode: |bytes| serde_json::from_slice(bytes).map_err(|error| error.to_string()),
/// };
///
/// // The first start.
/// let grantor = Grantor::durable(Duration::from_secs(3))?;
/// let mut grantor =
///     DurableGrantor::create_new_in(FileStore::create_new(&path)?, json, grantor)?;
/// let command = Holder::new(HolderId(1)).acquire();
/// let decision = grantor.decide(&clock, command)?;
/// drop(grantor); // or a crash
///
/// // Every later start. The repeat of a command gets the same answer.
/// let mut grantor = DurableGrantor::open_existing_in(FileStore::open_existing(&path)?, json)?;
/// assert_eq!(grantor.decide(&clock, command)?, decision);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DurableGrantor {
    grantor: Grantor,
    store: Box<dyn Store>,
    format: GrantorFormat,
}

impl DurableGrantor {
    /// The first start: puts `grantor`'s state into a store that is empty.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if something is in the store, and other failures of the store.
    pub fn create_new_in(
        store: impl Store + 'static,
        format: GrantorFormat,
        grantor: Grantor,
    ) -> Result<DurableGrantor, DurableGrantorError> {
        let mut store: Box<dyn Store> = Box::new(store);
        if store.load().map_err(DurableGrantorError::Store)?.is_some() {
            return Err(DurableGrantorError::Store(StoreError::Exists { place: store.place() }));
        }
        let mut created = DurableGrantor { grantor, store, format };
        let grantor = created.grantor.clone();
        created.replace(grantor)?;
        Ok(created)
    }

    /// A later start: reads the state back. No quiet term is needed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if the store is empty, [`DurableGrantorError::Record`] or
    /// [`Damaged`](DurableGrantorError::Damaged) if it has something else than a whole state, and
    /// other failures of the store.
    pub fn open_existing_in(
        store: impl Store + 'static,
        format: GrantorFormat,
    ) -> Result<DurableGrantor, DurableGrantorError> {
        let mut store: Box<dyn Store> = Box::new(store);
        let content = store.load().map_err(DurableGrantorError::Store)?;
        let Some(content) = content else {
            return Err(DurableGrantorError::Store(StoreError::Missing { place: store.place() }));
        };
        let place = store.place();
        let state = unseal(KIND, &content, &place)?;
        let damaged = |found| DurableGrantorError::Damaged { place, found };
        let grantor = (format.decode)(state).map_err(damaged)?;
        Ok(DurableGrantor { grantor, store, format })
    }

    /// Decides on `command` as [`Grantor::apply`] does, stores the new state, and returns the
    /// decision.
    ///
    /// # Errors
    ///
    /// [`DurableGrantorError`]. Unless it is [`Refused`](DurableGrantorError::Refused), nothing was
    /// decided, and the same command may be sent again.
    pub fn apply(
        &mut self,
        now: Option<Interval>,
        command: Command,
    ) -> Result<Decision, DurableGrantorError> {
        let mut next = self.grantor.clone();
        let answer = next.apply(now, command);
        // A refusal is remembered too, and a repeat changes nothing.
        if next != self.grantor {
            self.replace(next)?;
        }
        Ok(answer?)
    }

    /// Reads `clock`, and calls [`apply`](Self::apply) with its interval.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn decide<C: TrueTime + ?Sized>(
        &mut self,
        clock: &C,
        command: Command,
    ) -> Result<Decision, DurableGrantorError> {
        self.apply(clock.now().ok(), command)
    }

    /// Changes how long leases last, as [`Grantor::set_term`] does, and stores that.
    ///
    /// # Errors
    ///
    /// [`DurableGrantorError`]. The term is then unchanged.
    pub fn set_term(&mut self, term: Duration) -> Result<(), DurableGrantorError> {
        let mut next = self.grantor.clone();
        next.set_term(term)?;
        self.replace(next)
    }

    /// The last grant, if it was not released. It may have expired.
    pub fn current(&self) -> Option<Grant> {
        self.grantor.current()
    }

    /// The state, as it was stored last.
    pub fn grantor(&self) -> &Grantor {
        &self.grantor
    }

    /// Stores `next`, and takes it for the state once it is certainly stored.
    fn replace(&mut self, next: Grantor) -> Result<(), DurableGrantorError> {
        let state = (self.format.encode)(&next).map_err(DurableGrantorError::Format)?;
        self.store.persist(&seal(KIND, &state)).map_err(DurableGrantorError::Store)?;
        self.grantor = next;
        Ok(())
    }
}

impl fmt::Debug for DurableGrantor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.store.place();
        f.debug_struct("DurableGrantor")
            .field("grantor", &self.grantor)
            .field("place", &place)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "serde", not(loom)))]
mod tests {
    use std::io::ErrorKind;

    use super::super::holder::Holder;
    use super::super::holder_id::HolderId;
    use super::*;
    use crate::store::crashes::{disturb, first_start};
    use crate::store::model::ModelDisk;
    use crate::timestamp::Timestamp;

    const PATH: &str = "/place/state";
    const TERM: Duration = Duration::from_nanos(100);

    fn json() -> GrantorFormat {
        GrantorFormat {
            encode: |grantor| serde_json::to_vec(grantor).map_err(|error| error.to_string()),
            decode: |bytes| serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }

    fn now(at: i64) -> Option<Interval> {
        Interval::new(Timestamp::from_tai_nanos(at - 3), Timestamp::from_tai_nanos(at + 3))
    }

    fn create(disk: &ModelDisk) -> Result<DurableGrantor, String> {
        let store = disk.create_new(PATH).map_err(|error| error.to_string())?;
        let first = Grantor::durable(TERM).map_err(|error| error.to_string())?;
        DurableGrantor::create_new_in(store, json(), first).map_err(|error| error.to_string())
    }

    fn open(disk: &ModelDisk) -> Result<DurableGrantor, String> {
        let store = disk.open_existing(PATH).map_err(|error| error.to_string())?;
        DurableGrantor::open_existing_in(store, json()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_decision_that_was_not_stored_was_not_made() {
        let disk = ModelDisk::new(1);
        let mut grantor = create(&disk).expect("an empty disk");
        let before = grantor.grantor().clone();
        let mut holder = Holder::new(HolderId(1));
        let command = holder.acquire();
        for how in ["full", "read-only", "broken"] {
            let break_it = |disk: &ModelDisk| match how {
                "full" => disk.fill(),
                "read-only" => disk.make_read_only(),
                _ => disk.fail_after(1, ErrorKind::Other),
            };
            break_it(&disk);
            let refused = grantor.apply(now(1_000), command);
            assert!(matches!(refused, Err(DurableGrantorError::Store(_))), "{how}: {refused:?}");
            break_it(&disk);
            let refused = grantor.set_term(TERM * 9);
            assert!(matches!(refused, Err(DurableGrantorError::Store(_))), "{how}: {refused:?}");
            assert_eq!(grantor.grantor(), &before, "{how}");
            disk.mend();
        }
        let granted = grantor.apply(now(1_000), command).expect("the disk works again");
        disk.lose_power();
        drop(grantor);
        let mut grantor = open(&disk).expect("it was stored");
        let again = grantor.apply(now(1_001), command).expect("a repeat after a restart");
        assert_eq!(again, granted);
        let other = Holder::new(HolderId(2)).acquire();
        let refused = grantor.apply(now(1_001), other);
        assert!(matches!(refused, Err(DurableGrantorError::Refused(GrantError::Taken { .. }))));
    }

    #[test]
    fn what_is_no_whole_state_is_refused() {
        let disk = ModelDisk::new(1);
        let whole = seal(KIND, b"{}");
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("not empty") ^= 1;
        let cases = [
            (Vec::new(), "torn"),
            (whole[..whole.len() - 1].to_vec(), "torn"),
            (vec![7; 99], "not a truechimer record"),
            ([&whole[..], b" "].concat(), "torn"),
            (flipped, "torn"),
            (seal(Kind(*b"fencekey"), b"{}"), "fencekey"),
            (whole, "missing field"),
        ];
        let mut store = disk.create_new(PATH).expect("an empty disk");
        store.persist(b"").expect("the disk works");
        drop(store);
        for (content, why) in cases {
            let mut store = disk.open_existing(PATH).expect("it is there");
            store.persist(&content).expect("the disk works");
            drop(store);
            let error = open(&disk).expect_err(why);
            assert!(error.contains(why), "{why}: {error}");
        }
        let there = disk.open_existing(PATH).expect("it is there");
        let first = Grantor::durable(TERM).expect("a term");
        let error = DurableGrantor::create_new_in(there, json(), first).expect_err("not empty");
        assert!(matches!(error, DurableGrantorError::Store(StoreError::Exists { .. })), "{error}");
    }

    #[derive(Default, Debug)]
    struct Happened {
        crashes: u64,
        grants: u64,
        refused: u64,
        failed: u64,
    }

    /// What was promised twice in one world.
    fn world(seed: u64, happened: &mut Happened) -> Result<(), String> {
        let disk = ModelDisk::new(seed);
        let mut is_created = false;
        let mut holders = [1, 2, 3].map(|id| Holder::new(HolderId(id)));
        let mut last: Option<Grant> = None;
        // What was promised last, unless its holder has asked for something else since.
        let mut told: Option<(Command, Decision)> = None;
        let mut time = 1_000;
        for _ in 0..8 {
            let is_disturbed = disturb(&disk);
            let opened = match is_created {
                true => open(&disk),
                false => first_start(&disk, || create(&disk), || open(&disk)).map(|(g, _)| g),
            };
            let mut grantor = match opened {
                Ok(grantor) => Some(grantor),
                Err(_) if is_disturbed => None,
                Err(error) => return Err(format!("it does not open: {error}")),
            };
            for _ in 0..disk.below(8) {
                let Some(grantor) = &mut grantor else { break };
                is_created = true;
                time += disk.below(60) as i64;
                if let (0, Some((command, decision))) = (disk.below(3), told) {
                    match grantor.apply(now(time), command) {
                        Ok(again) if again == decision => {}
                        Err(DurableGrantorError::Store(_)) => happened.failed += 1,
                        other => return Err(format!("{command:?}: {decision:?}, then {other:?}")),
                    }
                    continue;
                }
                let holder = &mut holders[disk.below(3) as usize];
                let command = holder.acquire();
                let is_of_holder = |grant: &Grant| grant.holder == holder.id();
                if last.as_ref().is_some_and(is_of_holder) {
                    told = None;
                }
                match grantor.apply(now(time), command) {
                    Ok(decision @ Decision::Granted(grant)) => {
                        // The earlier holder may act until its lease has certainly expired.
                        let is_beside = |last: &Grant| {
                            time - 3 <= last.expires.tai_nanos() || grant.token <= last.token
                        };
                        if let Some(last) = last.filter(is_beside) {
                            return Err(format!("at {time} {grant:?} beside {last:?}"));
                        }
                        last = Some(grant);
                        told = Some((command, decision));
                        happened.grants += 1;
                    }
                    Ok(other) => return Err(format!("{command:?} gave {other:?}")),
                    Err(DurableGrantorError::Refused(error)) => {
                        holder.refused(&error);
                        happened.refused += 1;
                    }
                    Err(_) => happened.failed += 1,
                }
            }
            if disk.below(4) == 0 {
                drop(grantor.take());
            }
            match disk.below(3) {
                0 => disk.kill(),
                _ => disk.lose_power(),
            }
            happened.crashes += 1;
            drop(grantor);
        }
        Ok(())
    }

    #[test]
    fn no_crash_lets_a_lease_be_granted_twice() {
        let mut happened = Happened::default();
        let mut seed = 0;
        while happened.crashes < 10_000 {
            world(seed, &mut happened).unwrap_or_else(|error| panic!("world {seed}: {error}"));
            seed += 1;
        }
        let Happened { grants, refused, failed, .. } = happened;
        assert!(grants > 1_000 && refused > 1_000 && failed > 500, "{happened:?}");
    }
}
