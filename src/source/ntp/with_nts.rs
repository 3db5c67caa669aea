//! [`Ntp`]'s settings of servers that are asked with NTS.

use super::Ntp;

impl Ntp {
    /// These servers, asked with NTS (RFC 8915), so that each reply proves whose it is: names
    /// of key servers, with a port if it is not 4460.
    ///
    /// The key server's certificate has to be for that name, and of an authority that this system
    /// trusts, or that [`nts_authorities`](Self::nts_authorities) names. Only TLS 1.3 is spoken. A
    /// server is never asked without NTS instead: while there are no keys it has no word, and the
    /// report has the reason. Keys are agreed on again when the server no longer knows its
    /// cookies, or all of them are lost; a failed try is repeated after a second, and each
    /// further one after twice as long, up to 64 s.
    ///
    /// NTS proves who answers, and not that the answer is right. So three servers are asked for
    /// as in [`new`](Self::new).
    ///
    /// ```no_run
    /// use truechimer::Clock;
    /// use truechimer::source::ntp::Ntp;
    ///
    /// let ntp = Ntp::nts(["nts.netnod.se", "time.cloudflare.com", "ptbtime1.ptb.de:4460"]);
    /// let clock = Clock::builder().ntp_with(ntp).build()?;
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn nts<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Ntp {
        Ntp::new::<String>([]).and_nts(servers)
    }

    /// These servers too, with NTS.
    pub fn and_nts<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Ntp {
        self.settings.nts.names.extend(servers.into_iter().map(Into::into));
        self
    }

    /// Believes the certificates of these authorities alone, instead of those that this system
    /// trusts. They are certificates in PEM, one after the other.
    ///
    /// For servers with certificates of a private authority. A server's own certificate is no
    /// authority, unless it says that it is one. What is wrong with the text shows in
    /// [`check`](Self::check), and so when the clock is built.
    ///
    /// ```
    /// use truechimer::source::ntp::Ntp;
    ///
    /// let ntp = Ntp::nts(["a.example", "b.example", "c.example"]).nts_authorities("no certificate");
    /// assert!(ntp.check().is_err());
    /// ```
    pub fn nts_authorities(mut self, pem: impl AsRef<[u8]>) -> Ntp {
        self.settings.nts.trust_only(pem.as_ref());
        self
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::scale::Smear;
    use crate::source::RealtimeScale;
    use crate::source::ntp::nts::AuthoritiesError;
    use crate::source::ntp::settings::NtpError;

    const AUTHORITY: &[u8] = include_bytes!("../../../tests/nts/certificates/authority.pem");

    #[test]
    fn a_key_server_has_another_port_and_its_keys() {
        let ntp = Ntp::nts(["a.example", "b.example:4461", "[2001:db8::1]"]).and(["c.example"]);
        let servers = ntp.settings.servers().expect("good");
        let shown: Vec<_> = servers.iter().map(|s| (&*s.host, s.port, s.keys.is_some())).collect();
        let expected = [
            ("c.example", 123, false),
            ("a.example", 4460, true),
            ("b.example", 4461, true),
            ("2001:db8::1", 4460, true),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_wrong_with_key_servers_is_told() {
        let three = || Ntp::nts(["a", "b", "c"]);
        for (ntp, expected) in [
            (three(), None),
            (three().nts_authorities(AUTHORITY), None),
            (three().and_nts(["d e"]), Some(NtpError::KeyServer("d e".into()))),
            (three().and_nts(["b:4460"]), Some(NtpError::Twice("b:4460".into()))),
            // It would have two words.
            (three().and(["a"]), Some(NtpError::Twice("a".into()))),
            (Ntp::nts(["a", "b"]), Some(NtpError::TooFew(2))),
            (Ntp::nts(["a", "b"]).and(["c"]), None),
            (Ntp::nts(["a"]).trust_single(), None),
            (Ntp::nts::<&str>([]), Some(NtpError::NoServer)),
            (three().nts_authorities(""), Some(NtpError::Authorities(AuthoritiesError::None))),
        ] {
            assert_eq!(ntp.check().err(), expected);
        }
    }

    #[test]
    fn a_key_server_may_smear() {
        let smeared = RealtimeScale::Smeared(Smear::Google);
        let ntp = Ntp::nts(["a", "b", "c"]).server_on_scale("b", smeared);
        let scales: Vec<_> =
            ntp.settings.servers().expect("good").iter().map(|server| server.scale).collect();
        assert_eq!(scales, [RealtimeScale::Utc, smeared, RealtimeScale::Utc]);
    }
}
