//! [`System`]: the file system of the machine.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::directory;
use super::files::{Files, Found, HeldLock, LockError, LockFile, OpenFile};
use super::lock::Lock;

/// The file system of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Files for System {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                Ok(fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name))
            }
            Err(e) => Err(e),
            Ok(_) => fs::canonicalize(path),
        }
    }

    fn examine(&self, path: &Path) -> io::Result<Found> {
        fs::metadata(path).map(|found| Found {
            is_regular: found.is_file(),
            // The superuser may open a read-only file for writing, but it is still meant to be
            // read-only.
            is_read_only: found.permissions().readonly(),
            length: found.len(),
            permissions: Some(found.permissions()),
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        // For writing, too, because Windows syncs only such a file.
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn create(
        &self,
        path: &Path,
        permissions: Option<&Permissions>,
    ) -> io::Result<Box<dyn OpenFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions.clone())?;
        }
        Ok(Box::new(file))
    }

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(directory::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn lock(&self, path: &Path, lock_file: LockFile) -> Result<Box<dyn HeldLock>, LockError> {
        Ok(Box::new(Lock::take(path, lock_file)?))
    }
}

impl OpenFile for File {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Read::take(self, limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}
