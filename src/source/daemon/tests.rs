use super::*;
use std::path::PathBuf;

/// A `/proc` and a `/sys` of a host on which these processes run (`comm`, `cmdline`).
fn host(name: &str, processes: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    let root =
        std::env::temp_dir().join(format!("truechimer-daemon-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    for (pid, (comm, cmdline)) in processes.iter().enumerate() {
        let dir = root.join("proc").join((pid + 100).to_string());
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("comm"), format!("{comm}\n")).expect("written");
        fs::write(dir.join("cmdline"), cmdline).expect("written");
    }
    // A directory without a process id must be ignored.
    fs::create_dir_all(root.join("proc/sys")).expect("a directory");
    fs::write(root.join("proc/sys/comm"), "chronyd\n").expect("written");
    (root.join("proc"), root.join("sys"))
}

#[test]
fn every_daemon_is_told_apart() {
    let cases: &[(&str, &str, &[Daemon])] = &[
        ("chronyd", "/usr/sbin/chronyd -F 1", &[Daemon::Chrony]),
        ("ntpd", "/usr/sbin/ntpd -u ntp", &[Daemon::Ntpd]),
        ("ntpd", "/usr/sbin/ntpd -c /etc/ntpsec/ntp.conf", &[Daemon::Ntpsec]),
        ("ntp-daemon", "/usr/bin/ntp-daemon", &[Daemon::NtpdRs]),
        ("ntpd", "/usr/sbin/ntpd -f /etc/openntpd/ntpd.conf", &[Daemon::OpenNtpd]),
        ("ntpd", "ntpd: ntp engine", &[Daemon::OpenNtpd]),
        ("systemd-timesyn", "/lib/systemd/systemd-timesyncd", &[Daemon::Timesyncd]),
        ("phc2sys", "phc2sys -a -r", &[Daemon::Phc2sys]),
        ("ptp4l", "ptp4l -i eth0", &[Daemon::Ptp4l]),
        ("clockbound", "clockbound", &[Daemon::ClockBound]),
        ("bash", "chronyd", &[]),
    ];
    for (i, (comm, cmdline, found)) in cases.iter().enumerate() {
        let (proc, sys) = host(&format!("one{i}"), &[(comm, cmdline)]);
        assert_eq!(Daemon::detect_in(&proc, &sys), *found, "{comm} {cmdline}");
        let _ = fs::remove_dir_all(proc.parent().expect("it has one"));
    }
}

#[test]
fn several_are_listed_once_each() {
    let (proc, sys) =
        host("several", &[("phc2sys", ""), ("ptp4l", ""), ("phc2sys", ""), ("sh", "")]);
    assert_eq!(Daemon::detect_in(&proc, &sys), [Daemon::Phc2sys, Daemon::Ptp4l]);
    let _ = fs::remove_dir_all(proc.parent().expect("it has one"));
}

#[test]
fn hyper_v_is_known_by_its_bound_device() {
    let (proc, sys) = host("hyperv", &[]);
    let device = sys.join("bus/vmbus/devices/one");
    fs::create_dir_all(&device).expect("a directory");
    fs::write(device.join("class_id"), format!("{HYPER_V_TIME}\n")).expect("written");
    assert_eq!(Daemon::detect_in(&proc, &sys), [], "no driver is bound");
    fs::create_dir_all(device.join("driver")).expect("a directory");
    assert_eq!(Daemon::detect_in(&proc, &sys), [Daemon::HyperV]);
    let _ = fs::remove_dir_all(proc.parent().expect("it has one"));
}

#[test]
fn a_host_without_proc_shows_no_daemon() {
    let nowhere = Path::new("/nonexistent");
    assert_eq!(Daemon::detect_in(nowhere, nowhere), []);
}

#[test]
fn a_bound_is_refused_only_if_no_visible_daemon_can_have_stated_it() {
    use Daemon::*;
    let cases: &[(&[Daemon], Option<Daemon>)] = &[
        (&[], None), // the writer may be in another container
        (&[Chrony], None),
        (&[NtpdRs], Some(NtpdRs)),
        (&[Timesyncd], Some(Timesyncd)),
        (&[Phc2sys, Ptp4l], Some(Phc2sys)),
        (&[Chrony, Ptp4l], None),
        (&[Ntpsec, HyperV], None),
        (&[HyperV], Some(HyperV)),
    ];
    for (running, refused) in cases {
        assert_eq!(only_unbelievable(running), *refused, "{running:?}");
    }
}
