//! [`VmClockPage`] and [`SharedWord`]: memory that a hypervisor writes while it is read here.
//!
//! The page is mapped once and lives as long as anything that reads it. A mapping survives a
//! `fork` and a change of user. Nothing is decided here: `vmclock` says what the words mean.
//!
//! The words are atomics of 64 bits that are loaded and never stored. So the page is mapped on
//! 64-bit systems only: on others such a load may be compiled to an instruction that writes.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many words of the page are read: everything up to the last field that is used.
pub(crate) const WORDS: usize = 14;

/// The page of a VMClock.
#[derive(Clone, Debug)]
pub(crate) struct VmClockPage {
    words: NonNull<[AtomicU64; WORDS]>,
    owner: Arc<dyn Any + Send + Sync>,
}

/// One word that is read here, and that others write.
#[derive(Clone)]
pub(crate) struct SharedWord {
    at: NonNull<AtomicU64>,
    /// Held and never used: it keeps the memory.
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: both are shared references to atomics that their owner keeps alive; the owner itself
// is `Send` and `Sync`.
unsafe impl Send for VmClockPage {}
// SAFETY: as above.
unsafe impl Sync for VmClockPage {}
// SAFETY: as above.
unsafe impl Send for SharedWord {}
// SAFETY: as above.
unsafe impl Sync for SharedWord {}

impl VmClockPage {
    /// A page in this process's own memory, which a test or a simulated hypervisor writes.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(words: &Arc<[AtomicU64; WORDS]>) -> VmClockPage {
        VmClockPage { words: NonNull::from(&**words), owner: words.clone() }
    }

    /// The words, as they are at each load.
    pub(crate) fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: `owner` keeps this memory mapped for as long as `self` is there. It is aligned
        // (a page, or an array of atomics), and it is only ever accessed atomically here. What
        // the hypervisor stores meanwhile is outside of this program, as for any device.
        unsafe { self.words.as_ref() }
    }

    /// One of its words.
    pub(crate) fn word(&self, index: usize) -> SharedWord {
        SharedWord { at: NonNull::from(&self.words()[index]), _owner: self.owner.clone() }
    }
}

impl SharedWord {
    /// A word of this process.
    pub(crate) fn owned(word: Arc<AtomicU64>) -> SharedWord {
        SharedWord { at: NonNull::from(&*word), _owner: word }
    }

    /// What it is now.
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: as in `VmClockPage::words`.
        unsafe { self.at.as_ref() }.load(Ordering::Relaxed)
    }
}

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    target_pointer_width = "64",
    target_endian = "little"
))]
mod mapping {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::ptr::{NonNull, null_mut};
    use std::sync::Arc;

    use super::VmClockPage;

    /// A mapped page, until it is dropped.
    struct Mapping {
        start: NonNull<libc::c_void>,
        len: usize,
    }

    // SAFETY: the mapping belongs to the process, and any thread may unmap it.
    unsafe impl Send for Mapping {}
    // SAFETY: nothing is done through a shared reference to it.
    unsafe impl Sync for Mapping {}

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: these are the address and length of the mapping that `map` made, and nobody
            // has a pointer into it any more: all of them own a part of the `Arc` around this.
            let _ = unsafe { libc::munmap(self.start.as_ptr(), self.len) };
        }
    }

    impl VmClockPage {
        /// Maps the first page of `file`, read only. The driver allows exactly one page.
        pub(crate) fn map(file: &File) -> io::Result<VmClockPage> {
            // SAFETY: sysconf only returns a number.
            let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
            // SAFETY: a new mapping at an address that the kernel chooses touches no memory of
            // this program.
            let start = unsafe {
                libc::mmap(null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
            };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let start = NonNull::new(start).ok_or(io::ErrorKind::InvalidData)?;
            Ok(VmClockPage { words: start.cast(), owner: Arc::new(Mapping { start, len }) })
        }
    }
}
