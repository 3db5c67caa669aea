//! [`Association`]: what a client knows of one server, and when it asks it again.
//!
//! It sends nothing and reads no clock. Its caller does that: a thread with a socket
//! (`socket`), a test with a scripted counter, or the simulated network. So the same rules are
//! tried in all three.
//!
//! # What a reply has to be
//!
//! A request carries 64 random bits in the place of the client's time, which the server repeats.
//! Whoever is not on the way cannot guess them, so a reply without them is somebody else's, or an
//! old one: it is ignored, and the client goes on waiting. This holds for the kiss of
//! death too, because otherwise anybody could stop a client from asking. A reply with them is
//! the server's answer, and ends the exchange, good or not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::counter::Ageing;
use crate::timestamp::{NANOS_PER_SECOND, duration_nanos_i64};

use super::authenticator::{Authenticator, NtsError};
use super::exchange::{AnnouncedLeap, Exchange};
use super::packet::{Header, PacketError, split};
use super::poll::{BURST, PollPolicy, PollSetting};

/// So many exchanges are kept of a server. The best of them is often not the last.
pub(crate) const KEPT: usize = 8;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// After so many requests without an answer the server's name is looked up again.
pub(crate) const SILENCES: u32 = 3;

/// Why a reply states no time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The packet itself is refused.
    #[error("{0}")]
    Packet(#[from] PacketError),
    /// It does not answer the request that is open.
    #[error("a reply that does not repeat the random bits of the request")]
    Origin,
    /// No request is open.
    #[error("a reply although no request is open")]
    Unasked,
    /// It comes from another address than was asked.
    #[error("a reply from {0}, which was not asked")]
    Address(SocketAddr),
    /// The server says that it kept the request for longer than the exchange took.
    #[error(
        "the server says that it kept the request for {held_ns} ns, but the exchange took at most \
         {elapsed_ns} ns: its clock was stepped or is wrong"
    )]
    Held {
        /// `T3 − T2`.
        held_ns: u64,
        /// What passed between the readings of the counter, at most.
        elapsed_ns: u64,
    },
    /// The counter was changed, or the host slept, during the exchange.
    #[error("the counter was changed, or the host slept, during the exchange")]
    Generation,
    /// The reply is not authentic.
    #[error("{0}")]
    Authentication(#[from] NtsError),
    /// No answer in time.
    #[error("no answer within {PATIENCE:?}")]
    Silence,
    /// The request could not be sent, or the network reports an error.
    #[error("{0}")]
    Network(String),
}

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// It is not the answer: go on waiting.
    Ignored(Refusal),
    /// It is, and states a time.
    Answer,
    /// It is, and states none.
    Refused(Refusal),
}

/// A request that may still be answered.
#[derive(Clone, Copy, Debug)]
struct Pending {
    random: u64,
    /// The counter before it was sent; `None` until then.
    before: Option<u64>,
    generation: u64,
}

/// One server at one address.
pub(crate) struct Association {
    address: SocketAddr,
    policy: PollPolicy,
    authenticator: Option<Box<dyn Authenticator>>,
    pending: Option<Pending>,
    exchanges: VecDeque<Exchange>,
    announced: Option<AnnouncedLeap>,
    generation: u64,
    due_ns: i64,
    burst_left: u32,
    burst_began_ns: i64,
    silences: u32,
    is_dropped: bool,
    needs_key_exchange: bool,
    /// The last good reply.
    last_reply: Option<Header>,
    /// Why the last exchange stated no time, if it did not.
    last_refusal: Option<Refusal>,
}

impl Association {
    /// A server that is asked at once, in a burst, from this moment of the caller's monotonic clock
    /// on.
    pub(crate) fn new(address: SocketAddr, poll: PollSetting, now_ns: i64) -> Association {
        Association {
            address,
            policy: PollPolicy::new(address.ip(), poll),
            authenticator: None,
            pending: None,
            exchanges: VecDeque::with_capacity(KEPT),
            announced: None,
            generation: 0,
            due_ns: now_ns,
            burst_left: BURST,
            burst_began_ns: now_ns,
            silences: 0,
            is_dropped: false,
            needs_key_exchange: false,
            last_reply: None,
            last_refusal: None,
        }
    }

    /// The same, where it is known already that servers have announced this leap second: by an
    /// earlier association with them, or by the process that this one was forked from.
    pub(crate) fn knowing(mut self, announced: Option<AnnouncedLeap>) -> Association {
        self.announced = announced;
        self
    }

