//! A forged chronyd: any user's program that answers at chronyd's port, as if it confirmed
//! whatever the kernel says.
//!
//! Where unprivileged ports start at 0, as in Docker's containers, no privilege is needed. The
//! layout of the packets is in the crate's `source::chrony::tracking`.

use std::io;
use std::net::UdpSocket;

use nix::time::ClockId;

use crate::sys;

const LENGTH: usize = 104;
/// The root delay that it states, in seconds.
const DELAY: f64 = 1e-6;

pub fn run() -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:323")?;
    let mut request = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut request)?;
        if length != LENGTH {
            continue;
        }
        socket.send_to(&tracking(&request)?, from)?;
    }
}

fn tracking(request: &[u8]) -> io::Result<[u8; LENGTH]> {
    let realtime = sys::nanos(ClockId::CLOCK_REALTIME);
    let (_, kernel) = sys::adjtimex(sys::nothing())?;
    let mut reply = [0; LENGTH];
    // Version 6, a reply, to the command that was sent; reply 5 is TRACKING.
    reply[..2].copy_from_slice(&[6, 2]);
    reply[4..6].copy_from_slice(&request[4..6]);
    reply[6..8].copy_from_slice(&5_u16.to_be_bytes());
    reply[16..20].copy_from_slice(&request[8..12]);
    // The reference: 127.0.0.2 of stratum 2, heard just now.
    reply[28..32].copy_from_slice(&[127, 0, 0, 2]);
    reply[32..36].copy_from_slice(&[127, 0, 0, 2]);
    reply[48..50].copy_from_slice(&1_u16.to_be_bytes());
    reply[52..54].copy_from_slice(&2_u16.to_be_bytes());
    let seconds = realtime.div_euclid(1_000_000_000);
    reply[56..60].copy_from_slice(&((seconds >> 32) as u32).to_be_bytes());
    reply[60..64].copy_from_slice(&(seconds as u32).to_be_bytes());
    reply[64..68].copy_from_slice(&(realtime.rem_euclid(1_000_000_000) as u32).to_be_bytes());
    // As the kernel is corrected, so chronyd would say: its `frequency` has the other sign.
    let frequency = -(sys::rate_ppb(&kernel) as f64) / 1000.0;
    let dispersion = kernel.maxerror as f64 * 1e-6;
    let floats = [0.0, 0.0, 1e-6, frequency, 0.0, 0.01, DELAY, dispersion, 1.0];
    for (i, value) in floats.into_iter().enumerate() {
        reply[68 + 4 * i..72 + 4 * i].copy_from_slice(&float(value).to_be_bytes());
    }
    Ok(reply)
}

/// chrony's float: a signed exponent of 7 bits, a signed coefficient of 25.
fn float(value: f64) -> u32 {
    if value == 0.0 {
        return 0;
    }
    // The coefficient keeps 24 bits beside its sign.
    let exponent = value.abs().log2().floor() as i32 + 2;
    let coefficient = (value * 2f64.powi(25 - exponent)).round() as i32;
    (exponent as u32 & 0x7f) << 25 | coefficient as u32 & 0x1ff_ffff
}
