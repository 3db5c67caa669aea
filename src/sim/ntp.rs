//! [`NtpClient`]: the client of a machine's clock that asks time servers itself, and the servers.
//!
//! The client is the shipping one (`source::ntp`), without its threads: what these do with sockets,
//! events of the world do with links. Requests and replies are packets of 48 bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::host::SimHost;
use super::ntp_service::{NtpServer, NtpService};
use super::random::{Random, nanos};
use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceCondition, SourceError};
use crate::host::{Host, ProcessKey};
use crate::scale::{NtpTime, UnixTime};
use crate::source::ntp::packet::{HEADER, Header};
use crate::source::ntp::{Association, PollSetting, Word, judge};
use crate::source::{RealtimeScale, WallClock};
use crate::timestamp::seconds_to_nanos;

/// An event of an exchange.
#[derive(Clone, Debug)]
pub(super) enum NtpEvent {
    /// A request may be due.
    Tick,
    /// A request of the client with this number arrives at a server.
    Request { client: u64, server: usize, packet: Vec<u8> },
    /// Its reply arrives at the machine.
    Reply { client: u64, server: usize, packet: Vec<u8> },
}

/// How often the client looks whether something is due, at least and at most.
const LEAST_TICK_NS: i64 = 1_000_000;
const MOST_TICK_NS: i64 = 500_000_000;

/// A client and its servers.
pub(super) struct NtpClient {
    service: NtpService,
    associations: Vec<Association>,
    states: Vec<ServerState>,
    counter: Option<Counter>,
    process: ProcessKey,
    /// Replies to an earlier process are not for this one.
    number: u64,
    random: Random,
}

#[derive(Clone, Debug, Default)]
struct ServerState {
    off_ns: i64,
    last_reply: Option<Vec<u8>>,
}

impl NtpClient {
    pub(super) fn new(service: NtpService, process: ProcessKey, mut random: Random) -> NtpClient {
        let states = vec![ServerState::default(); service.servers.len()];
        let number = random.bits();
        let mut client = NtpClient {
            service,
            associations: Vec::new(),
            states,
            counter: None,
            process,
            number,
            random,
        };
        client.begin(0);
        client
    }

    /// Begins anew with all servers, as the child of a fork.
    fn begin(&mut self, now_ns: i64) {
        let poll = PollSetting { every: Some(self.service.poll), is_forced: true };
        let address = |i: usize| SocketAddr::from((Ipv4Addr::new(10, 9, 8, i as u8), 123));
        let before = std::mem::take(&mut self.associations);
        let associations = (0..self.service.servers.len()).map(|i| {
            let announced = before.get(i).and_then(Association::announced);
            Association::new(address(i), poll, now_ns).knowing(announced)
        });
        self.associations = associations.collect();
        self.number = self.random.bits();
    }

    /// Sends what is due at this moment of the world. Returns what follows, with its delay in ns.
    pub(super) fn tick(&mut self, t: i64, is_reachable: bool) -> Vec<(i64, NtpEvent)> {
        let mut next = Vec::new();
        let counter = self.counter.clone();
        let ready = counter.and_then(|counter| Some((counter.ageing()?, counter)));
        let Some((ageing, counter)) = ready else { return vec![(LEAST_TICK_NS, NtpEvent::Tick)] };
        for (i, association) in self.associations.iter_mut().enumerate() {
            association.follow_generation(ageing.generation, t);
            if association.due_ns().is_none_or(|due| due > t) {
                continue;
            }
            let random = [self.random.bits(), self.random.bits()];
            let Ok(packet) = association.begin(random, t, ageing.generation) else { continue };
            association.sent(counter.read());
            let there = self.service.servers[i].there.draw(&mut self.random, t, i64::MIN);
            let request = NtpEvent::Request { client: self.number, server: i, packet };
            next.extend(there.filter(|_| is_reachable).map(|there| (there, request)));
        }
        let due = self.associations.iter().filter_map(Association::due_ns).min();
        let wait = due.map_or(MOST_TICK_NS, |due| due - t);
        next.push((wait.clamp(LEAST_TICK_NS, MOST_TICK_NS), NtpEvent::Tick));
        next
    }

