//! A zombie with real processes: a holder is stopped until its lease has expired, and continues.
//!
//! ```text
//! cd examples/sqlite && cargo run --release --bin zombie
//! ```
//!
//! Two processes share an account in a SQLite file. Each acts only under a lease of 300 ms, and
//! checks it before it begins. The first process is stopped (SIGSTOP) between reading the
//! balance and writing the new one. The second takes over and pays in. Then the first
//! continues. The same is repeated with a fence in the transaction.
//!
//! This process is the lock service, and starts itself again as the two others. They exchange
//! lines: a child writes `=> word ...`, and reads `word ...`.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use rusqlite::{Connection, TransactionBehavior};
use truechimer::fence::{Fence, FenceError, FencingToken, StaleToken};
use truechimer::lease::{
    self, Decision, Grant, GrantError, Grantor, Holder, HolderId, SectionOutcome,
};
use truechimer::pause::{PauseError, PauseKind, PauseMonitor};
use truechimer::{ClockError, Interval, Reason, Timestamp, TrueTime};

type Failure = Box<dyn Error + Send + Sync>;

pub(crate) const TERM: Duration = Duration::from_millis(300);
/// How often the holder's pause monitor wakes up.
pub(crate) const POLL_EVERY: Duration = Duration::from_millis(10);
const PART: &str = "TRUECHIMER_ZOMBIE";

/// True time for the processes of one machine: the time since boot, with an uncertainty of a
/// millisecond. Between machines, use a `Clock` instead.
struct HostClock;

impl TrueTime for HostClock {
    fn now(&self) -> Result<Interval, ClockError> {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_err(|_| ClockError::Unsynchronized(Reason::SourceFailed))?;
        let now = Timestamp::from_tai_nanos(0).saturating_add(since_boot.into());
        Ok(Interval::from(now).widen(Duration::from_millis(1)))
    }
}

#[allow(dead_code, reason = "tests/zombie.rs includes this file for its story")]
fn main() -> Result<(), Failure> {
    if run_as_child()? {
        return Ok(());
    }
    println!("Two processes, one account, a lease of {TERM:?}.");
    for fenced in [false, true] {
        println!("\n{} a fence\n", if fenced { "With" } else { "Without" });
        let end = tell(fenced, true)?;
        let Account { balance, entries } = end.account;
        let verdict = if balance == entries { "correct" } else { "CORRUPTED" };
        println!("\n  The balance is {balance}, and the entries add up to {entries}: {verdict}.");
    }
    Ok(())
}

/// How the story ended.
#[derive(Debug)]
#[allow(dead_code, reason = "the test reads all of it")]
pub(crate) struct End {
    pub(crate) account: Account,
    /// How long the first holder was stopped, at least.
    pub(crate) stopped: Duration,
    /// Its report on the write: `wrote` or `refused`, and the numbers.
    pub(crate) write: Vec<String>,
    /// Its report on the pause: the kind, and the least and greatest length in nanoseconds.
    pub(crate) pause: Vec<String>,
    /// Its report on the lease afterwards.
    pub(crate) lease: Vec<String>,
    /// The tokens of the first and the second holder.
    pub(crate) tokens: [FencingToken; 2],
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) entries: i64,
}

/// Runs the lock service, stops and continues the first process, and tells what happens.
pub(crate) fn tell(fenced: bool, aloud: bool) -> Result<End, Failure> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("account.sqlite");
    open_account(&file)?;
    let mut service =
        LockService { grantor: Grantor::durable(TERM)?, began: Instant::now(), aloud };

    let mut first = Actor::enter("first", &file, fenced)?;
    let first_grant = service.serve_until(&mut first, "read")?.ok_or("never granted")?;
    first.stop()?;
    let stopped = Instant::now();
    service.print("the first is stopped (SIGSTOP) before its write");

    let mut second = Actor::enter("second", &file, fenced)?;
    let second_grant = service.serve_until(&mut second, "wrote")?.ok_or("never granted")?;
    // Wait until the first lease has certainly expired.
    thread::sleep(TERM);
    writeln!(first.orders, "go")?;
    let stopped = stopped.elapsed();
    first.signal(Signal::SIGCONT)?;
    service.print("the first continues (SIGCONT)");

    let mut report = || {
        let words = first.next()?;
        service.print(&format!("the first: {}", words[1..].join(" ")));
        Ok::<_, Failure>(words)
    };
    let (write, lease, pause) = (report()?, report()?, report()?);
    let tokens = [first_grant.token, second_grant.token];
    Ok(End { account: read_account(&file)?, stopped, write, pause, lease, tokens })
}

