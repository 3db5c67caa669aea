use super::*;
use proptest::prelude::*;

/// chronyd's own way to make its float, as `util.c` describes it.
fn float(value: f64) -> u32 {
    let magnitude = value.abs();
    if magnitude < 1e-100 {
        return 0;
    }
    let mut exponent = (magnitude.log2() + 1.0) as i32;
    let negative = value < 0.0;
    let mut coefficient = if exponent < -64 {
        // Too small: as near as the least exponent comes.
        exponent = -64;
        (magnitude * 2f64.powi(64 + 25) + 0.5) as i64
    } else {
        (magnitude * 2f64.powi(25 - exponent) + 0.5) as i64
    };
    while coefficient > (1 << 24) - 1 + i64::from(negative) {
        coefficient >>= 1;
        exponent += 1;
    }
    if exponent > 63 {
        (exponent, coefficient) = (63, (1 << 24) - 1);
    }
    let coefficient = if negative { -coefficient } else { coefficient };
    (exponent as u32) << 25 | (coefficient as u32 & ((1 << 25) - 1))
}

/// What a reply is made of, in the units of the protocol.
#[derive(Clone, Debug)]
struct Reply {
    version: u8,
    kind: u8,
    command: u16,
    reply: u16,
    status: u16,
    sequence: u32,
    refid: u32,
    address: [u8; 16],
    family: u16,
    stratum: u16,
    leap: u16,
    time: (u32, u32, u32),
    floats: [f64; 9],
}

