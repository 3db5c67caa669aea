//! Exchanges of the machines' clocks with time servers, and what they hear on their buses, as
//! events.

use super::{Event, World};
use crate::sim::NodeId;
use crate::sim::bus::BusEvent;
use crate::sim::node::Node;
use crate::sim::ntp::NtpEvent;

/// A client that is down looks so much later, in ns, whether it is up again.
const DOWN_NS: i64 = 100_000_000;

impl<N: Node> World<N> {
    /// An event between a machine and the time servers that its clock asks.
    pub(super) fn exchange(&mut self, id: NodeId, event: NtpEvent) {
        let (now, began) = (self.now_ns(), self.began);
        let host = &self.hosts[id.index()];
        let is_at_server = matches!(event, NtpEvent::Request { .. });
        let frozen = host.frozen_until - now;
        if frozen > 0 && !is_at_server {
            return self.after(frozen, Event::Ntp(id, event));
        }
        let Some(client) = host.clock.ntp() else {
            // The process is down: its next one asks anew.
            if matches!(event, NtpEvent::Tick) {
                self.after(DOWN_NS, Event::Ntp(id, event));
            }
            return;
        };
        let is_reachable = host.hardware().is_reachable(now);
        let next = match event {
            NtpEvent::Tick => client.lock().tick(now - began, is_reachable),
            NtpEvent::Request { client: number, server, packet } => {
                let utc = host.hardware().discipline.utc_of_servers(now);
                client.lock().answer((number, server), &packet, (now - began, now), utc)
            }
            NtpEvent::Reply { client: number, server, packet } => {
                if is_reachable {
                    client.lock().receive(number, server, &packet);
                }
                Vec::new()
            }
        };
        for (delay, event) in next {
            self.after(delay, Event::Ntp(id, event));
        }
    }

    /// An event between a machine's clock and its bus.
    pub(super) fn hear(&mut self, id: NodeId, event: BusEvent) {
        let now = self.now_ns();
        let host = &self.hosts[id.index()];
        let frozen = host.frozen_until - now;
        if frozen > 0 {
            return self.after(frozen, Event::Bus(id, event));
        }
        let Some(client) = host.clock.bus() else {
            // The process is down: its next one listens anew.
            if matches!(event, BusEvent::Tick) {
                self.after(DOWN_NS, Event::Bus(id, event));
            }
            return;
        };
        let published = host.hardware().discipline.published();
        // Each reading of a clock takes time.
        host.hardware().set_sampling(true);
        let next = match event {
            BusEvent::Tick => client.lock().tick(now, published),
            BusEvent::Answer(request) => {
                client.lock().answer(request, published);
                Vec::new()
            }
        };
        host.hardware().set_sampling(false);
        for (delay, event) in next {
            self.after(delay, Event::Bus(id, event));
        }
    }
}
