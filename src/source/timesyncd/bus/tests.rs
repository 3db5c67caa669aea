//! A bus that says what a test wants, and a source that listens to it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::Timesyncd;
use super::super::message::NtpMessage;
use super::super::message::tests::{encode, message};
use super::*;
use crate::counter::{Counter, CounterId};
use crate::evidence::{Sample, Source, SourceError};
use crate::host::scripted::ScriptedHost;
use crate::host::{Host, HostClock};

/// What the bus does.
#[derive(Clone, Debug)]
enum Behaviour {
    /// Answers in this byte order.
    Serves { is_big: bool },
    /// Lets clients in, and answers no request for a property.
    Silent,
    /// Sends these bytes for an answer.
    Sends(Vec<u8>),
    /// Answers each request for a property with this error.
    Fails(&'static str),
    /// Answers the greeting with this.
    Greets(&'static str),
    /// Ends the connection at the first request.
    Closes,
}

struct State {
    behaviour: Behaviour,
    message: NtpMessage,
    clients: Vec<UnixStream>,
    requests: u32,
}

/// A bus with a timesyncd.
struct StubBus {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl StubBus {
    fn new(behaviour: Behaviour) -> StubBus {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("truechimer-bus-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a path of its own");
        let state = State { behaviour, message: message(), clients: Vec::new(), requests: 0 };
        let bus = StubBus { path, state: Arc::new(Mutex::new(state)) };
        let state = bus.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = state.clone();
                thread::spawn(move || serve(client, &state));
            }
        });
        bus
    }

    fn behave(&self, behaviour: Behaviour) {
        self.state.lock().expect("whole").behaviour = behaviour;
    }

    fn requests(&self) -> u32 {
        self.state.lock().expect("whole").requests
    }

    /// timesyncd has made an exchange, and says so.
    fn publish(&self, message: NtpMessage) {
        let mut state = self.state.lock().expect("whole");
        state.message = message;
        let signal = frame(false, 4, &[(3, 's', Value::Text("PropertiesChanged"))], &[]);
        for client in &mut state.clients {
            let _ = client.write_all(&signal);
        }
    }

    /// A connection that waits for as long as a busy machine may take.
    fn open(&self) -> Result<Connection, BusError> {
        self.open_within(PATIENCE)
    }

    fn open_within(&self, limit: Duration) -> Result<Connection, BusError> {
        Connection::open_within(&self.path, limit)
    }
}

