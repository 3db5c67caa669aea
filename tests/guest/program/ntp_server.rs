//! An NTP server that knows the truth, for daemons that follow one.
//!
//! ntpd takes NTP's port on every address of the host, and wants to be followed at none but
//! that port. So the server reads from a raw socket, which gets a copy of every datagram to
//! its address, whoever has the port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, bind, socket};

use crate::sys;
use crate::truth::Truth;

/// The lengths of the two headers: UDP's, and all of NTP's.
const UDP: usize = 8;
const NTP: usize = 48;
/// With this address of its own the loopback interface is all of 10.0.0.0/8, and this is where
/// what is sent there comes from.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NTP_PORT: u16 = 123;
/// From 1900, where NTP's seconds begin, to 1970.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// The root dispersion that it states, in 2⁻¹⁶ s: 200 µs.
const DISPERSION: u32 = 13;

/// Serves for ever, at an address in 10.0.0.0/8 or a link-local one.
pub fn run(arguments: &[String]) -> io::Result<()> {
    let [address] = arguments else {
        return Err(io::Error::other("usage: ntp-server ADDRESS:PORT"));
    };
    let address: SocketAddrV4 = address.parse().map_err(io::Error::other)?;
    let truth = Truth::of_this_process()?;
    // What is sent to a link-local address comes from that address itself.
    let is_link_local = address.ip().is_link_local();
    sys::add_address("lo:1", if is_link_local { *address.ip() } else { CLIENT })?;
    // Where nobody has the port, the kernel would answer too, that there is nobody. NTP's own
    // port is ntpd's, which would not start without it.
    let _port = match address.port() {
        NTP_PORT if !is_link_local => None,
        _ => Some(UdpSocket::bind(address)?),
    };
    let socket = raw_socket(address)?;
    let mut datagram = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        let received = truth.now();
        // The kernel passes the IP header on, whose length is in words of four bytes.
        let ip = usize::from(datagram[0] & 15) * 4;
        let Some(udp) = datagram[..length].get(ip..).filter(|udp| udp.len() >= UDP + NTP) else {
            continue;
        };
        let (ports, request) = (&udp[..4], &udp[UDP..]);
        // A client's mode is 3.
        if ports[2..4] != address.port().to_be_bytes() || request[0] & 7 != 3 {
            continue;
        }
        let mut reply = [0; UDP + NTP];
        reply[..2].copy_from_slice(&ports[2..4]);
        reply[2..4].copy_from_slice(&ports[..2]);
        // Its own length; a checksum of 0 is none.
        reply[4..6].copy_from_slice(&((UDP + NTP) as u16).to_be_bytes());
        let ntp = &mut reply[UDP..];
        // No leap second, the client's version, mode 4; stratum 1, its poll, 2⁻²⁰ s.
        ntp[..4].copy_from_slice(&[request[0] & 0b11_1000 | 4, 1, request[2], 0xec]);
        ntp[8..12].copy_from_slice(&DISPERSION.to_be_bytes());
        ntp[12..16].copy_from_slice(b"TRUE");
        ntp[16..24].copy_from_slice(&stamp(received - 1_000_000_000));
        ntp[24..32].copy_from_slice(&request[40..48]);
        ntp[32..40].copy_from_slice(&stamp(received));
        ntp[40..48].copy_from_slice(&stamp(truth.now()));
        socket.send_to(&reply, SocketAddr::new(from.ip(), 0))?;
    }
}

/// Unix ns as an NTP timestamp, rounded down.
fn stamp(unix_ns: i64) -> [u8; 8] {
    let seconds = (unix_ns.div_euclid(1_000_000_000) + NTP_TO_UNIX) as u64;
    let fraction = ((unix_ns.rem_euclid(1_000_000_000) as u64) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction).to_be_bytes()
}

/// A socket that sends and receives whole datagrams of UDP.
fn raw_socket(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let kind = (AddressFamily::Inet, SockType::Raw, SockProtocol::Udp);
    let socket = socket(kind.0, kind.1, SockFlag::empty(), kind.2)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(*address.ip(), 0)))?;
    // SAFETY: nobody else owns the descriptor any more. It is a socket, whose kind matters
    // neither to `recvfrom` nor to `sendto`, and no more is called on it.
    Ok(unsafe { UdpSocket::from_raw_fd(socket.into_raw_fd()) })
}
