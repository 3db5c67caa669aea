//! [`LockService`]: grants each shard's lease, and with it the token of the leader's view.
//!
//! It keeps nothing on disk. After a restart each [`Grantor`] is quiet until every lease that
//! it may have granted before has expired; see `truechimer::lease`.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use truechimer::lease::{Command, Decision, GrantError, Grantor};
use truechimer::sim::{Env, NodeId};
use truechimer::{Interval, TrueTime};

use super::layout::{Broken, Settings, Shard, since_began};
use super::message::Message;

pub struct LockService {
    settings: Rc<Settings>,
    /// Empty until the clock has a reading, because the quiet time is counted from one.
    grantors: HashMap<Shard, Grantor>,
}

const RETRY_EVERY: Duration = Duration::from_millis(50);

impl LockService {
    pub fn new(settings: Rc<Settings>, env: &mut Env<'_, Message>) -> LockService {
        let mut service = LockService { settings, grantors: HashMap::new() };
        service.timer(env);
        service
    }

    /// Makes the grantors, as soon as the clock has a reading.
    pub fn timer(&mut self, env: &mut Env<'_, Message>) {
        let Ok(now) = env.clock().now() else { return env.set_timer(RETRY_EVERY, 0) };
        let layout = &self.settings.layout;
        let mine = (0..layout.shards).filter(|&shard| layout.lock_service_of(shard) == env.me());
        let term = self.settings.term;
        let grantor = || match self.settings.breaks(Broken::NoQuietTerm) {
            true => Grantor::durable(term),
            false => Grantor::after_restart(term, &now),
        };
        self.grantors = mine
            .map(|shard| (shard, grantor().expect("the term is neither zero nor a year")))
            .collect();
    }

    pub fn receive(&mut self, env: &mut Env<'_, Message>, from: NodeId, message: Message) {
        let Message::Lease { shard, command } = message else { return };
        let now = self.now(env);
        let Some(grantor) = self.grantors.get_mut(&shard) else { return };
        let before = grantor.current();
        let mut decision = grantor.apply(now, command);
        // If the holder asks again, its answer was lost, so send the same answer again.
        if let (Err(GrantError::Taken { holder, .. }), Command::Acquire { holder: sender }) =
            (decision, command)
        {
            if holder == sender {
                decision = grantor.current().map(Decision::Granted).ok_or(GrantError::NoClock);
            }
        }
        if self.settings.watches_shard(shard) {
            if let Ok(Decision::Granted(grant)) = decision {
                let until = since_began(grant.expires);
                let before = before.filter(|before| before.token != grant.token);
                let before = before.map_or(String::new(), |before| {
                    format!("; its predecessor has it until {}", since_began(before.expires))
                });
                env.log(format!("grants shard {shard} to {from} until {until}{before}"));
            }
        }
        env.send(from, Message::Granted { decision });
    }

    fn now(&self, env: &Env<'_, Message>) -> Option<Interval> {
        let now = env.clock().now().ok()?;
        Some(match self.settings.breaks(Broken::LeaseByMidpoint) {
            true => Interval::from(now.midpoint()),
            false => now,
        })
    }
}
