//! [`TimeDaemons`]: the time daemons beside a clock, as its sources reach them.
//!
//! A source reaches a daemon over a socket, or finds it in the list of processes. This is the
//! outside world, like the host's clocks. So it is behind a trait, because a simulated
//! machine has daemons of its own.

use super::chrony::client::{ChronyError, Client, Endpoint};
use super::chrony::tracking::Tracking;
use super::daemon::{self, Daemon};

/// The time daemons of one machine.
pub(crate) trait TimeDaemons: Send {
    /// The visible daemons that could have written the kernel's bound.
    fn running(&mut self) -> Vec<Daemon>;

    /// chronyd's TRACKING report.
    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError>;
}

/// The daemons of the machine that this process runs on.
#[derive(Debug)]
pub(crate) struct HostDaemons {
    endpoints: Vec<Endpoint>,
    /// Which endpoint answered last.
    answered: Option<usize>,
}

impl Default for HostDaemons {
    fn default() -> HostDaemons {
        HostDaemons::with_chronyd_at(Endpoint::defaults())
    }
}

impl HostDaemons {
    /// The daemons of this machine, with a chronyd that answers at one of these endpoints.
    pub(crate) fn with_chronyd_at(endpoints: Vec<Endpoint>) -> HostDaemons {
        HostDaemons { endpoints, answered: None }
    }
}

impl TimeDaemons for HostDaemons {
    fn running(&mut self) -> Vec<Daemon> {
        daemon::running()
    }

    /// Sends the request to the endpoint that answered last, or to all in order if none did.
    ///
    /// Each request opens a socket of its own, because a clock needs none in between.
    fn chrony_tracking(&mut self) -> Result<Tracking, ChronyError> {
        let ask = |endpoint: &Endpoint| Client::to(endpoint.clone())?.tracking();
        if let Some(answered) = self.answered.take() {
            match ask(&self.endpoints[answered]) {
                Err(ChronyError::NotRunning { .. }) => {}
                answer => {
                    self.answered = Some(answered);
                    return answer;
                }
            }
        }
        let mut first_error = None;
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            match ask(endpoint) {
                Ok(tracking) => {
                    self.answered = Some(i);
                    return Ok(tracking);
                }
                // The first endpoint is the one that answers any user, so its error says most.
                Err(error) => first_error.get_or_insert(error),
            };
        }
        let nowhere = || ChronyError::NotRunning { at: "no endpoint".to_owned() };
        Err(first_error.unwrap_or_else(nowhere))
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
