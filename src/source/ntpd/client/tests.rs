use super::*;
use std::thread;

/// A stand-in for ntpd that answers one request with what `answers` makes of it.
fn ntpd(
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let at = socket.local_addr().expect("it is bound");
    let server = thread::spawn(move || {
        let mut packet = [0; HEADER + MAX_DATA];
        let (length, from) = socket.recv_from(&mut packet).expect("a request");
        for answer in answers(&packet[..length]) {
            socket.send_to(&answer, from).expect("sent");
        }
    });
    (at, server)
}

fn reply(request: &[u8]) -> Vec<u8> {
    let text = "stratum=2, leap=0, refid=192.0.2.7, peer=1, rootdelay=1.0, rootdisp=2.0, version=x";
    let mut packet = request[..HEADER].to_vec();
    packet[1] |= 0x80;
    packet[10..12].copy_from_slice(&(text.len() as u16).to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
    packet
}

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn the_answer_to_the_request_is_heard_among_strays() {
    let (at, server) = ntpd(|request| {
        let mut other = reply(request);
        other[3] ^= 1;
        vec![vec![], other, request.to_vec(), reply(request)]
    });
    let variables = system_variables(at, PATIENCE).expect("an answer");
    assert_eq!(variables.refid, "192.0.2.7");
    server.join().expect("it answered");
}

#[test]
fn a_closed_port_and_silence_are_told_apart() {
    let unused = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let error = system_variables(unused.expect("free again"), PATIENCE).expect_err("closed");
    assert!(matches!(error, NtpdError::NotRunning { .. }), "{error}");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
    let at = silent.local_addr().expect("it is bound");
    let error = system_variables(at, Duration::from_millis(20)).expect_err("silence");
    assert!(matches!(error, NtpdError::NoAnswer { .. }), "{error}");
}

#[test]
fn an_error_in_the_answer_is_not_waited_out() {
    let (at, server) = ntpd(|request| {
        let mut refused = reply(request);
        refused[1] |= 0x40;
        vec![refused]
    });
    let error = system_variables(at, PATIENCE).expect_err("refused");
    assert!(matches!(error, NtpdError::Answer(ControlError::Refused { .. })), "{error}");
    server.join().expect("it answered");
}
