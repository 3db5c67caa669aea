//! An observer in a container: it sees neither the daemons nor what listens beside them.

use std::io;
use std::process::{Child, Command};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::sys;

/// Spawns `command` in namespaces of its own for processes, mounts and the network.
///
/// A process never changes its own process namespace, only that of its children. So a
/// thread makes the namespaces and the child is born into them.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    let spawned = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)?;
        // What is mounted in here must not show outside.
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )?;
        sys::interface_up("lo")?;
        // The child mounts its own /proc, because that shows the namespace of who mounts it.
        // SAFETY: `mount` is a system call on constants, which is allowed after a fork.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut command, || {
                mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)?;
                Ok(())
            });
        }
        command.spawn()
    });
    spawned.join().map_err(|_| io::Error::other("the thread that makes a container panicked"))?
}
