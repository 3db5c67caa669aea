//! [`Client`]: the threads that ask the servers.
//!
//! An exchange waits for the network, and looking up a name may wait for half a minute. The clock's
//! own thread must do neither. So each named server has a thread, which looks up its name and
//! drives its [`Association`]. After each exchange the thread leaves a copy of what it knows
//! behind a lock that is held for moments only, and the clock's thread takes it from there.
//!
//! One thread for each server, because a thread that waits in `recv` reads the counter right after
//! the packet has come, and because std can wait for one socket at a time only. A pool whose
//! addresses are asked each, and the servers of the host's daemon, share a thread.
//!
//! Each request has a socket of its own, so its port is another one each time. The socket is
//! connected: the kernel drops packets from other addresses, and reports a closed port at once.
//!
//! When the clock is dropped the threads end, each after what it waits for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::counter::{Ageing, Counter};
use crate::fork::{Condvar, Mutex};
use crate::host::random_bytes;
use crate::source::RealtimeScale;
use crate::source::chrony;
use crate::timestamp::duration_nanos_i64;

use super::association::{Association, PATIENCE, Received, Refusal};
use super::authenticator::Authenticator;
use super::exchange::{AnnouncedLeap, SharedLeap};
use super::judge::Word;
use super::packet::LONGEST;
use super::poll::PollSetting;
use super::settings::{PORT, Server, Settings};

/// So many addresses of one name, or servers of the daemon, are asked at most.
const MAX_ADDRESSES: usize = 16;

/// After a name could not be looked up, the next try is so much later, and doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(64);

/// How often the daemon is asked which servers it follows, and the addresses of a pool are
/// looked up again if one of them is silent.
const LIST_AGAIN: Duration = Duration::from_secs(64);

/// A thread looks at least so often whether there is anything to do.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// The servers of one process, as its threads know them.
pub(crate) struct Client {
    shared: Arc<Shared>,
    /// Those for which no thread could be started yet.
    unstarted: Mutex<Vec<(usize, Group)>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// For each group.
    announced: Vec<SharedLeap>,
}

struct State {
    is_stopping: bool,
    counter: Option<Counter>,
    /// What each group knows.
    words: Vec<Vec<Word>>,
}

/// Where a thread finds its servers.
#[derive(Clone, Debug)]
enum Place {
    Named(Server),
    /// What the host's chronyd follows.
    Daemon,
}

/// The servers of one thread.
#[derive(Clone, Debug)]
struct Group {
    place: Place,
    scale: RealtimeScale,
    poll: PollSetting,
    asks_each: bool,
}

