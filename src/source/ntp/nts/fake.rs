//! A key server and a time server for the tests, in this process. They keep to RFC 8915 unless
//! they are told not to, and check what a client has to keep to.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::extension::{self, Authenticator};
use super::records::tests::message;
use super::session::KEY;
use crate::source::ntp::packet::HEADER;

pub(super) const AUTHORITY: &[u8] =
    include_bytes!("../../../../tests/nts/certificates/authority.pem");
pub(super) const SERVER: &[u8] = include_bytes!("../../../../tests/nts/certificates/server.pem");
pub(super) const EXPIRED: &[u8] = include_bytes!("../../../../tests/nts/certificates/expired.pem");
pub(super) const OF_STRANGER: &[u8] =
    include_bytes!("../../../../tests/nts/certificates/of-stranger.pem");
pub(super) const OTHER_NAME: &[u8] =
    include_bytes!("../../../../tests/nts/certificates/other-name.pem");
const KEY_OF_SERVERS: &[u8] = include_bytes!("../../../../tests/nts/certificates/server.key");

/// The keys of both directions.
pub(super) type Keys = ([u8; KEY], [u8; KEY]);

/// What a key server does with a connection.
#[derive(Clone)]
pub(super) enum Conduct {
    /// TLS, then these bytes after the request.
    Answer(Vec<u8>),
    /// The same, a byte at a time with pauses.
    AnswerSlowly(Vec<u8>, Duration),
    /// TLS, and nothing after the request until the client is gone.
    SayNothing,
    /// Not TLS: these bytes at once.
    Garbage(&'static [u8]),
    /// Accepts the connection, and reads until the client is gone.
    NoHandshake,
}

/// The records of a server that grants these cookies.
pub(super) fn granting(cookies: &[&[u8]]) -> Vec<u8> {
    let mut records: Vec<(u16, &[u8])> = vec![(0x8001, &[0, 0]), (0x8004, &[0, 15])];
    records.extend(cookies.iter().map(|cookie| (5, *cookie)));
    records.push((0x8000, &[]));
    message(&records)
}

/// Serves one connection with this certificate. Its thread returns the keys, if there are any.
pub(super) fn key_server(
    certificate: &'static [u8],
    alpn: &[&[u8]],
    conduct: Conduct,
) -> (SocketAddr, JoinHandle<Option<Keys>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let at = listener.local_addr().expect("an address");
    let alpn = alpn.iter().map(|name| name.to_vec()).collect();
    let thread = thread::spawn(move || {
        let (mut tcp, _) = listener.accept().expect("a client");
        let answer = match conduct {
            Conduct::Garbage(bytes) => {
                let _ = tcp.write_all(bytes);
                return until_gone(&mut tcp);
            }
            Conduct::NoHandshake => return until_gone(&mut tcp),
            Conduct::SayNothing => None,
            Conduct::Answer(answer) => Some((answer, None)),
            Conduct::AnswerSlowly(answer, pause) => Some((answer, Some(pause))),
        };
        let mut tls = ServerConnection::new(config(certificate, alpn)).expect("a configuration");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).ok()?;
        }
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut request = [0; 16];
        stream.read_exact(&mut request).ok()?;
        assert_eq!(request[..], super::records::request());
        match answer {
            None => return until_gone(&mut stream),
            Some((answer, None)) => stream.write_all(&answer).ok()?,
            Some((answer, Some(pause))) => {
                for byte in answer {
                    stream.write_all(&[byte]).ok()?;
                    thread::sleep(pause);
                }
            }
        }
        let key = |direction| {
            let (label, context) = (b"EXPORTER-network-time-security", [0, 0, 0, 15, direction]);
            tls.export_keying_material([0; KEY], label, Some(&context)).expect("a key")
        };
        let keys = (key(0), key(1));
        tls.send_close_notify();
        let _ = tls.complete_io(&mut tcp);
        Some(keys)
    });
    (at, thread)
}

fn until_gone<T>(client: &mut impl Read) -> Option<T> {
    let mut bytes = [0; 4096];
    while client.read(&mut bytes).is_ok_and(|length| length > 0) {}
    None
}

fn config(certificate: &[u8], alpn: Vec<Vec<u8>>) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(certificate).map(|c| c.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_slice(KEY_OF_SERVERS).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .expect("they belong together");
    config.alpn_protocols = alpn;
    Arc::new(config)
}

/// A time server that knows the keys, and remembers cookies so as to see that none comes twice.
pub(super) struct TimeServer {
    keys: Keys,
    granted: BTreeSet<Vec<u8>>,
    issued: u8,
}

