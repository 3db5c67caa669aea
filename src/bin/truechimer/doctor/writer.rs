//! What chronyd and ntpd state of themselves: what they follow, and how far away it is.
//!
//! Whether that makes the kernel's bound believed is the library's judgement, and stands under
//! `Sources of time`. Here are the facts that it rests on, whatever the judgement is.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use truechimer::source::chrony::{self, Tracking};
use truechimer::source::ntpd::{self, SystemVariables};

use crate::output::{Page, rounded_up};

/// The answers of the daemons that can be asked.
#[derive(Serialize, Default)]
pub struct WriterView {
    /// chronyd's TRACKING report; `null` if it does not answer.
    pub chrony: Option<Tracking>,
    /// Why it does not.
    pub chrony_error: Option<String>,
    /// ntpd's system variables; `null` if it does not answer.
    pub ntpd: Option<SystemVariables>,
    /// Why it does not.
    pub ntpd_error: Option<String>,
}

impl WriterView {
    pub fn gather() -> WriterView {
        let (chrony, chrony_error) = split(chrony::tracking());
        let (ntpd, ntpd_error) = split(ntpd::system_variables());
        WriterView { chrony, chrony_error, ntpd, ntpd_error }
    }

    pub fn lines(&self, page: &mut Page) {
        match (&self.chrony, &self.chrony_error) {
            (Some(tracking), _) => page.line("chronyd", &text_of_chrony(tracking)),
            (None, Some(why)) => page.line("chronyd", &format!("no answer: {why}")),
            (None, None) => {}
        }
        // A host without ntpd needs no line about it.
        if let Some(variables) = &self.ntpd {
            page.line("ntpd", &text_of_ntpd(variables));
        }
    }

    /// The name of the reference clock that the daemon follows, if it is one.
    pub fn reference_clock(&self) -> Option<String> {
        let chrony = self.chrony.as_ref().filter(|chrony| chrony.reference.is_reference_clock());
        let ntpd = self.ntpd.as_ref().filter(|ntpd| ntpd.is_reference_clock());
        chrony
            .map(|chrony| chrony.reference.to_string())
            .or_else(|| ntpd.map(|ntpd| ntpd.refid.clone()))
    }

    /// The server that chronyd follows, if it is near: on this link, or in a private network.
    pub fn near_server(&self) -> Option<IpAddr> {
        let address = self.chrony.as_ref()?.reference.address?;
        let is_near = match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unique_local(),
        };
        is_near.then_some(address)
    }

    /// How far the time of chronyd's server may be off when it arrives here (RFC 5905, 11.2).
    pub fn root_distance(&self) -> Option<Duration> {
        let chrony = self.chrony.as_ref()?;
        Some(Duration::from_nanos(chrony.root_delay_ns / 2 + chrony.root_dispersion_ns))
    }

    /// How long it was between chronyd's last two updates.
    pub fn update_interval(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.chrony.as_ref()?.update_interval).ok()
    }

    /// Whether chronyd follows only its own clock.
    pub fn is_local(&self) -> bool {
        self.chrony.as_ref().is_some_and(|chrony| chrony.reference.is_local())
    }
}

fn split<T, E: ToString>(answer: Result<T, E>) -> (Option<T>, Option<String>) {
    match answer {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(error.to_string())),
    }
}

fn nanos(nanos: u64) -> String {
    rounded_up(Duration::from_nanos(nanos))
}

fn text_of_chrony(tracking: &Tracking) -> String {
    let kind = if tracking.reference.is_reference_clock() {
        "the reference clock "
    } else if tracking.reference.is_local() {
        "nothing but its own "
    } else {
        ""
    };
    format!(
        "it follows {kind}{} (reference ID {:08X}) at stratum {}; {}; root delay {}, root \
         dispersion {}; its last two updates were {:.0} s apart",
        tracking.reference,
        tracking.reference.id,
        tracking.stratum,
        tracking.leap,
        nanos(tracking.root_delay_ns),
        nanos(tracking.root_dispersion_ns),
        tracking.update_interval,
    )
}

fn text_of_ntpd(variables: &SystemVariables) -> String {
    let state = variables.follows_nothing().unwrap_or("it is synchronised");
    format!(
        "it follows {} at stratum {}; {state}; root delay {}, root dispersion {} ({})",
        variables.refid,
        variables.stratum,
        nanos(variables.root_delay_ns),
        nanos(variables.root_dispersion_ns),
        variables.version.escape_debug(),
    )
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use truechimer::source::chrony::{Leap, Reference};

    pub fn tracking() -> Tracking {
        // The bytes of a reply, because the type cannot be made outside of the library.
        let mut packet = [0u8; chrony::tracking::PACKET];
        packet[..8].copy_from_slice(&[6, 2, 0, 0, 0, 33, 0, 5]);
        packet[28..32].copy_from_slice(b"PHC0");
        packet[53] = 1;
        Tracking::decode(&packet, 0).expect("well formed")
    }

    #[test]
    fn what_is_followed_is_shown_in_all_cases() {
        let server = Reference { id: 0xc000_0201, address: Some([192, 0, 2, 1].into()) };
        let local = Reference { id: Reference::LOCAL, address: None };
        let unsynchronized = Tracking { leap: Leap::Unsynchronized, ..tracking() };
        let cases = [
            (tracking(), "the reference clock PHC0 (reference ID 50484330) at stratum 1"),
            (Tracking { reference: server, ..tracking() }, "it follows 192.0.2.1"),
            (Tracking { reference: local, ..tracking() }, "nothing but its own local clock"),
            (unsynchronized, "not synchronised; root delay 0 ns"),
        ];
        for (tracking, part) in cases {
            let text = text_of_chrony(&tracking);
            assert!(text.contains(part), "{part}: {text}");
            assert!(text.contains("root dispersion"), "{text}");
        }
    }

    #[test]
    fn a_server_is_near_on_this_link_and_in_private_networks() {
        let followed = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            let reference = Reference { id: 0xa9fe_a97b, address: Some(address) };
            let chrony = Some(Tracking { reference, ..tracking() });
            WriterView { chrony, ..WriterView::default() }.near_server()
        };
        for near in ["169.254.169.123", "10.0.0.1", "192.168.1.1", "fe80::1", "fd00:ec2::123"] {
            assert_eq!(followed(near), near.parse().ok(), "{near}");
        }
        for far in ["162.159.200.1", "2001:db8::1"] {
            assert_eq!(followed(far), None, "{far}");
        }
        assert_eq!(WriterView::default().near_server(), None);
    }

    #[test]
    fn a_reference_clock_is_told_from_a_server() {
        let view = |chrony| WriterView { chrony: Some(chrony), ..WriterView::default() };
        assert_eq!(view(tracking()).reference_clock().as_deref(), Some("PHC0"));
        let server = Reference { id: 0xc000_0201, address: Some([192, 0, 2, 1].into()) };
        assert_eq!(view(Tracking { reference: server, ..tracking() }).reference_clock(), None);
    }
}
