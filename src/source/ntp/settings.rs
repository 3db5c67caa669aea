//! [`Settings`]: which servers are asked and how, and what is wrong with a setting.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::source::RealtimeScale;

use super::authenticator::KeyExchange;
use super::judge::ENOUGH;
use super::poll::{FASTEST_POLL, PollSetting, SLOWEST_POLL};

/// Where NTP servers answer.
pub(crate) const PORT: u16 = 123;

/// Why servers cannot be asked as the settings say.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NtpError {
    /// No server was named.
    #[error("no NTP server is named: name {ENOUGH} or more")]
    NoServer,
    /// So few that a wrong one cannot be told from the others.
    #[error(
        "{0} NTP servers cannot show which of them is wrong: name {ENOUGH} or more, or call \
         `ntp_trust_single()` (`Ntp::trust_single`) if each of them may be taken at its word"
    )]
    TooFew(usize),
    /// The text is not a host with or without a port.
    #[error(
        "`{0}` is no NTP server: write a name or an address, and a port only if it is not {PORT}, \
         as in `time.example.org`, `192.0.2.1:{PORT}` or `[2001:db8::1]:{PORT}`"
    )]
    Server(String),
    /// One server is named twice, and would have two words.
    #[error("the NTP server `{0}` is named twice: each has one word")]
    Twice(String),
    /// The text is not the host of an NTS key server, with or without a port.
    #[cfg(feature = "nts")]
    #[error(
        "`{0}` is no key server of NTS: write a name or an address, and a port only if it is not \
         4460, as in `time.example.org`"
    )]
    KeyServer(String),
    /// The certificates of authorities cannot be used.
    #[cfg(feature = "nts")]
    #[error("the certificates of the NTS servers' authorities: {0}")]
    Authorities(super::nts::AuthoritiesError),
    /// The poll interval is out of range.
    #[error("the NTP poll is {0:?}: it must be from {FASTEST_POLL:?} to {SLOWEST_POLL:?}")]
    Poll(Duration),
    /// A setting is of a server that is not named.
    #[error("the scale of `{0}` is stated, but it is none of the NTP servers: name it as there")]
    NotNamed(String),
}

/// One server, as the operator named it.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) scale: RealtimeScale,
    pub(crate) keys: Option<Arc<dyn KeyExchange>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { name, scale, keys, .. } = self;
        let mut debug = f.debug_struct("Server");
        debug.field("name", name).field("scale", scale).field("nts", &keys.is_some()).finish()
    }
}

/// Which servers are asked, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// As they were named, so that a bad one is told when the clock is built.
    pub(crate) names: Vec<String>,
    #[cfg(feature = "nts")]
    pub(crate) nts: super::nts::NtsServers,
    pub(crate) scales: Vec<(String, RealtimeScale)>,
    pub(crate) all_on: RealtimeScale,
    /// What the daemon's servers show; UTC if it is not stated.
    pub(crate) daemon_on: Option<RealtimeScale>,
    pub(crate) of_daemon: bool,
    pub(crate) takes_one: bool,
    pub(crate) asks_each_address: bool,
    pub(crate) poll: PollSetting,
}

impl Settings {
    /// The servers, if all settings are good.
    ///
    /// # Errors
    ///
    /// The first setting that is not.
    pub(crate) fn servers(&self) -> Result<Vec<Server>, NtpError> {
        let named = self.names.iter().map(|name| self.server(name));
        let servers = named.collect::<Result<Vec<Server>, NtpError>>()?;
        #[cfg(feature = "nts")]
        let servers = {
            let mut servers = servers;
            let keys = self.nts.exchange().map_err(NtpError::Authorities)?;
            for name in &self.nts.names {
                servers.push(self.key_server(name, keys.clone())?);
            }
            servers
        };
        if servers.is_empty() && !self.of_daemon {
            return Err(NtpError::NoServer);
        }
        for (i, server) in servers.iter().enumerate() {
            let is_same = |other: &Server| {
                // Asked with NTS, the port is that of the key server.
                let is_same_port =
                    other.port == server.port || other.keys.is_some() != server.keys.is_some();
                is_same_port && other.host.eq_ignore_ascii_case(&server.host)
            };
            if servers[..i].iter().any(is_same) {
                return Err(NtpError::Twice(server.name.to_string()));
            }
        }
        // How many addresses a name has, or how many servers the daemon follows, shows later.
        let shows_later = self.of_daemon || self.asks_each_address;
        if servers.len() < ENOUGH && !self.takes_one && !shows_later {
            return Err(NtpError::TooFew(servers.len()));
        }
        let is_out_of_range = |every: &Duration| !(FASTEST_POLL..=SLOWEST_POLL).contains(every);
        if let Some(every) = self.poll.every.filter(is_out_of_range) {
            return Err(NtpError::Poll(every));
        }
        let is_named = |name: &String| servers.iter().any(|server| *server.name == **name);
        if let Some((name, _)) = self.scales.iter().find(|(name, _)| !is_named(name)) {
            return Err(NtpError::NotNamed(name.clone()));
        }
        Ok(servers)
    }

