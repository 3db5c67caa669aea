use rustls::crypto::ring;

use super::super::super::authenticator::Authenticator as _;
use super::super::fake::{Request, TimeServer};
use super::*;
use proptest::prelude::*;

const KEYS: ([u8; KEY], [u8; KEY]) = ([1; KEY], [2; KEY]);
const COOKIE_LENGTH: usize = 100;
const REQUEST: [u8; HEADER] = [0x23; HEADER];
const REPLY: [u8; HEADER] = [0x24; HEADER];

/// A session with this many cookies, and its server.
fn pair(cookies: usize) -> (NtsSession, TimeServer) {
    let mut server = TimeServer::new(KEYS);
    let cookies = (0..cookies).map(|_| server.cookie(COOKIE_LENGTH)).collect();
    let random = ring::default_provider().secure_random;
    (NtsSession::new(KEYS.0, KEYS.1, cookies, random), server)
}

/// A request as the server reads it.
fn ask(session: &mut NtsSession, server: &mut TimeServer) -> Request {
    let packet = session.seal(&REQUEST).expect("there are cookies");
    server.read(&packet)
}

#[test]
fn a_request_has_the_header_and_an_authentic_reply_counts() {
    let (mut session, mut server) = pair(8);
    let packet = session.seal(&REQUEST).expect("there are cookies");
    assert_eq!(packet.len(), 48 + 36 + 104 + 40, "no placeholder, because none is missing");
    let request = server.read(&packet);
    assert_eq!((&request.header[..], request.placeholders), (&REQUEST[..], 0));
    let reply = server.reply(&REPLY, &request);
    assert_eq!(reply.len(), packet.len(), "as long as the request");
    assert_eq!(session.open(&reply), Ok(()));
    assert_eq!(session.cookies.len(), 8);
}

#[test]
fn identifiers_nonces_and_cookies_are_never_repeated() {
    let (mut session, mut server) = pair(8);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let packet = session.seal(&REQUEST).expect("there are cookies");
        // The server asserts that the cookie is new.
        let request = server.read(&packet);
        let authenticator = extension::fields(&packet, HEADER).last().expect("fields");
        let body = authenticator.expect("a field").body;
        let nonce = Authenticator::decode(body).expect("an authenticator").nonce.to_vec();
        assert!(seen.insert(request.identifier.clone()) && seen.insert(nonce));
        assert_eq!(session.open(&server.reply(&REPLY, &request)), Ok(()));
    }
}

#[test]
fn lost_packets_are_made_up_for_by_placeholders_and_the_last_cookie_ends_it() {
    let (mut session, mut server) = pair(8);
    let asked: Vec<usize> = (0..8).map(|_| ask(&mut session, &mut server).placeholders).collect();
    assert_eq!(asked, [0, 1, 2, 3, 4, 5, 6, 7], "each one makes up for all that were lost");
    assert_eq!(session.seal(&REQUEST), Err(NtsError::NoCookie));
    assert!(NtsError::NoCookie.needs_key_exchange());

    let (mut session, mut server) = pair(8);
    (0..5).for_each(|_| drop(ask(&mut session, &mut server)));
    let request = ask(&mut session, &mut server);
    assert_eq!((session.cookies.len(), request.placeholders), (2, 5));
    assert_eq!(session.open(&server.reply(&REPLY, &request)), Ok(()));
    assert_eq!((session.cookies.len(), ask(&mut session, &mut server).placeholders), (8, 0));
}

#[test]
fn a_reply_without_a_cookie_counts_and_the_next_request_asks_for_two() {
    let (mut session, mut server) = pair(2);
    let request = ask(&mut session, &mut server);
    assert_eq!(request.placeholders, 6);
    assert_eq!(session.open(&server.reply_with(&REPLY, &request.identifier, &[])), Ok(()));
    assert_eq!((session.cookies.len(), ask(&mut session, &mut server).placeholders), (1, 7));
    assert_eq!(session.seal(&REQUEST), Err(NtsError::NoCookie));
}

#[test]
fn a_server_cannot_make_the_client_keep_more_than_eight_cookies_or_odd_ones() {
    let (mut session, mut server) = pair(8);
    let request = ask(&mut session, &mut server);
    let odd = [vec![9; MAX_COOKIE + 4], vec![7; 100], vec![8; 100], vec![9; 100]];
    assert_eq!(session.open(&server.reply_with(&REPLY, &request.identifier, &odd)), Ok(()));
    assert_eq!(session.cookies.len(), 8);
    assert_eq!(session.cookies.back(), Some(&vec![7; 100]));
}