impl Client {
    /// Begins with what an earlier process of these settings knew.
    pub(crate) fn new(servers: Vec<Server>, settings: &Settings, known: Option<&Client>) -> Client {
        let group =
            |place, scale, asks_each| Group { place, scale, poll: settings.poll, asks_each };
        let named = servers.into_iter().map(|server| {
            let scale = server.scale;
            // A key server's cookies are good at the one server that it names.
            let asks_each = settings.asks_each_address && server.keys.is_none();
            group(Place::Named(server), scale, asks_each)
        });
        let daemons_scale = settings.daemon_on.unwrap_or_default();
        let daemon = settings.of_daemon.then(|| group(Place::Daemon, daemons_scale, true));
        let groups: Vec<Group> = named.chain(daemon).collect();
        let unknown = || groups.iter().map(Group::unknown).collect::<Vec<_>>();
        let announced = groups.iter().enumerate().map(|(i, _)| {
            SharedLeap::new(known.and_then(|client| client.shared.announced.get(i)?.get()))
        });
        let announced = announced.collect();
        // The lock may be held by a thread that this process does not have.
        let known = known.and_then(|client| client.shared.state.try_lock());
        let words = known.map(|state| state.words.clone()).unwrap_or_else(unknown);
        let state = State { is_stopping: false, counter: None, words };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::default(), announced });
        Client { shared, unstarted: Mutex::new(groups.into_iter().enumerate().collect()) }
    }

    /// Starts the threads that do not run yet.
    ///
    /// # Errors
    ///
    /// If one cannot be started. The next call tries again.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut unstarted = self.unstarted.lock();
        while let Some((index, group)) = unstarted.last().cloned() {
            let shared = self.shared.clone();
            let name = "truechimer-ntp".to_owned();
            thread::Builder::new().name(name).spawn(move || {
                block_signals();
                Worker::new(shared, index, group).run();
            })?;
            unstarted.pop();
        }
        Ok(())
    }

    /// From now on exchanges are measured by this counter.
    pub(crate) fn follow(&self, counter: &Counter) {
        let mut state = self.shared.state.lock();
        let generation = |counter: &Counter| counter.ageing().map(|ageing| ageing.generation);
        let is_new = state.counter.as_ref().map(generation) != Some(generation(counter));
        state.counter = Some(counter.clone());
        if is_new {
            self.shared.changed.notify_all();
        }
    }

    /// What is known of all servers.
    pub(crate) fn words(&self) -> Vec<Word> {
        self.shared.state.lock().words.iter().flatten().cloned().collect()
    }

    /// Waits until a thread has something new, or for this long.
    pub(crate) fn wait_for_news(&self, until: Instant) {
        let state = self.shared.state.lock();
        drop(self.shared.changed.wait_until(state, until));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.state.lock().is_stopping = true;
        self.shared.changed.notify_all();
    }
}

