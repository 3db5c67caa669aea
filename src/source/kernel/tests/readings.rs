//! What a reading shows, and what a kernel source is made to be.

use super::*;

#[test]
fn adjtimex_shows_whole_microseconds_and_leap_seconds_only_at_midnight() {
    let off_ns = |shown_ns: i64, kernel_ns: i64, state| {
        let state = KernelState { unix_ns: kernel_ns, state, ..healthy() };
        let read = Realtime { before: 1, unix_ns: shown_ns, after: 2, offset: (0, 0) };
        off_kernel_time_ns(&state, &read, &state)
    };
    let midnight = 1_700_006_400 * SECOND;
    // A microsecond, and what a reading of the clock may be behind.
    for (by_ns, expected) in [(1_011, None), (1_012, Some(1_012))] {
        assert_eq!(off_ns(midnight + by_ns, midnight, TIME_OK), expected);
        assert_eq!(off_ns(midnight - by_ns, midnight, TIME_OK), expected.map(|ns: i64| -ns));
    }
    let ms = 1_000_000;
    for (at_ms, is_near) in
        [(-2_001, false), (-2_000, true), (-1_500, true), (0, true), (1_999, true), (2_000, false)]
    {
        let shown = midnight + at_ms * ms;
        let got = off_ns(shown, shown - SECOND, TIME_WAIT);
        assert_eq!(got.is_none(), is_near, "{at_ms} ms after midnight");
        assert!(off_ns(shown, shown - SECOND, TIME_OK).is_some(), "no leap second");
    }
}

#[test]
fn a_step_counts_if_a_daemon_may_have_stated_a_bound_since_the_last_look() {
    for (gap_ms, counts) in [(1_500, false), (2_000, false), (2_001, true), (60_000, true)] {
        let mut kernel = believed();
        let mut judge = |at_ms: i64, (maxerror_us, status), ahead_ms: i64| {
            let state = KernelState { maxerror_us, status, ..healthy() };
            let now_ns = at_ms * 1_000_000;
            let unix_ns = 1_700_000_000 * SECOND + now_ns + ahead_ms * 1_000_000;
            let offset = unix_ns - now_ns;
            let mut e = evidence(state, state);
            e.realtime = Realtime { before: 1, unix_ns, after: 2, offset: (offset - 60, offset) };
            e.counted_until_ns = unix_ns;
            e.monotonic_ns = now_ns;
            kernel.judge(&e).map(|sample| sample.time.width())
        };
        let _ = judge(5_000, (16_000_000, STA_NANO | STA_UNSYNC), 0);
        let width = judge(5_000 + gap_ms, (1_234, STA_NANO), 300).expect("a bound");
        assert_eq!(width > Duration::from_millis(300), counts, "after {gap_ms} ms: {width:?}");
    }
}

#[test]
fn chronys_correction_is_the_opposite_of_the_frequency_that_it_found() {
    let host = ScriptedHost::new();
    let mut chronyd = Chronyd(host, Arc::default());
    let tracking = chronyd.chrony_tracking().expect("it answers");
    assert_eq!(correction_of(&tracking), Some((12_345, 0)));
    let fast = Tracking { frequency_ppm: 7.0, skew_ppm: 0.5, ..tracking };
    assert_eq!(correction_of(&fast), Some((-7_000, 1)));
    assert_eq!(correction_of(&Tracking { skew_ppm: 100.1, ..tracking }), None);
}

#[test]
fn where_adjtimex_is_denied_chronys_own_interval_counts() {
    let host = ScriptedHost::new();
    let (mut kernel, _) = beside_chronyd(&host);
    host.deny_adjtimex();
    let _ = kernel.sample(&Counter::new(host.clone(), CounterId::DIRECT));
    assert_eq!(kernel.condition().update_interval, Some(Duration::from_secs(16)));
}

#[test]
fn a_kernel_source_is_what_it_was_made_to_be() {
    assert_eq!((believed().name(), believed().role()), ("kernel", Role::Evidence));
    assert_eq!(believed().cross_checking().role(), Role::CrossCheck);
    let entries: Vec<(i64, i32)> = LeapTable::builtin()
        .entries()
        .map(|entry| (entry.since.seconds(), entry.tai_minus_utc))
        .collect();
    let table = LeapTable::from_entries(&entries[..9]).expect("in order");
    let kernel = believed().showing(table.clone(), RealtimeScale::Utc);
    assert_eq!(*kernel.wall_clock.leaps(), table);
}
