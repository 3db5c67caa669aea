//! What each [`Fault`] does to the world.

use std::time::Duration;

use super::NodeId;
use super::fault::Fault;
use super::hardware::utc_offset_s;
use super::node::Node;
use super::random::nanos;
use super::world::World;
use crate::scale::LeapTable;
use crate::timestamp::NANOS_PER_SECOND;

impl<N: Node> World<N> {
    /// Makes `fault` happen now. A fault of a node that does not exist does nothing.
    pub(super) fn apply_fault(&mut self, fault: Fault) {
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
                self.hosts[id.index()].hardware().suspend(now, until, rtc_error);
                self.wake_sampler_after(id, until - now);
            }
            Fault::StopVm(id, lasts) => {
                let until = self.stand_still(id, lasts);
                self.hosts[id.index()].hardware().stop(now, until);
            }
            Fault::Migrate(id, ppm) => {
                self.hosts[id.index()].hardware().change_frequency(now, ppm);
            }
            Fault::MoveVm(id, lasts, ppm, ticks, updates) => {
                let until = self.stand_still(id, lasts);
                let mut hardware = self.hosts[id.index()].hardware();
                hardware.discipline.overlook(now, now - until, updates);
                hardware.stop(now, until);
                hardware.change_frequency(until, ppm);
                hardware.replace_counter(until, ticks);
                hardware.disrupt();
            }
            Fault::Crash(id) => self.crash(id),
            Fault::Restart(id) => self.start(id),
            Fault::Partition(groups) => self.network.partition(&groups),
            Fault::Cut(from, to) => self.network.cut(from, to),
            Fault::Heal => self.network.heal(),
            Fault::StepClock(id, by) => {
                self.hosts[id.index()].hardware().step(now, by);
                self.sample_soon(id);
            }
            Fault::ForeignStep(id, by, updates) => {
                let mut hardware = self.hosts[id.index()].hardware();
                hardware.step(now, by);
                hardware.discipline.overlook(now, by, updates);
                drop(hardware);
                self.sample_soon(id);
            }
            Fault::ShowOtherTime(id, by) => {
                self.hosts[id.index()].hardware().show_other_time(by);
            }
            Fault::Restore(id, ticks) => {
                self.hosts[id.index()].hardware().replace_counter(now, ticks);
                self.hosts[id.index()].clock.restored();
            }
            Fault::StopRawClock(id) => self.hosts[id.index()].hardware().stop_raw_clock(now),
            Fault::Slew(id, by) => {
                let mut hardware = self.hosts[id.index()].hardware();
                hardware.advance(now);
                hardware.kernel.adjtime(by);
            }
            Fault::LoseTimeServer(id, lasts) => {
                let until = now.saturating_add(nanos(lasts));
                self.hosts[id.index()].hardware().lose_time_server(until);
            }
            Fault::KillDaemon(id) => self.hosts[id.index()].hardware().discipline.die(),
            Fault::Lie(id, by) => self.hosts[id.index()].hardware().discipline.lie(by),
            Fault::DenyClock(id, clock) => self.hosts[id.index()].hardware().deny(clock),
            Fault::Fork(id, in_round) => self.hosts[id.index()].clock.fork(in_round),
            Fault::Reassume(id) => self.reassume(id),
            Fault::UpdateLeapTable(id) => self.update_leap_table(id),
            Fault::AnnounceLeap(id, leap) => {
                let mut hardware = self.hosts[id.index()].hardware();
                hardware.advance(now);
                hardware.kernel.announce_leap(leap);
                let unix_s = now / NANOS_PER_SECOND - utc_offset_s(now);
                hardware.discipline.expect_leap((unix_s / 86_400 + 1) * 86_400, leap);
            }
        }
    }

    /// The operator checks the wall clock, and states its error again if the clock is within it.
    fn reassume(&mut self, id: NodeId) {
        let now = self.now_ns();
        let host = &self.hosts[id.index()];
        let Some(error) = host.machine.assume_error else { return };
        let is_within = {
            let mut hardware = host.hardware();
            hardware.wall_clock_error_ns(now).unsigned_abs() < nanos(error).unsigned_abs() * 9 / 10
        };
        if is_within {
            host.clock.reassume();
        }
    }

    /// The program installs a leap table that lists the leap second of this world.
    fn update_leap_table(&mut self, id: NodeId) {
        let host = &self.hosts[id.index()];
        let leap = host.hardware().discipline.leap();
        let builtin = LeapTable::builtin();
        let mut entries: Vec<(i64, i32)> = builtin
            .entries()
            .map(|entry| (entry.since.nanos() / NANOS_PER_SECOND, entry.tai_minus_utc))
            .collect();
        let last = entries.last().copied().unwrap_or_default();
        if let Some((at, leap)) = leap.filter(|&(at, _)| at > last.0) {
            entries.push((at, last.1 + leap));
        }
        if let Ok(table) = LeapTable::from_entries(&entries) {
            host.clock.set_leap_table(table);
        }
    }

    fn freeze(&mut self, id: NodeId, lasts: Duration) {
        let until = self.now_ns().saturating_add(nanos(lasts));
        let host = &mut self.hosts[id.index()];
        host.frozen_until = host.frozen_until.max(until);
    }

    /// Stops the whole machine for a while. Returns the moment at which it goes on.
    fn stand_still(&mut self, id: NodeId, lasts: Duration) -> i64 {
        let now = self.now_ns();
        let host = &mut self.hosts[id.index()];
        // A machine that stands still already stands still for longer.
        let from = host.asleep_until.max(now);
        let until = from.saturating_add(nanos(lasts));
        host.stood_still += until - now;
        host.asleep_until = until;
        host.frozen_until = host.frozen_until.max(until);
        until
    }

    /// How long the machine will still stand still, in ns. At most 0 if it runs.
    pub(super) fn asleep_for(&self, id: NodeId) -> i64 {
        self.hosts[id.index()].asleep_until - self.now_ns()
    }
}
