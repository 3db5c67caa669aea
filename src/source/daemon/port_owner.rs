//! [`PortOwner`]: whose program listens at a UDP port of this host.
//!
//! Ports below 1024 are root's, by default. Docker lets any user bind any port
//! (`net.ipv4.ip_unprivileged_port_start` is 0 there), so any user could answer at chronyd's
//! port 323. `/proc/net/udp` shows the user who opened each socket. chronyd and ntpd open theirs
//! as root, or as the user that their package made for them.
//!
//! The user may be invisible: in a user namespace that does not map it, the kernel shows its
//! overflow number. Then the port's privilege decides.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Which users a daemon runs as, besides root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortOwner {
    names: &'static [&'static str],
    /// A directory that belongs to the daemon's user.
    #[cfg_attr(not(unix), allow(dead_code))] // Files have no such owner there.
    directory: &'static str,
}

/// What the kernel shows in place of a user that this namespace does not map.
const OVERFLOW_UID: u32 = 65_534;

impl PortOwner {
    pub(crate) const CHRONY: PortOwner =
        PortOwner { names: &["_chrony", "chrony"], directory: "run/chrony" };
    pub(crate) const NTPD: PortOwner =
        PortOwner { names: &["ntp", "ntpsec", "_ntp", "ntpd"], directory: "run/ntpd" };

    /// Whether the program that listens at `at` is root's or the daemon's, as far as the files
    /// below `root` show it.
    ///
    /// # Errors
    ///
    /// What is wrong with the program's user.
    pub(crate) fn check(self, at: SocketAddr, root: &Path) -> Result<(), String> {
        let sockets = match at.ip() {
            // A socket for both families answers IPv4 too, and is listed as IPv6.
            IpAddr::V4(_) => ["proc/net/udp", "proc/net/udp6"].as_slice(),
            IpAddr::V6(_) => ["proc/net/udp6"].as_slice(),
        };
        let read = |file: &&str| fs::read_to_string(root.join(file)).ok();
        let tables: Vec<String> = sockets.iter().filter_map(read).collect();
        let users: Vec<u32> = tables.iter().flat_map(|table| users_at(table, at)).collect();
        let is_hidden = users.iter().all(|&uid| uid == OVERFLOW_UID);
        if is_hidden {
            let start =
                fs::read_to_string(root.join("proc/sys/net/ipv4/ip_unprivileged_port_start"));
            let start: Option<u16> = start.ok().and_then(|text| text.trim().parse().ok());
            // Without /proc there is nothing to hold against it.
            return match start {
                Some(first) if at.port() >= first => Err(format!(
                    "any user may listen at port {}, and the user who does cannot be seen",
                    at.port()
                )),
                _ => Ok(()),
            };
        }
        match users.into_iter().find(|&uid| !self.is_trusted(uid, root)) {
            Some(uid) => Err(format!(
                "port {} belongs to user {uid}, who is neither root nor {}",
                at.port(),
                self.names[0]
            )),
            None => Ok(()),
        }
    }

    fn is_trusted(self, uid: u32, root: &Path) -> bool {
        uid == 0 || self.owns_directory(uid, root) || self.has_name(uid, root)
    }

    #[cfg(unix)]
    fn owns_directory(self, uid: u32, root: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(root.join(self.directory))
            .is_ok_and(|directory| directory.is_dir() && directory.uid() == uid)
    }

    #[cfg(not(unix))]
    fn owns_directory(self, _uid: u32, _root: &Path) -> bool {
        false
    }

    fn has_name(self, uid: u32, root: &Path) -> bool {
        let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        passwd.lines().any(|line| {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            let id = fields.nth(1).and_then(|id| id.parse::<u32>().ok());
            self.names.contains(&name) && id == Some(uid)
        })
    }
}

/// The users of the sockets that receive what is sent to `at`.
fn users_at(table: &str, at: SocketAddr) -> Vec<u32> {
    let user = |line: &str| {
        let mut fields = line.split_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        let receives = u16::from_str_radix(port, 16).ok()? == at.port()
            && (address.bytes().all(|digit| digit == b'0') || address == hex_of(at.ip()));
        let uid = fields.nth(5)?.parse().ok()?;
        receives.then_some(uid)
    };
    table.lines().skip(1).filter_map(user).collect()
}

