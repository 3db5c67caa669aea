//! The layers: which module may import from which. This is the picture of the design.
//!
//! ```text
//! host <- counter <- evidence <- source <- estimator <- snapshot <- clock <- wait, hlc, ... <- sim, bin
//! ```
//!
//! An arrow means "is used by". Below all of them are the pure modules, which read no clock.

/// One layer: the modules below `path`, and what they may import beside each other.
pub struct Layer {
    pub path: &'static str,
    pub may_import: &'static [&'static [&'static str]],
}

const fn layer(path: &'static str, may_import: &'static [&'static [&'static str]]) -> Layer {
    Layer { path, may_import }
}

/// Whether every layer of the table must have a file. Off while the tree is being built.
pub const EVERY_LAYER_EXISTS: bool = false;

/// Arithmetic on time. It reads no clock.
const PURE: &[&str] = &["timestamp", "interval", "agreement", "quorum", "scale"];

/// What the toolkit sees of the core: the trait, its errors and states, and the reasons in them.
const TRUE_TIME: &[&str] =
    &["clock/truetime", "snapshot::ClockError", "snapshot::Status", "evidence::Reason"];

/// What tools may use of each other.
const TOOLS: &[&str] = &["durable", "fence", "hlc", "sync"];

/// The longest path that fits a file decides.
pub const LAYERS: &[Layer] = &[
    layer("timestamp", &[]),
    layer("interval", &[&["timestamp"]]),
    layer("agreement", &[&["timestamp", "interval"]]),
    layer("quorum", &[]),
    layer("scale", &[&["timestamp", "interval"]]),
    // Chooses between std and loom.
    layer("sync", &[]),
    // The core, from the inside out.
    layer("host", &[&["timestamp"]]),
    layer("counter", &[&["timestamp", "interval", "host"]]),
    layer("evidence", &[&["timestamp", "interval", "host", "counter"]]),
    layer("source", &[&["timestamp", "interval", "scale", "host", "counter", "evidence"]]),
    // Pure: it is given samples and asks nobody.
    layer("estimator", &[&["timestamp", "interval", "agreement", "counter", "evidence"]]),
    layer(
        "snapshot",
        &[&["timestamp", "interval", "sync", "host", "counter", "evidence", "estimator"]],
    ),
    layer("clock/truetime", &[&["timestamp", "interval", "evidence", "snapshot"]]),
    layer(
        "clock",
        &[PURE, &["sync", "host", "counter", "evidence", "source", "estimator", "snapshot"]],
    ),
    // The toolkit sees a clock only as the trait.
    layer("durable", &[]),
    layer("wait", &[PURE, TRUE_TIME, TOOLS]),
    layer("hlc", &[PURE, TRUE_TIME, TOOLS]),
    layer("lease", &[PURE, TRUE_TIME, TOOLS]),
    layer("fence", &[PURE, TRUE_TIME, TOOLS]),
    layer("pause", &[PURE, TRUE_TIME, TOOLS]),
    layer("timeout", &[PURE, TRUE_TIME, TOOLS]),
    layer("peers", &[PURE, TRUE_TIME, TOOLS]),
];

/// These may use the whole crate, and no layer may use them.
pub const OUTERMOST: &[&str] = &["lib", "sim", "bin"];

/// A file that may import what its layer may not: `clock.commit_wait()` is a method of the
/// clock, and lives with the waiting.
const EXCEPTIONS: &[(&str, &str)] = &[("wait/clock", "clock")];

/// Whether `file` is `path` or below it.
pub fn is_below(file: &str, path: &str) -> bool {
    file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why `importer` may not use `item`, which `file` defines; `None` if it may.
pub fn trespass(importer: &str, file: &str, item: &str) -> Option<String> {
    let is_outermost = OUTERMOST.iter().any(|outer| is_below(importer, outer));
    if is_outermost || EXCEPTIONS.contains(&(importer, file)) {
        return None;
    }
    let layers = LAYERS.iter().filter(|layer| is_below(importer, layer.path));
    let Some(layer) = layers.max_by_key(|layer| layer.path.len()) else {
        return Some(format!("{importer} is in no layer: add it to tests/layers/table.rs"));
    };
    let mut allowed = layer.may_import.iter().copied().flatten().chain([&layer.path]);
    let fits = allowed.any(|other| match other.split_once("::") {
        Some((path, only)) => is_below(file, path) && item == only,
        None => is_below(file, other),
    });
    let path = layer.path;
    (!fits).then(|| format!("{importer} uses {item} of {file}, which {path} may not"))
}
