//! A chronyd that follows the truth, through a reference clock that states its delay.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{LOGS, refclock};

const CONF: &str = "/run/chrony.conf";

/// Starts it; it updates the clock every 2^`poll` seconds.
pub fn start(rtcsync: bool, poll: u32) -> io::Result<Child> {
    let mut conf = format!(
        "refclock SOCK {} refid TRUE poll {poll} delay 1e-4\n\
         bindcmdaddress 127.0.0.1\nbindcmdaddress /run/chrony/chronyd.sock\n\
         pidfile /run/chronyd.pid\n",
        refclock::SOCKET
    );
    if rtcsync {
        conf.push_str("rtcsync\n");
    }
    fs::create_dir_all("/run/chrony")?;
    for stale in ["/run/chronyd.pid", refclock::SOCKET, "/run/chrony/chronyd.sock"] {
        if Path::new(stale).exists() {
            fs::remove_file(stale)?;
        }
    }
    fs::write(CONF, conf)?;
    let output = File::create(format!("{LOGS}/chronyd.log"))?;
    Command::new("/usr/sbin/chronyd")
        .args(["-d", "-u", "root", "-F", "0", "-f", CONF])
        .arg0("chronyd")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
}