    /// The same, with authenticated exchanges.
    pub(crate) fn with_authenticator(
        mut self,
        authenticator: Box<dyn Authenticator>,
    ) -> Association {
        self.authenticator = Some(authenticator);
        self
    }

    /// Goes on with another address of the same server. What was measured at the old one still
    /// counts, because one name has one word.
    pub(crate) fn move_to(&mut self, address: SocketAddr, poll: PollSetting, now_ns: i64) {
        self.silences = 0;
        if address == self.address && !self.is_dropped {
            return;
        }
        self.address = address;
        self.policy = PollPolicy::new(address.ip(), poll);
        self.is_dropped = false;
        self.pending = None;
        self.due_ns = now_ns.saturating_add(self.policy.wait_ns(true, 0));
    }

    /// The name is being looked up: three more silences before the next time.
    pub(crate) fn look_up_later(&mut self) {
        self.silences = 0;
    }

    /// No exchange could begin: the next try is at the next poll.
    pub(crate) fn put_off(&mut self, now_ns: i64) {
        self.due_ns = now_ns.saturating_add(self.policy.wait_ns(false, 0));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the next request is due. `None` if there is none to come.
    pub(crate) fn due_ns(&self) -> Option<i64> {
        (!self.is_dropped && !self.needs_key_exchange).then_some(self.due_ns)
    }

    pub(crate) fn poll(&self) -> Duration {
        self.policy.every()
    }

    /// The exchanges that count, the oldest first.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter()
    }

    /// The leap second that the server has announced, if one is to come or in doubt.
    pub(crate) fn announced(&self) -> Option<AnnouncedLeap> {
        self.announced
    }

    pub(crate) fn last_reply(&self) -> Option<&Header> {
        self.last_reply.as_ref()
    }

    /// Why the last exchange stated no time, if it did not.
    pub(crate) fn last_refusal(&self) -> Option<&Refusal> {
        self.last_refusal.as_ref()
    }

