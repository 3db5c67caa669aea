//! [`Connection`]: to the system bus, to read timesyncd's properties.
//!
//! A client of D-Bus is mostly a library of ten thousand lines. This one signs in, calls `Get`
//! on a few properties, and hears that one has changed. It takes a signal only for a hint to ask
//! again: any user may send a signal to it, but only the bus can answer its requests.
//!
//! It signs in as EXTERNAL without a user id, so that the bus takes the one that the kernel states
//! of the socket. This works in user namespaces too, where ids differ.
//!
//! Whatever is wrong ends the connection. Nobody waits for longer than [`ANSWER_WITHIN`], because
//! a daemon that is stopped answers nothing.

use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{BusError, NAME};
use super::message::{NtpMessage, SIGNATURE};
#[cfg(not(unix))]
use super::no_bus::UnixStream;
use super::wire::{Call, Kind, LARGEST, Malformed, Message};

/// How long an answer may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Where the bus is if the environment does not say.
const DEFAULT_PATH: &str = "/run/dbus/system_bus_socket";
/// Where the environment says it.
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

const OBJECT: &str = "/org/freedesktop/timesync1";
const INTERFACE: &str = "org.freedesktop.timesync1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
const BUS_OBJECT: &str = "/org/freedesktop/DBus";

/// The socket of the system bus.
///
/// # Errors
///
/// If the environment names an address that is no path of a Unix socket.
pub(super) fn system_bus() -> Result<PathBuf, BusError> {
    match std::env::var(ADDRESS) {
        Ok(address) => path_of(&address).ok_or(BusError::Address(address)),
        Err(_) => Ok(DEFAULT_PATH.into()),
    }
}