#[test]
fn long_cookies_get_fewer_placeholders_so_that_a_request_is_one_packet() {
    for (length, expected) in [(100, 7), (200, 4), (400, 1), (1024, 0), (8, 7), (97, 7)] {
        let mut server = TimeServer::new(KEYS);
        let cookie = server.cookie(length);
        let random = ring::default_provider().secure_random;
        let mut session = NtsSession::new(KEYS.0, KEYS.1, vec![cookie], random);
        let packet = session.seal(&REQUEST).expect("a cookie");
        let placeholders = extension::fields(&packet, HEADER)
            .filter(|field| field.is_ok_and(|field| field.kind == extension::COOKIE_PLACEHOLDER));
        assert_eq!(placeholders.count(), expected, "{length}");
        assert!(packet.len() <= MAX_REQUEST, "{length}: {}", packet.len());
        assert_eq!(packet.len() % 4, 0);
    }
}

#[test]
fn replies_that_do_not_count() {
    let (mut session, mut server) = pair(8);
    let earlier = ask(&mut session, &mut server);
    let earlier = server.reply(&REPLY, &earlier);
    let request = ask(&mut session, &mut server);
    let reply = server.reply(&REPLY, &request);
    let authenticator = 48 + 36;
    let mut other_keys = TimeServer::new(([1; KEY], [3; KEY]));
    // The key of requests does not do for replies.
    let mut reflected = TimeServer::new((KEYS.0, KEYS.0));
    let mut other_identifier = reply.clone();
    other_identifier[48 + 4 + 31] ^= 1;
    let mut without_identifier = reply.clone();
    without_identifier.drain(48..48 + 36);
    let mut moved = reply[..48].to_vec();
    moved.extend(&reply[authenticator..]);
    moved.extend(&reply[48..authenticator]);
    let shorter =
        [&reply[..48], &[1, 4, 0, 20], &request.identifier[..16], &reply[authenticator..]];
    let malformed = [&reply[..authenticator], &[4, 4, 0, 3]].concat();
    let mut broken = reply.clone();
    broken[authenticator + 4] = 0xff;
    for (name, packet, expected) in [
        ("a replay of an earlier reply", earlier, ReplyError::NotOurs),
        ("another identifier", other_identifier, ReplyError::NotOurs),
        ("half an identifier", shorter.concat(), ReplyError::NotOurs),
        ("no identifier", without_identifier, ReplyError::NoIdentifier),
        ("identifier after the authenticator", moved, ReplyError::NoIdentifier),
        ("plain NTP", REPLY.to_vec(), ReplyError::NoIdentifier),
        ("authenticator stripped", reply[..authenticator].to_vec(), ReplyError::NoAuthenticator),
        ("another key", other_keys.reply(&REPLY, &request), ReplyError::WrongAuthenticator),
        ("the requests' key", reflected.reply(&REPLY, &request), ReplyError::WrongAuthenticator),
        ("malformed field", malformed, ReplyError::Malformed(Malformed { at: authenticator })),
        (
            "cut off",
            reply[..reply.len() - 4].to_vec(),
            ReplyError::Malformed(Malformed { at: authenticator }),
        ),
        ("malformed authenticator", broken, ReplyError::MalformedAuthenticator),
        ("short", reply[..47].to_vec(), ReplyError::Short),
        ("empty", vec![], ReplyError::Short),
    ] {
        assert_eq!(session.check(&packet), Err(expected.clone()), "{name}");
        let error = NtsError::from(expected);
        assert!(matches!(error, NtsError::NotAuthentic(_)), "{name}: {error}");
        assert!(!error.needs_key_exchange(), "{name}");
    }
    assert_eq!(session.open(&reply), Ok(()), "none of them voids the request");
    assert_eq!(session.check(&reply), Err(ReplyError::NotOurs), "each reply counts once");
}