/// What a request had in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) header: Vec<u8>,
    pub(super) identifier: Vec<u8>,
    pub(super) cookie: Vec<u8>,
    pub(super) placeholders: usize,
}

impl TimeServer {
    pub(super) fn new(keys: Keys) -> TimeServer {
        TimeServer { keys, granted: BTreeSet::new(), issued: 0 }
    }

    /// The next cookie of this length.
    pub(super) fn cookie(&mut self, length: usize) -> Vec<u8> {
        self.issued += 1;
        let cookie = vec![self.issued; length];
        self.granted.insert(cookie.clone());
        cookie
    }

    /// Checks a request as a server has to, and that its cookie is new.
    pub(super) fn read(&mut self, packet: &[u8]) -> Request {
        let fields: Result<Vec<_>, _> = extension::fields(packet, HEADER).collect();
        let fields = fields.expect("fields");
        let of = |kind| fields.iter().filter(move |field| field.kind == kind);
        let authenticator = fields.last().expect("an authenticator");
        assert_eq!(authenticator.kind, extension::AUTHENTICATOR, "it is the last");
        let Authenticator { nonce, encrypted } =
            Authenticator::decode(authenticator.body).expect("an authenticator");
        assert!(nonce.len() >= 16, "RFC 8915, 5.6");
        let plain = Aes128Siv::new(&self.keys.0.into())
            .decrypt([&packet[..authenticator.at], nonce], encrypted)
            .expect("it is authentic");
        assert!(plain.is_empty());
        let [identifier] = of(extension::UNIQUE_IDENTIFIER).collect::<Vec<_>>()[..] else {
            panic!("one identifier: {fields:?}")
        };
        let [cookie] = of(extension::COOKIE).collect::<Vec<_>>()[..] else {
            panic!("one cookie: {fields:?}")
        };
        assert!(self.granted.remove(cookie.body), "used twice, or not granted: {:?}", cookie.body);
        let placeholders: Vec<_> = of(extension::COOKIE_PLACEHOLDER).collect();
        assert!(placeholders.iter().all(|p| p.body.len() == cookie.body.len()));
        Request {
            header: packet[..HEADER].to_vec(),
            identifier: identifier.body.to_vec(),
            cookie: cookie.body.to_vec(),
            placeholders: placeholders.len(),
        }
    }

    /// A reply with this header, and a cookie for the request's own and each placeholder.
    pub(super) fn reply(&mut self, header: &[u8; HEADER], request: &Request) -> Vec<u8> {
        let cookies = (0..=request.placeholders).map(|_| self.cookie(request.cookie.len()));
        let cookies: Vec<Vec<u8>> = cookies.collect();
        self.reply_with(header, &request.identifier, &cookies)
    }

    /// A reply with these cookies.
    pub(super) fn reply_with(
        &self,
        header: &[u8; HEADER],
        identifier: &[u8],
        cookies: &[Vec<u8>],
    ) -> Vec<u8> {
        let mut plain = Vec::new();
        cookies.iter().for_each(|cookie| extension::push(&mut plain, extension::COOKIE, cookie));
        let mut packet = header.to_vec();
        extension::push(&mut packet, extension::UNIQUE_IDENTIFIER, identifier);
        let nonce = [self.issued; 16];
        let encrypted = Aes128Siv::new(&self.keys.1.into())
            .encrypt([&packet[..], &nonce], &plain)
            .expect("it fits");
        let body = Authenticator { nonce: &nonce, encrypted: &encrypted }.encode();
        extension::push(&mut packet, extension::AUTHENTICATOR, &body);
        packet
    }
}

/// Ends the wait of a server whose client does not come.
pub(super) fn knock(at: SocketAddr) {
    drop(TcpStream::connect(at));
}

/// A key server and a time server together, until they are dropped.
pub(super) struct World {
    /// Where the key server listens.
    pub(super) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    manners: Mutex<Manners>,
    /// What the last key exchange gave; the time server knows no earlier one.
    server: Mutex<Option<TimeServer>>,
    exchanges: AtomicU32,
    requests: AtomicU32,
    is_over: AtomicBool,
    began: Instant,
}

/// How the time server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manners {
    Honest,
    /// A plain reply, as from a server without NTS.
    Plain,
    /// The honest reply without its authenticator.
    Stripped,
    /// The honest reply with another time.
    Changed,
    /// NTSN, until there are new keys.
    Forgetful,
}

