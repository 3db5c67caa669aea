//! A time server of the test's own, whose true time is known.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use truechimer::source::ntp::packet::{HEADER, Header};
use truechimer::{Interval, NtpTime, Timestamp, TrueTime, UnixTime};

const SECOND: i64 = 1_000_000_000;

/// TAI, in ns, when the raw clock shows 0: a day in May 2026.
const BASE: i64 = (1_780_000_000 + TAI_MINUS_UTC) * SECOND;
const TAI_MINUS_UTC: i64 = 37;

/// True time in these tests: the oscillator that the clock counts by, which is within A2 of itself.
pub fn truth() -> Timestamp {
    let raw = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).expect("it is read");
    Timestamp::from_tai_nanos(BASE + raw.tv_sec() * SECOND + raw.tv_nsec())
}

/// A reading of the clock, held against the truth.
pub fn check(clock: &impl TrueTime) -> Interval {
    let before = truth();
    let now = clock.now().expect("readable");
    let after = truth();
    assert!(now.earliest() <= after && before <= now.latest(), "{now} at {before} to {after}");
    now
}

/// What a server does.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How far its clock is off.
    pub off_ns: i64,
    /// What it says that it may be off.
    pub states: Duration,
    /// How long a request and a reply are on the way beside the loopback's own time.
    pub there: Duration,
    pub back: Duration,
    pub is_silent: bool,
    /// It sends its last reply once more before each.
    pub repeats: bool,
    /// It answers from another port.
    pub answers_from_elsewhere: bool,
    /// It sends a kiss of death; with other random bits than the request's if `true`.
    pub kiss: Option<([u8; 4], bool)>,
    /// Anything else that is to be different.
    pub tampers: fn(&mut Header),
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            off_ns: 0,
            states: Duration::from_micros(500),
            there: Duration::ZERO,
            back: Duration::ZERO,
            is_silent: false,
            repeats: false,
            answers_from_elsewhere: false,
            kiss: None,
            tampers: |_| {},
        }
    }
}

/// A server on the loopback, until it is dropped.
pub struct Server {
    at: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn new(behaviour: Behaviour) -> Server {
        Server::at("127.0.0.1:0".parse().expect("an address"), behaviour)
    }

    /// At this address, which may be one of a server that has ended.
    pub fn at(at: SocketAddr, behaviour: Behaviour) -> Server {
        let socket = UdpSocket::bind(at).expect("the loopback");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a limit");
        let at = socket.local_addr().expect("bound");
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (of_thread, seen, stop) = (behaviour.clone(), requests.clone(), is_stopping.clone());
        let thread = thread::spawn(move || {
            let mut last = None;
            while !stop.load(Ordering::Relaxed) {
                serve(&socket, &of_thread, &seen, &mut last);
            }
        });
        Server { at, behaviour, requests, is_stopping, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Its text for a clock's builder.
    pub fn name(&self) -> String {
        self.at.to_string()
    }

    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().expect("no panic"));
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }

    /// The requests that have come.
    pub fn packets(&self) -> Vec<Vec<u8>> {
        self.requests.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(
    socket: &UdpSocket,
    behaviour: &Mutex<Behaviour>,
    requests: &Mutex<Vec<Vec<u8>>>,
    last: &mut Option<Vec<u8>>,
) {
    let mut packet = [0; 2_048];
    let Ok((length, client)) = socket.recv_from(&mut packet) else { return };
    let behaviour = behaviour.lock().expect("no panic").clone();
    requests.lock().expect("no panic").push(packet[..length].to_vec());
    let Some(request) = packet[..length].first_chunk::<HEADER>().map(Header::decode) else {
        return;
    };
    if behaviour.is_silent {
        return;
    }
    thread::sleep(behaviour.there);
    let stamp = || {
        let unix_ns = truth().tai_nanos() - TAI_MINUS_UTC * SECOND + behaviour.off_ns;
        NtpTime::from_unix(UnixTime::from_nanos(unix_ns))
    };
    let receive = stamp();
    let mut reply = Header {
        leap: 0,
        mode: 4,
        stratum: 2,
        precision: -20,
        root_delay: 0,
        root_dispersion: (behaviour.states.as_nanos() * 65_536 / 1_000_000_000) as u32,
        reference_id: [192, 0, 2, 1],
        reference: receive,
        origin: request.transmit,
        receive,
        transmit: stamp(),
        ..request
    };
    if let Some((code, is_forged)) = behaviour.kiss {
        reply = Header { stratum: 0, leap: 3, reference_id: code, ..reply };
        if is_forged {
            reply.origin = NtpTime::from_bits(request.transmit.to_bits() ^ 1);
        }
    }
    (behaviour.tampers)(&mut reply);
    let reply = reply.encode().to_vec();
    thread::sleep(behaviour.back);
    if let Some(last) = last.as_ref().filter(|_| behaviour.repeats) {
        let _ = socket.send_to(last, client);
    }
    if behaviour.answers_from_elsewhere {
        let other = UdpSocket::bind("127.0.0.1:0").expect("the loopback");
        let _ = other.send_to(&reply, client);
    } else {
        let _ = socket.send_to(&reply, client);
    }
    *last = Some(reply);
}

/// Waits until something is so, and fails if it does not become so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not happen within a minute");
        thread::sleep(Duration::from_millis(2));
    }
}
