use super::*;
use crate::source::chrony::Reference;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

fn report(leap: Leap, id: u32) -> Tracking {
    Tracking {
        reference: Reference { id, address: None },
        stratum: 1,
        leap,
        reference_time: Duration::from_secs(1_714_521_600),
        correction_ns: 1_000_000,
        root_delay_ns: 500_000,
        root_dispersion_ns: 250_000,
        last_offset: 0.0,
        rms_offset: 0.0,
        frequency_ppm: 0.0,
        residual_frequency_ppm: 0.0,
        skew_ppm: 0.0,
        update_interval: 1.0,
    }
}

#[test]
fn the_larger_of_the_two_bounds_counts() {
    let report = report(Leap::Normal, 1);
    assert_eq!(report.bound_ns(), Some(1_500_000));
    let cases = [
        // the kernel's maxerror in µs, what chronyd says beyond it in ns
        (0, 1_500_000),
        (1_000, 500_000),
        (1_500, 0),
        (2_000, 0),
        (i64::MAX, 0),
        (-5, 1_500_000),
    ];
    for (maxerror_us, excess_ns) in cases {
        assert_eq!(judge(&report, maxerror_us), Word::Vouches { excess_ns }, "{maxerror_us}");
    }
}

#[test]
fn who_is_not_synchronised_vouches_for_nothing() {
    for report in [report(Leap::Unsynchronized, 1), report(Leap::Normal, Reference::LOCAL)] {
        assert!(matches!(judge(&report, 1), Word::Nothing(_)), "{report:?}");
    }
}

/// A stand-in for chronyd that counts how often it is asked.
fn chronyd() -> (Endpoint, Arc<AtomicU32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let at = socket.local_addr().expect("it is bound");
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    thread::spawn(move || {
        let mut request = [0; 104];
        while let Ok((_, from)) = socket.recv_from(&mut request) {
            count.fetch_add(1, Ordering::SeqCst);
            let mut reply = [0; 104];
            reply[..8].copy_from_slice(&[6, 2, 0, 0, 0, 33, 0, 5]);
            reply[16..20].copy_from_slice(&request[8..12]);
            let _ = socket.send_to(&reply, from);
        }
    });
    (Endpoint::Udp(at), asked)
}

#[test]
fn chronyd_is_asked_again_when_the_kernel_was_told_something_new() {
    let (endpoint, asked) = chronyd();
    let mut confirmer = Confirmer::new(vec![endpoint]);
    for _ in 0..10 {
        assert_eq!(confirmer.word(100, 100), Word::Vouches { excess_ns: 0 });
        assert_eq!(confirmer.word(600, 100), Word::Vouches { excess_ns: 0 }, "grown, not new");
    }
    // Slow as this host may be, it does not take a second for each question.
    assert!(asked.load(Ordering::SeqCst) < 10, "remembered for a second");
    let before = asked.load(Ordering::SeqCst);
    for mark in 0..5 {
        confirmer.word(mark, mark);
    }
    assert!(asked.load(Ordering::SeqCst) >= before + 5, "each mark is a new update");
}

#[test]
fn the_first_endpoint_that_answers_is_used_and_the_first_error_told() {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let nobody = Endpoint::Udp(free.expect("a port that is free again"));
    let (somebody, asked) = chronyd();
    let mut confirmer = Confirmer::new(vec![nobody.clone(), somebody]);
    assert_eq!(confirmer.word(1, 1), Word::Vouches { excess_ns: 0 });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(confirmer.tracking().map(|tracking| tracking.leap), Some(Leap::Normal));

    let missing = Endpoint::Unix("/nonexistent/chronyd.sock".into());
    let mut confirmer = Confirmer::new(vec![nobody, missing]);
    let Word::Nothing(words) = confirmer.word(1, 1) else { panic!("nobody answers") };
    assert!(words.contains("not running") && words.contains("127.0.0.1"), "{words}");
    assert!(confirmer.tracking().is_none());
}
