//! [`ModelDisk`]: a file system in memory whose loss of power loses what was not synced.
//!
//! It is harsher than the file systems in use, because the store may rely only on what all of
//! them promise:
//!
//! - Content that was not synced is torn by a loss of power: old, new, cut off, or zeros.
//! - Names are on the disk when their directory is synced. Before that each change of a name
//!   survives or not by itself, so a rename may leave both names, or neither.
//! - A sync of a file that has failed is not to be tried again: as on Linux, the next one
//!   succeeds, and nothing was written.
//! - An operation that fails may have taken effect, wholly or in part.
//!
//! A process that is killed loses no write, but its locks are free. Power loss and kill are
//! two calls, because a process may die first and the machine later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::StoreError;
use super::file_store::FileStore;
use super::files::{Files, Found, HeldLock, LockError, LockFile, OpenFile};

/// A file system in memory. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ModelDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    /// The names as running programs see them.
    names: BTreeMap<PathBuf, usize>,
    names_on_disk: BTreeMap<PathBuf, usize>,
    /// What was done to the names since their directory was synced.
    unsynced_names: Vec<(PathBuf, Option<usize>)>,
    locked: BTreeSet<usize>,
    /// Which start of the machine or the process this is. Files of an earlier one are void.
    life: u64,
    is_down: bool,
    is_full: bool,
    is_read_only: bool,
    /// After how many more operations something happens.
    planned: Option<(u64, Planned)>,
    random: u64,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    on_disk: Vec<u8>,
    is_dirty: bool,
}

#[derive(Clone, Copy, Debug)]
enum Planned {
    /// The process stops in the operation.
    Stop,
    /// The operation returns this error.
    Error(ErrorKind),
}

impl ModelDisk {
    pub(crate) fn new(seed: u64) -> ModelDisk {
        ModelDisk(Arc::new(Mutex::new(Disk { random: seed, ..Disk::default() })))
    }

    /// [`FileStore::create_new`] on this disk.
    pub(crate) fn create_new(&self, path: &str) -> Result<FileStore, StoreError> {
        FileStore::create_new_on(Arc::new(self.handle()), Path::new(path))
    }

    /// [`FileStore::open_existing`] on this disk.
    pub(crate) fn open_existing(&self, path: &str) -> Result<FileStore, StoreError> {
        FileStore::open_existing_on(Arc::new(self.handle()), Path::new(path))
    }

    /// The disk as the present process sees it.
    pub(crate) fn handle(&self) -> Handle {
        Handle { disk: self.clone(), life: self.0.lock().life }
    }

    /// Ends the process. What it wrote is there, and its locks are free.
    pub(crate) fn kill(&self) {
        let mut disk = self.0.lock();
        disk.life += 1;
        disk.locked.clear();
        disk.is_down = false;
        disk.planned = None;
    }

    /// Ends the process and the machine. What was not synced is lost, or torn, or there.
    pub(crate) fn lose_power(&self) {
        self.kill();
        let mut disk = self.0.lock();
        for (name, inode) in std::mem::take(&mut disk.unsynced_names) {
            if disk.chance(2) {
                disk.put_name(name, inode);
            }
        }
        disk.names = disk.names_on_disk.clone();
        for index in 0..disk.inodes.len() {
            if disk.inodes[index].is_dirty {
                disk.inodes[index].on_disk = disk.torn(index);
            }
            let inode = &mut disk.inodes[index];
            inode.content = inode.on_disk.clone();
            inode.is_dirty = false;
        }
    }

    /// The process stops in the operation after `operations` more. No later one does anything,
    /// until [`kill`](Self::kill) or [`lose_power`](Self::lose_power).
    pub(crate) fn stop_after(&self, operations: u64) {
        self.0.lock().planned = Some((operations, Planned::Stop));
    }

    /// The operation after `operations` more fails.
    pub(crate) fn fail_after(&self, operations: u64, error: ErrorKind) {
        self.0.lock().planned = Some((operations, Planned::Error(error)));
    }

    /// Nothing that was planned happens any more.
    pub(crate) fn mend(&self) {
        let mut disk = self.0.lock();
        disk.planned = None;
        disk.is_full = false;
        disk.is_read_only = false;
    }

    pub(crate) fn fill(&self) {
        self.0.lock().is_full = true;
    }

