//! A reference clock for chronyd, over the socket of its `refclock SOCK` driver.
//!
//! One datagram a sample: when it was measured by the local clock, how far true
//! time is ahead of that, whether a leap second is coming, and a magic number
//! (chrony's `refclock_sock.c`, `struct sock_sample`).

use std::os::unix::net::UnixDatagram;

use crate::sys;

/// The socket that chronyd makes.
pub const SOCKET: &str = "/run/ref.sock";

const MAGIC: i32 = 0x534f_434b;

pub struct Refclock {
    socket: UnixDatagram,
    pub lies_by_ns: i64,
    pub leap: i32,
    pub talks: bool,
}

impl Refclock {
    pub fn new() -> std::io::Result<Refclock> {
        let socket = UnixDatagram::unbound()?;
        Ok(Refclock { socket, lies_by_ns: 0, leap: 0, talks: true })
    }

    /// Sends one sample; `true_utc` tells the truth for a moment of the oscillator.
    ///
    /// That nobody listens (chronyd has been killed) is no error.
    pub fn send(&self, true_utc: impl Fn(i64) -> i64) {
        if !self.talks {
            return;
        }
        let ((before, after), local) = sys::realtime();
        let truth = true_utc(before + (after - before) / 2) + self.lies_by_ns;
        let offset = (truth - local) as f64 * 1e-9;
        let (seconds, nanos) = (local.div_euclid(1_000_000_000), local.rem_euclid(1_000_000_000));
        let mut sample = [0; 40];
        sample[0..8].copy_from_slice(&seconds.to_ne_bytes());
        sample[8..16].copy_from_slice(&(nanos / 1000).to_ne_bytes());
        sample[16..24].copy_from_slice(&offset.to_ne_bytes());
        sample[28..32].copy_from_slice(&self.leap.to_ne_bytes());
        sample[36..40].copy_from_slice(&MAGIC.to_ne_bytes());
        let _ = self.socket.send_to(&sample, SOCKET);
    }
}
