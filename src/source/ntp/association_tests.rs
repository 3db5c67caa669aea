use std::sync::{Arc, Mutex};

use super::*;
use crate::counter::RateBounds;
use crate::scale::NtpTime;
use crate::source::ntp::packet::HEADER;
use proptest::prelude::*;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

fn ageing() -> Ageing {
    Ageing {
        rates: RateBounds::NANOSECONDS.with_drift(200),
        widening_ppb: 400_000,
        granularity_ns: 10,
        generation: 1,
    }
}

fn near() -> SocketAddr {
    "127.0.0.1:123".parse().expect("an address")
}

fn association(address: &str) -> Association {
    let address = address.parse().expect("an address");
    Association::new(address, PollSetting::default(), 0)
}

/// Sends a request, and returns its random bits.
fn ask(association: &mut Association, now_ns: i64, before: u64) -> u64 {
    let random = 0x1234_5678_9abc_def0 ^ now_ns as u64;
    let packet = association.begin([random, 0], now_ns, 1).expect("nothing to seal");
    assert_eq!(packet.len(), HEADER);
    association.sent(before);
    random
}

/// A good reply to these random bits.
fn reply(random: u64) -> Header {
    Header {
        leap: 0,
        version: 4,
        mode: 4,
        stratum: 2,
        poll: 0,
        precision: -25,
        root_delay: 10,
        root_dispersion: 10,
        reference_id: [192, 0, 2, 1],
        reference: NtpTime::from_bits(1),
        origin: NtpTime::from_bits(random),
        receive: NtpTime::from_bits(0xee00_0000_0000_0000),
        // 10 µs later.
        transmit: NtpTime::from_bits(0xee00_0000_0000_0000 + 42_950),
    }
}

fn kiss(code: &[u8; 4], random: u64) -> Header {
    Header { stratum: 0, leap: 3, reference_id: *code, ..reply(random) }
}

#[test]
fn an_answer_becomes_an_exchange_of_the_two_readings() {
    let mut server = association("127.0.0.1:123");
    let random = ask(&mut server, 0, 1_000);
    let answer = reply(random).encode();
    assert_eq!(server.receive(near(), &answer, 101_000, &ageing()), Received::Answer);
    let exchange = *server.exchanges().next().expect("one");
    assert_eq!((exchange.before, exchange.after, exchange.generation), (1_000, 101_000, 1));
    assert_eq!(exchange.bound_ns, reply(random).bound_ns());
    assert_eq!((exchange.receive, exchange.transmit), (reply(0).receive, reply(0).transmit));
    // The same answer again has no request.
    let again = server.receive(near(), &answer, 102_000, &ageing());
    assert_eq!(again, Received::Ignored(Refusal::Unasked));
    // Eight are kept.
    for i in 1..20 {
        let random = ask(&mut server, i * SECOND, 1_000 + i as u64);
        let answer = reply(random).encode();
        assert_eq!(server.receive(near(), &answer, 101_000, &ageing()), Received::Answer);
    }
    let kept: Vec<u64> = server.exchanges().map(|exchange| exchange.before).collect();
    assert_eq!(kept, (1_012..1_020).collect::<Vec<_>>());
}

#[test]
fn what_is_not_the_answer_is_ignored_and_the_answer_still_counts() {
    let mut server = association("127.0.0.1:123");
    let random = ask(&mut server, 0, 1_000);
    let good = reply(random);
    let stranger: SocketAddr = "127.0.0.2:123".parse().expect("an address");
    let other_port: SocketAddr = "127.0.0.1:124".parse().expect("an address");
    let mut long = good.encode().to_vec();
    long.extend([0; 3]);
    let ignored = [
        (near(), reply(random ^ 1).encode().to_vec(), Refusal::Origin),
        (near(), kiss(b"DENY", random ^ 1).encode().to_vec(), Refusal::Origin),
        (near(), kiss(b"RATE", 0).encode().to_vec(), Refusal::Origin),
        (near(), vec![], PacketError::Length(0).into()),
        (near(), good.encode()[..47].to_vec(), PacketError::Length(47).into()),
        (near(), long, PacketError::Length(51).into()),
        (stranger, good.encode().to_vec(), Refusal::Address(stranger)),
        (other_port, good.encode().to_vec(), Refusal::Address(other_port)),
    ];
    for (from, packet, refusal) in ignored {
        let received = server.receive(from, &packet, 50_000, &ageing());
        assert_eq!(received, Received::Ignored(refusal));
    }
    assert!(!server.is_dropped());
    assert_eq!(server.poll(), Duration::from_secs(1));
    // Extension fields behind the header do not matter.
    let mut extended = good.encode().to_vec();
    extended.extend([0; 16]);
    assert_eq!(server.receive(near(), &extended, 101_000, &ageing()), Received::Answer);
}

