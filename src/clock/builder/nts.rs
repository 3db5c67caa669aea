//! Servers of authenticated NTP.

use super::ClockBuilder;

impl ClockBuilder {
    /// Asks these servers as [`ntp`](Self::ntp) does, with NTS (RFC 8915): each reply proves
    /// which server it is from. The names are those of key servers, with a port if it is not 4460.
    ///
    /// A server whose certificate is not valid, or whose replies are not authentic, is never used;
    /// the report says why. NTS proves who answers, and not that the answer is right, so three servers
    /// are needed as without it. See
    /// [`Ntp::nts`](crate::source::ntp::Ntp::nts).
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use truechimer::Clock;
    ///
    /// let servers = ["nts.netnod.se", "time.cloudflare.com", "ptbtime1.ptb.de"];
    /// let clock = Clock::builder().ntp_nts(servers).build()?;
    /// println!("{}", clock.wait_synchronized(Duration::from_secs(10))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ntp_nts<S: Into<String>>(self, servers: impl IntoIterator<Item = S>) -> ClockBuilder {
        self.with_ntp(|ntp| ntp.and_nts(servers))
    }

    /// Believes the certificates of these authorities alone (PEM), instead of those that this
    /// system trusts. For NTS servers with certificates of a private authority.
    ///
    /// ```no_run
    /// use truechimer::Clock;
    ///
    /// let clock = Clock::builder()
    ///     .ntp_nts(["ntp1.internal", "ntp2.internal", "ntp3.internal"])
    ///     .ntp_nts_authorities(std::fs::read("/etc/ssl/our-authority.pem")?)
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ntp_nts_authorities(self, pem: impl AsRef<[u8]>) -> ClockBuilder {
        self.with_ntp(|ntp| ntp.nts_authorities(pem))
    }
}
