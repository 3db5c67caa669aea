//! [`Client`]: requests a report from a chronyd on this host, and never waits long for it.
//!
//! Over UDP the socket is connected, for two reasons. The kernel then drops packets from other
//! senders. And it reports at once if the port is closed, so that "chronyd is not running" need
//! not be guessed from a timeout. Usually only root may listen on port 323. Where any user may
//! (Docker's default), `source::daemon` checks whose socket it is.
//!
//! A forked child would share the socket with its parent, and each could take
//! the other's answers. So a client that finds itself in another process than
//! the one it was made in opens a socket of its own.
//!
//! Over the Unix socket chronyd answers only a socket that has a path of its own, in a
//! directory that chronyd can reach. So the client binds one beside chronyd's and removes it
//! at the end. Only root and chronyd's own user may do that. This is for hosts where the UDP
//! port is closed (`cmdport 0`).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
#[cfg(unix)]
use std::os::unix::{fs::PermissionsExt, net::UnixDatagram};
#[cfg(unix)]
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::fork::ProcessKey;

use super::chrony_fit::ChronyFit;
use super::source_stats::{STATS, SourceStats};
use super::sources::{COUNT, ChronySource, DATA, SourceState, decode_count};
use super::tracking::{PACKET, Tracking, TrackingError, request};

/// chronyd has no source of this number (`STT_NOSUCHSOURCE`).
const NO_SUCH_SOURCE: u16 = 4;
/// Of so many sources it is asked what their line is, at most: each costs it two answers.
const MOST_FITTED: u32 = 64;

/// Where chronyd answers any user of this host.
pub const UDP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 323);
/// The same for a chronyd that listens on IPv6 only (`bindcmdaddress ::1`).
pub const UDP6: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 323);
/// Where chronyd answers root and its own user.
pub const SOCKET: &str = "/run/chrony/chronyd.sock";
/// How long an answer may take. chronyd answers within a millisecond unless it
/// is stopped or the host is very busy; the next poll asks again.
pub const TIMEOUT: Duration = Duration::from_millis(100);

/// Why chronyd gave no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChronyError {
    /// No program listens there.
    #[error("chronyd is not running, or its command port is closed: no program listens at {at}")]
    NotRunning {
        /// Where the request was sent.
        at: String,
    },
    /// The socket may not be used by this user.
    #[error("only root and chronyd's own user may use {at}: {error}")]
    Denied {
        /// Where the request was sent.
        at: String,
        /// The system's error.
        error: io::Error,
    },
    /// No answer in time.
    #[error("chronyd did not answer at {at} within {timeout:?}: it is stopped, or very busy")]
    NoAnswer {
        /// Where the request was sent.
        at: String,
        /// How long the client waited.
        timeout: Duration,
    },
    /// The program that answers is not known to be chronyd.
    #[error("the answer at {at} is not believed: {why}")]
    Untrusted {
        /// Where the request was sent.
        at: String,
        /// What is wrong with the program.
        why: String,
    },
    /// The system failed.
    #[error("the request to chronyd at {at} failed: {error}")]
    Io {
        /// Where the request was sent.
        at: String,
        /// The system's error.
        error: io::Error,
    },
    /// The answer has no report.
    #[error("{0}")]
    Answer(#[from] TrackingError),
}

impl ChronyError {
    /// Whether a later request can succeed without a change to the system.
    pub fn is_transient(&self) -> bool {
        match self {
            ChronyError::NotRunning { .. } | ChronyError::NoAnswer { .. } => true,
            ChronyError::Io { .. } => true,
            ChronyError::Denied { .. } | ChronyError::Untrusted { .. } => false,
            ChronyError::Answer(error) => error.is_transient(),
        }
    }
}

/// Where a chronyd may answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    Udp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Endpoint {
    /// Where the chronyd of this host may answer, in the order of the requests.
    pub(crate) fn defaults() -> Vec<Endpoint> {
        vec![
            Endpoint::Udp(UDP),
            Endpoint::Udp(UDP6),
            #[cfg(unix)]
            Endpoint::Unix(SOCKET.into()),
        ]
    }

    fn name(&self) -> String {
        match self {
            Endpoint::Udp(at) => at.to_string(),
            #[cfg(unix)]
            Endpoint::Unix(at) => at.display().to_string(),
        }
    }

    fn open(&self) -> Result<Socket, ChronyError> {
        let opened = match self {
            Endpoint::Udp(at) => open_udp(*at).map(Socket::Udp),
            #[cfg(unix)]
            Endpoint::Unix(at) => OwnPath::beside(at).map(Socket::Unix),
        };
        opened.map_err(|error| failed(&self.name(), error))
    }
}

