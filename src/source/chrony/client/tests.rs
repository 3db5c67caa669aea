use super::*;
use std::thread;

/// A reply to `request` that says: stratum 1, GPS, a root dispersion of 2⁻¹⁰ s.
fn reply(request: &[u8]) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[..8].copy_from_slice(&[6, 2, 0, 0, 0, 33, 0, 5]);
    packet[16..20].copy_from_slice(&request[8..12]);
    packet[28..32].copy_from_slice(b"GPS\0");
    packet[53] = 1;
    packet[96..100].copy_from_slice(&(1u32 << 15).to_be_bytes());
    packet
}

/// A stand-in for chronyd that answers each request with what `answers` makes of it.
fn chronyd(
    requests: usize,
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let at = socket.local_addr().expect("it is bound");
    let server = thread::spawn(move || {
        let mut packet = [0; 2 * PACKET];
        for _ in 0..requests {
            let (length, from) = socket.recv_from(&mut packet).expect("a request");
            assert_eq!(length, PACKET, "padded");
            for answer in answers(&packet[..length]) {
                socket.send_to(&answer, from).expect("sent");
            }
        }
    });
    (at, server)
}

fn patient(at: SocketAddr) -> Client {
    Client::udp(at).expect("a socket").with_timeout(Duration::from_secs(5))
}

#[test]
fn an_answer_is_heard() {
    let (at, server) = chronyd(2, |request| vec![reply(request).to_vec()]);
    let mut client = patient(at);
    for _ in 0..2 {
        let tracking = client.tracking().expect("an answer");
        assert_eq!(tracking.reference.to_string(), "GPS");
        assert_eq!(tracking.bound_ns(), Some(976_593)); // 2⁻¹⁰ s + 2⁻²⁵ s, rounded up
    }
    server.join().expect("the server saw good requests");
}

#[test]
fn strays_before_the_answer_are_passed_over() {
    let (at, server) = chronyd(1, |request| {
        let right = reply(request).to_vec();
        let mut other_sequence = right.clone();
        other_sequence[19] ^= 1;
        let mut other_command = right.clone();
        other_command[5] = 34;
        vec![vec![], vec![6, 2], other_sequence, other_command, request.to_vec(), right]
    });
    assert_eq!(patient(at).tracking().expect("the answer").stratum, 1);
    server.join().expect("the server saw a good request");
}

#[test]
fn an_error_in_the_answer_is_not_waited_out() {
    let (at, server) = chronyd(1, |request| {
        let mut refused = reply(request).to_vec();
        refused[9] = 2;
        vec![refused]
    });
    let error = patient(at).tracking().expect_err("refused");
    assert!(matches!(error, ChronyError::Answer(TrackingError::Refused { status: 2 })), "{error}");
    assert!(!error.is_transient());
    server.join().expect("the server saw a good request");
}

#[test]
fn silence_ends_and_the_client_can_be_asked_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
    let at = socket.local_addr().expect("it is bound");
    let mut client = Client::udp(at).expect("a socket").with_timeout(Duration::from_millis(20));
    let error = client.tracking().expect_err("no program answers");
    assert!(matches!(error, ChronyError::NoAnswer { .. }), "{error}");
    assert!(error.is_transient());

    // The answer to the first question comes when the second has been asked.
    let mut packet = [0; 2 * PACKET];
    let (_, from) = socket.recv_from(&mut packet).expect("the first request");
    let mut late = reply(&packet);
    late[53] = 9;
    socket.send_to(&late, from).expect("sent");
    let mut client = client.with_timeout(Duration::from_secs(5));
    let server = thread::spawn(move || {
        let (_, from) = socket.recv_from(&mut packet).expect("the second request");
        socket.send_to(&reply(&packet), from).expect("sent");
    });
    assert_eq!(client.tracking().expect("an answer").stratum, 1, "not the late one's 9");
    server.join().expect("the server saw a good request");
}