#[test]
fn an_answer_without_a_time_ends_the_exchange_with_its_reason() {
    let elapsed = 100_000 + 20 + 1 + 10; // 100 µs, at 200 ppm, rounded up, and a step
    let good = reply(0);
    let held = |bits| NtpTime::from_bits(good.receive.to_bits() + bits);
    let cases = [
        (Header { leap: 3, ..good }, Refusal::Packet(PacketError::Unsynchronized)),
        (Header { stratum: 16, ..good }, PacketError::Stratum(16).into()),
        (Header { mode: 2, ..good }, PacketError::Mode(2).into()),
        (Header { transmit: NtpTime::from_bits(0), ..good }, PacketError::NoTime.into()),
        (
            Header { receive: good.transmit, transmit: good.receive, ..good },
            PacketError::Backwards.into(),
        ),
        (
            Header { transmit: held(4_295_000), ..good },
            Refusal::Held { held_ns: 1_000_007, elapsed_ns: elapsed },
        ),
        (kiss(b"INIT", 0), PacketError::Kiss(*b"INIT").into()),
    ];
    for (header, refusal) in cases {
        let mut server = association("127.0.0.1:123");
        let random = ask(&mut server, 0, 1_000);
        let packet = Header { origin: NtpTime::from_bits(random), ..header }.encode();
        let received = server.receive(near(), &packet, 101_000, &ageing());
        assert_eq!(received, Received::Refused(refusal.clone()));
        assert_eq!(server.last_refusal(), Some(&refusal));
        assert_eq!(server.exchanges().count(), 0);
        let late = server.receive(near(), &reply(random).encode(), 101_000, &ageing());
        assert_eq!(late, Received::Ignored(Refusal::Unasked), "{refusal}");
    }
}

#[test]
fn a_server_may_keep_a_request_for_as_long_as_it_was_away() {
    let mut server = association("127.0.0.1:123");
    let random = ask(&mut server, 0, 1_000);
    // 100 µs by the counter: 100.02 µs at the slowest oscillator.
    let held = NtpTime::from_bits(reply(0).receive.to_bits() + 429_570);
    let packet = Header { transmit: held, ..reply(random) }.encode();
    assert_eq!(server.receive(near(), &packet, 101_000, &ageing()), Received::Answer);
}

#[test]
fn a_kiss_of_death_with_our_bits_is_obeyed() {
    let mut server = association("10.0.0.1:123");
    let at = server.address();
    for seconds in [32, 64, 128] {
        let now = server.due_ns().expect("asked again");
        let random = ask(&mut server, now, 1_000);
        let packet = kiss(b"RATE", random).encode();
        let received = server.receive(at, &packet, 2_000, &ageing());
        assert_eq!(received, Received::Refused(PacketError::Kiss(*b"RATE").into()));
        assert_eq!(server.poll(), Duration::from_secs(seconds));
        assert!(server.due_ns().expect("asked again") - now >= seconds as i64 * SECOND);
    }
    // It stays so slow when answers come again.
    let now = server.due_ns().expect("asked again");
    let random = ask(&mut server, now, 3_000);
    assert_eq!(server.receive(at, &reply(random).encode(), 103_000, &ageing()), Received::Answer);
    assert!(server.due_ns().expect("asked again") - now >= 128 * SECOND);
    for code in [b"DENY", b"RSTR"] {
        let mut server = association("10.0.0.1:123");
        let random = ask(&mut server, 0, 1_000);
        let packet = kiss(code, random).encode();
        server.receive(at, &packet, 2_000, &ageing());
        assert!(server.is_dropped());
        assert_eq!(server.due_ns(), None, "it is never asked again");
    }
}

