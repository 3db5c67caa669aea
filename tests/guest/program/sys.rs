//! What the guest asks of its kernel that no crate wraps: setting kernel time.
//!
//! All of this is done as root inside a guest that exists for nothing else.

use std::io;

use nix::time::{ClockId, clock_gettime};

/// `clock` in nanoseconds.
pub fn nanos(clock: ClockId) -> i64 {
    let t = clock_gettime(clock).expect("every Linux has this clock");
    t.tv_sec() * 1_000_000_000 + t.tv_nsec()
}

/// `CLOCK_MONOTONIC_RAW`: the oscillator that the truth is defined by.
pub fn raw() -> i64 {
    nanos(ClockId::CLOCK_MONOTONIC_RAW)
}

/// `CLOCK_REALTIME` between two looks at the oscillator, the tightest of a few tries.
pub fn realtime() -> ((i64, i64), i64) {
    let mut best: Option<((i64, i64), i64)> = None;
    for _ in 0..5 {
        let before = raw();
        let realtime = nanos(ClockId::CLOCK_REALTIME);
        let after = raw();
        if best.is_none_or(|((a, b), _)| after - before < b - a) {
            best = Some(((before, after), realtime));
        }
    }
    best.expect("five tries were made")
}

/// How long this machine has been suspended since it booted, in ns, to some 100 ns.
pub fn suspended() -> i64 {
    nanos(ClockId::CLOCK_BOOTTIME) - nanos(ClockId::CLOCK_MONOTONIC)
}

/// A request to `adjtimex` in which nothing is set yet.
pub fn nothing() -> libc::timex {
    // SAFETY: `timex` is plain numbers, for which all zeros is a value.
    unsafe { std::mem::zeroed() }
}

/// Makes the request, and gives back the state (`TIME_OK` …) with the fields filled in.
pub fn adjtimex(mut request: libc::timex) -> io::Result<(i32, libc::timex)> {
    // SAFETY: the pointer is to a live, exclusive `timex`, which the kernel reads and fills.
    let state = unsafe { libc::adjtimex(&mut request) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok((state, request)) }
}

/// By how much the wall clock is made to run faster.
pub fn rate_ppb(kernel: &libc::timex) -> i64 {
    kernel.freq * 1000 / 65_536 + (kernel.tick - 10_000) * 100_000
}

/// The processor's counter, which goes on while the kernel's clocks stand still in a suspend.
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and a guest may use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Brings a network interface up: the loopback, so that chronyd can be asked over UDP, or a
/// card.
pub fn interface_up(name: &str) -> io::Result<()> {
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    interface_request(name, libc::SIOCSIFFLAGS, |request| request.ifr_ifru.ifru_flags = flags)
}

/// Gives a network interface an address more, under a label such as `lo:1`.
pub fn add_address(label: &str, address: std::net::Ipv4Addr) -> io::Result<()> {
    interface_request(label, libc::SIOCSIFADDR, |request| {
        let mut octets = [0; 14];
        // `sockaddr_in`: the port, then the address.
        for (to, from) in octets[2..].iter_mut().zip(address.octets()) {
            *to = from as libc::c_char;
        }
        let family = libc::AF_INET as libc::sa_family_t;
        request.ifr_ifru.ifru_addr = libc::sockaddr { sa_family: family, sa_data: octets };
    })
}

fn interface_request(
    name: &str,
    what: libc::c_ulong,
    fill: impl Fn(&mut libc::ifreq),
) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: `ifreq` is plain bytes and unions of them, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    fill(&mut request);
    // SAFETY: the descriptor is open, and both requests read one `ifreq`, which this is.
    let done =
        unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), what as _, &request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Goes on in a child; the parent waits for it, and ends as it did.
pub fn continue_in_child() -> io::Result<()> {
    // SAFETY: the child calls what is not safe after a fork of a process with
    // threads (it allocates), which glibc allows; and that a clock's own lock
    // may be held by a thread that is gone is what the child is there to try.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => Ok(()),
        nix::unistd::ForkResult::Parent { child } => {
            let status = nix::sys::wait::waitpid(child, None)?;
            let well = matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0));
            std::process::exit(i32::from(!well));
        }
    }
}

/// The kernel's `struct rtc_time`.
#[repr(C)]
#[derive(Default)]
pub struct RtcTime {
    second: i32,
    minute: i32,
    hour: i32,
    day: i32,
    month: i32,
    year: i32,
    unused: [i32; 3],
}

nix::ioctl_write_ptr!(rtc_set_time, b'p', 0x0a, RtcTime);

/// Sets the RTC, which the emulator keeps running while the guest is stopped.
pub fn set_rtc(unix: i64) -> io::Result<()> {
    let rtc = std::fs::File::open("/dev/rtc0")?;
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400) as i32);
    let (year, month, day) = civil(days);
    let time = RtcTime {
        second: second % 60,
        minute: second / 60 % 60,
        hour: second / 3600,
        day,
        month: month - 1,
        year: year - 1900,
        unused: [0; 3],
    };
    // SAFETY: the descriptor is open, and RTC_SET_TIME reads one `rtc_time`, which this is.
    unsafe { rtc_set_time(std::os::fd::AsRawFd::as_raw_fd(&rtc), &time) }?;
    Ok(())
}

/// Year, month and day of a day since 1970, by counting: it is done once.
fn civil(mut days: i64) -> (i32, i32, i32) {
    let leap = |year: i32| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as i32 + 1, days as i32 + 1)
}
