//! The network cards' clocks: loading their drivers, and setting them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::time::{ClockId, clock_settime};

use crate::plan::MODULES;
use crate::sys;

/// Where the modules lie in the guest, if it has any.
const AT: &str = "/modules";
const DEVICES: [&str; 2] = ["/dev/ptp0", "/dev/ptp1"];
/// As long as a card may take to come up.
const PATIENCE: u32 = 100;

/// Loads what was packed, and brings the cards up: a card's clock runs only then.
pub fn load_drivers() -> io::Result<()> {
    if !Path::new(AT).exists() {
        return Ok(());
    }
    for module in MODULES {
        let at = format!("{AT}/{module}.ko");
        if Path::new(&at).exists() {
            finit_module(File::open(&at)?, c"", ModuleInitFlags::empty())
                .map_err(|error| io::Error::other(format!("{at}: {error}")))?;
        }
    }
    let mut tries = 0;
    while !Path::new("/dev/ptp1").exists() {
        tries += 1;
        if tries > PATIENCE {
            return Err(io::Error::other("the network cards have no clocks"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    for entry in fs::read_dir("/sys/class/net")? {
        sys::interface_up(&entry?.file_name().to_string_lossy())?;
    }
    Ok(())
}

/// Sets each card's clock to what `time` says, in ns since 1970.
pub fn set(time: impl Fn() -> i64) -> io::Result<()> {
    for path in DEVICES {
        let device = File::options().read(true).write(true).open(path)?;
        // The kernel's FD_TO_CLOCKID: the descriptor's complement above three bits that say
        // that it is one.
        let clock = ClockId::from_raw(((!device.as_raw_fd()) << 3) | 3);
        clock_settime(clock, Duration::from_nanos(time() as u64).into())?;
    }
    Ok(())
}
