//! Transactions on two replicas: the cost of commit-wait, and how overlapping it with replication
//! saves it.
//!
//!     cargo run --release --example commit_wait
//!
//! A leader stamps each transaction, sends it to two replicas (threads behind a channel with a
//! delay), and releases it once both have it and its stamp has passed. One after the other,
//! this takes replication *plus* the clock's uncertainty. Overlapped, it takes the longer of
//! the two. A batch waits only once for all its transactions.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use truechimer::hlc::{ProvisionalStamp, Stamp};
use truechimer::wait::Batch;
use truechimer::{ClockError, Hlc, Interval, Timestamp, TrueTime, Waiter};

type Failure = Box<dyn std::error::Error>;

/// The time that a message takes to a replica.
const DELAY: Duration = Duration::from_millis(1);
const TRANSACTIONS: usize = 20;

/// A running clock with an uncertainty of a millisecond in both directions. A real program uses
/// `truechimer::Clock`.
struct HostClock(Instant);

impl TrueTime for HostClock {
    fn now(&self) -> Result<Interval, ClockError> {
        let nanos = 1_800_000_000_000_000_000 + self.0.elapsed().as_nanos() as i64;
        let truth = Timestamp::from_tai_nanos(nanos);
        Ok(Interval::from(truth).widen(Duration::from_millis(1)))
    }
}

/// A transaction on its way to a replica, with the channel for the acknowledgement.
struct Entry {
    sent: Instant,
    stamp: ProvisionalStamp,
    acknowledge: Sender<()>,
}

/// Runs a replica, which logs entries in order and acknowledges them after the network's delay.
fn replica(entries: Receiver<Entry>) -> Vec<ProvisionalStamp> {
    let mut log = Vec::new();
    for entry in entries {
        thread::sleep((2 * DELAY).saturating_sub(entry.sent.elapsed()));
        log.push(entry.stamp);
        // A leader that has exited needs no answer.
        let _ = entry.acknowledge.send(());
    }
    log
}

struct Leader {
    hlc: Hlc<Arc<HostClock>>,
    waiter: Waiter<Arc<HostClock>>,
    replicas: Vec<Sender<Entry>>,
}

impl Leader {
    /// Sends `stamp` to every replica. The receiver gets one message from each that has it.
    fn send(&self, stamp: ProvisionalStamp) -> Result<Receiver<()>, Failure> {
        let (acknowledge, acknowledged) = channel();
        for replica in &self.replicas {
            let acknowledge = acknowledge.clone();
            replica.send(Entry { sent: Instant::now(), stamp, acknowledge })?;
        }
        Ok(acknowledged)
    }

    fn wait_replicated(&self, acknowledged: &Receiver<()>) -> Result<(), Failure> {
        for _ in &self.replicas {
            acknowledged.recv()?;
        }
        Ok(())
    }

    /// Waits the stamp out, then replicates.
    fn commit_in_sequence(&self) -> Result<Stamp, Failure> {
        let commit = self.hlc.commit_stamp()?;
        self.waiter.wait(commit.timestamp())?;
        self.wait_replicated(&self.send(commit.provisional())?)?;
        Ok(self.hlc.release(commit)?)
    }

    /// Replicates, and then waits for the rest of the uncertainty.
    fn commit_overlapped(&self) -> Result<Stamp, Failure> {
        let commit = self.hlc.commit_stamp()?;
        self.wait_replicated(&self.send(commit.provisional())?)?;
        self.waiter.wait(commit.timestamp())?;
        Ok(self.hlc.release(commit)?)
    }

    /// Replicates a batch, and waits once for all its transactions.
    fn commit_batch(&self, many: usize) -> Result<Vec<Stamp>, Failure> {
        let mut batch = Batch::new();
        let mut answers = Vec::new();
        for _ in 0..many {
            let commit = self.hlc.commit_stamp()?;
            answers.push(self.send(commit.provisional())?);
            batch.push(commit.timestamp(), commit);
        }
        answers.iter().try_for_each(|answer| self.wait_replicated(answer))?;
        let (_, released) = batch.release(&self.waiter, None)?;
        released.into_iter().map(|commit| Ok(self.hlc.release(commit)?)).collect()
    }
}

fn measure<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let began = Instant::now();
    let done = work()?;
    let each = began.elapsed() / TRANSACTIONS as u32;
    println!("{name:32}{:9.3} ms per transaction", each.as_secs_f64() * 1e3);
    Ok(done)
}

fn main() -> Result<(), Failure> {
    let clock = Arc::new(HostClock(Instant::now()));
    let (senders, logs): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (sender, entries) = channel();
            (sender, thread::spawn(move || replica(entries)))
        })
        .unzip();
    let leader =
        Leader { hlc: Hlc::new(clock.clone()), waiter: Waiter::new(clock), replicas: senders };
    println!("uncertainty 2 ms, replication round trip {:?}\n", 2 * DELAY);
    let mut stamps = Vec::new();
    let in_sequence =
        || (0..TRANSACTIONS).map(|_| leader.commit_in_sequence()).collect::<Result<Vec<_>, _>>();
    stamps.extend(measure("wait, then replicate", in_sequence)?);
    let overlapped =
        || (0..TRANSACTIONS).map(|_| leader.commit_overlapped()).collect::<Result<Vec<_>, _>>();
    stamps.extend(measure("replicate, then wait for the rest", overlapped)?);
    stamps.extend(measure("all in one batch", || leader.commit_batch(TRANSACTIONS))?);
    drop(leader); // closes the channels, so the replicas end

    assert!(stamps.is_sorted_by(|a, b| a < b), "released in the order of their stamps");
    for log in logs {
        let log = log.join().map_err(|_| "a replica panicked")?;
        assert_eq!(log, stamps, "each replica has all of them, in the same order");
    }
    println!("\n{} transactions, on both replicas in the order of their stamps", stamps.len());
    Ok(())
}