/// An address as the kernel prints it: each four bytes as a number of this machine.
fn hex_of(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let word =
        |four: &[u8]| format!("{:08X}", u32::from_ne_bytes([four[0], four[1], four[2], four[3]]));
    bytes.chunks_exact(4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";

    /// A root directory with these sockets (address, user) at port 323, and this first port that
    /// any user may bind.
    fn host(name: &str, udp: &[(&str, u32)], udp6: &[(&str, u32)], first: u16) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("truechimer-port-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("proc/net")).expect("a directory");
        fs::create_dir_all(root.join("proc/sys/net/ipv4")).expect("a directory");
        fs::create_dir_all(root.join("etc")).expect("a directory");
        let table = |sockets: &[(&str, u32)]| {
            let line = |(at, uid): &(&str, u32)| {
                format!(
                    "  512: {at}:0143 00000000:0000 07 00000000:00000000 00:00000000 00000000 {uid:5}        0 12345 2 0 0\n"
                )
            };
            HEAD.to_owned() + &sockets.iter().map(line).collect::<String>()
        };
        fs::write(root.join("proc/net/udp"), table(udp)).expect("written");
        fs::write(root.join("proc/net/udp6"), table(udp6)).expect("written");
        let start = root.join("proc/sys/net/ipv4/ip_unprivileged_port_start");
        fs::write(start, format!("{first}\n")).expect("written");
        let passwd =
            "root:x:0:0::/root:/bin/sh\n_chrony:x:103:106::/:/bin/false\nntp:x:104:1::/:/\n";
        fs::write(root.join("etc/passwd"), passwd).expect("written");
        root
    }

    #[test]
    fn only_root_and_chronys_user_are_taken_for_chronyd() {
        let v4: SocketAddr = "127.0.0.1:323".parse().expect("an address");
        let v6: SocketAddr = "[::1]:323".parse().expect("an address");
        let (loopback, any, other) = ("0100007F", "00000000", "0200007F");
        let (loopback6, any6) =
            ("00000000000000000000000001000000", "00000000000000000000000000000000");
        type Sockets<'a> = &'a [(&'a str, u32)];
        let cases: [(&str, Sockets, Sockets, u16, SocketAddr, bool); 13] = [
            ("root", &[(loopback, 0)], &[], 0, v4, true),
            ("its-user", &[(loopback, 103)], &[], 0, v4, true),
            ("a-user", &[(loopback, 1000)], &[], 0, v4, false),
            ("ntps-user", &[(loopback, 104)], &[], 0, v4, false),
            ("a-user-on-any-address", &[(any, 1000)], &[], 1024, v4, false),
            ("a-user-elsewhere", &[(loopback, 0), (other, 1000)], &[], 0, v4, true),
            ("one-of-two", &[(loopback, 0), (any, 1000)], &[], 0, v4, false),
            ("both-families", &[], &[(any6, 1000)], 0, v4, false),
            ("v6-root", &[], &[(loopback6, 0)], 0, v6, true),
            ("v6-user", &[(loopback, 0)], &[(loopback6, 1000)], 0, v6, false),
            ("unmapped", &[(loopback, OVERFLOW_UID)], &[], 1024, v4, true),
            ("unmapped-and-open", &[(loopback, OVERFLOW_UID)], &[], 0, v4, false),
            ("not-listed", &[], &[], 1024, v4, true),
        ];
        for (name, udp, udp6, first, at, is_trusted) in cases {
            let root = host(name, udp, udp6, first);
            let got = PortOwner::CHRONY.check(at, &root);
            assert_eq!(got.is_ok(), is_trusted, "{name}: {got:?}");
            let _ = fs::remove_dir_all(root);
        }
        let nowhere = Path::new("/nonexistent");
        assert!(PortOwner::NTPD.check(v4, nowhere).is_ok(), "a system without /proc");
    }
}
