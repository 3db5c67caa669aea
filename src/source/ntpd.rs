//! ntpd's and ntpsec's own statement of what they follow: NTP's control messages (mode 6).
//!
//! Both write root delay / 2 + root dispersion as `maxerror`, which is a bound, if they follow a
//! server. An ntpd that follows only its own local clock (the LOCAL driver, or orphan mode)
//! writes a number too (11 ms was seen), and it is measured from nothing. The kernel does not
//! show the difference. ntpd does: any process on the host may read its system variables with
//! `ntpq -c rv`, and here the same request is made over UDP.
//!
//! Read next: [`control`] for the bytes, [`client`] for the socket, `check` for what the answer
//! means beside the kernel's bound. RFC 9327 describes the protocol.

pub(crate) mod check;
pub mod client;
pub mod control;

pub use client::NtpdError;
pub use control::{ControlError, SystemVariables};

use crate::source::daemons::{HostDaemons, TimeDaemons};

/// Requests the system variables of this host's ntpd.
///
/// # Errors
///
/// If no ntpd answers, or its answer makes no sense.
///
/// ```no_run
/// let variables = truechimer::source::ntpd::system_variables()?;
/// println!("ntpd follows {}, stratum {}", variables.refid, variables.stratum);
/// # Ok::<(), truechimer::source::ntpd::NtpdError>(())
/// ```
pub fn system_variables() -> Result<SystemVariables, NtpdError> {
    HostDaemons::default().ntpd_variables()
}