impl Drop for StubBus {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

enum Value<'a> {
    Word(u32),
    Text(&'a str),
}

/// A message with these fields in its header.
fn frame(is_big: bool, kind: u8, fields: &[(u8, char, Value<'_>)], body: &[u8]) -> Vec<u8> {
    let word = |word: usize| match is_big {
        true => (word as u32).to_be_bytes(),
        false => (word as u32).to_le_bytes(),
    };
    let mut out = vec![if is_big { b'B' } else { b'l' }, kind, 0, 1];
    out.extend(word(body.len()));
    out.extend(word(1));
    out.extend(word(0));
    for (code, kind, value) in fields {
        out.resize(out.len().next_multiple_of(8), 0);
        out.extend([*code, 1, *kind as u8, 0]);
        match value {
            Value::Word(value) => out.extend(word(*value as usize)),
            Value::Text(text) if *kind == 'g' => out.push(text.len() as u8),
            Value::Text(text) => out.extend(word(text.len())),
        }
        if let Value::Text(text) = value {
            out.extend(text.bytes().chain([0]));
        }
    }
    let length = out.len() - 16;
    out[12..16].copy_from_slice(&word(length));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(body);
    out
}

fn variant(signature: &str, align: usize, value: &[u8]) -> Vec<u8> {
    let mut body = vec![signature.len() as u8];
    body.extend(signature.bytes().chain([0]));
    body.resize(body.len().next_multiple_of(align), 0);
    body.extend(value);
    body
}

/// The answer to a `Get` of timesyncd's message.
fn answer(is_big: bool, serial: u32, message: &NtpMessage) -> Vec<u8> {
    let body = variant(SIGNATURE, 8, &encode(message, is_big));
    reply(is_big, serial, "v", &body)
}

fn reply(is_big: bool, serial: u32, signature: &str, body: &[u8]) -> Vec<u8> {
    let fields = [(5, 'u', Value::Word(serial)), (8, 'g', Value::Text(signature))];
    frame(is_big, 2, &fields, body)
}

/// Lets one client in, and answers it.
fn serve(mut client: UnixStream, state: &Mutex<State>) -> Option<()> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    let mut fill = |client: &mut UnixStream, buffer: &mut Vec<u8>| {
        let count = client.read(&mut chunk).ok().filter(|&count| count > 0)?;
        buffer.extend_from_slice(&chunk[..count]);
        Some(())
    };
    let greeting = match state.lock().ok()?.behaviour {
        Behaviour::Greets(greeting) => greeting,
        _ => "DATA\r\nOK 0123456789abcdef\r\n",
    };
    client.write_all(greeting.as_bytes()).ok()?;
    let begin = b"BEGIN\r\n";
    let at = loop {
        if let Some(at) = buffer.windows(begin.len()).position(|part| part == begin) {
            break at + begin.len();
        }
        fill(&mut client, &mut buffer)?;
    };
    assert!(buffer.starts_with(b"\0AUTH EXTERNAL\r\nDATA\r\n"));
    buffer.drain(..at);
    state.lock().ok()?.clients.push(client.try_clone().ok()?);
    loop {
        let length = match Message::length(&buffer).expect("a client's message") {
            Some(length) if buffer.len() >= length => length,
            _ => {
                fill(&mut client, &mut buffer)?;
                continue;
            }
        };
        let request: Vec<u8> = buffer.drain(..length).collect();
        let serial = u32::from_le_bytes(request[8..12].try_into().expect("four bytes"));
        let names = |name: &str| request.windows(name.len()).any(|part| part == name.as_bytes());
        let mut state = state.lock().ok()?;
        let is_get = names("org.freedesktop.timesync1.Manager") && !names("AddMatch");
        state.requests += u32::from(names("NTPMessage"));
        let out = match &state.behaviour {
            _ if !is_get => reply(false, serial, "s", &[0; 5]),
            Behaviour::Serves { is_big } if names("NTPMessage") => {
                answer(*is_big, serial, &state.message)
            }
            // It answers what is asked beside the message, so that the message is asked for.
            Behaviour::Closes if names("NTPMessage") => {
                let _ = client.shutdown(std::net::Shutdown::Both);
                return None;
            }
            Behaviour::Serves { .. } | Behaviour::Closes if names("ServerName") => {
                reply(false, serial, "v", &variant("s", 4, b"\x04\0\0\0pool\0"))
            }
            Behaviour::Serves { .. } | Behaviour::Closes => {
                reply(false, serial, "v", &variant("t", 8, &32_000_000_u64.to_le_bytes()))
            }
            Behaviour::Fails(error) => {
                let fields = [(4, 's', Value::Text(error)), (5, 'u', Value::Word(serial))];
                frame(false, 3, &fields, &[])
            }
            Behaviour::Sends(bytes) => bytes.clone(),
            Behaviour::Silent | Behaviour::Greets(_) => continue,
        };
        client.write_all(&out).ok()?;
    }
}

/// A wait for another thread that takes so long has failed. After a request that was not answered
/// in time, the source itself waits for 30 s.
const PATIENCE: Duration = Duration::from_secs(100);
/// The limit where no answer comes.
const SOON: Duration = Duration::from_millis(100);

const SERVES: Behaviour = Behaviour::Serves { is_big: false };

#[test]
fn an_address_names_the_path_of_a_socket() {
    let cases = [
        ("unix:path=/run/dbus/system_bus_socket", Some("/run/dbus/system_bus_socket")),
        ("unix:abstract=x;unix:path=/a", Some("/a")),
        ("unix:guid=00,path=/a%20b", Some("/a b")),
        ("unix:path=/a%2", None),
        ("unix:path=", None),
        ("tcp:host=localhost,port=1", None),
        ("", None),
    ];
    for (address, path) in cases {
        assert_eq!(path_of(address), path.map(PathBuf::from), "{address}");
    }
}

#[test]
fn the_property_is_read_from_a_bus_of_either_byte_order() {
    for is_big in [false, true] {
        let bus = StubBus::new(Behaviour::Serves { is_big });
        let mut connection = bus.open().expect("it lets clients in");
        assert_eq!(connection.ntp_message(), Ok(message()));
        assert_eq!(connection.server_name().as_deref(), Ok("pool"));
        assert_eq!(connection.poll_min_us(), Ok(32_000_000));
        let later = NtpMessage { packet_count: 4, ..message() };
        bus.publish(later);
        assert_eq!(connection.wait(Duration::from_secs(10)), Ok(true));
        assert_eq!(connection.ntp_message(), Ok(later));
        assert_eq!(connection.wait(Duration::from_millis(1)), Ok(false));
    }
}

#[test]
fn a_bus_that_misbehaves_gives_an_error_that_says_how() {
    let huge = frame(false, 2, &[(5, 'u', Value::Word(4))], &[0; LARGEST]);
    let other_type = reply(false, 4, "v", &variant("s", 4, b"\x01\0\0\0x\0"));
    let mut cut = answer(false, 4, &message());
    cut[4..8].copy_from_slice(&80_u32.to_le_bytes());
    let cases: Vec<(Behaviour, &str)> = vec![
        (Behaviour::Silent, "in time"),
        (Behaviour::Closes, "closed the connection"),
        (Behaviour::Sends(vec![b'x'; 100]), "byte order"),
        (Behaviour::Sends(huge), "64 KiB"),
        (Behaviour::Sends(other_type), "another type"),
        (Behaviour::Sends(cut), "ends within"),
        // An answer to another request is none.
        (Behaviour::Sends(answer(false, 99, &message())), "in time"),
        (Behaviour::Fails("org.freedesktop.DBus.Error.NameHasNoOwner"), "does not run"),
        (Behaviour::Fails("org.freedesktop.DBus.Error.ServiceUnknown"), "does not run"),
        (Behaviour::Fails("org.freedesktop.DBus.Error.AccessDenied"), "denies"),
        (Behaviour::Fails("org.freedesktop.DBus.Error.UnknownProperty"), "239"),
    ];
    for (behaviour, expected) in cases {
        let what = format!("{behaviour:?}").chars().take(60).collect::<String>();
        let bus = StubBus::new(behaviour);
        let mut connection = bus.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        if expected == "in time" {
            connection.answer_within = SOON;
        }
        let error = connection.ntp_message().expect_err(&what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
    for (greeting, expected) in
        [("REJECTED EXTERNAL\r\n", "denies access"), ("DATA\r\n", "in time"), ("", "in time")]
    {
        let bus = StubBus::new(Behaviour::Greets(greeting));
        let limit = if expected == "in time" { SOON } else { PATIENCE };
        let error = bus.open_within(limit).expect_err(greeting).to_string();
        assert!(error.contains(expected), "{greeting:?}: {error}");
    }
    let error = Connection::open(Path::new("/nonexistent/bus")).expect_err("no bus");
    assert!(matches!(error, BusError::NoBus { .. }), "{error}");
    assert!(error.to_string().contains("container"), "{error}");
}

/// A source on a scripted host.
struct Bench {
    host: Arc<ScriptedHost>,
    counter: Counter,
    source: Timesyncd,
    bus: StubBus,
}

impl Bench {
    fn new(behaviour: Behaviour) -> Bench {
        let host = ScriptedHost::new();
        let bus = StubBus::new(behaviour);
        let counter = Counter::new(host.clone(), CounterId::MONOTONIC_RAW);
        Bench { host, counter, source: Timesyncd::at(&bus.path), bus }
    }

    fn wall_us(&self) -> i64 {
        self.host.nanos(HostClock::Realtime).expect("readable") / 1_000
    }

    /// Samples once in a tenth of a second of the host's time, for a while.
    fn pass(&mut self, tenths: i64) -> Result<Sample, SourceError> {
        for _ in 1..tenths {
            self.host.pass(100_000_000);
            let _ = self.source.sample(&self.counter);
        }
        self.host.pass(100_000_000);
        self.source.sample(&self.counter)
    }

    /// Samples until what is wanted has happened, which is up to another thread.
    fn until(&mut self, what: &str, mut wanted: impl FnMut(&mut Bench) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Samples until timesyncd was heard.
    fn until_first_answer(&mut self) {
        self.until("an answer", |bench| {
            let _ = bench.source.sample(&bench.counter);
            bench.source.has_heard()
        });
    }

    /// Says that something has changed, and waits until that was asked for.
    fn publish_again(&mut self) {
        let before = self.bus.requests();
        let message = self.bus.state.lock().expect("whole").message;
        self.bus.publish(message);
        self.until("a request", |bench| bench.bus.requests() > before);
    }

    /// An exchange of 20 ms, which is then published.
    fn exchange(&mut self) -> i64 {
        let origin_us = self.wall_us();
        self.host.pass(10_000_000);
        let server_us = self.wall_us();
        self.host.pass(10_000_000);
        let destination_us = self.wall_us();
        let (receive_us, transmit_us) = (server_us, server_us);
        let packet_count = self.bus.state.lock().expect("whole").message.packet_count + 1;
        self.bus.publish(NtpMessage {
            origin_us,
            receive_us,
            transmit_us,
            destination_us,
            packet_count,
            ..message()
        });
        server_us
    }
}

#[test]
fn an_exchange_that_is_published_becomes_a_sample() {
    let mut bench = Bench::new(SERVES);
    assert!(bench.source.sample(&bench.counter).is_err(), "nothing is heard yet");
    bench.until_first_answer();
    let _ = bench.pass(30);
    bench.publish_again();
    let server_us = bench.exchange();
    bench.until("a sample", |bench| bench.pass(1).is_ok());
    let sample = bench.pass(1).expect("the same again");
    let tai = (server_us + 37_000_000) * 1_000;
    let time = sample.time;
    assert!(time.earliest().tai_nanos() <= tai && tai <= time.latest().tai_nanos() + 20_000_000);
    // 20 ms of the way there and back, and twice the root distance of 1 ms.
    let width = time.width();
    assert!(width > Duration::from_millis(20) && width < Duration::from_millis(24), "{width:?}");
    let details = bench.source.details().expect("of the exchange");
    for part in ["server pool", "stratum 2", "one server, unauthenticated"] {
        assert!(details.contains(part), "{details}");
    }
    // The daemon ends: what was known holds, and nothing updates it.
    bench.bus.behave(Behaviour::Fails("org.freedesktop.DBus.Error.NameHasNoOwner"));
    bench.bus.publish(message());
    bench.until("holdover", |bench| {
        assert_eq!(bench.pass(1), Ok(sample));
        bench.source.condition().holdover.is_some()
    });
}

#[test]
fn a_bus_that_closes_is_opened_again() {
    let mut bench = Bench::new(SERVES);
    bench.until_first_answer();
    bench.bus.behave(Behaviour::Closes);
    bench.publish_again();
    bench.until("an error", |bench| {
        bench.pass(1).is_err_and(|error| error.to_string().contains("closed the connection"))
    });
    bench.bus.behave(SERVES);
    let before = bench.bus.requests();
    bench.until("another connection", |bench| {
        let _ = bench.pass(1);
        bench.bus.requests() > before
    });
}

#[test]
fn a_host_without_a_bus_or_a_timesyncd_is_told_what_is_missing() {
    let host = ScriptedHost::new();
    let counter = Counter::new(host.clone(), CounterId::MONOTONIC_RAW);
    let mut source = Timesyncd::at(Path::new("/nonexistent/bus"));
    let error = source.sample(&counter).expect_err("no bus").to_string();
    assert!(error.contains("no system bus") && error.contains("container"), "{error}");
    assert_eq!(host.adjtimex_calls(), 0, "it costs nothing there");
    assert_eq!(source.details(), None);
    let absent = Behaviour::Fails("org.freedesktop.DBus.Error.NameHasNoOwner");
    let mut bench = Bench::new(absent);
    bench.until("an error", |bench| {
        bench.pass(1).is_err_and(|error| error.to_string().contains("does not run"))
    });
}
