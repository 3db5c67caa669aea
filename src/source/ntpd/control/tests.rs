use super::*;

/// What ntpd 4.2.8 and ntpsec 1.2 answer, in their own spelling.
const NTPD: &str = "stratum=3, leap=0, refid=192.0.2.7, peer=41723, rootdelay=12.345, rootdisp=23.456,\r\nversion=\"ntpd 4.2.8p15@1.3728-o Wed Sep 23 11:46:38 UTC 2020 (1)\"\r\n";

fn variables(text: &str) -> SystemVariables {
    SystemVariables::from_text(text).expect("complete")
}

/// An answer to the request with sequence number 7.
fn answer(text: &str) -> Vec<u8> {
    let mut packet = vec![0x16, RESPONSE | READ_VARIABLES, 0, 7, 6, 0x15, 0, 0, 0, 0];
    packet.extend_from_slice(&(text.len() as u16).to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

#[test]
fn the_request_is_rfc_9327s() {
    let packet = request(0x1234);
    assert_eq!(packet[..8], [0x16, 0x02, 0x12, 0x34, 0, 0, 0, 0]);
    assert_eq!(usize::from(packet[11]), WANTED.len());
    assert_eq!(&packet[HEADER..HEADER + WANTED.len()], WANTED.as_bytes());
    assert_eq!(packet.len() % 4, 0);
}

#[test]
fn an_answer_is_read() {
    let read = parse(&answer(NTPD), 7).expect("an answer");
    assert_eq!((read.stratum, read.leap, read.peer), (3, 0, 41_723));
    assert_eq!(read.refid, "192.0.2.7");
    assert!(read.version.starts_with("ntpd 4.2.8p15"), "{}", read.version);
    // One unit of the last digit more, because ntpd rounds to the nearest.
    assert_eq!((read.root_delay_ns, read.root_dispersion_ns), (12_346_000, 23_457_000));
    assert_eq!(read.bound_ns(), 6_173_000 + 23_457_000);
    assert_eq!(read.follows_nothing(), None);
    assert!(!read.is_reference_clock());
}

#[test]
fn what_does_not_answer_the_request_is_passed_over() {
    let good = answer(NTPD);
    assert!(parse(&good, 7).is_ok());
    assert_eq!(parse(&good, 8), Err(ControlError::Stray), "another request's");
    // Another mode; a request; another operation.
    for (at, bits) in [(0, 0x02), (1, RESPONSE), (1, 0x01)] {
        let mut packet = good.clone();
        packet[at] ^= bits;
        assert_eq!(parse(&packet, 7), Err(ControlError::Stray), "byte {at}");
    }
    for length in 0..HEADER {
        assert_eq!(parse(&good[..length], 7), Err(ControlError::Stray));
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let good = answer(NTPD);
    let changed = |at: usize, to: u8| {
        let mut packet = good.clone();
        packet[at] = to;
        parse(&packet, 7)
    };
    let refused = changed(1, RESPONSE | ERROR | READ_VARIABLES);
    assert_eq!(refused, Err(ControlError::Refused { code: 6 }));
    assert_eq!(changed(1, RESPONSE | MORE | READ_VARIABLES), Err(ControlError::Parts));
    assert_eq!(changed(9, 1), Err(ControlError::Parts), "not its beginning");
    assert!(matches!(changed(10, 0xff), Err(ControlError::Length { .. })));
    let texts = [
        ("stratum=3", "stratum=17", "stratum"),
        ("stratum=3", "stratum=x", "stratum"),
        ("stratum=3, ", "", "stratum"),
        ("leap=0", "leap=4", "leap"),
        ("peer=41723", "peer=-1", "peer"),
        ("refid=192.0.2.7", "refid=", "refid"),
        ("rootdelay=12.345", "rootdelay=-1.0", "rootdelay"),
        ("rootdelay=12.345", "rootdelay=NaN", "rootdelay"),
        ("rootdelay=12.345", "rootdelay=inf", "rootdelay"),
        ("rootdisp=23.456", "rootdisp=1e300", "rootdisp"),
        ("rootdisp=23.456", "rootdisp=2.3456e1", "rootdisp"),
        ("rootdisp=23.456", "rootdisp=inf", "rootdisp"),
        ("rootdisp=23.456", "rootdisp=", "rootdisp"),
    ];
    for (from, to, field) in texts {
        let error = SystemVariables::from_text(&NTPD.replace(from, to)).expect_err(to);
        assert!(matches!(&error, ControlError::Variable { name, .. } if *name == field), "{error}");
    }
}

#[test]
fn an_ntpd_that_follows_nothing_is_known() {
    let with = |from: &str, to: &str| variables(&NTPD.replace(from, to));
    let cases = [
        ("leap=0", "leap=3", "not synchronised"),
        ("stratum=3", "stratum=16", "not synchronised"),
        ("stratum=3", "stratum=0", "not synchronised"),
        ("refid=192.0.2.7", "refid=127.127.1.0", "LOCAL"),
        ("refid=192.0.2.7", "refid=LOCL", "LOCAL"),
        ("refid=192.0.2.7", "refid=127.0.0.1", "orphan"),
        ("peer=41723", "peer=0", "no system peer"),
    ];
    for (from, to, part) in cases {
        let why = with(from, to).follows_nothing().expect(to);
        assert!(why.contains(part), "{to}: {why}");
    }
    for refid in ["refid=127.127.20.0", "refid=127.127.28.1"] {
        let variables = with("refid=192.0.2.7", refid);
        assert!(variables.follows_nothing().is_none() && variables.is_reference_clock(), "{refid}");
    }
    assert!(with("stratum=3", "stratum=1").is_reference_clock());
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let good = answer(NTPD);
    for at in 0..good.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, b',', b'"', b'='] {
            let mut packet = good.clone();
            packet[at] = byte;
            let _ = parse(&packet, 7);
            let _ = parse(&packet[..at], 7);
        }
    }
}