struct LockService {
    grantor: Grantor,
    began: Instant,
    aloud: bool,
}

impl LockService {
    fn print(&self, what: &str) {
        if self.aloud {
            println!("{:>6} ms  {what}", self.began.elapsed().as_millis());
        }
    }

    /// Answers the requests of `actor` until it reports `last`. Returns its last grant.
    fn serve_until(&mut self, actor: &mut Actor, last: &str) -> Result<Option<Grant>, Failure> {
        let (mut granted, mut refused) = (None, false);
        loop {
            let words = actor.next()?;
            if words[0] == "acquire" {
                let (holder, number) = (HolderId(words[1].parse()?), words[2].parse()?);
                let seen = FencingToken(words[3].parse()?);
                let command = lease::Command::Acquire { holder, number, seen };
                match self.grantor.decide(&HostClock, command) {
                    Ok(Decision::Granted(grant)) => {
                        self.print(&format!(
                            "the {} gets the lease under {}",
                            actor.name, grant.token
                        ));
                        let (token, expires) = (grant.token, grant.expires.tai_nanos());
                        writeln!(actor.orders, "granted {token} {expires}")?;
                        granted = Some(grant);
                    }
                    Ok(other) => return Err(format!("acquire was answered with {other:?}").into()),
                    Err(GrantError::Taken { retry_after, token, .. }) => {
                        if !std::mem::replace(&mut refused, true) {
                            self.print(&format!(
                                "the {} is refused, because token {token} has the lease",
                                actor.name
                            ));
                        }
                        let wait = retry_after.max(Duration::from_millis(1)).as_nanos();
                        writeln!(actor.orders, "refused {wait}")?;
                    }
                    Err(other) => return Err(other.into()),
                }
                continue;
            }
            self.print(&format!("the {}: {}", actor.name, words[1..].join(" ")));
            if words[0] == last {
                return Ok(granted);
            }
        }
    }
}

