//! Writes the file system that a guest boots into: a cpio archive in the `newc` format.
//!
//! Each entry is an ASCII header of 110 bytes (magic, then thirteen numbers of
//! eight hex digits), the name with a NUL, and the contents, each padded to
//! four bytes. The format is described in the kernel's `early-userspace/buffer-format`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// A cpio archive that grows in memory.
pub struct Initrd {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

impl Initrd {
    pub fn new() -> Initrd {
        Initrd { bytes: Vec::new(), entries: 0, directories: BTreeSet::new() }
    }

    /// Adds a file at an absolute path, and the directories above it.
    pub fn file(&mut self, at: &str, contents: &[u8]) {
        let at = at.trim_start_matches('/');
        if let Some((parent, _)) = at.rsplit_once('/') {
            self.directory(parent);
        }
        self.entry(at, EXECUTABLE, contents);
    }

    /// Adds an empty directory, and those above it.
    pub fn directory(&mut self, at: &str) {
        let at = at.trim_matches('/');
        let ends = at.match_indices('/').map(|(end, _)| end).chain([at.len()]);
        for end in ends {
            if self.directories.insert(at[..end].to_owned()) {
                self.entry(&at[..end], DIRECTORY, &[]);
            }
        }
    }

    /// Adds a copy of a file of this host, to which symbolic links are followed.
    pub fn copy(&mut self, from: &Path, at: &str) -> io::Result<()> {
        let contents = fs::read(from)
            .map_err(|error| io::Error::other(format!("{}: {error}", from.display())))?;
        self.file(at, &contents);
        Ok(())
    }

    /// The archive, ended as the kernel expects it.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(contents.len()).expect("no file of a guest has 4 GiB");
        let name_size = name.len() as u32 + 1;
        // inode, mode, uid, gid, links, mtime, size, device ×2, rdevice ×2, name size, check
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
