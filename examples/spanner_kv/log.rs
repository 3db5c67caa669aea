//! [`Log`]: the part of a replica that survives a crash, behind a fence.
//!
//! Every change is on the disk before its method returns, and so before any message tells of it.

use std::rc::Rc;

use truechimer::fence::{Fence, FenceError, FencingToken};
use truechimer::sim::Disk;

use super::message::Entry;

/// A shard's log at one replica, and the newest leader that the replica knows of.
pub struct Log {
    entries: Vec<Rc<Entry>>,
    /// The view whose leader last installed these entries.
    normal: FencingToken,
    fence: Fence,
    /// Off in a broken replica, which promises before the promise is on the disk.
    pub syncs: bool,
}

impl Log {
    /// The log that an earlier incarnation of the replica left on the disk.
    pub fn open(disk: &Disk) -> Log {
        let entries = (0..).map_while(|index| disk.read(&name(index))).map(|bytes| {
            Rc::new(serde_json::from_slice(bytes).expect("a synced entry is read back whole"))
        });
        let fence = Fence::starting_at(token(disk, "promised"));
        Log { entries: entries.collect(), normal: token(disk, "normal"), fence, syncs: true }
    }

    fn sync(&self, disk: &mut Disk) {
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
    pub fn promise(&mut self, disk: &mut Disk, view: FencingToken) -> Result<(), FenceError> {
        let before = self.fence.newest();
        self.fence.admit(view)?;
        if view > before {
            disk.write("promised", view.get().to_le_bytes());
            self.sync(disk);
        }
        Ok(())
    }

    /// Replaces the log by that of the leader of `view`, which was accepted.
    pub fn install(&mut self, disk: &mut Disk, view: FencingToken, entries: &[Rc<Entry>]) {
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
    pub fn push(&mut self, disk: &mut Disk, entry: Rc<Entry>) {
        write(disk, self.entries.len(), &entry);
        self.sync(disk);
        self.entries.push(entry);
    }
}

fn write(disk: &mut Disk, index: usize, entry: &Entry) {
    disk.write(name(index), serde_json::to_vec(entry).expect("an entry is plain data"));
}

fn name(index: usize) -> String {
    format!("log.{index}")
}

fn token(disk: &Disk, file: &str) -> FencingToken {
    let bytes = disk.read(file).and_then(|bytes| bytes.try_into().ok());
    FencingToken(bytes.map_or(0, u64::from_le_bytes))
}