    #[cfg(feature = "nts")]
    fn key_server(&self, name: &str, keys: Arc<dyn KeyExchange>) -> Result<Server, NtpError> {
        let place = parse(name, super::nts::PORT);
        let (host, port) = place.ok_or_else(|| NtpError::KeyServer(name.to_owned()))?;
        let (host, scale) = (host.to_owned(), self.scale_of(name));
        Ok(Server { name: name.into(), host, port, scale, keys: Some(keys) })
    }

    fn scale_of(&self, name: &str) -> RealtimeScale {
        let stated = self.scales.iter().rev().find(|(of, _)| of == name);
        stated.map_or(self.all_on, |&(_, scale)| scale)
    }

    fn server(&self, name: &str) -> Result<Server, NtpError> {
        let (host, port) = parse(name, PORT).ok_or_else(|| NtpError::Server(name.to_owned()))?;
        let scale = self.scale_of(name);
        Ok(Server { name: name.into(), host: host.to_owned(), port, scale, keys: None })
    }
}

/// `host`, `host:port`, `address`, `[address]` or `[address]:port`. The other port is taken if none
/// is named.
fn parse(name: &str, usual: u16) -> Option<(&str, u16)> {
    let port = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|&port: &u16| is_number && port != 0)
    };
    let (host, port) = if let Some(rest) = name.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.split('%').next()?.parse::<std::net::Ipv6Addr>().ok()?;
        match rest.strip_prefix(':') {
            Some(text) => (host, port(text)?),
            None if rest.is_empty() => (host, usual),
            None => return None,
        }
    } else if name.split('%').next()?.parse::<std::net::Ipv6Addr>().is_ok() {
        (name, usual)
    } else {
        match name.split_once(':') {
            Some((host, text)) => (host, port(text)?),
            None => (name, usual),
        }
    };
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
    (!host.is_empty() && host.chars().all(is_word)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Smear;

    fn named(names: &[&str]) -> Settings {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Settings { names, ..Settings::default() }
    }

    #[test]
    fn a_server_is_a_name_or_an_address_with_or_without_a_port() {
        let cases = [
            ("time.example.org", Some(("time.example.org", 123))),
            ("time.example.org:1123", Some(("time.example.org", 1123))),
            ("192.0.2.1", Some(("192.0.2.1", 123))),
            ("192.0.2.1:65535", Some(("192.0.2.1", 65535))),
            ("2001:db8::1", Some(("2001:db8::1", 123))),
            ("[2001:db8::1]", Some(("2001:db8::1", 123))),
            ("[2001:db8::1]:9", Some(("2001:db8::1", 9))),
            ("fe80::1%2", Some(("fe80::1%2", 123))),
            ("", None),
            (" ", None),
            (":123", None),
            ("a:", None),
            ("a:0", None),
            ("a:65536", None),
            ("a:+1", None),
            ("a:b", None),
            ("a:1:2", None),
            ("[a]:1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("a b", None),
            ("a/b", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, PORT), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_setting_is_told() {
        let three = named(&["a", "b", "c"]);
        assert_eq!(three.servers().map(|servers| servers.len()), Ok(3));
        let poll =
            |ms, is_forced| PollSetting { every: Some(Duration::from_millis(ms)), is_forced };
        let smeared = RealtimeScale::Smeared(Smear::Google);
        let cases = [
            (named(&[]), NtpError::NoServer),
            (Settings { takes_one: true, ..named(&[]) }, NtpError::NoServer),
            (named(&["a"]), NtpError::TooFew(1)),
            (named(&["a", "b"]), NtpError::TooFew(2)),
            (named(&["a", "", "c"]), NtpError::Server(String::new())),
            (named(&["a", "b:0", "c"]), NtpError::Server("b:0".to_owned())),
            (named(&["a", "b", "A:123"]), NtpError::Twice("A:123".to_owned())),
            (
                Settings { poll: poll(9, true), ..three.clone() },
                NtpError::Poll(Duration::from_millis(9)),
            ),
            (
                Settings { poll: poll(131_072_001, false), ..three.clone() },
                NtpError::Poll(Duration::from_millis(131_072_001)),
            ),
            (
                Settings { scales: vec![("d".to_owned(), smeared)], ..three.clone() },
                NtpError::NotNamed("d".to_owned()),
            ),
        ];
        for (settings, error) in cases {
            assert_eq!(settings.servers().expect_err("a bad setting"), error);
            assert!(!error.to_string().is_empty());
        }
        let good = [
            Settings { takes_one: true, ..named(&["a"]) },
            Settings { asks_each_address: true, ..named(&["pool"]) },
            Settings { of_daemon: true, ..named(&[]) },
            Settings { poll: poll(10, false), ..three.clone() },
        ];
        assert!(good.iter().all(|settings| settings.servers().is_ok()));
        let one = Settings { scales: vec![("b".to_owned(), smeared)], ..three };
        let scales: Vec<RealtimeScale> =
            one.servers().expect("good").iter().map(|server| server.scale).collect();
        assert_eq!(scales, [RealtimeScale::Utc, smeared, RealtimeScale::Utc]);
    }
}