#[test]
fn a_reply_of_which_any_byte_was_changed_does_not_count() {
    let (mut session, mut server) = pair(8);
    let request = ask(&mut session, &mut server);
    let reply = server.reply(&REPLY, &request);
    for at in 0..reply.len() {
        for bit in [0, 7] {
            let mut changed = reply.clone();
            changed[at] ^= 1 << bit;
            assert!(session.check(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
    assert_eq!(session.cookies.len(), 7, "and brings no cookie");
    assert_eq!(session.open(&reply), Ok(()));
}

#[test]
fn what_follows_the_authenticator_is_not_read() {
    let (mut session, mut server) = pair(8);
    let request = ask(&mut session, &mut server);
    let mut reply = server.reply(&REPLY, &request);
    extension::push(&mut reply, extension::COOKIE, &[66; 100]);
    extension::push(&mut reply, extension::UNIQUE_IDENTIFIER, &[66; 32]);
    reply.extend([0xff; 7]);
    assert_eq!(session.open(&reply), Ok(()));
    assert!(session.cookies.iter().all(|cookie| *cookie != [66; 100]));
}

#[test]
fn a_cookie_that_is_not_encrypted_is_not_taken() {
    let (mut session, mut server) = pair(8);
    let request = ask(&mut session, &mut server);
    let mut header_and_cookie = REPLY.to_vec();
    extension::push(&mut header_and_cookie, extension::UNIQUE_IDENTIFIER, &request.identifier);
    extension::push(&mut header_and_cookie, extension::COOKIE, &[66; 100]);
    let tag = Aes128Siv::new(&KEYS.1.into()).encrypt([&header_and_cookie[..], &[5; 16]], &[]);
    let authenticator = Authenticator { nonce: &[5; 16], encrypted: &tag.expect("it fits") };
    extension::push(&mut header_and_cookie, extension::AUTHENTICATOR, &authenticator.encode());
    assert_eq!(session.open(&header_and_cookie), Ok(()), "all of it is authentic");
    assert_eq!(session.cookies.len(), 7);
}

/// What a server that cannot read the cookie sends.
fn kiss(code: &[u8; 4], identifier: &[u8]) -> Vec<u8> {
    let mut packet = REPLY.to_vec();
    packet[1] = 0;
    packet[12..16].copy_from_slice(code);
    extension::push(&mut packet, extension::UNIQUE_IDENTIFIER, identifier);
    packet
}

#[test]
fn ntsn_with_our_identifier_and_no_better_reply_asks_for_new_keys() {
    let (mut session, mut server) = pair(8);
    let request = ask(&mut session, &mut server);
    assert_eq!(session.check(&kiss(b"NTSN", &[0; 32])), Err(ReplyError::NotOurs));
    let request_after_a_forgery = ask(&mut session, &mut server);
    assert_eq!(session.check(&kiss(b"NTSN", &request.identifier)), Err(ReplyError::NotOurs));
    let ours = kiss(b"NTSN", &request_after_a_forgery.identifier);
    assert_eq!(session.check(&ours), Err(ReplyError::Kiss));
    assert_eq!(session.seal(&REQUEST), Err(NtsError::Refused));
    assert!(NtsError::Refused.needs_key_exchange());
    assert_eq!(session.cookies.len(), 0, "they are void");
    assert_eq!(session.seal(&REQUEST), Err(NtsError::Refused), "for good");
}

#[test]
fn an_authentic_reply_after_ntsn_shows_that_it_was_forged() {
    let (mut session, mut server) = pair(8);
    let request = ask(&mut session, &mut server);
    let ours = kiss(b"NTSN", &request.identifier);
    let error = session.open(&ours).expect_err("no time");
    assert!(!error.needs_key_exchange(), "the association goes on waiting: {error}");
    assert_eq!(session.open(&server.reply(&REPLY, &request)), Ok(()));
    let request = ask(&mut session, &mut server);
    assert_eq!(session.cookies.len(), 7);
    let mut no_kiss = kiss(b"NTSN", &request.identifier);
    no_kiss[1] = 2;
    assert_eq!(session.check(&no_kiss), Err(ReplyError::NoAuthenticator), "of stratum 2");
    assert!(session.seal(&REQUEST).is_ok());
}

#[test]
fn other_kisses_have_to_be_authentic() {
    let (mut session, mut server) = pair(8);
    for code in [b"RATE", b"DENY", b"RSTR"] {
        let request = ask(&mut session, &mut server);
        let bare = kiss(code, &request.identifier);
        assert_eq!(session.check(&bare), Err(ReplyError::NoAuthenticator), "{code:?}");
        let header = bare[..48].try_into().expect("48 bytes");
        assert_eq!(session.open(&server.reply(&header, &request)), Ok(()), "{code:?}");
    }
}

#[test]
fn a_reply_without_a_request_does_not_count() {
    let (mut session, server) = pair(8);
    let reply = server.reply_with(&REPLY, &[0; 32], &[]);
    assert_eq!(session.check(&reply), Err(ReplyError::NotOurs));
}

proptest! {
    #[test]
    fn random_replies_never_panic_and_never_count(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        keeps in 0..130usize,
    ) {
        let (mut session, mut server) = pair(2);
        let request = ask(&mut session, &mut server);
        prop_assert!(session.check(&bytes).is_err());
        // After the beginning of a true reply, too.
        let mut reply = server.reply(&REPLY, &request);
        reply.truncate(keeps);
        reply.extend(&bytes);
        prop_assert!(session.check(&reply).is_err());
    }
}
