//! [`ProcessKey`]: tells a forked child that it is another process.
//!
//! A process id does not. A process that is number 1 of its PID namespace and makes a child
//! with `CLONE_NEWPID` has the same number as that child. So the key is a *fork generation*,
//! and a fork has to change it by itself.
//!
//! - On Linux 4.14 and later the generation is on a page that the kernel wipes in every
//!   child (`MADV_WIPEONFORK`). The kernel does it for each copy of the memory, by whichever
//!   call it was made: `fork`, or `clone` without the C library. A child finds 0 there, and
//!   counts on from the last number that its parent gave out.
//! - Elsewhere on Unix a handler of `pthread_atfork` counts the forks, and the process id
//!   belongs to the key. There a bare `clone` that keeps the process id goes unseen.
//! - Other systems have no fork.
//!
//! A process compares keys only with those of its ancestors. Two children of one parent may
//! have the same key, because neither has the other's memory. `vfork`, and `clone` with
//! `CLONE_VM`, share the memory and every lock in it, so they change nothing here.
//!
//! Readings of the clock do not ask for it. Where the page exists it costs one load.

/// A number that no ancestor of this process has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProcessKey(u64);

impl ProcessKey {
    /// The process that runs this.
    #[inline]
    pub(crate) fn current() -> ProcessKey {
        ProcessKey(system::current())
    }

    /// A process of a simulated machine, which counts them from 1.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(number: u32) -> ProcessKey {
        ProcessKey(number.into())
    }

    /// The key as a number, which is never 0.
    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    use super::counted;

    /// The page that is wiped; null before the first call, and [`no_page`] where there is none.
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

    /// The last generation that was given out, here or in an ancestor.
    static LAST: AtomicU64 = AtomicU64::new(0);

    #[inline]
    pub(super) fn current() -> u64 {
        let Some(generation) = page() else { return counted::current() };
        // Relaxed everywhere: a child begins with one thread, and no other data depends on it.
        let seen = generation.load(Ordering::Relaxed);
        if seen != 0 { seen } else { begin(generation) }
    }

    /// The first call in a process.
    #[cold]
    fn begin(generation: &AtomicU64) -> u64 {
        let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        match generation.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => next,
            Err(other_thread) => other_thread,
        }
    }

    #[inline]
    fn page() -> Option<&'static AtomicU64> {
        // Acquire pairs with the release in `make_page`.
        let mut page = PAGE.load(Ordering::Acquire);
        if page.is_null() {
            page = make_page();
        }
        // SAFETY: neither null nor `no_page`, so it is a page of zeros that `make_page`
        // mapped for good. Zeros are an `AtomicU64`, and a page is aligned for it.
        (page != no_page()).then(|| unsafe { &*page })
    }

    /// Stands for "there is none".
    fn no_page() -> *mut AtomicU64 {
        ptr::from_ref(&LAST).cast_mut()
    }

    /// No lock is taken, because a fork may happen meanwhile: two threads map two pages, and one is
    /// given back.
    #[cold]
    fn make_page() -> *mut AtomicU64 {
        let made = map_page().unwrap_or_else(no_page);
        let (set, seen) = (Ordering::AcqRel, Ordering::Acquire);
        match PAGE.compare_exchange(ptr::null_mut(), made, set, seen) {
            Ok(_) => made,
            Err(other_threads) => {
                if made != no_page() {
                    // SAFETY: mapped above with this length, and nothing refers to it.
                    unsafe { libc::munmap(made.cast(), LENGTH) };
                }
                other_threads
            }
        }
    }

    /// The kernel rounds it up to a page, at each call alike.
    const LENGTH: usize = size_of::<AtomicU64>();

    /// From `<asm-generic/mman-common.h>`; libc does not name it on every target.
    const MADV_WIPEONFORK: libc::c_int = 18;

    fn map_page() -> Option<*mut AtomicU64> {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let page = unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: advice for the page that was just mapped. An emulator that answers "done"
        // to every advice answers so to -1 too, which no kernel knows.
        let wipes = unsafe {
            libc::madvise(page, LENGTH, -1) != 0
                && libc::madvise(page, LENGTH, MADV_WIPEONFORK) == 0
        };
        if wipes {
            return Some(page.cast());
        }
        // SAFETY: mapped above, and nothing refers to it.
        unsafe { libc::munmap(page, LENGTH) };
        None
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
use counted as system;

/// The process id, and how many forks led here, as a handler counts them.
#[cfg(unix)]
mod counted {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    static FORKS: AtomicU32 = AtomicU32::new(0);
    static IS_COUNTING: AtomicBool = AtomicBool::new(false);

    extern "C" fn count_fork() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn current() -> u64 {
        if !IS_COUNTING.load(Ordering::Relaxed) && !IS_COUNTING.swap(true, Ordering::Relaxed) {
            // SAFETY: the handler adds to an atomic number, which is allowed after a fork.
            // If there is no memory for it, the process id alone tells processes apart.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        }
        u64::from(FORKS.load(Ordering::Relaxed)) << 32 | u64::from(std::process::id())
    }
}

#[cfg(not(unix))]
mod system {
    /// There is no fork.
    pub(super) fn current() -> u64 {
        1
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;

    /// What `child` returns in a copy of this process that the C library knows nothing of.
    fn in_a_bare_clone(child: impl FnOnce() -> bool) -> bool {
        // SAFETY: a copy of this process, as `fork` makes it, without the handlers of libc. The
        // child allocates nothing and leaves by `_exit`.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            let code = if child() { 0 } else { 1 };
            // SAFETY: ends the child and runs nothing of it.
            unsafe { libc::_exit(code) };
        }
        assert!(pid > 0, "a process can be made");
        let mut status = 0;
        // SAFETY: waits for our own child, and writes one int.
        unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) };
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }

    #[test]
    fn every_copy_of_the_process_is_another_one_by_whichever_call_it_was_made() {
        let here = ProcessKey::current();
        assert_eq!(ProcessKey::current(), here);
        assert!(in_a_bare_clone(|| {
            let child = ProcessKey::current();
            let is_new = child != here && child == ProcessKey::current();
            is_new && in_a_bare_clone(|| ![here, child].contains(&ProcessKey::current()))
        }));
        assert_eq!(ProcessKey::current(), here, "nothing has changed for the parent");
    }

    #[test]
    fn where_no_page_is_wiped_forks_are_counted() {
        let here = counted::current();
        assert_eq!(counted::current(), here);
        // SAFETY: the child reads two numbers and leaves by `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let forks = |key: u64| key >> 32;
            let code = if forks(counted::current()) == forks(here) + 1 { 0 } else { 1 };
            // SAFETY: ends the child and runs nothing of it.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for our own child, and writes one int.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(status, 0, "the handler has counted the fork");
    }
}