#[test]
fn a_port_where_nobody_listens_is_said_at_once() {
    let unused = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let mut client = patient(unused.expect("a port that is free again"));
    let began = Instant::now();
    let error = client.tracking().expect_err("no program listens");
    assert!(matches!(error, ChronyError::NotRunning { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "it did not wait for the timeout");
}

#[test]
fn a_unix_socket_answers_and_leaves_no_file_behind() {
    let dir = std::env::temp_dir().join(format!("truechimer-chrony-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let at = dir.join("chronyd.sock");
    let error = Client::unix(&at).expect_err("no socket yet");
    assert!(matches!(error, ChronyError::NotRunning { .. }), "{error}");

    let socket = UnixDatagram::bind(&at).expect("bound");
    let server = thread::spawn(move || {
        let mut packet = [0; 2 * PACKET];
        let (_, from) = socket.recv_from(&mut packet).expect("a request");
        let to = from.as_pathname().expect("the client has a path of its own");
        socket.send_to(&reply(&packet), to).expect("sent");
    });
    let mut client = Client::unix(&at).expect("connected").with_timeout(Duration::from_secs(5));
    assert_eq!(client.tracking().expect("an answer").stratum, 1);
    server.join().expect("the server saw a good request");
    drop(client);
    let left: Vec<_> = std::fs::read_dir(&dir).expect("listed").flatten().collect();
    assert_eq!(left.len(), 1, "only the server's own: {left:?}");
    std::fs::remove_dir_all(&dir).expect("removed");
}

/// A chronyd with these sources: the state of each, and the span of its polls in seconds.
fn chronyd_with_sources(sources: &'static [(u8, u8)]) -> (SocketAddr, thread::JoinHandle<u32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let at = socket.local_addr().expect("it is bound");
    let server = thread::spawn(move || {
        let (mut packet, mut statistics) = ([0; 2 * PACKET], 0);
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let mut answer = vec![0; length];
            let (command, index) = (packet[5], usize::from(packet[23]));
            let (code, needed) = match command {
                14 => (2, 32),
                15 => (3, 76),
                _ => (6, 84),
            };
            assert!(length >= needed, "padded");
            answer[..8].copy_from_slice(&[6, 2, 0, 0, 0, command, 0, code]);
            answer[16..20].copy_from_slice(&packet[8..12]);
            match (command, sources.get(index)) {
                (14, _) => answer[31] = sources.len() as u8,
                // chronyd has dropped it meanwhile.
                (_, None) => answer[9] = 4,
                (15, Some(&(state, _))) => answer[53] = state,
                (_, Some(&(_, span_s))) => {
                    statistics += 1;
                    (answer[55], answer[63]) = (12, span_s);
                }
            }
            socket.send_to(&answer, from).expect("sent");
        }
        statistics
    });
    (at, server)
}

#[test]
fn what_its_estimate_rests_on_is_asked_of_the_sources_that_it_may_combine() {
    // Selected, a falseticker, combined, one that does not answer.
    let (at, server) = chronyd_with_sources(&[(0, 50), (2, 250), (4, 90), (1, 200)]);
    let mut client = patient(at);
    let fit = client.fit().expect("answers").expect("it has sources");
    assert_eq!((fit.samples, fit.span), (12, Duration::from_secs(90)));
    assert_eq!(server.join().expect("good requests"), 2);
    // Where none is followed, each may be the one that was.
    let (at, server) = chronyd_with_sources(&[(1, 50), (3, 80)]);
    let mut client = patient(at);
    let fit = client.fit().expect("answers").expect("it has sources");
    assert_eq!(fit.span, Duration::from_secs(80));
    let all = client.source_stats().expect("answers");
    assert_eq!(all.iter().map(|stats| stats.span.as_secs()).collect::<Vec<_>>(), [50, 80]);
    assert_eq!(server.join().expect("good requests"), 4);
    let (at, server) = chronyd_with_sources(&[]);
    assert_eq!(patient(at).fit().expect("an answer"), None);
    server.join().expect("good requests");
}