    /// Whether the server has refused to serve this client at all.
    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped
    }

    /// Whether the server may be elsewhere by now: its name should be looked up again.
    pub(crate) fn is_lost(&self) -> bool {
        self.silences >= SILENCES
    }

    /// Whether the server can be asked no more before new keys are agreed on.
    pub(crate) fn needs_key_exchange(&self) -> bool {
        self.needs_key_exchange
    }

    /// The counter's ticks from before now can no longer be carried on. What was measured by them
    /// is dropped, and the server is asked soon.
    pub(crate) fn follow_generation(&mut self, generation: u64, now_ns: i64) {
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        self.exchanges.clear();
        self.pending = None;
        // A program that makes its clock forget again and again must not become a flood.
        if now_ns.saturating_sub(self.burst_began_ns) >= duration_nanos_i64(self.policy.every()) {
            self.burst_began_ns = now_ns;
            self.burst_left = BURST;
            self.due_ns = now_ns;
        } else {
            let soon = now_ns.saturating_add(self.policy.wait_ns(true, 0));
            self.due_ns = self.due_ns.min(soon);
        }
    }

    /// Begins an exchange, and returns the packet to send. An earlier one that is still open
    /// ends.
    ///
    /// `random` must be unpredictable, and new for each exchange. The second number spreads the
    /// polls.
    ///
    /// # Errors
    ///
    /// If the request cannot be authenticated.
    pub(crate) fn begin(
        &mut self,
        random: [u64; 2],
        now_ns: i64,
        generation: u64,
    ) -> Result<Vec<u8>, NtsError> {
        self.follow_generation(generation, now_ns);
        self.pending = None;
        self.burst_left = self.burst_left.saturating_sub(1);
        let wait = self.policy.wait_ns(self.burst_left > 0, random[1]);
        self.due_ns = now_ns.saturating_add(wait);
        let header = Header::request(random[0]).encode();
        let packet = match &mut self.authenticator {
            None => header.to_vec(),
            Some(authenticator) => match authenticator.seal(&header) {
                Ok(packet) => packet,
                Err(error) => {
                    self.refuse(error.clone().into());
                    return Err(error);
                }
            },
        };
        self.pending = Some(Pending { random: random[0], before: None, generation });
        Ok(packet)
    }

    /// The packet will be sent now; the counter shows this.
    pub(crate) fn sent(&mut self, before: u64) {
        if let Some(pending) = &mut self.pending {
            pending.before = Some(before);
        }
    }

    /// A packet has come from this address; the counter showed `after` then.
    pub(crate) fn receive(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        after: u64,
        ageing: &Ageing,
    ) -> Received {
        // The scope of a link-local address is the socket's matter.
        if (from.ip(), from.port()) != (self.address.ip(), self.address.port()) {
            return Received::Ignored(Refusal::Address(from));
        }
        let header = match split(packet) {
            Ok((header, _)) => Header::decode(header),
            Err(error) => return Received::Ignored(error.into()),
        };
        let Some(pending) = self.pending else { return Received::Ignored(Refusal::Unasked) };
        if header.origin.to_bits() != pending.random {
            return Received::Ignored(Refusal::Origin);
        }
        if let Some(authenticator) = &mut self.authenticator {
            match authenticator.open(packet) {
                Err(error) if error.needs_key_exchange() => {
                    self.pending = None;
                    return Received::Refused(self.refuse(error.into()));
                }
                // Anybody may have sent it, so the server's own answer may still come.
                Err(error) => return Received::Ignored(error.into()),
                Ok(()) => {}
            }
        }
        self.pending = None;
        self.silences = 0;
        match self.exchange(&header, &pending, after, ageing) {
            Ok(exchange) => {
                self.announced = exchange.announced;
                self.last_reply = Some(header);
                self.last_refusal = None;
                if self.exchanges.len() == KEPT {
                    self.exchanges.pop_front();
                }
                self.exchanges.push_back(exchange);
                self.policy.follow_width(self.narrowest_ns(ageing), ageing.widening_ppb);
                Received::Answer
            }
            Err(refusal) => Received::Refused(self.refuse(refusal)),
        }
    }

    /// The width of the narrowest exchange: twice the server's own bound, and the round trip.
    fn narrowest_ns(&self, ageing: &Ageing) -> u64 {
        let width = |exchange: &Exchange| {
            let took_ns = ageing.rates.most_nanos(exchange.after - exchange.before);
            exchange.bound_ns.saturating_mul(2).saturating_add(took_ns)
        };
        self.exchanges.iter().map(width).min().unwrap_or(u64::MAX)
    }

    fn exchange(
        &self,
        header: &Header,
        pending: &Pending,
        after: u64,
        ageing: &Ageing,
    ) -> Result<Exchange, Refusal> {
        header.check()?;
        let Pending { before, generation, .. } = *pending;
        let before = before.filter(|&before| before != 0 && before <= after);
        let before = before.filter(|_| generation == ageing.generation);
        let before = before.ok_or(Refusal::Generation)?;
        let elapsed = ageing.rates.most_nanos(after - before);
        let elapsed_ns = elapsed.saturating_add(ageing.granularity_ns);
        let held = u128::from(header.held_for().ok_or(PacketError::Backwards)?);
        let held_ns = ((held * NANOS_PER_SECOND as u128) >> 32) as u64;
        if held_ns > elapsed_ns {
            return Err(Refusal::Held { held_ns, elapsed_ns });
        }
        Ok(Exchange {
            before,
            after,
            generation,
            receive: header.receive,
            transmit: header.transmit,
            bound_ns: header.bound_ns(),
            announced: AnnouncedLeap::update(self.announced, header),
        })
    }

    /// No answer has come, or the network reports an error.
    pub(crate) fn give_up(&mut self, why: Refusal) {
        self.pending = None;
        self.silences = self.silences.saturating_add(1);
        self.refuse(why);
    }

    /// Remembers why there is no time, and does what a kiss of death asks for.
    fn refuse(&mut self, refusal: Refusal) -> Refusal {
        match &refusal {
            Refusal::Packet(PacketError::Kiss(code)) => match code {
                b"RATE" => {
                    self.policy.double();
                    self.burst_left = 0;
                    let wait = self.policy.wait_ns(false, 0);
                    self.due_ns = self.due_ns.saturating_add(wait);
                }
                b"DENY" | b"RSTR" => {
                    self.is_dropped = true;
                    // It is not said that what it stated before was wrong.
                    self.burst_left = 0;
                }
                _ => {}
            },
            Refusal::Authentication(error) if error.needs_key_exchange() => {
                self.needs_key_exchange = true;
            }
            _ => {}
        }
        self.last_refusal = Some(refusal.clone());
        refusal
    }
}

#[cfg(test)]
#[path = "association_tests.rs"]
mod tests;