/// A child process. It is killed when this is dropped.
struct Actor {
    name: &'static str,
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    fn enter(name: &'static str, file: &Path, fenced: bool) -> Result<Actor, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            // A test program ignores these arguments and runs the test of this name, which calls
            // `run_as_child`.
            .args(["the_child", "--exact", "--nocapture"])
            .env(PART, format!("{name} {fenced} {}", file.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no pipe")?;
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        Ok(Actor { name, child, orders, lines })
    }

    /// The words of the next line that begins with the prompt.
    fn next(&mut self) -> Result<Vec<String>, Failure> {
        loop {
            let line =
                self.lines.next().ok_or_else(|| format!("the {} has exited", self.name))??;
            if let Some(words) = line.split("=> ").nth(1) {
                return Ok(words.split(' ').map(String::from).collect());
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill(self.pid()?, signal)?)
    }

    /// Stops it and waits until it has stopped, because on a busy host it may run on for a while.
    fn stop(&self) -> Result<(), Failure> {
        self.signal(Signal::SIGSTOP)?;
        waitpid(self.pid()?, Some(WaitPidFlag::WUNTRACED))?;
        Ok(())
    }

    fn pid(&self) -> Result<Pid, Failure> {
        Ok(Pid::from_raw(self.child.id().try_into()?))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have exited by itself, so errors are ignored.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs as a child if the environment says so. Returns whether it did.
pub(crate) fn run_as_child() -> Result<bool, Failure> {
    let Ok(part) = std::env::var(PART) else { return Ok(false) };
    let mut words = part.splitn(3, ' ');
    let mut word = || words.next().ok_or("the variable needs three words");
    let (name, fenced, file) = (word()?, word()? == "true", Path::new(word()?));
    let monitor =
        PauseMonitor::builder().interval(POLL_EVERY).threshold(10 * POLL_EVERY).start()?;
    println!("=> here, waiting for its turn");
    let (id, amount) = if name == "first" { (1, -30) } else { (2, 50) };
    let mut holder = Holder::new(HolderId(id));
    loop {
        let lease = acquire(&mut holder)?;
        let guard = monitor.guard();
        let outcome = lease.run(&HostClock, |token| -> Result<(), Failure> {
            let balance = read_account(file)?.balance;
            println!("=> read reads a balance of {balance}");
            if name == "first" {
                // Its work lasts until the order comes, so the story is the same on a slow machine.
                order()?;
            }
            match pay(file, fenced, token, balance, amount)? {
                Ok(()) => println!("=> wrote writes {} under {token}", balance + amount),
                Err(stale) => println!("=> refused {stale}"),
            }
            Ok(())
        });
        match outcome {
            // The lease expired before the work began, so try again.
            Err(_) => continue,
            Ok(SectionOutcome::Covered(done)) => done?,
            Ok(SectionOutcome::Overran { result, error }) => {
                result?;
                println!("=> lost {error}");
            }
        }
        // Only the monitor's own thread knows the kind of the pause, and it may not have run yet.
        let began = Instant::now();
        let unknown =
            |why: &PauseError| matches!(why, PauseError::Paused(p) if p.kind == PauseKind::Unknown);
        while guard.check().as_ref().is_err_and(unknown) && began.elapsed().as_secs() < 10 {
            thread::sleep(POLL_EVERY);
        }
        if let Err(why @ PauseError::Paused(pause)) = &guard.check() {
            let (least, most) = (pause.at_least.as_nanos(), pause.at_most.as_nanos());
            println!("=> {:?}/{least}/{most} {why}", pause.kind);
        }
        return Ok(true);
    }
}

fn acquire(holder: &mut Holder) -> Result<lease::Lease, Failure> {
    loop {
        let lease::Command::Acquire { holder: id, number, seen } = holder.acquire() else {
            return Err("no request for the lease".into());
        };
        println!("=> acquire {id} {number} {seen}");
        let answer = order()?;
        let words: Vec<_> = answer.split(' ').collect();
        match words[..] {
            ["granted", token, expires] => {
                let expires = Timestamp::from_tai_nanos(expires.parse()?);
                let token = FencingToken(token.parse()?);
                return Ok(holder.accept(&Grant { holder: holder.id(), token, expires })?);
            }
            ["refused", nanos] => thread::sleep(Duration::from_nanos(nanos.parse()?)),
            _ => return Err(format!("the lock service answered {answer:?}").into()),
        }
    }
}

fn order() -> Result<String, Failure> {
    Ok(std::io::stdin().lines().next().ok_or("the lock service has exited")??)
}

fn connect(file: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

fn open_account(file: &Path) -> Result<(), Failure> {
    Ok(connect(file)?.execute_batch(
        "CREATE TABLE account (balance INTEGER NOT NULL);
         CREATE TABLE entry (amount INTEGER NOT NULL);
         CREATE TABLE fence (newest INTEGER NOT NULL);
         INSERT INTO account VALUES (100);
         INSERT INTO entry VALUES (100);
         INSERT INTO fence VALUES (0);",
    )?)
}

fn read_account(file: &Path) -> Result<Account, Failure> {
    let query = "SELECT balance, (SELECT SUM(amount) FROM entry) FROM account";
    Ok(connect(file)?
        .query_row(query, [], |row| Ok(Account { balance: row.get(0)?, entries: row.get(1)? }))?)
}

/// Adds an entry, and sets the balance to the one that was read before plus the amount.
///
/// The fence is checked and stored in the transaction of the write, so no other process can
/// write in between.
fn pay(
    file: &Path,
    fenced: bool,
    token: FencingToken,
    read: i64,
    amount: i64,
) -> Result<Result<(), StaleToken>, Failure> {
    let mut connection = connect(file)?;
    let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if fenced {
        let newest: i64 = all.query_row("SELECT newest FROM fence", [], |row| row.get(0))?;
        let fence = Fence::starting_at(FencingToken(newest.try_into()?));
        match fence.admit(token) {
            Ok(()) => {}
            Err(FenceError::Stale(stale)) => return Ok(Err(stale)),
            Err(other) => return Err(other.into()),
        }
        all.execute("UPDATE fence SET newest = ?1", [i64::try_from(fence.newest().get())?])?;
    }
    all.execute("INSERT INTO entry VALUES (?1)", [amount])?;
    all.execute("UPDATE account SET balance = ?1", [read + amount])?;
    Ok(Ok(all.commit()?))
}
