//! [`TimeDaemons`]: the time daemons beside a clock, as its sources reach them.
//!
//! A source reaches a daemon over a socket, or finds it in the list of processes. This is the
//! outside world, like the host's clocks. So it is behind a trait, because a simulated
//! machine has daemons of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::chrony::chrony_fit::ChronyFit;
use super::chrony::client::{ChronyError, Client, Endpoint};
use super::chrony::source_stats::SourceStats;
use super::chrony::sources::ChronySource;
use super::chrony::tracking::Tracking;
use super::clockbound;
use super::daemon::{self, PortOwner, Running};
use super::ntpd::client::{self as ntpd, NtpdError};
use super::ntpd::control::SystemVariables;
use super::phc_error;
use super::writer::SegmentState;

/// The time daemons of one machine.
pub(crate) trait TimeDaemons: Send {
    /// The visible daemons that could have written the kernel's bound.
    fn running(&mut self) -> Running;

    /// chronyd's TRACKING report.
    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError>;

    /// What chronyd's estimate rests on. `None` if it has no sources.
    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        Ok(None)
    }

    /// ntpd's system variables.
    fn ntpd_variables(&mut self) -> Result<SystemVariables, NtpdError> {
        Err(NtpdError::NotRunning { at: ntpd::UDP })
    }

    /// What ClockBound's segment shows while the wall clock shows `unix_ns`.
    fn clockbound(&mut self, _unix_ns: i64) -> SegmentState {
        SegmentState::Missing
    }

    /// How far the reference clock of this name may be off by its driver's statement, in ns.
    fn reference_error_ns(&mut self, _name: &str) -> Option<u64> {
        None
    }
}

/// How long it is known whose program listens at a port.
const OWNER_KNOWN_FOR: Duration = Duration::from_secs(30);

/// The daemons of the machine that this process runs on.
#[derive(Debug)]
pub(crate) struct HostDaemons {
    endpoints: Vec<Endpoint>,
    /// Which endpoint answered last.
    answered: Option<usize>,
    /// Whether the programs at these endpoints must be root's or the daemon's own user's. At an
    /// endpoint that the operator named, the operator knows.
    checks_owner: bool,
    /// The port whose owner was found good last, and when.
    owner: Option<(SocketAddr, Instant)>,
    ntpd_at: SocketAddr,
}

impl Default for HostDaemons {
    fn default() -> HostDaemons {
        let daemons = HostDaemons::with_chronyd_at(Endpoint::defaults());
        HostDaemons { checks_owner: true, ..daemons }
    }
}

impl HostDaemons {
    /// The daemons of this machine, with a chronyd that answers at one of these endpoints.
    pub(crate) fn with_chronyd_at(endpoints: Vec<Endpoint>) -> HostDaemons {
        HostDaemons {
            endpoints,
            answered: None,
            checks_owner: false,
            owner: None,
            ntpd_at: ntpd::UDP,
        }
    }

    /// Whether the program at a port is root's or the daemon's own.
    fn check_owner(&mut self, at: SocketAddr, owner: PortOwner) -> Result<(), String> {
        let is_known = |(known, since): (SocketAddr, Instant)| {
            known == at && since.elapsed() < OWNER_KNOWN_FOR
        };
        if !self.checks_owner || self.owner.is_some_and(is_known) {
            return Ok(());
        }
        owner.check(at, Path::new("/"))?;
        self.owner = Some((at, Instant::now()));
        Ok(())
    }

    /// What chronyd answers at endpoint `i`.
    fn request<T>(
        &mut self,
        i: usize,
        ask: impl Fn(&mut Client) -> Result<T, ChronyError>,
    ) -> Result<T, ChronyError> {
        let endpoint = self.endpoints[i].clone();
        let answer = ask(&mut Client::to(endpoint.clone())?)?;
        match endpoint {
            Endpoint::Udp(at) => self
                .check_owner(at, PortOwner::CHRONY)
                .map_err(|why| ChronyError::Untrusted { at: at.to_string(), why })?,
            // Its directory belongs to chronyd.
            #[cfg(unix)]
            Endpoint::Unix(_) => {}
        }
        Ok(answer)
    }

