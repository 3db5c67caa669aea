//! [`LockService`]: grants each shard's lease, and with it the token of the leader's view.
//!
//! It keeps nothing on disk. After a restart each [`Grantor`] is quiet until every lease that
//! it may have granted before has expired; see `truechimer::lease`.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use truechimer::lease::{Decision, Grantor};
use truechimer::sim::{Env, NodeId};
use truechimer::{Interval, TrueTime};

use super::counted_tokens::CountedTokens;
use super::layout::{Broken, Settings, Shard, node_of, since_began};
use super::message::Message;

pub struct LockService {
    settings: Rc<Settings>,
    /// Empty until the clock has a reading, because the quiet time is counted from one.
    grantors: HashMap<Shard, Grantor>,
    counted: CountedTokens,
}

const RETRY_EVERY: Duration = Duration::from_millis(50);

impl LockService {
    pub fn new(settings: Rc<Settings>, env: &mut Env<'_, Message>) -> LockService {
        let mut service =
            LockService { settings, grantors: HashMap::new(), counted: CountedTokens::default() };
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
        // If a replica asks again because its answer was lost, this is the same answer.
        let decision = match self.settings.breaks(Broken::TokenUsedTwice) {
            false => grantor.apply(now, command),
            true => {
                let decision = grantor.apply(now, self.counted.inward(shard, command));
                self.counted.outward(env.disk(), shard, decision)
            }
        };
        if self.settings.watches_shard(shard) {
            if let Ok(Decision::Granted(grant) | Decision::Transferred(grant)) = decision {
                let until = since_began(grant.expires);
                let before = before.filter(|before| before.token != grant.token);
                let before = before.map_or(String::new(), |before| {
                    format!("; its predecessor has it until {}", since_began(before.expires))
                });
                let to = node_of(grant.holder);
                env.log(format!("grants shard {shard} to {to} until {until}{before}"));
            }
        }
        env.send(from, Message::Granted { command, decision });
        if let Ok(Decision::Transferred(grant)) = decision {
            env.send(node_of(grant.holder), Message::Granted { command, decision });
        }
    }

    fn now(&self, env: &Env<'_, Message>) -> Option<Interval> {
        let now = env.clock().now().ok()?;
        Some(match self.settings.breaks(Broken::LeaseByMidpoint) {
            true => Interval::from(now.midpoint()),
            false => now,
        })
    }
}
