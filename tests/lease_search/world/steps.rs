//! What can happen in a world, and which readings its clocks may give.

use truechimer::Interval;

use super::*;

impl World {
    /// Everything that can happen now. What changes nothing may be among it.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.now < self.size.ticks {
            steps.push(Step::Tick);
        }
        for at in 0..self.sent.len() {
            // A remembered answer does not depend on the clock.
            let is_remembered = !self.sent[at].answers.is_empty()
                && !self.sent[at].is_forgotten
                && !self.size.both_ends;
            let readings = if is_remembered { 1 } else { usize::MAX };
            let uses_latest = self.size.both_ends || self.fault == Fault::GrantorUsesTheMidpoint;
            let truth = self.truth();
            let varies = move |now: &Interval| uses_latest || now.latest() == truth;
            let readings = self.readings().filter(varies).take(readings);
            steps.extend(readings.map(|now| Step::Deliver(at, now)));
            for answer in 0..self.sent[at].answers.len() {
                let changes_nothing = match self.sent[at].answers[answer] {
                    Ok(decision) => decision.grant().is_none(),
                    // Only the next request of a holder tells what it has seen.
                    Err(_) => self.nodes.iter().all(|node| node.asked >= self.size.requests),
                };
                if !changes_nothing {
                    let right = self.addressee(at, answer);
                    let may_reach = |to: &usize| self.size.both_ends || *to == right;
                    let nodes = [0, 1].into_iter().filter(may_reach);
                    steps.extend(nodes.map(|to| Step::Answer { command: at, answer, to }));
                }
            }
        }
        for at in 0..self.nodes.len() {
            self.steps_of(at, &mut steps);
        }
        if self.grantor.current().is_some() {
            steps.extend(self.with_earliest().map(Step::Expire));
        }
        // No token is above the true time of its grant, because a grant takes more than a
        // nanosecond. Here it takes no time, so a restart comes when time has caught up.
        if self.restarts_left > 0 && self.newest.get() <= self.truth().tai_nanos() as u64 {
            steps.extend(self.readings().map(Step::RestartWithoutState));
            if self.stored.is_some() {
                steps.extend(self.readings().map(Step::RestartWithTheOldState));
            } else if self.grantor.current().is_some() && self.size.requests == 1 {
                steps.push(Step::Store);
            }
        }
        steps
    }

    /// The node that an answer is for. A refusal of a lease's command is told to A.
    fn addressee(&self, at: usize, answer: usize) -> usize {
        let sent = &self.sent[at];
        let granted = sent.answers[answer].ok().and_then(Decision::grant);
        let holder = match (granted, sent.command) {
            (Some(grant), _) => Some(grant.holder),
            (None, Command::Acquire { holder, .. }) => Some(holder),
            _ => None,
        };
        holder.map_or(0, |id| id.0 as usize - 1)
    }

    fn steps_of(&self, at: usize, steps: &mut Vec<Step>) {
        let node = &self.nodes[at];
        if node.pending.is_some() {
            steps.extend(self.with_earliest().map(|now| Step::Show(at, now)));
        }
        let Some(held) = &node.lease else {
            // The nodes are alike until one of them has asked. So the first one asks first.
            // In a world with restarts A asks once, to keep it small.
            let requests = if at == 0 && self.size.restarts > 0 { 1 } else { self.size.requests };
            if node.asked < requests && (at == 0 || !self.sent.is_empty()) {
                steps.push(Step::Ask(at));
            }
            return;
        };
        if node.asked < self.size.requests {
            steps.push(Step::Drop(at));
        }
        if self.size.writes {
            steps.push(Step::Write(at));
        }
        if node.stamps_left > 0 {
            steps.extend(self.with_latest().map(|now| Step::Stamp(at, now)));
        }
        if held.commands < self.size.commands {
            if held.commands + 1 < self.size.commands {
                steps.push(Step::Renew(at));
            }
            steps.extend(self.with_earliest().map(|now| Step::Release(at, now)));
            let is_transfer = |sent: &&Sent| matches!(sent.command, Command::Transfer { .. });
            if self.sent.iter().filter(is_transfer).count() < self.size.transfers {
                steps.extend(self.with_earliest().map(|now| Step::Transfer(at, now)));
            }
        }
    }

    /// Every interval on the grid that contains true time and is no wider than allowed.
    fn readings(&self) -> impl Iterator<Item = Interval> + use<> {
        let (now, error) = (self.now, self.size.error);
        (0..=error)
            .flat_map(move |before| (0..=error).map(move |after| span(now - before, now + after)))
    }

    /// Those that differ in `earliest`, for code that uses only it.
    fn with_earliest(&self) -> impl Iterator<Item = Interval> + use<> {
        let (size, latest) = (self.size, at(self.now));
        self.readings().filter(move |now| size.both_ends || now.latest() == latest)
    }

    /// Those that differ in `latest`, for code that uses only it.
    fn with_latest(&self) -> impl Iterator<Item = Interval> + use<> {
        let (size, earliest) = (self.size, at(self.now));
        self.readings().filter(move |now| size.both_ends || now.earliest() == earliest)
    }
}