    pub(crate) fn make_read_only(&self) {
        self.0.lock().is_read_only = true;
    }

    /// The files that programs see.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().map(|name| name.display().to_string()).collect()
    }

    /// What an operator does with `cp`, which syncs nothing.
    pub(crate) fn copy_here(&self, name: &str, content: &[u8]) {
        let mut disk = self.0.lock();
        let inode = disk.add_file(Path::new(name));
        disk.inodes[inode] = Inode { content: content.to_vec(), on_disk: vec![], is_dirty: true };
    }

    /// What an operator does with `rm` and `sync`.
    pub(crate) fn delete(&self, name: &str) {
        let mut disk = self.0.lock();
        disk.change_name(Path::new(name), None);
        disk.sync_names(Path::new(name).parent().expect("a directory"));
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.0.lock().below(limit)
    }
}

impl Disk {
    /// SplitMix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    /// True once in `of` times.
    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// The next operation of a process. `Err` if it cannot even begin, and `Ok(Some)` with the
    /// error that it is to fail with, after it has done what it pleases.
    fn next(&mut self, life: u64, writes: bool) -> io::Result<Option<io::Error>> {
        let down = || io::Error::other("the process has ended");
        if life != self.life || self.is_down {
            return Err(down());
        }
        if writes && self.is_read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        match self.planned {
            Some((0, planned)) => {
                self.planned = None;
                Ok(Some(match planned {
                    Planned::Stop => {
                        self.is_down = true;
                        down()
                    }
                    Planned::Error(kind) => kind.into(),
                }))
            }
            Some((left, planned)) => {
                self.planned = Some((left - 1, planned));
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Does `change`, unless this is an operation that fails. Then it is done in one of two cases.
    fn change(
        &mut self,
        life: u64,
        change: impl FnOnce(&mut Disk) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.next(life, true)? {
            None => change(self),
            Some(error) => {
                if self.chance(2) {
                    change(self)?;
                }
                Err(error)
            }
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or(ErrorKind::NotFound.into())
    }

    fn add_file(&mut self, path: &Path) -> usize {
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.change_name(path, Some(inode));
        inode
    }

    fn change_name(&mut self, path: &Path, inode: Option<usize>) {
        match inode {
            Some(inode) => self.names.insert(path.to_owned(), inode),
            None => self.names.remove(path),
        };
        self.unsynced_names.push((path.to_owned(), inode));
    }

    fn put_name(&mut self, name: PathBuf, inode: Option<usize>) {
        match inode {
            Some(inode) => self.names_on_disk.insert(name, inode),
            None => self.names_on_disk.remove(&name),
        };
    }

    fn sync_names(&mut self, directory: &Path) {
        for (name, inode) in std::mem::take(&mut self.unsynced_names) {
            match name.parent() == Some(directory) {
                true => self.put_name(name, inode),
                false => self.unsynced_names.push((name, inode)),
            }
        }
    }

    /// What a loss of power may leave of a file that was not synced.
    fn torn(&mut self, inode: usize) -> Vec<u8> {
        let Inode { content, on_disk, .. } = self.inodes[inode].clone();
        let cut = self.below(content.len() as u64 + 1) as usize;
        match self.below(5) {
            0 => on_disk,
            1 => content,
            2 => content[..cut].to_vec(),
            3 => vec![0; content.len()],
            _ => [&content[..cut], &vec![0; content.len() - cut]].concat(),
        }
    }
}

/// The disk as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    disk: ModelDisk,
    life: u64,
}

impl Handle {
    fn change(&self, change: impl FnOnce(&mut Disk) -> io::Result<()>) -> io::Result<()> {
        self.disk.0.lock().change(self.life, change)
    }

    fn look<R>(&self, look: impl FnOnce(&Disk) -> io::Result<R>) -> io::Result<R> {
        let mut disk = self.disk.0.lock();
        match disk.next(self.life, false)? {
            None => look(&disk),
            Some(error) => Err(error),
        }
    }

    fn opened(&self, kind: Opened) -> Box<dyn OpenFile> {
        Box::new(ModelFile { handle: self.clone(), kind })
    }
}

impl Files for Handle {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.look(|_| Ok(path.to_owned()))
    }

    fn examine(&self, path: &Path) -> io::Result<Found> {
        self.look(|disk| {
            let length = disk.inodes[disk.find(path)?].content.len() as u64;
            Ok(Found { is_regular: true, is_read_only: false, length, permissions: None })
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.look(|disk| Ok(self.opened(Opened::File(disk.find(path)?))))
    }

    fn create(&self, path: &Path, _: Option<&Permissions>) -> io::Result<Box<dyn OpenFile>> {
        let mut inode = None;
        self.change(|disk| {
            if disk.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if disk.is_full {
                return Err(ErrorKind::StorageFull.into());
            }
            inode = Some(disk.add_file(path));
            Ok(())
        })?;
        Ok(self.opened(Opened::File(inode.expect("it was made"))))
    }

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.look(|_| Ok(self.opened(Opened::Directory(path.to_owned()))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|disk| {
            let inode = disk.find(from)?;
            disk.change_name(to, Some(inode));
            disk.change_name(from, None);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|disk| {
            disk.find(path)?;
            disk.change_name(path, None);
            Ok(())
        })
    }

    fn lock(&self, path: &Path, lock_file: LockFile) -> Result<Box<dyn HeldLock>, LockError> {
        let mut answer = Err(LockError::Held(None));
        let changed = self.change(|disk| {
            let inode = match (disk.find(path), lock_file) {
                (Ok(_), LockFile::New) => {
                    answer = Err(LockError::Exists);
                    return Ok(());
                }
                (Err(_), LockFile::Existing) => return Ok(()),
                (Ok(inode), _) => inode,
                (Err(_), _) => disk.add_file(path),
            };
            if disk.locked.insert(inode) {
                answer = Ok(inode);
            }
            Ok(())
        });
        let lock = |inode| ModelLock { handle: self.clone(), inode, path: path.to_owned() };
        match changed {
            Ok(()) => Ok(Box::new(lock(answer?))),
            Err(error) => {
                // The file may have been made, but nobody holds it.
                if let Ok(inode) = answer {
                    drop(lock(inode));
                }
                Err(LockError::Io { action: "lock", error })
            }
        }
    }
}

#[derive(Debug)]
struct ModelFile {
    handle: Handle,
    kind: Opened,
}

#[derive(Debug)]
enum Opened {
    File(usize),
    Directory(PathBuf),
}

impl OpenFile for ModelFile {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        self.handle.look(|disk| match &self.kind {
            Opened::File(inode) => {
                let content = &disk.inodes[*inode].content;
                Ok(content[..content.len().min(limit as usize)].to_vec())
            }
            Opened::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Opened::File(inode) = self.kind else { return Err(ErrorKind::IsADirectory.into()) };
        let mut disk = self.handle.disk.0.lock();
        let error = match disk.next(self.handle.life, true)? {
            None if disk.is_full => Some(ErrorKind::StorageFull.into()),
            other => other,
        };
        let written = match error {
            None => bytes.len(),
            Some(_) => disk.below(bytes.len() as u64 + 1) as usize,
        };
        disk.inodes[inode].content.extend(&bytes[..written]);
        disk.inodes[inode].is_dirty = true;
        error.map_or(Ok(()), Err)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.handle.disk.0.lock();
        let error = disk.next(self.handle.life, false)?;
        match &self.kind {
            Opened::File(inode) => {
                let Inode { content, is_dirty, .. } = &disk.inodes[*inode];
                if *is_dirty {
                    let written = match error {
                        None => content.clone(),
                        Some(_) => disk.torn(*inode),
                    };
                    // Clean also if it has failed: nobody will write it again.
                    let is_dirty = disk.is_down;
                    let inode = &mut disk.inodes[*inode];
                    (inode.on_disk, inode.is_dirty) = (written, is_dirty);
                }
            }
            Opened::Directory(path) => {
                if error.is_none() {
                    disk.sync_names(path);
                }
            }
        }
        error.map_or(Ok(()), Err)
    }
}

#[derive(Debug)]
struct ModelLock {
    handle: Handle,
    inode: usize,
    path: PathBuf,
}

impl HeldLock for ModelLock {
    fn remove(self: Box<Self>) {
        let _ = self.handle.remove(&self.path);
    }

    fn forget(self: Box<Self>) {
        std::mem::forget(self);
    }
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        let mut disk = self.handle.disk.0.lock();
        if disk.life == self.handle.life {
            disk.locked.remove(&self.inode);
        }
    }
}