/// The first `unix:path=` of a list of addresses.
fn path_of(addresses: &str) -> Option<PathBuf> {
    let unix = addresses.split(';').filter_map(|address| address.strip_prefix("unix:"));
    let path = unix.flat_map(|keys| keys.split(',')).find_map(|key| key.strip_prefix("path="))?;
    unescape(path).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A value of an address, with `%41` for `A`.
fn unescape(value: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// A client of a bus that has signed in, and hears of timesyncd.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    path: PathBuf,
    /// What was received and is not read yet.
    buffer: Vec<u8>,
    serial: u32,
    /// Something has changed since the last request.
    has_news: bool,
    answer_within: Duration,
}

impl Connection {
    /// Signs in to the bus at this path.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    pub(super) fn open(path: &Path) -> Result<Connection, BusError> {
        Connection::open_within(path, ANSWER_WITHIN)
    }

    /// The same, with another limit for each answer.
    pub(super) fn open_within(
        path: &Path,
        answer_within: Duration,
    ) -> Result<Connection, BusError> {
        let stream = UnixStream::connect(path).map_err(|error| failed(path, error))?;
        stream.set_write_timeout(Some(answer_within)).map_err(|error| failed(path, error))?;
        let mut connection = Connection {
            stream,
            path: path.to_owned(),
            buffer: Vec::new(),
            serial: 0,
            has_news: false,
            answer_within,
        };
        connection.sign_in()?;
        connection.call_bus("Hello", &[])?;
        let changed = format!(
            "type='signal',sender='{NAME}',path='{OBJECT}',interface='{PROPERTIES}',\
             member='PropertiesChanged',arg0='{INTERFACE}'"
        );
        let owner = format!(
            "type='signal',sender='{BUS}',path='{BUS_OBJECT}',interface='{BUS}',\
             member='NameOwnerChanged',arg0='{NAME}'"
        );
        connection.call_bus("AddMatch", &[&changed])?;
        connection.call_bus("AddMatch", &[&owner])?;
        Ok(connection)
    }

    /// The exchange that timesyncd made last.
    ///
    /// # Errors
    ///
    /// See [`BusError`]. After any of them the connection must not be used again, except after
    /// [`BusError::NotRunning`].
    pub(super) fn ntp_message(&mut self) -> Result<NtpMessage, BusError> {
        self.has_news = false;
        let reply = self.get("NTPMessage")?;
        let read = |reply: &Message| NtpMessage::parse(&mut reply.property(SIGNATURE)?);
        read(&reply).map_err(|why| self.malformed(why))
    }

    /// The server that timesyncd uses now, which need not be the one of its last exchange.
    pub(super) fn server_name(&mut self) -> Result<String, BusError> {
        let reply = self.get("ServerName")?;
        let read = |reply: &Message| reply.property("s")?.string().map(str::to_owned);
        read(&reply).map_err(|why| self.malformed(why))
    }

    /// timesyncd's shortest poll, in µs.
    pub(super) fn poll_min_us(&mut self) -> Result<u64, BusError> {
        let reply = self.get("PollIntervalMinUSec")?;
        let read = |reply: &Message| reply.property("t")?.u64();
        read(&reply).map_err(|why| self.malformed(why))
    }

    /// Waits until something has changed, for up to `limit`. Whether it has.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<bool, BusError> {
        let deadline = Instant::now() + limit;
        while !self.has_news {
            let Some(message) = self.receive(deadline)? else { break };
            self.note(&message);
        }
        Ok(self.has_news)
    }

    fn note(&mut self, message: &Message) {
        let news = ["PropertiesChanged", "NameOwnerChanged"];
        if let Kind::Signal(member) = &message.kind {
            self.has_news |= news.contains(&member.as_str());
        }
    }

    /// Sends what signs in, and reads lines up to the one that lets this client in.
    fn sign_in(&mut self) -> Result<(), BusError> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
        let deadline = Instant::now() + self.answer_within;
        loop {
            let line = self.line(deadline)?;
            match line.split(' ').next() {
                Some("DATA") => {}
                Some("OK") => break,
                _ => return Err(BusError::Denied { path: self.path.clone(), why: line }),
            }
        }
        self.send(b"BEGIN\r\n")
    }

    fn line(&mut self, deadline: Instant) -> Result<String, BusError> {
        const LONGEST: usize = 1024;
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.buffer.len() > LONGEST {
                return Err(self.malformed(Malformed("a line of its greeting has no end")));
            }
            if !self.fill(deadline)? {
                return Err(self.silent());
            }
        }
    }

    fn call_bus(&mut self, member: &str, arguments: &[&str]) -> Result<Message, BusError> {
        self.call(&Call { destination: BUS, path: BUS_OBJECT, interface: BUS, member, arguments })
    }

    fn get(&mut self, property: &str) -> Result<Message, BusError> {
        self.call(&Call {
            destination: NAME,
            path: OBJECT,
            interface: PROPERTIES,
            member: "Get",
            arguments: &[INTERFACE, property],
        })
    }

    /// Calls a method, and waits for its answer.
    fn call(&mut self, call: &Call<'_>) -> Result<Message, BusError> {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.send(&call.encode(self.serial))?;
        let deadline = Instant::now() + self.answer_within;
        loop {
            let Some(message) = self.receive(deadline)? else { return Err(self.silent()) };
            if message.reply_to != Some(self.serial) {
                self.note(&message);
                continue;
            }
            return match &message.kind {
                Kind::Error(name) => Err(self.refused(name)),
                _ => Ok(message),
            };
        }
    }

    fn refused(&self, name: &str) -> BusError {
        match name.rsplit('.').next() {
            Some("NameHasNoOwner" | "ServiceUnknown") => BusError::NotRunning,
            Some("AccessDenied") => {
                BusError::Denied { path: self.path.clone(), why: name.to_owned() }
            }
            // What answers is not a timesyncd that has the property.
            _ => BusError::NoProperty(name.to_owned()),
        }
    }

    /// The next message. `None` if there is none until then.
    fn receive(&mut self, deadline: Instant) -> Result<Option<Message>, BusError> {
        loop {
            match Message::length(&self.buffer).map_err(|why| self.malformed(why))? {
                Some(length) if self.buffer.len() >= length => {
                    let message = Message::parse(&self.buffer[..length]);
                    self.buffer.drain(..length);
                    return message.map(Some).map_err(|why| self.malformed(why));
                }
                _ => {}
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Receives some bytes. `false` if none come until then.
    fn fill(&mut self, deadline: Instant) -> Result<bool, BusError> {
        let mut chunk = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.buffer.len() > LARGEST {
                return Ok(false);
            }
            let timeout = left.max(Duration::from_millis(1));
            let received = self
                .stream
                .set_read_timeout(Some(timeout))
                .and_then(|()| self.stream.read(&mut chunk));
            match received {
                Ok(0) => return Err(BusError::Closed { path: self.path.clone() }),
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(failed(&self.path, error)),
                },
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), BusError> {
        match self.stream.write_all(bytes) {
            Err(error) if is_timeout(&error) => Err(self.silent()),
            outcome => outcome.map_err(|error| failed(&self.path, error)),
        }
    }

    fn silent(&self) -> BusError {
        BusError::Silent { path: self.path.clone() }
    }

    fn malformed(&self, why: Malformed) -> BusError {
        BusError::Malformed { path: self.path.clone(), why: why.0 }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn failed(path: &Path, error: io::Error) -> BusError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => BusError::NoBus { path },
        io::ErrorKind::PermissionDenied => BusError::Denied { path, why: error.to_string() },
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::UnexpectedEof => BusError::Closed { path },
        _ => BusError::Io { path, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
