use super::super::super::authenticator::Authenticator as _;
use super::super::fake::{
    self, AUTHORITY, Conduct, EXPIRED, OF_STRANGER, OTHER_NAME, SERVER, TimeServer, granting,
    key_server,
};
use super::super::records::Code;
use super::super::records::tests::message;
use super::*;

const NTSKE: &[&[u8]] = &[b"ntske/1"];

fn client() -> NtsKeyExchange {
    NtsKeyExchange::trusting_only(AUTHORITY).expect("the authority")
}

fn kind(error: &ExchangeError) -> String {
    let debug = format!("{error:?}");
    debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn both_sides_have_the_same_keys_and_the_cookies_work() {
    let (at, server) =
        key_server(SERVER, NTSKE, Conduct::Answer(granting(&[&[1; 100], &[2; 100]])));
    let keys = client().exchange("localhost", at.port()).expect("keys");
    assert_eq!((keys.server, keys.port), (None, 123));
    assert_eq!(keys.key_server, at.ip());
    let mut time_server = TimeServer::new(server.join().expect("no panic").expect("keys"));
    (0..2).for_each(|_| drop(time_server.cookie(100)));
    let mut session = keys.session;
    let request = session.seal(&[0x23; 48]).expect("a cookie");
    let request = time_server.read(&request);
    assert_eq!((request.cookie, request.placeholders), (vec![1; 100], 6), "the first one first");
    let request = time_server.read(&session.seal(&[0x23; 48]).expect("a cookie"));
    assert_eq!(session.open(&time_server.reply(&[0x24; 48], &request)), Ok(()));
}

#[test]
fn the_key_server_names_the_time_server() {
    for (host, named, expected) in [
        ("localhost", Some(("ntp.example", 11123)), ("ntp.example", 11123)),
        ("127.0.0.1", Some(("2001:db8::1", 1)), ("2001:db8::1", 1)),
        ("127.0.0.1", None, ("127.0.0.1", 123)),
    ] {
        let mut answer = Vec::new();
        if let Some((server, port)) = named {
            let port: u16 = port;
            answer = message(&[(6, server.as_bytes()), (7, &port.to_be_bytes())]);
        }
        answer.extend(granting(&[&[1; 100]]));
        let (at, thread) = key_server(SERVER, NTSKE, Conduct::Answer(answer));
        let established = client().establish(host, at.port()).expect("keys");
        assert_eq!((established.host.as_str(), established.port), expected);
        thread.join().expect("no panic");
    }
}

#[test]
fn certificates_that_are_not_believed() {
    for (certificate, expected, word) in [
        (OF_STRANGER, "Authority", "ntp_nts_authorities"),
        (OTHER_NAME, "OtherName", "time.example"),
        (EXPIRED, "NotValidNow", "expired"),
    ] {
        let (at, thread) = key_server(certificate, NTSKE, Conduct::Answer(granting(&[&[1; 100]])));
        let error = client().exchange("localhost", at.port()).err().expect(expected);
        assert_eq!(kind(&error), expected, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(thread.join().expect("no panic").is_none(), "{expected}: nothing was asked");
    }
}

#[test]
fn the_systems_authorities_do_not_include_the_tests_own() {
    let (at, thread) = key_server(SERVER, NTSKE, Conduct::Answer(granting(&[&[1; 100]])));
    let error = NtsKeyExchange::new().exchange("localhost", at.port()).err().expect("refused");
    if kind(&error) == "NoAuthorities" {
        // A host without certificates: then nothing was connected.
        fake::knock(at);
    } else {
        assert_eq!(kind(&error), "Authority", "{error}");
    }
    assert!(thread.join().expect("no panic").is_none());
}

#[test]
fn a_server_that_does_not_choose_ntske_is_refused() {
    for alpn in [&[b"h2".as_slice()][..], &[]] {
        let (at, thread) = key_server(SERVER, alpn, Conduct::Answer(granting(&[&[1; 100]])));
        let error = client().exchange("localhost", at.port()).err().expect("refused");
        assert_eq!(kind(&error), "OtherProtocol", "{alpn:?}: {error}");
        assert!(thread.join().expect("no panic").is_none(), "nothing was asked");
    }
}

#[test]
fn answers_that_give_no_keys() {
    let critical = message(&[(0x8001, &[0, 0]), (0x8400, &[]), (0x8000, &[])]);
    let unfinished = granting(&[&[1; 100]]);
    let unfinished = unfinished[..unfinished.len() - 4].to_vec();
    for (name, conduct, expected) in [
        ("error", Conduct::Answer(message(&[(0x8002, &[0, 1]), (0x8000, &[])])), "Records"),
        ("unknown critical record", Conduct::Answer(critical), "Records"),
        ("no cookie", Conduct::Answer(granting(&[])), "Records"),
        ("endless", Conduct::Answer(vec![0; records::MAX_MESSAGE + 1000]), "Records"),
        ("no end", Conduct::Answer(unfinished), "EndedEarly"),
        ("nothing", Conduct::Answer(vec![]), "EndedEarly"),
        ("no TLS", Conduct::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "Tls"),
        ("random bytes", Conduct::Garbage(&[0x9d; 1000]), "Tls"),
    ] {
        let (at, thread) = key_server(SERVER, NTSKE, conduct);
        let error = client().exchange("localhost", at.port()).err().expect(name);
        assert_eq!(kind(&error), expected, "{name}: {error}");
        thread.join().expect("no panic");
    }
}

#[test]
fn a_server_has_so_much_time_however_it_spends_it() {
    let limit = Duration::from_millis(300);
    let drip = Conduct::AnswerSlowly(granting(&[&[1; 100]]), Duration::from_millis(20));
    for (name, conduct) in [
        ("no handshake", Conduct::NoHandshake),
        ("silent", Conduct::SayNothing),
        ("a byte at a time", drip),
    ] {
        let (at, thread) = key_server(SERVER, NTSKE, conduct);
        let error = client().time_limit(limit).exchange("localhost", at.port()).err().expect(name);
        assert_eq!(kind(&error), "TimedOut", "{name}: {error}");
        thread.join().expect("no panic");
    }
}

#[test]
fn servers_that_are_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    for (host, expected) in [
        ("127.0.0.1", "Connect"),
        ("[::1]", "Connect"),
        ("", "Name"),
        ("a name", "Name"),
        ("[::1", "Name"),
    ] {
        let error = client().exchange(host, port).err().expect(host);
        assert_eq!(kind(&error), expected, "{host}: {error}");
        let error = NtsError::from(error);
        assert!(error.needs_key_exchange(), "{error}");
    }
}

#[test]
fn authorities_that_cannot_be_used() {
    let body = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, expected) in [
        ("", "None"),
        ("no PEM at all", "None"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "None"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "Pem"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "Pem"),
        (body, "Malformed"),
    ] {
        let error = NtsKeyExchange::trusting_only(pem.as_bytes()).expect_err(expected);
        let debug = format!("{error:?}");
        assert!(debug.starts_with(expected), "{pem:?}: {debug}");
    }
    let both = [AUTHORITY, AUTHORITY, body.as_bytes()].concat();
    let error = NtsKeyExchange::trusting_only(&both).expect_err("the third");
    assert!(matches!(error, AuthoritiesError::Malformed { number: 3, .. }), "{error}");
}

#[test]
fn an_error_of_the_records_is_passed_on() {
    let answer = message(&[(0x8002, &[0, 2]), (0x8000, &[])]);
    let (at, thread) = key_server(SERVER, NTSKE, Conduct::Answer(answer));
    let error = client().exchange("localhost", at.port()).err().expect("an error");
    assert!(matches!(error, ExchangeError::Records(RecordError::Error(Code(2)))), "{error}");
    thread.join().expect("no panic");
}
