use super::*;
use std::path::PathBuf;

/// All capabilities, as root's processes have them.
const ALL: &str = "000001ffffffffff";
const NONE: &str = "0000000000000000";
const ONLY_TIME: &str = "0000000002000000";

/// A `/proc` and a `/sys` of a host on which these processes run (`comm`, `cmdline`), with these
/// capabilities.
fn host_with(name: &str, capabilities: &str, processes: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    let root =
        std::env::temp_dir().join(format!("truechimer-daemon-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    let own = root.join("proc/self");
    fs::create_dir_all(&own).expect("a directory");
    fs::write(own.join("uid_map"), "0 0 4294967295\n").expect("written");
    let kernel = root.join("proc/2");
    fs::create_dir_all(&kernel).expect("a directory");
    fs::write(kernel.join("comm"), "kthreadd\n").expect("written");
    for (pid, (comm, cmdline)) in processes.iter().enumerate() {
        let dir = root.join("proc").join((pid + 100).to_string());
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("comm"), format!("{comm}\n")).expect("written");
        fs::write(dir.join("cmdline"), cmdline).expect("written");
        let status = format!("Name:\t{comm}\nUid:\t0\t0\t0\t0\nCapEff:\t{capabilities}\n");
        fs::write(dir.join("status"), status).expect("written");
        fs::write(dir.join("uid_map"), "0 0 4294967295\n").expect("written");
    }
    // A directory without a process id must be ignored.
    fs::create_dir_all(root.join("proc/sys")).expect("a directory");
    fs::write(root.join("proc/sys/comm"), "chronyd\n").expect("written");
    (root.join("proc"), root.join("sys"))
}

fn host(name: &str, processes: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    host_with(name, ALL, processes)
}

fn remove(proc: &Path) {
    let _ = fs::remove_dir_all(proc.parent().expect("it has one"));
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
        ("ptpd", "ptpd -i eth0 -s", &[Daemon::Ptpd]),
        ("sfptpd", "sfptpd -f /etc/sfptpd.conf", &[Daemon::Sfptpd]),
        ("statime", "statime -c statime.toml", &[Daemon::Statime]),
        ("timemaster", "timemaster -f timemaster.conf", &[Daemon::Timemaster]),
        ("vmtoolsd", "/usr/bin/vmtoolsd", &[Daemon::Vmtoolsd]),
        ("VBoxService", "/usr/sbin/VBoxService", &[Daemon::VBoxService]),
        ("busybox", "busybox\0ntpd\0-p\0pool.ntp.org", &[Daemon::Busybox]),
        ("busybox", "busybox\0httpd", &[]),
        ("connmand", "connmand -n", &[Daemon::Connman]),
        ("htpdate", "htpdate -D", &[Daemon::Htpdate]),
        ("bash", "chronyd", &[]),
    ];
    for (i, (comm, cmdline, found)) in cases.iter().enumerate() {
        let (proc, sys) = host(&format!("one{i}"), &[(comm, cmdline)]);
        let running = Running::detect_in(&proc, &sys);
        assert_eq!(running.daemons, *found, "{comm} {cmdline}");
        assert_eq!(running.hidden, None);
        remove(&proc);
    }
}

#[test]
fn a_busybox_that_is_called_ntpd_is_known_by_its_program() {
    let (proc, sys) = host("busybox", &[("ntpd", "ntpd\0-p\0pool.ntp.org")]);
    #[cfg(unix)]
    std::os::unix::fs::symlink("/bin/busybox", proc.join("100/exe")).expect("a link");
    let expected = if cfg!(unix) { Daemon::Busybox } else { Daemon::Ntpd };
    assert_eq!(Running::detect_in(&proc, &sys).daemons, [expected]);
    remove(&proc);
}

#[test]
fn several_are_listed_once_each() {
    let (proc, sys) =
        host("several", &[("phc2sys", ""), ("ptp4l", ""), ("phc2sys", ""), ("sh", "")]);
    let running = Running::detect_in(&proc, &sys);
    assert_eq!(running.daemons, [Daemon::Phc2sys, Daemon::Ptp4l]);
    remove(&proc);
}

