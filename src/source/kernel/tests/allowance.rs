use super::*;
use crate::source::chrony::NewestMeasurement;

#[test]
fn a_bound_that_was_seen_to_be_written_ages_from_the_look_before() {
    let evidence = evidence(healthy(), healthy());
    let error = |not_before| stated_error_ns(&evidence, None, 0, not_before).expect("a bound");
    // The reading was 250 ms after the second that was counted, and the look 60 ms before it.
    let (plain, read_ns) = (1_235_000, evidence.realtime.unix_ns);
    assert_eq!(error(None), plain + 140_626);
    assert_eq!(error(Some(read_ns - 60_000_000)), plain + 33_751);
    assert_eq!(error(Some(read_ns)), plain + 1);
    assert_eq!(error(Some(read_ns - 900_000_000)), plain + 140_626, "it was counted since");
}

/// What a chronyd's kernel is off by, at most, in ns, after these looks: each so many ms later, and
/// what the kernel shows then.
fn error_after(looks: &[(i64, i64)], set: impl FnOnce(Kernel, &mut Behaviour) -> Kernel) -> u64 {
    let host = ScriptedHost::new();
    let (kernel, behaviour) = beside_chronyd(&host);
    let mut kernel = set(kernel, &mut behaviour.lock());
    let counter = Counter::new(host.clone(), CounterId::DIRECT);
    let (mut width, mut shown) = (None, 0);
    for &(later_ms, maxerror_us) in looks {
        behaviour.lock().updates +=
            u64::from(maxerror_us < std::mem::replace(&mut shown, maxerror_us));
        host.pass(later_ms * 1_000_000);
        host.set_kernel_state(KernelState { maxerror_us, ..healthy() });
        width = Some(kernel.sample(&counter).expect("a bound").time.width());
    }
    let width = width.expect("a look").as_nanos();
    u64::try_from(width / 2).expect("it is short")
}

#[test]
fn what_chronyds_line_leaves_out_is_added_to_its_bound() {
    let looks = [(0, 5_123)];
    let fit = |samples, span_s, newest: Option<(u64, u64)>| ChronyFit {
        samples,
        span: Duration::from_secs(span_s),
        averaged: Duration::ZERO,
        newest: newest.map(|(offset_ns, error_ns)| NewestMeasurement {
            offset_ns,
            error_ns,
            age: Duration::ZERO,
        }),
    };
    let with = |fit: Option<ChronyFit>, wander: Option<u32>| {
        let set = |kernel: Kernel, behaviour: &mut Behaviour| {
            behaviour.fit = fit;
            kernel.max_wander_ppm(wander)
        };
        error_after(&looks, set) as i64
    };
    // A span of half a second is what rounding leaves of none.
    let plain = with(Some(fit(3, 0, None)), None) - 5_000;
    let close = |got: i64, added: i64, what: &str| {
        assert!((got - plain - added).abs() <= 1_000, "{what}: {} of {added}", got - plain);
    };
    close(with(Some(fit(12, 176, None)), None), 1_765_000, "20 ppm, half of 176.5 s");
    close(with(Some(fit(12, 176, None)), Some(2)), 176_500, "2 ppm");
    // chronyd states 1 ms, of which 101 µs may have come in the 100 s since its update.
    let newest = Some((90_000, 1_050_000));
    close(with(Some(fit(12, 176, newest)), None), 241_000, "the newest poll shows more");
    close(
        with(Some(fit(12, 176, Some((10_000, 880_000)))), None),
        0,
        "the newest poll confirms it",
    );
    close(with(Some(fit(12, 2, newest)), None), 25_000, "the span is shorter");
    // Of 64 update intervals of 16 s.
    close(with(None, None), 10_240_000, "its fit is not to be had");
    close(with(Some(fit(2, 0, newest)), None), 10_240_000, "no line goes through two polls");
    let as_stated = |kernel: Kernel, behaviour: &mut Behaviour| {
        behaviour.fit = Some(fit(12, 176, None));
        kernel.believing_chrony_estimate().max_wander_ppm(Some(15))
    };
    // Its own millisecond, where the kernel has 5.
    let estimate = error_after(&looks, as_stated);
    assert!((1_000_000..1_010_000).contains(&estimate), "{estimate}");
}

#[test]
fn a_write_that_was_seen_costs_the_time_since_the_look_before() {
    let unknown = error_after(&[(0, 5_123), (800, 5_123)], |kernel, _| kernel);
    let seen = error_after(&[(0, 5_124), (700, 5_124), (100, 5_123)], |kernel, _| kernel);
    // 800 ms of growth at 500 ppm and an eighth, or 100 ms.
    assert!((440_000..460_000).contains(&(unknown - 5_124_000)), "{unknown}");
    assert!((50_000..70_000).contains(&(seen - 5_124_000)), "{seen}");
    // Of a writer whose bound has no allowance the moment stays unknown.
    let mut other = believed();
    let mut width = |ms: i64, maxerror_us| {
        let state = KernelState { maxerror_us, ..healthy() };
        let at_ns = 1_700_000_000 * SECOND + ms * 1_000_000;
        let realtime = Realtime { before: 1, unix_ns: at_ns, after: 2, offset: (0, 0) };
        let e = Evidence { realtime, monotonic_ns: at_ns, ..evidence(state, state) };
        other.judge(&e).expect("a bound").time.width().as_nanos() / 2
    };
    width(700, 5_124);
    assert!((440_000..460_000).contains(&(width(800, 5_123) - 5_124_000)));
}
