//! SQLite with stamps that outside observers can rely on.
//!
//!     cd examples/sqlite && cargo run --release --bin sqlite_commits
//!
//! Several threads commit rows to one SQLite file. Each row carries the commit
//! stamp of its transaction. A row is acknowledged once its stamp has certainly
//! passed, and in the order of the stamps. So if one client hears of a commit
//! and then starts another, here or on any other node, that one has the later
//! stamp, and `ORDER BY stamp` is the order in which things happened. Stamps are
//! durable: a second run goes on above the first.
//!
//! SQLite has one writer at a time. Its lock is held while the stamp is chosen and the
//! row is committed, and released before the wait. One releaser waits for all commits
//! that have gathered, together.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use truechimer::wait::Batch;
use truechimer::{Clock, Hlc, PendingCommit, Stamp, Waiter};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const CLIENTS: usize = 4;
const ROWS: usize = 25;

/// A committed row that is not acknowledged yet, and the client that waits for that.
struct Committed {
    stamp: PendingCommit,
    client: Sender<Stamp>,
}

struct Store {
    hlc: Hlc<Clock>,
    waiter: Waiter<Clock>,
    database: Mutex<Connection>,
    release: Sender<Committed>,
}

impl Store {
    fn open(place: &Path, release: Sender<Committed>) -> Result<Store, Failure> {
        // So that the example runs on every host, it assumes that the wall clock is right
        // to 2 ms. A program in production asks the kernel, with `Clock::new()`.
        let clock = Clock::builder().assume_error(Duration::from_millis(2)).build()?;
        let is_first_start = !place.join("rows.sqlite").exists();
        let database = Connection::open(place.join("rows.sqlite"))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS rows (stamp BLOB PRIMARY KEY, value TEXT NOT NULL)",
        )?;
        // The database says whether there was an earlier start. The mark itself cannot: a mark
        // that was lost looks like one that never was, and its stamps would be issued again.
        let (builder, mark) = (Hlc::builder(clock.clone()), place.join("rows.mark"));
        let hlc =
            if is_first_start { builder.create_new(mark) } else { builder.open_existing(mark) }?;
        let (waiter, database) = (Waiter::new(clock), Mutex::new(database));
        Ok(Store { hlc, waiter, database, release })
    }

    /// Commits a row, and returns its stamp once that may be acknowledged.
    fn insert(&self, value: &str) -> Result<Stamp, Failure> {
        let (client, answer) = channel();
        {
            let mut database = self.database.lock().map_err(|_| "a writer panicked")?;
            let transaction = database.transaction()?;
            // Under the writer's lock: the order of stamps is the order of commits.
            let stamp = self.hlc.commit_stamp()?;
            let key = stamp.provisional().to_be_bytes();
            transaction.execute("INSERT INTO rows VALUES (?1, ?2)", params![key, value])?;
            transaction.commit()?;
            self.release.send(Committed { stamp, client })?;
        }
        Ok(answer.recv()?)
    }

    /// Waits once for all commits that have gathered, and tells the clients in order.
    fn release_all(&self, commits: Receiver<Committed>, rows: usize) -> Result<usize, Failure> {
        let (mut released, mut waits) = (0, 0);
        while released < rows {
            let mut batch = Batch::new();
            let first = commits.recv()?;
            for commit in std::iter::once(first).chain(commits.try_iter()) {
                batch.push(commit.stamp.timestamp(), commit);
            }
            let (_, passed) = batch.release(&self.waiter, None)?;
            waits += 1;
            for Committed { stamp, client } in passed {
                let stamp = self.hlc.release(stamp)?;
                released += 1;
                // A client that has gone away must not delay the others.
                let _ = client.send(stamp);
            }
        }
        Ok(waits)
    }
}

/// One run of the store: each client commits a row, hears of it, commits the next.
fn run(place: &Path, number: usize) -> Result<(), Failure> {
    let (release, commits) = channel();
    let store = Store::open(place, release)?;
    let began = Instant::now();
    let waits = thread::scope(|scope| {
        let releaser = scope.spawn(|| store.release_all(commits, CLIENTS * ROWS));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let store = &store;
                scope.spawn(move || -> Result<(), Failure> {
                    let mut last = Stamp::MIN;
                    for row in 0..ROWS {
                        let stamp =
                            store.insert(&format!("run {number} client {client} row {row}"))?;
                        assert!(stamp > last, "a commit that begins later has the later stamp");
                        last = stamp;
                    }
                    Ok(())
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| "a client panicked")??;
        }
        releaser.join().map_err(|_| "the releaser panicked")?
    })?;
    let rows = CLIENTS * ROWS;
    println!("run {number}: {rows} rows in {:?}, released by {waits} waits", began.elapsed());
    Ok(())
}

fn main() -> Result<(), Failure> {
    let place = tempfile::tempdir()?;
    for number in 1..=2 {
        run(place.path(), number)?;
    }
    // The keys are bytes that sort as the stamps do, so SQLite's order is theirs.
    let database = Connection::open(place.path().join("rows.sqlite"))?;
    let mut query = database.prepare("SELECT stamp, value FROM rows ORDER BY stamp")?;
    let rows = query
        .query_map([], |row| Ok((Stamp::from_be_bytes(row.get(0)?), row.get::<_, String>(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    assert_eq!(rows.len(), 2 * CLIENTS * ROWS);
    assert!(rows.is_sorted_by(|a, b| a.0 < b.0));
    for client in 0..CLIENTS {
        let of_client =
            rows.iter().filter(|(_, value)| value.contains(&format!("client {client} ")));
        let values: Vec<_> = of_client.map(|(_, value)| value.as_str()).collect();
        let expected: Vec<_> = (1..=2)
            .flat_map(|run| {
                (0..ROWS).map(move |row| format!("run {run} client {client} row {row}"))
            })
            .collect();
        assert_eq!(values, expected, "each client's rows are in the order it made them");
    }
    for (stamp, value) in rows.iter().step_by(rows.len() / 5) {
        println!("{stamp}  {value}");
    }
    Ok(())
}