fn open_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(at)?;
    Ok(socket)
}

/// A connection to one chronyd.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    socket: Socket,
    /// The process that opened the socket.
    process: ProcessKey,
    sequence: u32,
    timeout: Duration,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(OwnPath),
}

/// A socket with a path, which is removed with it.
#[cfg(unix)]
#[derive(Debug)]
struct OwnPath {
    socket: UnixDatagram,
    path: PathBuf,
    process: ProcessKey,
}

#[cfg(unix)]
impl OwnPath {
    /// A socket that is connected to the one at `at`, bound to a path beside it.
    fn beside(at: &Path) -> io::Result<OwnPath> {
        // Several clients in one process each need a path of their own.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // The key too, because a child in another PID namespace may have its parent's id.
        let process = ProcessKey::current();
        let name = format!("truechimer.{pid}.{}.{count}.sock", process.number());
        let path = at.with_file_name(name);
        // A file of this name was left by a process that has ended.
        let _ = std::fs::remove_file(&path);
        let own = OwnPath { socket: UnixDatagram::bind(&path)?, path, process };
        // chronyd no longer runs as root, and must be able to write to it.
        std::fs::set_permissions(&own.path, std::fs::Permissions::from_mode(0o666))?;
        own.socket.connect(at)?;
        Ok(own)
    }
}

