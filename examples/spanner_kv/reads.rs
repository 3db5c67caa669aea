//! [`Reads`]: snapshot reads at a leader, without locks and without asking a majority.
//!
//! A read at `t` is answered when no write at or below `t` can be added any more:
//!
//! - The leader holds the lease *now*, so no other leader has begun to choose timestamps.
//! - `t` has passed and is noted in the leader's hybrid clock. So this leader chooses no
//!   timestamp at or below it either.
//! - No transaction that writes one of these registers at or below `t` is still under way.

use truechimer::hlc::Stamp;
use truechimer::sim::{Env, NodeId, SimClock};
use truechimer::{Hlc, Timestamp, TrueTime};

use super::layout::{Key, Txn};
use super::message::Message;
use super::replica::Core;

#[derive(Default)]
pub struct Reads {
    waiting: Vec<Read>,
}

struct Read {
    txn: Txn,
    client: NodeId,
    at: Timestamp,
    keys: Vec<Key>,
}

impl Reads {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn add(&mut self, txn: Txn, client: NodeId, at: Timestamp, keys: Vec<Key>) {
        self.waiting.push(Read { txn, client, at, keys });
    }

    /// Answers the reads that can be answered. Returns the next moment that a read waits for.
    pub fn serve(
        &mut self,
        core: &Core,
        env: &mut Env<'_, Message>,
        hlc: &Hlc<SimClock>,
        may_answer: bool,
        is_under_way: impl Fn(Key, Stamp) -> bool,
    ) -> Option<Timestamp> {
        let (shard, mut next) = (core.shard, None::<Timestamp>);
        self.waiting.retain(|&Read { txn, client, at, ref keys }| {
            let at_stamp = Stamp::from(at);
            if !may_answer {
                env.send(client, Message::NotLeader { txn, shard, leader: None });
                return false;
            }
            if !env.clock().after(at).unwrap_or(false) {
                next = Some(next.map_or(at, |next| next.min(at)));
                return true;
            }
            if hlc.note(at_stamp).is_err() || keys.iter().any(|&key| is_under_way(key, at_stamp)) {
                return true;
            }
            let values: Vec<_> =
                keys.iter().map(|&key| (key, core.state.read_at(key, at))).collect();
            if core.settings.watches(txn) {
                env.log(format!("answers {txn}: {}", super::history::seen(&values)));
            }
            env.send(client, Message::Values { txn, shard, values });
            false
        });
        next
    }
}
