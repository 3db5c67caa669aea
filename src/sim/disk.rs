//! [`Disk`]: what survives a crash is what was fsynced, and perhaps some later writes.
//! [`DiskStore`]: a promise kept on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::random::Random;
use crate::store::{Store, StoreError};

/// The files of one node, by name. Clones are the same disk.
///
/// A write replaces a whole file, as a program does by a rename. So no file is ever torn. The
/// write is in the page cache until [`sync`](Disk::sync). A crash keeps all that was synced. Of
/// each other file it keeps what a kernel may have written out by then: the synced content, or
/// that of any later write. Kernels write files in any order, so a file that was written last
/// may survive without one that was written first.
///
/// ```
/// use truechimer::sim::Disk;
///
/// let disk = Disk::default();
/// disk.write("term", b"7".to_vec());
/// disk.sync();
/// assert_eq!(disk.read("term").as_deref(), Some(&b"7"[..]));
/// ```
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Files>>);

#[derive(Default)]
struct Files {
    synced: BTreeMap<String, Vec<u8>>,
    /// The later contents of each file, oldest first. `None` if it was removed.
    pending: BTreeMap<String, Vec<Option<Vec<u8>>>>,
    /// The stores that are in use, so that none has two owners.
    owned: BTreeSet<String>,
    /// How often the process has ended. Stores of an earlier one are void.
    crashes: u64,
}

impl Disk {
    /// Replaces a file.
    pub fn write(&self, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.lock().change(name.into(), Some(content.into()));
    }

    /// Removes a file.
    pub fn remove(&self, name: impl Into<String>) {
        self.0.lock().change(name.into(), None);
    }

    /// The file's content as a running program reads it, including writes not synced yet.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().read(name)
    }

    /// Puts all earlier writes on the disk.
    pub fn sync(&self) {
        let mut files = self.0.lock();
        for (name, contents) in std::mem::take(&mut files.pending) {
            files.keep(name, contents, usize::MAX);
        }
    }

    /// Puts the earlier writes of one file on the disk, and no others.
    pub fn sync_file(&self, name: &str) {
        self.0.lock().sync_file(name);
    }

    /// Loses of each file the writes that the kernel had not written out.
    pub(super) fn crash(&self, random: &mut Random) {
        // One draw, however many files there are: what the node draws later does not depend on it.
        let mut draws = Random::new(random.bits(), 0);
        let mut files = self.0.lock();
        for (name, contents) in std::mem::take(&mut files.pending) {
            let kept = draws.below(contents.len() as u64 + 1) as usize;
            files.keep(name, contents, kept);
        }
        files.owned.clear();
        files.crashes += 1;
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.0.lock();
        let names = files.synced.keys().chain(files.pending.keys());
        f.debug_tuple("Disk").field(&names.collect::<BTreeSet<_>>()).finish()
    }
}

impl Files {
    fn change(&mut self, name: String, content: Option<Vec<u8>>) {
        self.pending.entry(name).or_default().push(content);
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        match self.pending.get(name).and_then(|contents| contents.last()) {
            Some(content) => content.clone(),
            None => self.synced.get(name).cloned(),
        }
    }

    fn sync_file(&mut self, name: &str) {
        if let Some(contents) = self.pending.remove(name) {
            self.keep(name.to_owned(), contents, usize::MAX);
        }
    }

    /// Writes out the first `count` of these contents.
    fn keep(&mut self, name: String, contents: Vec<Option<Vec<u8>>>, count: usize) {
        match contents.into_iter().take(count).last() {
            Some(Some(content)) => self.synced.insert(name, content),
            Some(None) => self.synced.remove(&name),
            None => None,
        };
    }
}

/// A [`Store`] on the [`Disk`] of a simulated node: fences, marks and grantors run with it in the
/// simulated world as they do with a file.
///
/// Its content is one file, which is synced by itself: a promise does not put the rest of the
/// disk in safety.
///
/// ```
/// use truechimer::fence::{DurableFence, FencingToken};
/// use truechimer::sim::{Disk, DiskStore};
///
/// let disk = Disk::default(); // in a node: `env.disk()`
/// let fence = DurableFence::create_new_in(DiskStore::open(&disk, "fence")?)?;
/// fence.admit(FencingToken(34))?;
/// drop(fence); // or a crash
///
/// let fence = DurableFence::open_existing_in(DiskStore::open(&disk, "fence")?)?;
/// assert!(fence.admit(FencingToken(33)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DiskStore {
    disk: Disk,
    name: String,
    crashes: u64,
}