const GOOD: Reply = Reply {
    version: 6,
    kind: 2,
    command: 33,
    reply: 5,
    status: 0,
    sequence: 7,
    refid: 0xc000_0201,
    address: [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    family: 1,
    stratum: 2,
    leap: 0,
    time: (0, 1_714_521_600, 5),
    floats: [-1e-3, 2e-5, 3e-5, -12.5, 0.01, 0.2, 0.020, 0.005, 64.0],
};

impl Reply {
    fn encode(&self) -> [u8; PACKET] {
        let mut out = Vec::new();
        out.extend([self.version, self.kind, 0, 0]);
        for word in [self.command, self.reply, self.status, 0, 0, 0] {
            out.extend(word.to_be_bytes());
        }
        for word in [self.sequence, 0, 0, self.refid] {
            out.extend(word.to_be_bytes());
        }
        out.extend(self.address);
        for half in [self.family, 0, self.stratum, self.leap] {
            out.extend(half.to_be_bytes());
        }
        for word in [self.time.0, self.time.1, self.time.2] {
            out.extend(word.to_be_bytes());
        }
        for value in self.floats {
            out.extend(float(value).to_be_bytes());
        }
        out.try_into().expect("the layout adds up to the packet's length")
    }

    fn decode(&self) -> Result<Tracking, TrackingError> {
        Tracking::decode(&self.encode(), 7)
    }
}

#[test]
fn a_request_is_padded_to_the_length_of_its_reply() {
    let packet = request(0x0102_0304);
    assert_eq!(packet[..12], [6, 1, 0, 0, 0, 33, 0, 0, 1, 2, 3, 4]);
    assert_eq!(packet[12..], [0; 92]);
}

#[test]
fn a_good_reply_is_read_field_by_field() {
    let tracking = GOOD.decode().expect("a good reply");
    assert_eq!(tracking.reference.to_string(), "192.0.2.1");
    assert_eq!((tracking.stratum, tracking.leap), (2, Leap::Normal));
    assert_eq!(tracking.reference_time, Duration::new(1_714_521_600, 5));
    for (is, should) in [
        (tracking.last_offset, 2e-5),
        (tracking.rms_offset, 3e-5),
        (tracking.frequency_ppm, -12.5),
        (tracking.residual_frequency_ppm, 0.01),
        (tracking.skew_ppm, 0.2),
        (tracking.update_interval, 64.0),
    ] {
        assert!((is - should).abs() < 1e-6 * should.abs(), "{is} for {should}");
    }
    // 1 ms + 20 ms / 2 + 5 ms, and a nanosecond each for what was cut off.
    let bound = tracking.bound_ns().expect("synchronised");
    assert!((16_000_000..16_000_010).contains(&bound), "{bound}");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let with = |change: fn(&mut Reply)| {
        let mut reply = GOOD;
        change(&mut reply);
        reply
    };
    let field = |field, value| TrackingError::Field { field, value };
    let cases = [
        (with(|r| r.version = 5), TrackingError::Version { version: 5 }),
        (with(|r| r.kind = 1), TrackingError::Stray),
        (with(|r| r.command = 34), TrackingError::Stray),
        (with(|r| r.reply = 4), TrackingError::Stray),
        (with(|r| r.sequence = 8), TrackingError::Stray),
        (with(|r| r.status = 2), TrackingError::Refused { status: 2 }),
        (with(|r| r.stratum = 17), field("stratum", 17.0)),
        (with(|r| r.leap = 4), field("leap status", 4.0)),
        (with(|r| r.family = 9), field("address family", 9.0)),
        (with(|r| r.time.2 = 1_000_000_000), field("reference time", 1e9)),
        (with(|r| r.floats[2] = -0.5), field("RMS offset", -0.5)),
        (with(|r| r.floats[5] = -0.5), field("skew", -0.5)),
        (with(|r| r.floats[6] = -0.5), field("root delay", -0.5)),
        (with(|r| r.floats[7] = -0.5), field("root dispersion", -0.5)),
        (with(|r| r.floats[8] = -0.5), field("update interval", -0.5)),
    ];
    for (reply, error) in cases {
        assert_eq!(reply.decode(), Err(error), "{reply:?}");
    }
}

#[test]
fn a_short_reply_is_refused_at_every_length() {
    let packet = GOOD.encode();
    for length in 0..PACKET {
        let error = Tracking::decode(&packet[..length], 7);
        assert_eq!(error, Err(TrackingError::Length { length }));
    }
    // A longer one is a later chronyd's, which only adds at the end.
    let longer = [packet.as_slice(), &[1, 2, 3]].concat();
    assert_eq!(Tracking::decode(&longer, 7), GOOD.decode());
}

#[test]
fn no_bound_without_synchronisation() {
    let cases = [
        (Reply { leap: 0, ..GOOD }, true),
        (Reply { leap: 1, ..GOOD }, true),
        (Reply { leap: 2, ..GOOD }, true),
        (Reply { leap: 3, ..GOOD }, false),
        // `local stratum 10`: it follows itself, with a dispersion of nothing.
        (Reply { refid: Reference::LOCAL, family: 0, ..GOOD }, false),
    ];
    for (reply, has_bound) in cases {
        let tracking = reply.decode().expect("well-formed");
        assert_eq!(tracking.bound_ns().is_some(), has_bound, "{reply:?}");
    }
}

#[test]
fn references_have_names() {
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let cases = [
        (0x4750_5300, None, "GPS"),
        (0x5452_5545, None, "TRUE"),
        (0x0000_0000, None, "00000000"),
        (0x4700_5300, None, "47005300"),
        (0x4720_5300, None, "47205300"),
        (0xdead_beef, None, "DEADBEEF"),
        (0xdead_beef, Some(v6), "::1"),
        (Reference::LOCAL, None, "local clock"),
    ];
    for (id, address, name) in cases {
        assert_eq!(Reference { id, address }.to_string(), name);
    }
}

#[test]
fn floats_as_chronyd_makes_them() {
    let cases = [
        (0x0000_0000, 0.0, 0),
        (0x0200_0000 | 1 << 23, 0.5, 500_000_060), // exponent 1: a unit is 2⁻²⁴ s
        (0x01ff_ffff, -1.0 / 33_554_432.0, 60),    // exponent 0, coefficient −1
        (0xfe00_0001, 1.0 / 67_108_864.0, 30),     // exponent −1, coefficient 1
        (0x8000_0001, 2f64.powi(-89), 1),          // the least exponent
        (0x7eff_ffff, 16_777_215.0 * 2f64.powi(38), u64::MAX),
    ];
    for (word, value, at_most) in cases {
        assert_eq!(Float(word).value(), value, "{word:08x}");
        assert_eq!(Float(word).nanos_at_most(), at_most, "{word:08x}");
    }
}

/// What a decoder does that takes chronyd's coefficient for the value itself.
fn nanos_rounded_to_nearest(word: u32) -> u64 {
    (Float(word).value().abs() * 1e9).round() as u64
}

#[test]
fn rounding_to_nearest_would_understate() {
    let understated = (1..1000).filter(|&step| {
        let seconds = f64::from(step) * 0.001_234_567_89;
        (nanos_rounded_to_nearest(float(seconds)) as f64) < seconds * 1e9
    });
    assert!(understated.count() > 0, "the property below would not notice");
}

proptest! {
    #[test]
    fn a_bound_is_never_less_than_what_chronyd_meant(seconds in -3600.0f64..3600.0) {
        prop_assert!(Float(float(seconds)).nanos_at_most() as f64 >= seconds.abs() * 1e9);
    }

    #[test]
    fn a_tiny_bound_neither(seconds in -1e-6f64..1e-6) {
        prop_assert!(Float(float(seconds)).nanos_at_most() as f64 >= seconds.abs() * 1e9);
    }

    #[test]
    fn a_bound_is_hardly_more_than_what_chronyd_meant(seconds in 1e-6f64..3600.0) {
        let most = seconds * 1e9 * (1.0 + 2f64.powi(-22)) + 1.0;
        prop_assert!(Float(float(seconds)).nanos_at_most() as f64 <= most);
    }

    #[test]
    fn bytes_of_any_kind_are_no_reason_to_panic(
        packet in prop::collection::vec(any::<u8>(), 0..2 * PACKET), sequence: u32,
    ) {
        let _ = Tracking::decode(&packet, sequence);
    }

    #[test]
    fn a_right_header_with_bytes_of_any_kind_is_no_reason_to_panic(
        body in prop::collection::vec(any::<u8>(), PACKET - 28),
    ) {
        let mut packet = GOOD.encode();
        packet[28..].copy_from_slice(&body);
        if let Ok(tracking) = Tracking::decode(&packet, 7) {
            let _ = (tracking.bound_ns(), tracking.reference.to_string());
            prop_assert!(tracking.stratum <= MAX_STRATUM);
        }
    }

    #[test]
    fn a_reply_comes_back_as_it_was_made(
        refid: u32, stratum in 0u16..=16, leap in 0u16..4, low: u32, nanos in 0u32..1_000_000_000,
        correction in -10.0f64..10.0, delay in 0.0f64..10.0, dispersion in 0.0f64..10.0,
    ) {
        let mut floats = GOOD.floats;
        (floats[0], floats[6], floats[7]) = (correction, delay, dispersion);
        let reply = Reply { refid, stratum, leap, time: (0, low, nanos), floats, ..GOOD };
        let tracking = reply.decode().expect("well-formed");
        prop_assert_eq!(tracking.reference.id, refid);
        prop_assert_eq!(tracking.stratum, stratum);
        prop_assert_eq!(tracking.reference_time, Duration::new(low.into(), nanos));
        prop_assert_eq!(tracking.leap == Leap::Unsynchronized, leap == 3);
        if let Some(bound) = tracking.bound_ns() {
            prop_assert!(bound as f64 >= (correction.abs() + delay / 2.0 + dispersion) * 1e9);
        }
    }
}

#[test]
fn half_of_an_odd_root_delay_is_rounded_up() {
    let good = GOOD.decode().expect("a good reply");
    let parts = |root_delay_ns| Tracking {
        correction_ns: 1_000,
        root_delay_ns,
        root_dispersion_ns: 100,
        ..good
    };
    for (root_delay_ns, half) in [(0, 0), (1, 1), (2, 1), (3, 2), (u64::MAX, 1 << 63)] {
        assert_eq!(parts(root_delay_ns).bound_ns(), Some(1_100 + half), "{root_delay_ns}");
    }
}