/// Signals are for the program's own threads.
fn block_signals() {
    #[cfg(unix)]
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

impl Group {
    fn name(&self) -> Arc<str> {
        match &self.place {
            Place::Named(server) => server.name.clone(),
            Place::Daemon => "the servers of chronyd".into(),
        }
    }

    /// Its word before anything is known. A daemon's servers are not known yet either.
    fn unknown(&self) -> Vec<Word> {
        vec![self.word(None, None)]
    }

    fn word(&self, association: Option<&Association>, trouble: Option<String>) -> Word {
        let address = association.map(Association::address);
        let name = match (address, &self.place) {
            (Some(address), Place::Daemon) => address.ip().to_string().into(),
            (Some(address), Place::Named(server)) if self.asks_each => {
                format!("{} {}", server.name, address.ip()).into()
            }
            _ => self.name(),
        };
        let poll = association.map_or(PATIENCE, Association::poll);
        let refusal = association.and_then(Association::last_refusal).map(ToString::to_string);
        let dropped =
            association.filter(|association| association.is_dropped()).and(refusal.clone());
        let dropped = dropped.map(|why| format!("{why}: it is not asked any more"));
        Word {
            name,
            address,
            scale: self.scale,
            exchanges: association.iter().flat_map(|of| of.exchanges()).copied().collect(),
            reply: association.and_then(Association::last_reply).copied(),
            trouble: dropped.or(refusal).or(trouble),
            poll,
        }
    }
}

/// Where servers are, and what authenticates the exchanges with them.
type Found = (Vec<SocketAddr>, Option<Box<dyn Authenticator>>);

/// What a group's thread works with.
struct Worker {
    shared: Arc<Shared>,
    index: usize,
    group: Group,
    began: Instant,
    associations: Vec<Association>,
    /// The addresses of a name whose servers have one word, and which of them is asked.
    addresses: Vec<SocketAddr>,
    next_address: usize,
    /// Servers that have refused to serve.
    denied: Vec<IpAddr>,
    trouble: Option<String>,
    listed_ns: Option<i64>,
    retry: Duration,
    retry_at_ns: i64,
}

impl Worker {
    fn new(shared: Arc<Shared>, index: usize, group: Group) -> Worker {
        Worker {
            shared,
            index,
            group,
            began: Instant::now(),
            associations: Vec::new(),
            addresses: Vec::new(),
            next_address: 0,
            denied: Vec::new(),
            trouble: None,
            listed_ns: None,
            retry: FIRST_RETRY,
            retry_at_ns: 0,
        }
    }

    /// A leap second that servers of this group have announced, to an earlier association or to the
    /// process that this one was forked from. They need not repeat it once it has happened.
    fn announced(&self) -> Option<AnnouncedLeap> {
        let own = self.associations.iter().find_map(Association::announced);
        own.or_else(|| self.shared.announced[self.index].get())
    }

    fn now_ns(&self) -> i64 {
        duration_nanos_i64(self.began.elapsed())
    }

    fn run(mut self) {
        while let Some((counter, ageing)) = self.counter() {
            self.find_servers();
            let now_ns = self.now_ns();
            for association in &mut self.associations {
                association.follow_generation(ageing.generation, now_ns);
            }
            let due = |association: &Association| association.due_ns();
            let next = (0..self.associations.len())
                .filter_map(|i| Some((due(&self.associations[i])?, i)))
                .min();
            match next {
                Some((due_ns, i)) if due_ns <= now_ns => {
                    self.exchange(i, &counter, &ageing);
                    self.publish();
                }
                next => {
                    self.wait_until(next.map_or(i64::MAX, |(due_ns, _)| due_ns), ageing.generation)
                }
            }
        }
    }

    /// The counter to measure by. `None` if the thread has to end.
    fn counter(&self) -> Option<(Counter, Ageing)> {
        let mut state = self.shared.state.lock();
        loop {
            if state.is_stopping {
                return None;
            }
            if let Some(counter) = &state.counter {
                if let Some(ageing) = counter.ageing() {
                    return Some((counter.clone(), ageing));
                }
            }
            state = self.shared.changed.wait(state);
        }
    }

    /// Sleeps until something is due, or the counter's generation is another.
    fn wait_until(&self, due_ns: i64, generation: u64) {
        let now_ns = self.now_ns();
        let least = now_ns.saturating_add(1_000_000);
        let most = now_ns.saturating_add(duration_nanos_i64(LONGEST_SLEEP));
        let at_ns = due_ns.min(self.list_at_ns()).clamp(least, most);
        let until = self.began + Duration::from_nanos(at_ns.unsigned_abs());
        let mut state = self.shared.state.lock();
        while !state.is_stopping && Instant::now() < until {
            let ageing = state.counter.as_ref().and_then(Counter::ageing);
            if ageing.is_none_or(|ageing| ageing.generation != generation) {
                break;
            }
            state = self.shared.changed.wait_until(state, until);
        }
    }

    fn publish(&self) {
        let mut words: Vec<Word> = self
            .associations
            .iter()
            .map(|association| self.group.word(Some(association), self.trouble.clone()))
            .collect();
        if words.is_empty() {
            words.push(self.group.word(None, self.trouble.clone()));
        }
        // What a new association has only been told is not its server's own statement.
        if self.associations.iter().any(|of| of.last_reply().is_some()) {
            let own = self.associations.iter().find_map(Association::announced);
            self.shared.announced[self.index].set(own);
        }
        let mut state = self.shared.state.lock();
        if let Some(place) = state.words.get_mut(self.index) {
            // A forked child goes on with what its parent measured until it has measured itself.
            let is_first = words.iter().all(|word| word.exchanges.is_empty());
            let keeps = is_first && place.len() == words.len();
            for (word, known) in words.iter_mut().zip(place.iter()).filter(|_| keeps) {
                word.exchanges.clone_from(&known.exchanges);
                word.reply = word.reply.or(known.reply);
            }
            *place = words;
        }
        self.shared.changed.notify_all();
    }

    /// When the list of servers is to be made again.
    fn list_at_ns(&self) -> i64 {
        match self.listed_ns {
            None => self.retry_at_ns,
            Some(at_ns) if self.group.asks_each => {
                at_ns.saturating_add(duration_nanos_i64(LIST_AGAIN))
            }
            // No more than the first look, unless a server is lost.
            Some(_) => i64::MAX,
        }
    }

    /// The list is to be made again, later each time.
    fn list_later(&mut self) {
        self.listed_ns = None;
        self.retry_at_ns = self.now_ns().saturating_add(duration_nanos_i64(self.retry));
        self.retry = (self.retry * 2).min(LAST_RETRY);
    }

    /// Finds the servers, if they are not known or may be elsewhere by now.
    fn find_servers(&mut self) {
        self.leave_lost_servers();
        if self.list_at_ns() > self.now_ns() {
            return;
        }
        let outcome = self.list();
        match outcome {
            Ok((addresses, authenticator)) => {
                // Keys that were agreed on may be refused at once.
                if authenticator.is_none() {
                    self.retry = FIRST_RETRY;
                }
                self.trouble = None;
                self.listed_ns = Some(self.now_ns());
                self.take(addresses, authenticator);
            }
            Err(why) => {
                self.trouble = Some(why);
                self.list_later();
            }
        }
        self.publish();
    }

    /// Asks the next address of a name whose server is silent or refuses, and looks the name
    /// up again after the last.
    fn leave_lost_servers(&mut self) {
        for association in self.associations.iter().filter(|of| of.is_dropped()) {
            let ip = association.address().ip();
            if !self.denied.contains(&ip) {
                self.denied.push(ip);
            }
        }
        if self.group.asks_each {
            return;
        }
        let Some(association) = self.associations.first_mut() else { return };
        let is_gone = association.is_lost() || association.is_dropped();
        if association.needs_key_exchange() {
            self.trouble = association.last_refusal().map(ToString::to_string);
            self.associations.clear();
            self.list_later();
            self.publish();
        } else if is_gone {
            let is_usable = |at: &&SocketAddr| !self.denied.contains(&at.ip());
            let mut rest = self.addresses.iter().enumerate().skip(self.next_address);
            match rest.find(|(_, at)| is_usable(at)) {
                Some((i, &address)) => {
                    self.next_address = i + 1;
                    let now_ns = duration_nanos_i64(self.began.elapsed());
                    association.move_to(address, self.group.poll, now_ns);
                }
                // A server that was the only one and refuses is not asked again.
                None if association.is_dropped() => {}
                None => {
                    association.look_up_later();
                    match &self.group.place {
                        // New keys cost the server more than a look at its name.
                        Place::Named(server) if server.keys.is_some() => self.list_later(),
                        _ => {
                            self.listed_ns = None;
                            self.retry_at_ns = 0;
                        }
                    }
                }
            }
        }
    }

    /// The addresses of the servers. It may block.
    fn list(&self) -> Result<Found, String> {
        let server = match &self.group.place {
            Place::Daemon => return Ok((daemons_servers()?, None)),
            Place::Named(server) => server,
        };
        match &server.keys {
            None => Ok((look_up(&server.host, server.port)?, None)),
            Some(keys) => {
                let established =
                    keys.establish(&server.host, server.port).map_err(|why| why.to_string())?;
                let addresses = look_up(&established.host, established.port)?;
                Ok((addresses, Some(established.authenticator)))
            }
        }
    }

    /// Goes on with the servers at these addresses.
    fn take(&mut self, addresses: Vec<SocketAddr>, authenticator: Option<Box<dyn Authenticator>>) {
        let now_ns = self.now_ns();
        let poll = self.group.poll;
        let announced = self.announced();
        let usable: Vec<SocketAddr> =
            addresses.into_iter().filter(|at| !self.denied.contains(&at.ip())).collect();
        if self.group.asks_each {
            // Those that have refused stay among the servers, because each of them has a vote.
            self.associations.retain(|of| of.is_dropped() || usable.contains(&of.address()));
            for &address in &usable {
                let is_known = self.associations.iter().any(|of| of.address() == address);
                if !is_known && self.associations.len() < MAX_ADDRESSES {
                    let association = Association::new(address, poll, now_ns);
                    self.associations.push(association.knowing(announced));
                }
            }
            return;
        }
        let Some(&first) = usable.first() else { return };
        self.addresses = usable;
        self.next_address = 1;
        match (authenticator, self.associations.first_mut()) {
            (None, Some(association)) => association.move_to(first, poll, now_ns),
            (authenticator, _) => {
                let association = Association::new(first, poll, now_ns).knowing(announced);
                self.associations = vec![match authenticator {
                    Some(authenticator) => association.with_authenticator(authenticator),
                    None => association,
                }];
            }
        }
    }

    /// Makes one exchange with server `i`.
    fn exchange(&mut self, i: usize, counter: &Counter, ageing: &Ageing) {
        let now_ns = self.now_ns();
        let random = match random_bytes::<16>() {
            Ok(bytes) => u128::from_be_bytes(bytes),
            // A request that can be guessed is worth nothing.
            Err(error) => return self.give_up(i, now_ns, format!("no random numbers: {error}")),
        };
        let random = [(random >> 64) as u64, random as u64];
        let association = &mut self.associations[i];
        // The association remembers why it cannot.
        let Ok(packet) = association.begin(random, now_ns, ageing.generation) else { return };
        let mut forgery = None;
        match ask(&self.shared, association, &packet, counter, &mut forgery) {
            Ok(()) if association.last_refusal().is_none() => self.retry = FIRST_RETRY,
            Ok(()) => {}
            Err(error) => {
                let at = association.address();
                let refusal = match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        forgery.unwrap_or(Refusal::Silence)
                    }
                    io::ErrorKind::ConnectionRefused => {
                        Refusal::Network(format!("no program listens at {at}"))
                    }
                    _ => Refusal::Network(format!("the network, to {at}: {error}")),
                };
                association.give_up(refusal);
            }
        }
    }

    fn give_up(&mut self, i: usize, now_ns: i64, why: String) {
        self.associations[i].put_off(now_ns);
        self.associations[i].give_up(Refusal::Network(why));
    }
}