    /// A server answers at true time `truth`, when TAI − UTC is so many seconds and a leap second
    /// is announced or not.
    pub(super) fn answer(
        &mut self,
        (client, server): (u64, usize),
        request: &[u8],
        (t, truth): (i64, i64),
        (offset_s, leap): (i64, u8),
    ) -> Vec<(i64, NtpEvent)> {
        let NtpServer { error, lie_ns, back, repeats_per_million, .. } =
            self.service.servers[server];
        let Some(request) = request.first_chunk::<HEADER>().map(Header::decode) else {
            return Vec::new();
        };
        let random = &mut self.random;
        let state = &mut self.states[server];
        let error = nanos(error);
        let step = error / 8 + 1;
        state.off_ns = match random.below(4) {
            // At an edge of its bound.
            0 => -error,
            1 => error,
            _ => (state.off_ns + random.between(-step, step)).clamp(-error, error),
        };
        let longest = if random.chance(50_000) { 30_000_000 } else { 100_000 };
        let held = random.between(0, longest);
        let shown = truth - seconds_to_nanos(offset_s) + state.off_ns + lie_ns;
        let stamp = |nanos: i64| NtpTime::from_unix(UnixTime::from_nanos(nanos));
        let units = |ns: i64| ((i128::from(ns) << 16) / 1_000_000_000) as u32;
        let reply = Header {
            leap,
            mode: 4,
            stratum: 2,
            precision: -24,
            // Half of the delay and the dispersion together are the bound, cut off as servers do.
            root_delay: units(error),
            root_dispersion: units(error - error / 2),
            reference_id: [10, 0, 0, 1],
            reference: stamp(shown - 1_000_000_000),
            origin: request.transmit,
            receive: stamp(shown),
            transmit: stamp(shown + held),
            ..request
        };
        let packet = reply.encode().to_vec();
        let mut next = Vec::new();
        let mut send = |random: &mut Random, packet: Vec<u8>| {
            if let Some(delay) = back.draw(random, t, i64::MIN) {
                next.push((held + delay, NtpEvent::Reply { client, server, packet }));
            }
        };
        if random.chance(repeats_per_million) {
            if let Some(old) = state.last_reply.clone() {
                send(random, old);
            }
        }
        send(random, packet.clone());
        state.last_reply = Some(packet);
        next
    }

    /// A packet has arrived at the machine.
    pub(super) fn receive(&mut self, client: u64, server: usize, packet: &[u8]) {
        let Some(counter) = &self.counter else { return };
        let Some(ageing) = counter.ageing().filter(|_| client == self.number) else { return };
        let association = &mut self.associations[server];
        let (from, after) = (association.address(), counter.read());
        association.receive(from, packet, after, &ageing);
    }

    fn words(&self) -> Vec<Word> {
        let word = |(i, association): (usize, &Association)| Word {
            name: format!("server-{i}").into(),
            address: Some(association.address()),
            scale: RealtimeScale::Utc,
            exchanges: association.exchanges().copied().collect(),
            reply: association.last_reply().copied(),
            trouble: association.last_refusal().map(ToString::to_string),
            poll: association.poll(),
        };
        self.associations.iter().enumerate().map(word).collect()
    }
}

/// The source in front of the client.
pub(super) struct SimNtp {
    host: SimHost,
    client: Arc<Mutex<NtpClient>>,
    wall_clock: Arc<WallClock>,
    condition: SourceCondition,
    details: Option<String>,
}

impl SimNtp {
    pub(super) fn new(
        host: SimHost,
        client: Arc<Mutex<NtpClient>>,
        wall_clock: Arc<WallClock>,
    ) -> SimNtp {
        SimNtp { host, client, wall_clock, condition: SourceCondition::default(), details: None }
    }
}

impl Source for SimNtp {
    fn name(&self) -> &str {
        "ntp"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let process = self.host.process();
        let mut client = self.client.lock();
        if client.process != process {
            // A forked child asks the servers itself.
            client.process = process;
            client.begin(i64::MIN / 2);
        }
        client.counter = Some(counter.clone());
        let words = client.words();
        drop(client);
        let ageing = counter.ageing().ok_or_else(|| SourceError::failed("no rate"))?;
        let now = counter.try_read()?;
        let verdict = judge(&words, true, &ageing, now, &self.wall_clock.leaps());
        self.condition = verdict.condition;
        self.details = Some(verdict.details);
        verdict.sample
    }

    fn details(&self) -> Option<String> {
        self.details.clone()
    }

    fn condition(&self) -> SourceCondition {
        self.condition.clone()
    }
}