    /// The sources that chronyd follows.
    pub(crate) fn chrony_sources(&mut self) -> Result<Vec<ChronySource>, ChronyError> {
        self.first_answer(Client::sources)
    }

    /// What chronyd has made of their polls.
    pub(crate) fn chrony_source_stats(&mut self) -> Result<Vec<SourceStats>, ChronyError> {
        self.first_answer(Client::source_stats)
    }

    /// Sends the request to the endpoint that answered last, or to all in order if none did.
    ///
    /// Each request opens a socket of its own, because a clock needs none in between.
    fn first_answer<T>(
        &mut self,
        ask: impl Fn(&mut Client) -> Result<T, ChronyError>,
    ) -> Result<T, ChronyError> {
        if let Some(answered) = self.answered.take() {
            match self.request(answered, &ask) {
                Err(ChronyError::NotRunning { .. }) => {}
                answer => {
                    self.answered = Some(answered);
                    return answer;
                }
            }
        }
        let mut first_error = None;
        for i in 0..self.endpoints.len() {
            match self.request(i, &ask) {
                Ok(answer) => {
                    self.answered = Some(i);
                    return Ok(answer);
                }
                // The first endpoint is the one that answers any user, so its error says most.
                Err(error) => first_error.get_or_insert(error),
            };
        }
        let nowhere = || ChronyError::NotRunning { at: "no endpoint".to_owned() };
        Err(first_error.unwrap_or_else(nowhere))
    }
}

impl TimeDaemons for HostDaemons {
    fn running(&mut self) -> Running {
        daemon::running()
    }

    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        self.first_answer(Client::tracking)
    }

    fn chrony_fit(&mut self) -> Result<Option<ChronyFit>, ChronyError> {
        self.first_answer(Client::fit)
    }

    fn ntpd_variables(&mut self) -> Result<SystemVariables, NtpdError> {
        let at = self.ntpd_at;
        let variables = ntpd::system_variables(at, ntpd::TIMEOUT)?;
        self.check_owner(at, PortOwner::NTPD).map_err(|why| NtpdError::Untrusted { at, why })?;
        Ok(variables)
    }

    fn clockbound(&mut self, unix_ns: i64) -> SegmentState {
        SegmentState::read(Path::new(clockbound::PATH), unix_ns)
    }

    fn reference_error_ns(&mut self, name: &str) -> Option<u64> {
        phc_error::of_reference(name, Path::new("/"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::thread;

    /// A stand-in for chronyd that answers one question.
    fn chronyd() -> (Endpoint, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
        let at = socket.local_addr().expect("it is bound");
        let thread = thread::spawn(move || {
            let mut request = [0; 104];
            let (_, from) = socket.recv_from(&mut request).expect("a question");
            let mut reply = [0; 104];
            reply[..8].copy_from_slice(&[6, 2, 0, 0, 0, 33, 0, 5]);
            reply[16..20].copy_from_slice(&request[8..12]);
            let _ = socket.send_to(&reply, from);
        });
        (Endpoint::Udp(at), thread)
    }

    #[test]
    fn the_first_endpoint_that_answers_is_used_and_the_first_error_told() {
        // Bound and never read, so that nothing else listens there meanwhile.
        let missing = Endpoint::Unix("/nonexistent/chronyd.sock".into());
        let (answering, thread) = chronyd();
        let mut daemons = HostDaemons::with_chronyd_at(vec![missing.clone(), answering]);
        assert!(daemons.chrony_tracking().is_ok());
        assert_eq!(daemons.answered, Some(1));
        thread.join().expect("it answered");

        let other = Endpoint::Unix("/nonexistent/other.sock".into());
        let mut daemons = HostDaemons::with_chronyd_at(vec![missing, other]);
        let error = daemons.chrony_tracking().expect_err("nothing listens").to_string();
        assert!(error.contains("not running") && error.contains("/chronyd.sock"), "{error}");
        assert_eq!(daemons.answered, None);
    }
}