/// Sends the request, and waits for the answer. What comes meanwhile and is not authentic is told
/// by `forgery`, because it explains the silence.
fn ask(
    shared: &Shared,
    association: &mut Association,
    packet: &[u8],
    counter: &Counter,
    forgery: &mut Option<Refusal>,
) -> io::Result<()> {
    let at = association.address();
    let any: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(at)?;
    let deadline = Instant::now() + PATIENCE;
    association.sent(counter.read());
    socket.send(packet)?;
    // One byte more than is read, so that a longer packet shows.
    let mut reply = [0; LONGEST + 1];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut reply) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let after = counter.read();
        // As it is now: the counter may have been given up meanwhile.
        let ageing = shared.state.lock().counter.as_ref().and_then(Counter::ageing);
        let Some(ageing) = ageing else { return Err(io::ErrorKind::TimedOut.into()) };
        match association.receive(at, &reply[..length], after, &ageing) {
            Received::Ignored(refusal @ Refusal::Authentication(_)) => *forgery = Some(refusal),
            Received::Ignored(_) => {}
            Received::Answer | Received::Refused(_) => return Ok(()),
        }
    }
}

/// The addresses of a name, in the system's order. It may block for as long as the resolver waits.
fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let failed = |error: io::Error| format!("the name {host} cannot be looked up: {error}");
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs().map_err(failed)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(format!("the name {host} has no address"));
    }
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// The servers that the host's chronyd follows now. chronyd does not tell their ports.
fn daemons_servers() -> Result<Vec<SocketAddr>, String> {
    let sources = chrony::sources().map_err(|error| error.to_string())?;
    let followed = sources.iter().filter(|source| source.is_followed());
    let mut servers: Vec<SocketAddr> =
        followed.filter_map(|source| Some(SocketAddr::new(source.address?, PORT))).collect();
    servers.truncate(MAX_ADDRESSES);
    if servers.is_empty() {
        return Err("chronyd follows no NTP server now".to_owned());
    }
    Ok(servers)
}

#[cfg(all(test, not(loom)))]
#[path = "socket_tests.rs"]
mod tests;