#[test]
fn four_requests_at_the_start_and_then_one_in_each_poll() {
    let waits = |address: &str| -> Vec<i64> {
        let mut server = association(address);
        let mut times = Vec::new();
        for _ in 0..7 {
            let now = server.due_ns().expect("asked");
            ask(&mut server, now, 1_000);
            server.give_up(Refusal::Silence);
            times.push(now / MS);
        }
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    assert_eq!(waits("192.0.2.1:123"), [2_000, 2_000, 2_000, 64_000, 64_000, 64_000]);
    assert_eq!(waits("10.0.0.1:123"), [100, 100, 100, 16_000, 16_000, 16_000]);
    assert_eq!(waits("[::1]:123"), [100, 100, 100, 1_000, 1_000, 1_000]);
}

#[test]
fn three_silences_are_a_lost_server_and_an_answer_is_not() {
    let mut server = association("127.0.0.1:123");
    for i in 0..3 {
        assert!(!server.is_lost());
        ask(&mut server, i * SECOND, 1_000);
        server.give_up(Refusal::Silence);
    }
    assert!(server.is_lost());
    let random = ask(&mut server, 9 * SECOND, 1_000);
    let bad = Header { leap: 3, ..reply(random) }.encode();
    server.receive(near(), &bad, 101_000, &ageing());
    assert!(!server.is_lost(), "it is there");
}

#[test]
fn exchanges_of_another_generation_are_dropped_and_the_server_is_asked_soon() {
    let mut server = association("192.0.2.1:123");
    let at = server.address();
    let random = ask(&mut server, 0, 1_000);
    assert_eq!(server.receive(at, &reply(random).encode(), 101_000, &ageing()), Received::Answer);
    // The host sleeps while the next request is under way.
    let random = ask(&mut server, 70 * SECOND, 5_000);
    let slept = Ageing { generation: 2, ..ageing() };
    let received = server.receive(at, &reply(random).encode(), 105_000, &slept);
    assert_eq!(received, Received::Refused(Refusal::Generation));
    server.follow_generation(2, 71 * SECOND);
    assert_eq!(server.exchanges().count(), 0);
    assert_eq!(server.due_ns(), Some(71 * SECOND), "a new burst");
    // Again and again: not a burst each time.
    let mut sent = 0;
    for round in 0..640 {
        let now = 71 * SECOND + round * SECOND / 10;
        server.follow_generation(3 + round as u64, now);
        if server.due_ns().is_some_and(|due| due <= now) {
            let _ = server.begin([7, 0], now, 3 + round as u64).expect("nothing to seal");
            sent += 1;
        }
    }
    assert!(sent <= 33, "{sent} requests in 64 s");
}

/// What a test lets an authenticator do.
type Opens = Arc<Mutex<Result<(), NtsError>>>;

struct Sealed(Opens);

impl Authenticator for Sealed {
    fn seal(&mut self, header: &[u8; HEADER]) -> Result<Vec<u8>, NtsError> {
        let mut packet = header.to_vec();
        packet.extend([9; 4]);
        Ok(packet)
    }

    fn open(&mut self, packet: &[u8]) -> Result<(), NtsError> {
        assert!(packet.len() >= HEADER);
        self.0.lock().expect("no panic").clone()
    }
}

#[test]
fn what_is_not_authentic_is_ignored_and_a_refused_cookie_asks_for_new_keys() {
    let forged = || NtsError::NotAuthentic("no authenticator".to_owned());
    let opens: Opens = Arc::new(Mutex::new(Err(forged())));
    let mut server =
        association("127.0.0.1:123").with_authenticator(Box::new(Sealed(opens.clone())));
    let packet = server.begin([7, 0], 0, 1).expect("it seals");
    assert_eq!(packet.len(), HEADER + 4);
    server.sent(1_000);
    for forgery in [reply(7), kiss(b"DENY", 7)] {
        let received = server.receive(near(), &forgery.encode(), 101_000, &ageing());
        assert_eq!(received, Received::Ignored(forged().into()));
    }
    assert!(!server.is_dropped(), "a kiss that is not authentic stops nobody");
    *opens.lock().expect("no panic") = Ok(());
    assert_eq!(server.receive(near(), &reply(7).encode(), 101_000, &ageing()), Received::Answer);
    *opens.lock().expect("no panic") = Err(NtsError::Refused);
    server.begin([8, 0], SECOND, 1).expect("it seals");
    server.sent(2_000);
    let received = server.receive(near(), &kiss(b"NTSN", 8).encode(), 102_000, &ageing());
    assert_eq!(received, Received::Refused(NtsError::Refused.into()));
    assert!(server.needs_key_exchange() && server.due_ns().is_none());
}

proptest! {
    /// Whatever arrives, nothing panics, and only what repeats the random bits is an answer.
    #[test]
    fn any_packet_is_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        knows_bits: bool,
        (before, after) in (any::<u64>(), any::<u64>()),
        generation in 0u64..3,
    ) {
        let mut server = association("127.0.0.1:123");
        let random = ask(&mut server, 0, before);
        let mut bytes = bytes;
        if knows_bits && bytes.len() >= 32 {
            bytes[24..32].copy_from_slice(&random.to_be_bytes());
        }
        let ageing = Ageing { generation, ..ageing() };
        let received = server.receive(near(), &bytes, after, &ageing);
        if received == Received::Answer {
            prop_assert!(knows_bits && generation == 1 && before <= after);
            let exchange = *server.exchanges().next().expect("one");
            prop_assert!(exchange.bound_ns <= 1_000_000_000);
        }
        let _ = server.begin([1, u64::MAX], i64::MAX, u64::MAX);
    }
}