impl DiskStore {
    /// The store in the file `name`, which is empty if the file does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if this process has it open already.
    pub fn open(disk: &Disk, name: impl Into<String>) -> Result<DiskStore, StoreError> {
        let name = name.into();
        let mut files = disk.0.lock();
        if !files.owned.insert(name.clone()) {
            return Err(StoreError::Locked { place: name, holder: "this process".to_owned() });
        }
        let crashes = files.crashes;
        drop(files);
        Ok(DiskStore { disk: disk.clone(), name, crashes })
    }

    /// Acts on the disk, unless the process that opened the store has ended.
    fn on_disk<R>(
        &self,
        action: &'static str,
        act: impl FnOnce(&mut Files) -> R,
    ) -> Result<R, StoreError> {
        let mut files = self.disk.0.lock();
        if files.crashes != self.crashes {
            let ended = std::io::Error::other("the process that opened it has crashed");
            return Err(StoreError::io(action, self.place(), ended));
        }
        Ok(act(&mut files))
    }
}

impl Store for DiskStore {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.on_disk("read", |files| {
            files.sync_file(&self.name);
            files.read(&self.name)
        })
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.on_disk("write", |files| {
            files.change(self.name.clone(), Some(content.to_vec()));
            files.sync_file(&self.name);
        })
    }

    fn place(&self) -> String {
        self.name.clone()
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        let mut files = self.disk.0.lock();
        if files.crashes == self.crashes {
            files.owned.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::{DurableFence, FencingToken};

    #[test]
    fn a_crash_keeps_what_was_synced_and_of_each_file_any_later_content() {
        let mut found = BTreeMap::new();
        for seed in 0..400 {
            let disk = Disk::default();
            for name in ["log", "index"] {
                disk.write(name, "0");
            }
            disk.sync();
            for content in ["1", "2", "3"] {
                disk.write("log", content);
                disk.write("index", content);
            }
            assert_eq!(disk.read("log").as_deref(), Some(&b"3"[..]));
            disk.crash(&mut Random::new(seed, 1));
            let kept = ["log", "index"].map(|name| disk.read(name).expect("it was synced")[0]);
            *found.entry(kept).or_insert(0) += 1;
        }
        // Any of the four contents of one beside any of the other.
        assert_eq!(found.len(), 16, "{found:?}");
        assert!(found.values().all(|&count| count > 5), "{found:?}");
    }

    #[test]
    fn a_removed_file_is_gone_once_synced() {
        let disk = Disk::default();
        disk.write("a", "1");
        disk.sync();
        disk.remove("a");
        assert_eq!(disk.read("a"), None);
        disk.sync();
        disk.crash(&mut Random::new(1, 1));
        assert_eq!(disk.read("a"), None);
    }

    #[test]
    fn a_store_keeps_its_promise_and_nothing_else() {
        let mut log_was_lost = false;
        for seed in 0..20 {
            let disk = Disk::default();
            let open = || DiskStore::open(&disk, "fence").expect("one owner");
            let fence = DurableFence::create_new_in(open()).expect("an empty disk");
            disk.write("log", "not synced");
            fence.admit(FencingToken(34)).expect("the first");
            disk.crash(&mut Random::new(seed, 1));
            log_was_lost |= disk.read("log").is_none();
            fence.admit(FencingToken(35)).expect_err("its process has ended");
            let fence = DurableFence::open_existing_in(open()).expect("it was promised");
            assert_eq!(fence.newest(), FencingToken(34));
        }
        assert!(log_was_lost);
    }

    #[test]
    fn what_a_killed_process_left_is_synced_before_it_counts() {
        for seed in 0..20 {
            let disk = Disk::default();
            let mut store = DiskStore::open(&disk, "state").expect("one owner");
            store.persist(b"20").expect("written");
            disk.write("state", "34");
            assert_eq!(store.load().expect("there").as_deref(), Some(&b"34"[..]));
            disk.crash(&mut Random::new(seed, 1));
            assert_eq!(disk.read("state").as_deref(), Some(&b"34"[..]));
        }
    }

    #[test]
    fn a_store_has_one_owner_until_it_is_dropped_or_crashes() {
        let disk = Disk::default();
        let open = || DiskStore::open(&disk, "state");
        let first = open().expect("one owner");
        assert!(matches!(open(), Err(StoreError::Locked { .. })));
        drop(first);
        let second = open().expect("free again");
        disk.crash(&mut Random::new(1, 1));
        let third = open().expect("its owner has crashed");
        drop(second);
        assert!(open().is_err(), "the store of an earlier process has freed that of this one");
        drop(third);
    }
}
