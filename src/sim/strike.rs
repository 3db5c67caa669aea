//! What each [`Fault`] does to the world.

use std::time::Duration;

use super::NodeId;
use super::fault::Fault;
use super::machine::utc_offset_s;
use super::node::Node;
use super::random::nanos;
use super::world::World;

impl<N: Node> World<N> {
    /// Makes `fault` happen now. One that names a node which is not there does nothing.
    pub(super) fn strike(&mut self, fault: Fault) {
        if fault.node().is_some_and(|id| id.index() >= self.hosts.len()) {
            return;
        }
        let now = self.now_ns();
        match fault {
            Fault::Pause(id, lasts) => self.freeze(id, lasts),
            Fault::StopSampler(id, lasts) => {
                let host = &mut self.hosts[id.index()];
                host.sampler_stopped_until =
                    host.sampler_stopped_until.max(now.saturating_add(nanos(lasts)));
            }
            Fault::Suspend(id, lasts, rtc_error) => {
                let until = self.stand_still(id, lasts);
                self.hosts[id.index()].hardware.lock().suspend(now, until, rtc_error);
                self.wake_sampler_after(id, until - now);
            }
            Fault::StopVm(id, lasts) => {
                let until = self.stand_still(id, lasts);
                self.hosts[id.index()].hardware.lock().stop(now, until);
            }
            Fault::Migrate(id, ppm) => {
                self.hosts[id.index()].hardware.lock().change_frequency(now, ppm);
            }
            Fault::Crash(id) => self.crash(id),
            Fault::Restart(id) => self.start(id),
            Fault::Partition(groups) => self.network.partition(&groups),
            Fault::Cut(from, to) => self.network.cut(from, to),
            Fault::Heal => self.network.heal(),
            Fault::StepClock(id, by) => {
                {
                    let mut hardware = self.hosts[id.index()].hardware.lock();
                    hardware.advance(now);
                    hardware.kernel.step_by(by);
                }
                self.sample_soon(id);
            }
            Fault::Slew(id, by) => {
                let mut hardware = self.hosts[id.index()].hardware.lock();
                hardware.advance(now);
                hardware.kernel.adjtime(by);
            }
            Fault::LoseTimeServer(id, lasts) => {
                let until = now.saturating_add(nanos(lasts));
                self.hosts[id.index()].hardware.lock().lose_time_server(until);
            }
            Fault::KillDaemon(id) => self.hosts[id.index()].hardware.lock().discipline.die(),
            Fault::Lie(id, by) => self.hosts[id.index()].hardware.lock().discipline.lie(by),
            Fault::AnnounceLeap(id, leap) => {
                let mut hardware = self.hosts[id.index()].hardware.lock();
                hardware.advance(now);
                hardware.kernel.announce_leap(leap);
                let unix_s = now / 1_000_000_000 - utc_offset_s(now);
                hardware.discipline.expect_leap((unix_s / 86_400 + 1) * 86_400, leap);
            }
        }
    }

    fn freeze(&mut self, id: NodeId, lasts: Duration) {
        let until = self.now_ns().saturating_add(nanos(lasts));
        let host = &mut self.hosts[id.index()];
        host.frozen_until = host.frozen_until.max(until);
    }

    /// The whole machine does nothing for a while; until when.
    fn stand_still(&mut self, id: NodeId, lasts: Duration) -> i64 {
        let now = self.now_ns();
        let host = &mut self.hosts[id.index()];
        // One that stands still already goes on doing so.
        let from = host.asleep_until.max(now);
        let until = from.saturating_add(nanos(lasts));
        host.stood_still += until - now;
        host.asleep_until = until;
        host.frozen_until = host.frozen_until.max(until);
        until
    }

    /// For how long the machine will still stand still, in ns; not more than 0 if it runs.
    pub(super) fn asleep_for(&self, id: NodeId) -> i64 {
        self.hosts[id.index()].asleep_until - self.now_ns()
    }
}
