//! The layers: which module may import from which. This is the picture of the design.
//!
//! ```text
//! host <- counter <- evidence <- source <- estimator <- snapshot <- clock <- wait, hlc, ... <- sim, bin
//! ```
//!
//! An arrow means "is used by". Below all of them are the pure modules, which read no clock.

/// One layer.
pub struct Layer {
    /// The layer is the file or folder with this path below `src`.
    pub path: &'static str,
    /// What it may import besides its own files: paths, or single items as `path::Item`.
    pub may_import: &'static [&'static [&'static str]],
}

const fn layer(path: &'static str, may_import: &'static [&'static [&'static str]]) -> Layer {
    Layer { path, may_import }
}

/// Whether every layer of the table must have a file. Off while the tree is being built.
pub const EVERY_LAYER_EXISTS: bool = true;

/// What the pages of documentation link to: everything that is public.
const DOCUMENTATION: &[&[&str]] = &[
    PURE,
    TOOLS,
    &[
        "clock", "source", "snapshot", "wait", "pause", "lease", "timeout", "peers", "host",
        "counter", "evidence", "sim", "lib",
    ],
];

/// Arithmetic on time. It reads no clock.
const PURE: &[&str] = &["timestamp", "interval", "agreement", "quorum", "scale"];

/// What the toolkit sees of the core: the trait, its errors and states, the reasons in them, and
/// the default of assumption A2.
const TRUE_TIME: &[&str] = &[
    "clock/truetime",
    "clock/changes",
    "snapshot::ClockError",
    "snapshot::Status",
    "evidence::Reason",
    "counter::DEFAULT_MAX_DRIFT_PPM",
];

/// What tools may use of each other.
const TOOLS: &[&str] = &[
    "background",
    "decimal",
    "durable",
    "exclusive",
    "fence",
    "fork",
    "hlc",
    "host::ProcessKey",
    "host::RANDOM_SOURCE",
    "host::random_bytes",
    "section",
    "store",
    "sync",
    "wait",
];

/// The longest path that fits a file decides.
pub const LAYERS: &[Layer] = &[
    layer("timestamp", &[&["decimal"]]),
    layer("interval", &[&["timestamp"]]),
    layer("agreement", &[&["timestamp", "interval"]]),
    layer("quorum", &[]),
    layer("scale", &[&["timestamp", "interval"]]),
    // Documentation only.
    layer("_design", &[]),
    layer("_platforms", DOCUMENTATION),
    // What fuzzing runs that is not public.
    layer("_fuzz", &[&["durable", "source"]]),
    // Chooses between std and loom.
    layer("sync", &[]),
    // A bound for what closures return.
    layer("section", &[]),
    // Numbers as text.
    layer("decimal", &[]),
    // The core, from the inside out.
    layer("host", &[&["timestamp"]]),
    // State that a forked child makes anew.
    layer("fork", &[&["host::ProcessKey"]]),
    // What sections of threads and of tasks take turns at.
    layer("exclusive", &[&["fork"]]),
    // Blocking work for tasks.
    layer("background", &[&["fork", "host::ProcessKey"]]),
    layer("counter", &[&["timestamp", "interval", "host"]]),
    layer("evidence", &[&["timestamp", "interval", "host", "counter"]]),
    layer(
        "source",
        &[&["timestamp", "interval", "agreement", "scale", "fork", "host", "counter", "evidence"]],
    ),
    // Pure: it receives samples and reads nothing itself.
    layer("estimator", &[&["timestamp", "interval", "agreement", "counter", "evidence"]]),
    layer(
        "snapshot",
        &[&["timestamp", "interval", "sync", "host", "counter", "evidence", "estimator"]],
    ),
    // Tells waiters that a clock in a test was moved.
    layer("clock/changes", &[&["fork", "host::ProcessKey", "sync"]]),
    layer("clock/truetime", &[&["timestamp", "interval", "evidence", "snapshot", "clock/changes"]]),
    layer(
        "clock",
        &[
            PURE,
            &["fork", "sync", "host", "counter", "evidence", "source", "estimator", "snapshot"],
        ],
    ),
    // The toolkit sees a clock only as the trait.
    layer("store", &[&["fork", "host::ProcessKey"]]),
    layer("durable", &[&["store"]]),
    layer("wait", &[PURE, TRUE_TIME, TOOLS]),
    layer("hlc", &[PURE, TRUE_TIME, TOOLS]),
    layer("lease", &[PURE, TRUE_TIME, TOOLS]),
    layer("fence", &[PURE, TRUE_TIME, TOOLS]),
    layer("pause", &[PURE, TRUE_TIME, TOOLS]),
    layer("timeout", &[PURE, TRUE_TIME, TOOLS]),
    layer("peers", &[PURE, TRUE_TIME, TOOLS]),
];

/// These may use the whole crate, and no layer may use them. A page of documentation links to
/// all that it names.
pub const OUTERMOST: &[&str] = &["lib", "_fuzz", "_platforms", "_width", "sim", "bin"];

/// A file, and an item outside of its layer that it may use: `clock.commit_wait()` is a method of
/// the clock, but its code is with the waiting.
///
/// A duration lease has no clock that states its error, so its clock asks the host itself.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("wait/clock", "clock::Clock"),
    ("wait/clock", "clock::WeakClock"),
    ("lease/boot_clock", "host"),
];

/// Whether `file` is `path` or below it.
pub fn is_below(file: &str, path: &str) -> bool {
    file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether `item` of `file` is what an entry of the table names: a path, or one item below it.
fn fits(entry: &str, file: &str, item: &str) -> bool {
    match entry.split_once("::") {
        Some((path, only)) => is_below(file, path) && item == only,
        None => is_below(file, entry),
    }
}

/// Why `importer` may not use `item`, which `file` defines. `None` if it may.
pub fn trespass(importer: &str, file: &str, item: &str) -> Option<String> {
    let is_outermost = OUTERMOST.iter().any(|outer| is_below(importer, outer));
    let is_exception =
        EXCEPTIONS.iter().any(|&(from, entry)| from == importer && fits(entry, file, item));
    if is_outermost || is_exception {
        return None;
    }
    let layers = LAYERS.iter().filter(|layer| is_below(importer, layer.path));
    let Some(layer) = layers.max_by_key(|layer| layer.path.len()) else {
        return Some(format!("{importer} is in no layer: add it to tests/layers/table.rs"));
    };
    let path = layer.path;
    let mut allowed = layer.may_import.iter().copied().flatten().chain([&path]);
    let is_allowed = allowed.any(|entry| fits(entry, file, item));
    (!is_allowed).then(|| format!("{importer} uses {item} of {file}, which {path} may not"))
}
