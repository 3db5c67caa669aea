//! [`Log`]: the part of a replica that survives a crash, behind a fence.
//!
//! Every change is on the disk before its method returns, and so before any message tells of it.
//! The fence that promises to follow no earlier leader is a [`DurableFence`] in a store on the
//! simulated disk, so it is the code that runs in production, too.

use std::rc::Rc;

use truechimer::RecordError;
use truechimer::fence::{DurableFence, FenceError, FencingToken};
use truechimer::sim::{Disk, DiskStore};
use truechimer::store::{Store, StoreError};

use super::message::Entry;

/// The file with the newest view that was accepted.
const PROMISED: &str = "promised";

/// A shard's log at one replica, and the newest leader that the replica knows of.
pub struct Log {
    entries: Vec<Rc<Entry>>,
    /// The view whose leader last installed these entries.
    normal: FencingToken,
    fence: DurableFence,
    /// Off in a broken replica, which promises before the promise is on the disk.
    syncs: bool,
}

impl Log {
    /// The log that an earlier incarnation of the replica left on the disk.
    pub fn open(disk: &Disk) -> Log {
        let store = DiskStore::open(disk, PROMISED).expect("the replica opens its log once");
        Log::with_promises_in(disk, store, true)
    }

    /// A log that never syncs, so a crash may lose what it promised.
    pub fn open_unsynced(disk: &Disk) -> Log {
        Log::with_promises_in(disk, Unsynced(disk.clone()), false)
    }

    fn with_promises_in(disk: &Disk, store: impl Store + 'static, syncs: bool) -> Log {
        let entries = (0..).map_while(|index| disk.read(&name(index))).map(|bytes| {
            Rc::new(serde_json::from_slice(&bytes).expect("a synced entry is read back whole"))
        });
        let fence = open_fence(disk, store).expect("a simulated disk does not fail");
        Log { entries: entries.collect(), normal: token(disk, "normal"), fence, syncs }
    }

    fn sync(&self, disk: &Disk) {
        if self.syncs {
            disk.sync();
        }
    }

    pub fn entries(&self) -> &[Rc<Entry>] {
        &self.entries
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn normal(&self) -> FencingToken {
        self.normal
    }

    /// The newest view that was accepted.
    pub fn promised(&self) -> FencingToken {
        self.fence.newest()
    }

    /// Accepts the leader of `view`, and no earlier leader any more.
    pub fn promise(&mut self, view: FencingToken) -> Result<(), FenceError> {
        self.fence.admit(view)
    }

    /// Replaces the log by that of the leader of `view`, which was accepted.
    pub fn install(&mut self, disk: &Disk, view: FencingToken, entries: &[Rc<Entry>]) {
        let same = self.entries.iter().zip(entries).take_while(|(a, b)| a == b).count();
        for index in same..entries.len().max(self.entries.len()) {
            match entries.get(index) {
                Some(entry) => write(disk, index, entry),
                None => disk.remove(name(index)),
            }
        }
        disk.write("normal", view.get().to_le_bytes());
        self.sync(disk);
        self.entries = entries.to_vec();
        self.normal = view;
    }

    /// Appends an entry of the present view.
    pub fn push(&mut self, disk: &Disk, entry: Rc<Entry>) {
        write(disk, self.entries.len(), &entry);
        self.sync(disk);
        self.entries.push(entry);
    }
}

/// A store that breaks the second rule of [`Store`]: it answers before its content is on the disk.
struct Unsynced(Disk);

impl Store for Unsynced {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.read(PROMISED))
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.0.write(PROMISED, content);
        Ok(())
    }
}

/// The fence of this replica. A simulated disk is there at every start, so what it does not hold
/// was never made. In production the operator says which of the two calls is right.
fn open_fence(disk: &Disk, store: impl Store + 'static) -> Result<DurableFence, RecordError> {
    match disk.read(PROMISED) {
        None => DurableFence::create_new_in(store),
        Some(_) => DurableFence::open_existing_in(store),
    }
}

fn write(disk: &Disk, index: usize, entry: &Entry) {
    disk.write(name(index), serde_json::to_vec(entry).expect("an entry is plain data"));
}

fn name(index: usize) -> String {
    format!("log.{index}")
}

fn token(disk: &Disk, file: &str) -> FencingToken {
    let bytes = disk.read(file).and_then(|bytes| bytes.try_into().ok());
    FencingToken(bytes.map_or(0, u64::from_le_bytes))
}
