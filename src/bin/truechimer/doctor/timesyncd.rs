//! timesyncd's last exchange with its server, as the system bus has it.

use serde::Serialize;
use truechimer::UnixTime;
use truechimer::source::timesyncd::{self, BusError, NtpMessage};

use crate::output::Page;

/// What timesyncd publishes.
#[derive(Serialize)]
pub struct TimesyncdView {
    /// `null` if it cannot be heard.
    pub exchange: Option<NtpMessage>,
    /// How long ago that was, by the wall clock.
    pub age_s: Option<i64>,
    /// Why the exchange states no interval; `null` if it does.
    pub refusal: Option<String>,
    /// Why timesyncd cannot be heard; `null` if it can, or does not run.
    pub error: Option<String>,
}

impl TimesyncdView {
    /// Asks timesyncd, when the wall clock shows `now`.
    pub fn gather(now: UnixTime) -> TimesyncdView {
        TimesyncdView::of(timesyncd::last_exchange(), now)
    }

    fn of(asked: Result<NtpMessage, BusError>, now: UnixTime) -> TimesyncdView {
        let none = TimesyncdView { exchange: None, age_s: None, refusal: None, error: None };
        match asked {
            Ok(exchange) => {
                let refusal = exchange.check().err().map(|why| why.to_string());
                let age_ns =
                    now.nanos().saturating_sub(exchange.destination_us.saturating_mul(1_000));
                let age_s = (exchange.packet_count > 0).then(|| age_ns.div_euclid(1_000_000_000));
                TimesyncdView { exchange: Some(exchange), age_s, refusal, ..none }
            }
            // Most hosts have none, which needs no line.
            Err(BusError::NoBus { .. } | BusError::NotRunning) => none,
            Err(error) => TimesyncdView { error: Some(error.to_string()), ..none },
        }
    }

    pub fn lines(&self, page: &mut Page) {
        if let Some(text) = self.to_text() {
            page.line("timesyncd", &text);
        }
    }

    fn to_text(&self) -> Option<String> {
        let exchange = match (&self.exchange, &self.error) {
            (Some(exchange), _) => exchange,
            (None, error) => return error.clone(),
        };
        let Some(age_s) = self.age_s else { return self.refusal.clone() };
        let mut text = format!("its last exchange, {age_s} s ago by the wall clock: {exchange}");
        if exchange.spike {
            text += ", which it took for an outlier";
        }
        if let Some(refusal) = &self.refusal {
            text += &format!("; it states no interval: {refusal}");
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_timesyncd_has_no_line_and_one_that_is_silent_has() {
        let now = UnixTime::from_nanos(0);
        for absent in [BusError::NotRunning, BusError::NoBus { path: "/nowhere".into() }] {
            let view = TimesyncdView::of(Err(absent), now);
            assert!(view.to_text().is_none() && view.error.is_none());
        }
        let silent = TimesyncdView::of(Err(BusError::Silent { path: "/run/bus".into() }), now);
        assert!(silent.to_text().is_some_and(|text| text.contains("/run/bus")));
        assert!(silent.error.is_some() && silent.exchange.is_none());
    }
}