#[test]
fn a_process_counts_only_with_the_privilege_to_set_the_clock() {
    let processes = [("phc2sys", "phc2sys"), ("chronyd", "chronyd")];
    for (name, capabilities, counts) in
        [("all", ALL, true), ("time", ONLY_TIME, true), ("none", NONE, false)]
    {
        let (proc, sys) = host_with(name, capabilities, &processes);
        let running = Running::detect_in(&proc, &sys);
        assert_eq!(running.daemons.len(), if counts { 2 } else { 0 }, "{name}");
        assert_eq!(running.has_idle_chronyd, !counts, "{name}");
        remove(&proc);
    }
    // Everybody has all capabilities in a user namespace of their own.
    let (proc, sys) = host("namespace", &processes);
    fs::write(proc.join("100/uid_map"), "0 1000 1\n").expect("written");
    assert_eq!(Running::detect_in(&proc, &sys).daemons, [Daemon::Chrony]);
    remove(&proc);
    // A kernel that does not show capabilities shows the user.
    let (proc, sys) = host("users", &processes);
    fs::write(proc.join("100/status"), "Uid:\t0\t0\t0\t0\n").expect("written");
    fs::write(proc.join("101/status"), "Uid:\t0\t1000\t0\t0\n").expect("written");
    assert_eq!(Running::detect_in(&proc, &sys).daemons, [Daemon::Phc2sys]);
    remove(&proc);
}

#[test]
fn a_chronyd_that_was_told_not_to_set_the_clock_only_watches() {
    for (i, (cmdline, watches)) in [
        ("chronyd\0-x", true),
        ("chronyd\0-dx\0-f\0/etc/chrony.conf", true),
        ("chronyd -u root -x", true),
        ("chronyd\0-F\x001", false),
        ("chronyd\0-f\0/etc/x-y.conf", false),
        ("chronyd\0-fx.conf", false),
    ]
    .into_iter()
    .enumerate()
    {
        let (proc, sys) = host(&format!("idle{i}"), &[("chronyd", cmdline)]);
        let running = Running::detect_in(&proc, &sys);
        assert_eq!(running.has_idle_chronyd, watches, "{cmdline}");
        assert_eq!(running.daemons.is_empty(), watches, "{cmdline}");
        remove(&proc);
    }
}

#[test]
fn where_the_hosts_processes_are_hidden_it_is_said() {
    let (proc, sys) = host("hidden", &[("bash", "")]);
    assert_eq!(Running::detect_in(&proc, &sys).hidden, None);
    // Process 2 of a container is a program.
    fs::write(proc.join("2/comm"), "sh\n").expect("written");
    assert!(Running::detect_in(&proc, &sys).hidden.is_some());
    fs::remove_dir_all(proc.join("2")).expect("removed");
    assert!(Running::detect_in(&proc, &sys).hidden.is_some());
    remove(&proc);
}

#[test]
fn hyper_v_is_known_by_its_bound_device() {
    let (proc, sys) = host("hyperv", &[]);
    let device = sys.join("bus/vmbus/devices/one");
    fs::create_dir_all(&device).expect("a directory");
    fs::write(device.join("class_id"), format!("{HYPER_V_TIME}\n")).expect("written");
    assert_eq!(Running::detect_in(&proc, &sys).daemons, [], "no driver is bound");
    fs::create_dir_all(device.join("driver")).expect("a directory");
    assert_eq!(Running::detect_in(&proc, &sys).daemons, [Daemon::HyperV]);
    remove(&proc);
}

#[test]
fn a_host_without_proc_shows_no_daemon() {
    let nowhere = Path::new("/nonexistent");
    let running = Running::detect_in(nowhere, nowhere);
    assert!(running.daemons.is_empty() && running.hidden.is_some());
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
