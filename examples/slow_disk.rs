//! Stamps on a slow disk: how long the longest `stamp()` takes while each write of the
//! high-water mark takes 1.2 s, as it can on a cloud volume.
//!
//!     cargo run --release --example slow_disk
//!
//! Eight threads take stamps for 15 s. Each pauses for a moment after a stamp, so that what is
//! measured is the wait for the disk and not the wait for a processor. Another clock issues one
//! stamp every five seconds.
//!
//! The disk is a file whose `persist` sleeps before it writes.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use truechimer::store::{FileStore, Store, StoreError};
use truechimer::{Clock, Hlc, HlcError, Stamp};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const LATENCY: Duration = Duration::from_millis(1_200);
const FOR: Duration = Duration::from_secs(15);
const THREADS: usize = 8;

/// A file on a disk that takes so long for each sync.
struct SlowDisk(FileStore);

impl Store for SlowDisk {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load()
    }

    fn persist(&mut self, content: &[u8]) -> Result<(), StoreError> {
        thread::sleep(LATENCY);
        self.0.persist(content)
    }
}

/// Takes stamps, and returns how many there were and how long the longest took.
fn take(
    stamp: impl Fn() -> Result<Stamp, HlcError>,
    pause: Duration,
) -> Result<(u64, Duration), HlcError> {
    let began = Instant::now();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while began.elapsed() < FOR {
        let asked = Instant::now();
        stamp()?;
        longest = longest.max(asked.elapsed());
        count += 1;
        thread::sleep(pause);
    }
    Ok((count, longest))
}

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let clock = Clock::builder().assume_error(Duration::from_millis(1)).build()?;
    let open = |name: &str| {
        let store = SlowDisk(FileStore::create_new(directory.path().join(name))?);
        let began = Instant::now();
        let hlc = Hlc::builder(clock.clone()).create_new_in(store)?;
        println!("{name}: the start took {:.1?}", began.elapsed());
        Ok::<_, Failure>(Arc::new(hlc))
    };
    let hlc = open("stamp()")?;
    let running: Vec<_> = (0..THREADS)
        .map(|_| {
            let hlc = hlc.clone();
            thread::spawn(move || take(|| hlc.stamp(), Duration::from_micros(500)))
        })
        .collect();
    let sparse = open("one in 5 s")?;
    let sparse = thread::spawn(move || take(|| sparse.stamp(), Duration::from_secs(5)));
    let (mut count, mut longest) = (0, Duration::ZERO);
    for thread in running {
        let (taken, slowest) = thread.join().map_err(|_| "a thread panicked")??;
        (count, longest) = (count + taken, longest.max(slowest));
    }
    println!("stamp(): {count} stamps by {THREADS} threads, the longest took {longest:.1?}");
    let (count, longest) = sparse.join().map_err(|_| "a thread panicked")??;
    println!("one in 5 s: {count} stamps, the longest took {longest:.1?}");
    let status = hlc.mark_status().ok_or("it has a mark")?;
    println!("latency of the disk {:.1?}, window {:.1?}", status.latency, status.window);
    Ok(())
}
