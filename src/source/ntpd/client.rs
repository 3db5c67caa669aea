//! One request to an ntpd on this host, which never waits long for the answer.
//!
//! As with chronyd (`source::chrony::client`), the socket is connected, so that the kernel drops
//! packets from other senders and reports a closed port at once.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::control::{ControlError, HEADER, MAX_DATA, SystemVariables, parse, request};

/// Where an ntpd answers the processes of its host.
pub const UDP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 123);
/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_millis(100);

/// Why ntpd stated nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NtpdError {
    /// No program listens there.
    #[error("ntpd is not running: no program listens at {at}")]
    NotRunning {
        /// Where the request was sent.
        at: SocketAddr,
    },
    /// No answer in time.
    #[error(
        "no answer to a query at {at} within {timeout:?}: if ntpd runs there, it must allow \
         queries from 127.0.0.1, so write `restrict 127.0.0.1` into ntp.conf (ntpsec allows none \
         by default)"
    )]
    NoAnswer {
        /// Where the request was sent.
        at: SocketAddr,
        /// How long the client waited.
        timeout: Duration,
    },
    /// The program that answers is not known to be ntpd.
    #[error("the answer at {at} is not believed: {why}")]
    Untrusted {
        /// Where the request was sent.
        at: SocketAddr,
        /// What is wrong with the program.
        why: String,
    },
    /// The system failed.
    #[error("the request to ntpd at {at} failed: {error}")]
    Io {
        /// Where the request was sent.
        at: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// The answer has no variables.
    #[error("{0}")]
    Answer(#[from] ControlError),
}

/// Requests the system variables of the ntpd at `at`.
///
/// # Errors
///
/// See [`NtpdError`].
pub fn system_variables(at: SocketAddr, timeout: Duration) -> Result<SystemVariables, NtpdError> {
    exchange(at, timeout).map_err(|error| match error {
        Failure::Answer(error) => NtpdError::Answer(error),
        Failure::Silence => NtpdError::NoAnswer { at, timeout },
        Failure::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => NtpdError::NotRunning { at },
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                NtpdError::NoAnswer { at, timeout }
            }
            _ => NtpdError::Io { at, error },
        },
    })
}

enum Failure {
    Io(io::Error),
    Silence,
    Answer(ControlError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

fn exchange(at: SocketAddr, timeout: Duration) -> Result<SystemVariables, Failure> {
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(at)?;
    let sequence = RandomState::new().build_hasher().finish() as u16;
    let deadline = Instant::now() + timeout;
    socket.send(&request(sequence))?;
    let mut packet = [0; 2 * (HEADER + MAX_DATA)];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Silence);
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut packet) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        match parse(&packet[..length], sequence) {
            Err(ControlError::Stray) => {}
            answer => return answer.map_err(Failure::Answer),
        }
    }
}

#[cfg(test)]
mod tests;
