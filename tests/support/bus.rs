//! A system bus with a timesyncd on it, as far as its readers ask.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// A bus whose timesyncd has always just made an exchange, with a server that shows the wall clock
/// of this machine and states 500 µs of root dispersion.
pub struct Bus {
    path: PathBuf,
    askers: Arc<Mutex<Vec<i32>>>,
    _folder: TempDir,
}

impl Bus {
    /// A bus at a path of its own, which is served for as long as the process runs.
    pub fn new() -> Bus {
        let folder = tempfile::tempdir().expect("a place for a socket");
        let path = folder.path().join("bus");
        let listener = UnixListener::bind(&path).expect("a path of its own");
        let askers: Arc<Mutex<Vec<i32>>> = Arc::default();
        let of_thread = askers.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let askers = of_thread.clone();
                // A client that goes away in the middle of something ends its thread.
                thread::spawn(move || serve(client, &askers));
            }
        });
        Bus { path, askers, _folder: folder }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The processes that have asked for the last exchange, one for each request.
    pub fn askers(&self) -> Vec<i32> {
        self.askers.lock().expect("whole").clone()
    }
}

/// Lets one client in, and answers it.
fn serve(mut client: UnixStream, askers: &Mutex<Vec<i32>>) -> Option<()> {
    let asker = process_of(&client);
    client.write_all(b"DATA\r\nOK 0123456789abcdef\r\n").ok()?;
    let mut received = Vec::new();
    let begin = b"BEGIN\r\n";
    let at = loop {
        if let Some(at) = received.windows(begin.len()).position(|part| part == begin) {
            break at + begin.len();
        }
        receive(&mut client, &mut received)?;
    };
    received.drain(..at);
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
    };
    loop {
        let length = |received: &[u8]| {
            let (body, fields) = (word(received, 4)? as usize, word(received, 12)? as usize);
            Some((16 + fields).next_multiple_of(8) + body).filter(|&all| received.len() >= all)
        };
        let Some(length) = length(&received) else {
            receive(&mut client, &mut received)?;
            continue;
        };
        let request: Vec<u8> = received.drain(..length).collect();
        let serial = word(&request, 8)?;
        // Names end with 0, so that none is a part of another.
        let names = |name: &str| {
            let name = [name.as_bytes(), &[0]].concat();
            request.windows(name.len()).any(|part| part == name)
        };
        let answer = if names("NTPMessage") {
            let count = {
                let mut askers = askers.lock().expect("whole");
                askers.push(asker);
                askers.len() as u64
            };
            reply(serial, "v", &variant("(uuuuittayttttbtt)", 8, &exchange(count)))
        } else if names("PollIntervalMinUSec") {
            reply(serial, "v", &variant("t", 8, &32_000_000_u64.to_le_bytes()))
        } else if names("ServerName") {
            reply(serial, "v", &variant("s", 4, &text("ntp.example")))
        } else {
            reply(serial, "s", &text(":1.7"))
        };
        client.write_all(&answer).ok()?;
    }
}

fn receive(client: &mut UnixStream, received: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    let count = client.read(&mut chunk).ok().filter(|&count| count > 0)?;
    received.extend_from_slice(&chunk[..count]);
    Some(())
}

/// The process that has connected, by the kernel's word.
fn process_of(client: &UnixStream) -> i32 {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: writes at most `length` bytes to a structure of that size.
    let answer = unsafe {
        libc::getsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    assert_eq!(answer, 0, "a socket of this machine has a peer");
    peer.pid
}

/// The last exchange: T1 was 2 ms ago, the server's stamps 1.5 ms, and T4 1 ms.
fn exchange(count: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let before = |us: u64| now.as_micros() as u64 - us;
    let mut out = Vec::new();
    let leap_version_mode_stratum_precision = [0, 4, 4, 2, -20_i32 as u32];
    for word in leap_version_mode_stratum_precision {
        out.extend(word.to_le_bytes());
    }
    out.extend([0; 4]);
    let (root_delay, root_dispersion) = (1_000_u64, 500_u64);
    out.extend(root_delay.to_le_bytes());
    out.extend(root_dispersion.to_le_bytes());
    out.extend(4_u32.to_le_bytes());
    out.extend([10, 0, 0, 1]);
    for stamp in [2_000, 1_500, 1_500, 1_000].map(before) {
        out.extend(stamp.to_le_bytes());
    }
    let (is_spike, jitter) = (0_u64, 0_u64);
    for long in [is_spike, count, jitter] {
        out.extend(long.to_le_bytes());
    }
    out
}

fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [&length[..], text.as_bytes(), &[0]].concat()
}

fn variant(signature: &str, align: usize, value: &[u8]) -> Vec<u8> {
    let mut out = vec![signature.len() as u8];
    out.extend(signature.bytes().chain([0]));
    out.resize(out.len().next_multiple_of(align), 0);
    out.extend(value);
    out
}

/// A message that answers the request with this serial.
fn reply(serial: u32, signature: &str, body: &[u8]) -> Vec<u8> {
    const RETURN: u8 = 2;
    let mut out = vec![b'l', RETURN, 0, 1];
    for word in [body.len() as u32, 1, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([5, 1, b'u', 0]);
    out.extend(serial.to_le_bytes());
    out.extend([8, 1, b'g', 0, signature.len() as u8]);
    out.extend(signature.bytes().chain([0]));
    let fields = out.len() as u32 - 16;
    out[12..16].copy_from_slice(&fields.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(body);
    out
}