impl World {
    /// Starts both, with this certificate.
    pub(super) fn start(certificate: &'static [u8], manners: Manners) -> World {
        let keys = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let time = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let shared = Arc::new(Shared {
            manners: Mutex::new(manners),
            server: Mutex::new(None),
            exchanges: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
            began: Instant::now(),
        });
        let port = keys.local_addr().expect("an address").port();
        let time_port = time.local_addr().expect("an address").port();
        let of_keys = shared.clone();
        thread::spawn(move || {
            while let Ok((tcp, _)) = keys.accept() {
                if of_keys.is_over.load(Relaxed) {
                    return;
                }
                of_keys.exchanges.fetch_add(1, Relaxed);
                let _ = of_keys.give_keys(certificate, tcp, time_port);
            }
        });
        let of_time = shared.clone();
        thread::spawn(move || of_time.serve(&time));
        World { port, shared }
    }

    pub(super) fn be(&self, manners: Manners) {
        *self.shared.manners.lock().expect("no panic") = manners;
    }

    /// How many key exchanges there were.
    pub(super) fn exchanges(&self) -> u32 {
        self.shared.exchanges.load(Relaxed)
    }

    /// How many requests for time were answered.
    pub(super) fn requests(&self) -> u32 {
        self.shared.requests.load(Relaxed)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn give_keys(&self, certificate: &[u8], mut tcp: TcpStream, port: u16) -> Option<()> {
        let config = config(certificate, vec![b"ntske/1".to_vec()]);
        let mut tls = ServerConnection::new(config).expect("a configuration");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).ok()?;
        }
        let key = |direction| {
            let (label, context) = (b"EXPORTER-network-time-security", [0, 0, 0, 15, direction]);
            tls.export_keying_material([0; KEY], label, Some(&context)).expect("a key")
        };
        let mut server = TimeServer::new((key(0), key(1)));
        let cookies: Vec<Vec<u8>> = (0..8).map(|_| server.cookie(100)).collect();
        let cookies: Vec<&[u8]> = cookies.iter().map(Vec::as_slice).collect();
        let mut answer = message(&[(6, b"127.0.0.1"), (7, &port.to_be_bytes())]);
        answer.extend(granting(&cookies));
        *self.server.lock().expect("no panic") = Some(server);
        let mut manners = self.manners.lock().expect("no panic");
        if *manners == Manners::Forgetful && self.exchanges.load(Relaxed) > 1 {
            *manners = Manners::Honest;
        }
        drop(manners);
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        stream.read_exact(&mut [0; 16]).ok()?;
        stream.write_all(&answer).ok()?;
        tls.send_close_notify();
        let _ = tls.complete_io(&mut tcp);
        Some(())
    }

    fn serve(&self, socket: &UdpSocket) {
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a limit");
        let mut packet = [0; 2000];
        while !self.is_over.load(Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
            let header = time_of(&packet[..HEADER], self.began.elapsed());
            if *self.manners.lock().expect("no panic") == Manners::Plain {
                // Whatever the request is.
                socket.send_to(&header, from).expect("sent");
                self.requests.fetch_add(1, Relaxed);
                continue;
            }
            let mut server = self.server.lock().expect("no panic");
            let server = server.as_mut().expect("keys come first");
            let request = server.read(&packet[..length]);
            let reply = match *self.manners.lock().expect("no panic") {
                Manners::Honest | Manners::Plain => server.reply(&header, &request),
                Manners::Stripped => server.reply(&header, &request)[..HEADER + 36].to_vec(),
                Manners::Changed => {
                    let mut reply = server.reply(&header, &request);
                    // The second of the transmit stamp.
                    reply[43] ^= 1;
                    reply
                }
                Manners::Forgetful => {
                    let mut kiss = header.to_vec();
                    kiss[1] = 0;
                    kiss[12..16].copy_from_slice(b"NTSN");
                    extension::push(&mut kiss, extension::UNIQUE_IDENTIFIER, &request.identifier);
                    kiss
                }
            };
            socket.send_to(&reply, from).expect("sent");
            self.requests.fetch_add(1, Relaxed);
        }
    }
}

/// When the time servers here begin: in 2026, in NTP's seconds.
const BEGIN: u64 = 4_004_800_000;

/// A reply to this request, of a server of stratum 2 whose clock is exact to a millisecond.
fn time_of(request: &[u8], since: Duration) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&[0x24, 2, 6, 0xe8]);
    header[8..12].copy_from_slice(&64_u32.to_be_bytes());
    header[12..16].copy_from_slice(&[192, 0, 2, 1]);
    header[24..32].copy_from_slice(&request[40..48]);
    let stamp = (u128::from(BEGIN) << 32) + (since.as_nanos() << 32) / 1_000_000_000;
    for at in [16, 32, 40] {
        header[at..at + 8].copy_from_slice(&(stamp as u64).to_be_bytes());
    }
    header
}