#[cfg(unix)]
impl Drop for OwnPath {
    fn drop(&mut self) {
        // A forked child has a copy of this, and the path is its parent's.
        if self.process == ProcessKey::current() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Client {
    /// For a chronyd that answers over UDP, usually at [`UDP`].
    ///
    /// # Errors
    ///
    /// If no socket can be opened. A closed port shows at the first request.
    pub fn udp(at: SocketAddr) -> Result<Client, ChronyError> {
        Client::to(Endpoint::Udp(at))
    }

    /// For a chronyd that answers on a Unix socket, usually at [`SOCKET`].
    ///
    /// # Errors
    ///
    /// If the socket does not exist, or this user may not use it.
    #[cfg(unix)]
    pub fn unix(at: &Path) -> Result<Client, ChronyError> {
        Client::to(Endpoint::Unix(at.to_owned()))
    }

    pub(crate) fn to(endpoint: Endpoint) -> Result<Client, ChronyError> {
        let socket = endpoint.open()?;
        let (process, sequence) = (ProcessKey::current(), any_number());
        Ok(Client { endpoint, socket, process, sequence, timeout: TIMEOUT })
    }

    /// Waits this long for an answer instead of [`TIMEOUT`].
    pub fn with_timeout(self, timeout: Duration) -> Client {
        Client { timeout, ..self }
    }

    /// Requests the report, and waits for the answer to this request.
    ///
    /// Answers to earlier requests, which have timed out, are skipped.
    ///
    /// # Errors
    ///
    /// See [`ChronyError`]. After any of them the client can be used again.
    pub fn tracking(&mut self) -> Result<Tracking, ChronyError> {
        self.exchange(|sequence| request(sequence).to_vec(), Tracking::decode)
    }

    /// Requests the list of chronyd's sources, one after the other.
    ///
    /// # Errors
    ///
    /// As [`tracking`](Self::tracking). The list may change between two requests: a source that is
    /// gone by then is left out.
    pub fn sources(&mut self) -> Result<Vec<ChronySource>, ChronyError> {
        let count = self.count()?;
        self.each(0..count, Self::source)
    }

    /// Requests what chronyd has made of the polls of its sources, one source after the other and
    /// in the order of [`sources`](Self::sources).
    ///
    /// # Errors
    ///
    /// As [`sources`](Self::sources).
    pub fn source_stats(&mut self) -> Result<Vec<SourceStats>, ChronyError> {
        let count = self.count()?;
        self.each(0..count, Self::stats)
    }

    /// What chronyd's estimate rests on: the sources that it follows, or all of them if it follows
    /// none at present. `None` if there is none.
    pub(crate) fn fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        let count = self.count()?.min(MOST_FITTED);
        let sources = self.each(0..count, Self::source)?;
        let is_selected = |source: &ChronySource| source.state == SourceState::Selected;
        let follows = sources.iter().any(is_selected);
        let mut fitted = Vec::new();
        for (index, source) in (0..count).zip(sources) {
            if !follows || source.may_be_combined() {
                fitted.push((source, self.stats(index)?));
            }
        }
        Ok(ChronyFit::of(&fitted))
    }

    fn count(&mut self) -> Result<u32, ChronyError> {
        self.exchange(|sequence| COUNT.request(sequence, 0), decode_count)
    }

    fn source(&mut self, index: u32) -> Result<ChronySource, ChronyError> {
        self.exchange(|sequence| DATA.request(sequence, index), ChronySource::decode)
    }

    fn stats(&mut self, index: u32) -> Result<SourceStats, ChronyError> {
        self.exchange(|sequence| STATS.request(sequence, index), SourceStats::decode)
    }

    /// Requests one after the other, as far as there are any.
    fn each<T>(
        &mut self,
        indices: std::ops::Range<u32>,
        ask: impl Fn(&mut Client, u32) -> Result<T, ChronyError>,
    ) -> Result<Vec<T>, ChronyError> {
        let mut found = Vec::new();
        for index in indices {
            match ask(self, index) {
                Ok(source) => found.push(source),
                Err(ChronyError::Answer(TrackingError::Refused { status: NO_SUCH_SOURCE })) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn exchange<T>(
        &mut self,
        request: impl FnOnce(u32) -> Vec<u8>,
        decode: impl Fn(&[u8], u32) -> Result<T, TrackingError>,
    ) -> Result<T, ChronyError> {
        if self.process != ProcessKey::current() {
            *self = Client::to(self.endpoint.clone())?.with_timeout(self.timeout);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let deadline = Instant::now() + self.timeout;
        self.send(&request(self.sequence)).map_err(|error| self.failed(error))?;
        let mut packet = [0; 2 * PACKET];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.no_answer());
            }
            let length = match self.receive(&mut packet, left) {
                Ok(length) => length,
                Err(error) if is_timeout(&error) => return Err(self.no_answer()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error)),
            };
            match decode(&packet[..length], self.sequence) {
                // A packet that is too short to have a sequence number is skipped too.
                Err(TrackingError::Stray | TrackingError::Length { length: ..20 }) => {}
                answer => return Ok(answer?),
            }
        }
    }

    fn no_answer(&self) -> ChronyError {
        ChronyError::NoAnswer { at: self.endpoint.name(), timeout: self.timeout }
    }

    fn failed(&self, error: io::Error) -> ChronyError {
        failed(&self.endpoint.name(), error)
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        match &self.socket {
            Socket::Udp(socket) => socket.send(packet).map(|_| ()),
            #[cfg(unix)]
            Socket::Unix(own) => {
                // A full queue must not stop the caller: chronyd may be stopped.
                own.socket.set_write_timeout(Some(self.timeout.max(Duration::from_micros(1))))?;
                own.socket.send(packet).map(|_| ())
            }
        }
    }

    fn receive(&self, packet: &mut [u8], timeout: Duration) -> io::Result<usize> {
        match &self.socket {
            Socket::Udp(socket) => {
                socket.set_read_timeout(Some(timeout))?;
                socket.recv(packet)
            }
            #[cfg(unix)]
            Socket::Unix(own) => {
                own.socket.set_read_timeout(Some(timeout))?;
                own.socket.recv(packet)
            }
        }
    }
}

/// Where the sequence numbers of a client begin. From there they count, so that no two
/// requests in flight have the same.
fn any_number() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn failed(at: &str, error: io::Error) -> ChronyError {
    let at = at.to_owned();
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            ChronyError::NotRunning { at }
        }
        io::ErrorKind::PermissionDenied => ChronyError::Denied { at, error },
        _ => ChronyError::Io { at, error },
    }
}

#[cfg(test)]
mod tests;
