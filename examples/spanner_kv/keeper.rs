//! [`Keeper`]: the lock service. It grants each shard's lease, and with it the token of its view.
//!
//! It keeps nothing on disk. After a restart each [`Grantor`] is quiet until every lease
//! that it may have granted before is over; see `truechimer::lease`.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use truechimer::lease::{Command, Decision, Grantor, Refusal};
use truechimer::sim::{Env, NodeId};
use truechimer::{Interval, TrueTime};

use super::layout::{Broken, Settings, Shard, since_began};
use super::message::Message;

pub struct Keeper {
    settings: Rc<Settings>,
    /// Empty until the clock answers: only then can the quiet time be counted.
    grantors: HashMap<Shard, Grantor>,
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Keeper {
    pub fn new(settings: Rc<Settings>, env: &mut Env<'_, Message>) -> Keeper {
        let mut keeper = Keeper { settings, grantors: HashMap::new() };
        keeper.timer(env);
        keeper
    }

    /// Begins, as soon as there is a clock to begin with.
    pub fn timer(&mut self, env: &mut Env<'_, Message>) {
        let Ok(now) = env.clock().now() else { return env.set_timer(LOOK_AGAIN, 0) };
        let layout = &self.settings.layout;
        let mine = (0..layout.shards).filter(|&shard| layout.keeper_of(shard) == env.me());
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
        // Its own grant, whose message was lost: the same answer again.
        if let (Err(Refusal::Taken { holder, .. }), Command::Acquire { holder: asks }) =
            (decision, command)
        {
            if holder == asks {
                decision = grantor.current().map(Decision::Granted).ok_or(Refusal::NoClock);
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
        Some(match self.settings.breaks(Broken::LeaseByTheMiddle) {
            true => Interval::from(now.midpoint()),
            false => now,
        })
    }
}
