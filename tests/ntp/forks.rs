//! A forked child asks the servers by itself.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, alarm};

use crate::server::{Behaviour, Server, check, until};
use truechimer::Clock;
use truechimer::source::ntp::Ntp;

#[test]
fn a_forked_child_reads_on_and_asks_the_servers_itself() {
    let servers: Vec<Server> = (0..3).map(|_| Server::new(Behaviour::default())).collect();
    // After the four requests at the start, the parent asks again in an hour.
    let ntp = Ntp::new(servers.iter().map(Server::name)).poll(Duration::from_secs(3_600));
    let clock = Clock::builder().without_kernel().ntp_with(ntp).build().expect("it builds");
    until("the parent's first requests", || servers.iter().all(|server| server.requests() == 4));
    clock.wait_synchronized(Duration::from_secs(60)).expect("they answer");
    // SAFETY: the child leaves by a signal. It uses only the clock, which is made for forks, and
    // takes no lock of the servers' threads.
    match unsafe { libc::fork() } {
        0 => {
            alarm::set(60);
            loop {
                if clock.refresh().is_ok() {
                    check(&clock);
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        child => {
            let child = Pid::from_raw(child);
            until("the child's requests", || servers.iter().all(|server| server.requests() >= 5));
            let _ = kill(child, Signal::SIGKILL);
            let ended = waitpid(child, None).expect("our own child");
            let killed = nix::sys::wait::WaitStatus::Signaled(child, Signal::SIGKILL, false);
            assert_eq!(ended, killed, "it has not failed before");
        }
    }
    check(&clock);
}
