//! Transactions on two replicas: what commit-wait costs, and what it costs no longer
//! once it overlaps with replication.
//!
//!     cargo run --release --example commit_wait
//!
//! A leader stamps each transaction, sends it to two replicas (threads, a
//! channel and a delay away), and lets it out once both have it and its stamp
//! has passed. Done one after the other, that takes replication *and* the
//! clock's uncertainty. Done together, it takes the longer of the two. A batch
//! pays it once for all.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use truechimer::wait::Batch;
use truechimer::{ClockError, Hlc, Interval, Stamp, Timestamp, TrueTime, Waiter};

type Failure = Box<dyn std::error::Error>;

/// How long a message takes to a replica.
const DELAY: Duration = Duration::from_millis(1);
const TRANSACTIONS: usize = 20;

/// A clock that is right to a millisecond either way. In a real program this is
/// `truechimer::Clock`.
struct Host(Instant);

impl TrueTime for Host {
    fn now(&self) -> Result<Interval, ClockError> {
        let nanos = 1_800_000_000_000_000_000 + self.0.elapsed().as_nanos() as i64;
        let truth = Timestamp::from_tai_nanos(nanos);
        Ok(Interval::from(truth).widen(Duration::from_millis(1)))
    }
}

/// A transaction on its way to a replica, and where to acknowledge it.
struct Entry {
    sent: Instant,
    stamp: Stamp,
    acknowledge: Sender<()>,
}

/// A replica: it logs what comes, in order, and acknowledges it a network's delay later.
fn replica(entries: Receiver<Entry>) -> Vec<Stamp> {
    let mut log = Vec::new();
    for entry in entries {
        thread::sleep((2 * DELAY).saturating_sub(entry.sent.elapsed()));
        log.push(entry.stamp);
        // A leader that is gone needs no answer.
        let _ = entry.acknowledge.send(());
    }
    log
}

struct Leader {
    hlc: Hlc<Arc<Host>>,
    waiter: Waiter<Arc<Host>>,
    replicas: Vec<Sender<Entry>>,
}

impl Leader {
    /// Sends `stamp` to every replica. The receiver yields once for each that has it.
    fn send(&self, stamp: Stamp) -> Result<Receiver<()>, Failure> {
        let (acknowledge, acknowledged) = channel();
        for replica in &self.replicas {
            let acknowledge = acknowledge.clone();
            replica.send(Entry { sent: Instant::now(), stamp, acknowledge })?;
        }
        Ok(acknowledged)
    }

    fn replicated(&self, acknowledged: &Receiver<()>) -> Result<(), Failure> {
        for _ in &self.replicas {
            acknowledged.recv()?;
        }
        Ok(())
    }

    /// Waits the stamp out, and then replicates.
    fn one_after_the_other(&self) -> Result<Stamp, Failure> {
        let commit = self.hlc.commit_stamp()?;
        self.waiter.wait(commit.timestamp())?;
        self.replicated(&self.send(commit.provisional())?)?;
        Ok(self.hlc.release(commit)?)
    }

    /// Replicates, and waits for what is left.
    fn together(&self) -> Result<Stamp, Failure> {
        let commit = self.hlc.commit_stamp()?;
        self.replicated(&self.send(commit.provisional())?)?;
        self.waiter.wait(commit.timestamp())?;
        Ok(self.hlc.release(commit)?)
    }

    /// Replicates a batch, and waits once for all of it.
    fn in_a_batch(&self, many: usize) -> Result<Vec<Stamp>, Failure> {
        let mut batch = Batch::new();
        let mut answers = Vec::new();
        for _ in 0..many {
            let commit = self.hlc.commit_stamp()?;
            answers.push(self.send(commit.provisional())?);
            batch.push(commit.timestamp(), commit);
        }
        answers.iter().try_for_each(|answer| self.replicated(answer))?;
        let (_, released) = batch.release(&self.waiter, None)?;
        released.into_iter().map(|commit| Ok(self.hlc.release(commit)?)).collect()
    }
}

fn measure<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let began = Instant::now();
    let done = work()?;
    let each = began.elapsed() / TRANSACTIONS as u32;
    println!("{name:32}{:9.3} ms a transaction", each.as_secs_f64() * 1e3);
    Ok(done)
}

fn main() -> Result<(), Failure> {
    let clock = Arc::new(Host(Instant::now()));
    let (senders, logs): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (sender, entries) = channel();
            (sender, thread::spawn(move || replica(entries)))
        })
        .unzip();
    let leader =
        Leader { hlc: Hlc::new(clock.clone()), waiter: Waiter::new(clock), replicas: senders };
    println!("uncertainty 2 ms, replication {:?} there and back\n", 2 * DELAY);
    let mut stamps = Vec::new();
    let apart =
        || (0..TRANSACTIONS).map(|_| leader.one_after_the_other()).collect::<Result<Vec<_>, _>>();
    stamps.extend(measure("wait, then replicate", apart)?);
    let together = || (0..TRANSACTIONS).map(|_| leader.together()).collect::<Result<Vec<_>, _>>();
    stamps.extend(measure("replicate, then what is left", together)?);
    stamps.extend(measure("all in one batch", || leader.in_a_batch(TRANSACTIONS))?);
    drop(leader); // hangs up: the replicas end

    assert!(stamps.is_sorted_by(|a, b| a < b), "released in the order of their stamps");
    for log in logs {
        let log = log.join().map_err(|_| "a replica panicked")?;
        assert_eq!(log, stamps, "each replica has all of them, in the same order");
    }
    println!("\n{} transactions, on both replicas in the order of their stamps", stamps.len());
    Ok(())
}
