//! The tree is the architecture: who may import whom, and what the top level holds.
//!
//! Read from the `use` lines, so that a shortcut taken in a hurry fails here and not
//! in a reader's head.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms it may import from. The longest prefix of a path decides.
const ROOMS: &[(&str, &[&str])] = &[
    ("timestamp", &[]),
    ("interval", &["timestamp"]),
    ("sync", &[]),
    ("sys", &[]),
    ("agreement", &["timestamp", "interval"]),
    ("scale", &["timestamp", "interval"]),
    // The core, from the inside out.
    ("clock/status", &[]),
    ("clock/changes", &[]),
    ("clock/truetime", &["timestamp", "interval", "clock/changes", "clock/status"]),
    ("clock/bound", &["timestamp", "interval"]),
    ("clock/step", &["sys", "clock/bound"]),
    ("clock/counter", &["sys", "clock/bound", "clock/step"]),
    ("clock/publish", &["sync"]),
    ("clock/rate", &["timestamp", "interval", "clock/bound"]),
    (
        "clock/block",
        &[
            "timestamp",
            "interval",
            "clock/bound",
            "clock/counter",
            "clock/publish",
            "clock/status",
            "clock/truetime",
        ],
    ),
    (
        "clock/estimator",
        &[
            "timestamp",
            "interval",
            "clock/block",
            "clock/rate",
            "clock/bound",
            "clock/counter",
            "clock/status",
        ],
    ),
    (
        "source",
        &[
            "timestamp",
            "interval",
            "sys",
            "scale",
            "source",
            "clock/bound",
            "clock/counter",
            "clock/status",
        ],
    ),
    ("clock", &["timestamp", "interval", "sys", "sync", "scale", "source", "clock"]),
    // The toolkit sees a clock only as the trait.
    ("durable", &[]),
    ("quorum", &[]),
    ("wait", TOOLKIT),
    ("hlc", TOOLKIT),
    ("lease", TOOLKIT),
    ("fence", TOOLKIT),
    ("pause", TOOLKIT),
    ("timeout", TOOLKIT),
    ("peers", TOOLKIT),
];

/// What a tool may import beside itself.
const TOOLKIT: &[&str] = &[
    "timestamp",
    "interval",
    "clock/changes",
    "clock/truetime",
    "clock/status",
    "agreement",
    "quorum",
    "durable",
    "fence",
    "hlc",
    "sync",
];

/// The whole crate is theirs to use, and nobody imports them.
const OUTERMOST: &[&str] = &["lib", "bin", "sim"];

/// `clock.commit_wait()` is a method of the clock, and lives with the waiting.
const EXCEPTIONS: &[(&str, &str)] = &[("wait/clock", "clock")];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of ours") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every module, by its path without `.rs` and `/mod`, and its text outside of tests.
fn modules() -> BTreeMap<String, String> {
    let mut files = Vec::new();
    rust_files(&src(), &mut files);
    let name = |path: &Path| {
        let relative = path.strip_prefix(src()).expect("below src").with_extension("");
        let relative = relative.to_str().expect("UTF-8").to_owned();
        relative.strip_suffix("/mod").unwrap_or(&relative).to_owned()
    };
    let text = |path: &Path| {
        let text = fs::read_to_string(path).expect("readable");
        text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
    };
    files.iter().map(|path| (name(path), text(path))).collect()
}

/// The modules named by `crate::…` in code (comments left out), as paths.
fn imports(text: &str, all: &BTreeSet<String>) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let named = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        rest[..end.unwrap_or(rest.len())].replace("::", "/")
    });
    named.map(|path| module_of(&path, all)).collect()
}

/// The longest beginning of `path` that is a module; `lib` where the crate's root is meant.
fn module_of(path: &str, all: &BTreeSet<String>) -> String {
    let mut path = path.trim_end_matches('/');
    while !all.contains(path) {
        match path.rfind('/') {
            Some(end) => path = &path[..end],
            None => return "lib".to_owned(),
        }
    }
    path.to_owned()
}

fn is_in(module: &str, room: &str) -> bool {
    module == room || module.strip_prefix(room).is_some_and(|rest| rest.starts_with('/'))
}

fn room_of(module: &str) -> Option<&'static (&'static str, &'static [&'static str])> {
    ROOMS.iter().filter(|(room, _)| is_in(module, room)).max_by_key(|(room, _)| room.len())
}

/// What is wrong with `module` importing `import`, if anything is.
fn trespass(module: &str, import: &str) -> Option<String> {
    if OUTERMOST.iter().any(|outer| is_in(module, outer)) || EXCEPTIONS.contains(&(module, import))
    {
        return None;
    }
    let Some((room, allowed)) = room_of(module) else {
        return Some(format!("{module} is in no room: say in tests/layers.rs which layer it is"));
    };
    let fine = is_in(import, room) || allowed.iter().any(|other| is_in(import, other));
    (!fine).then(|| format!("{module} imports {import}, which {room} may not"))
}

#[test]
fn imports_run_only_against_the_arrows() {
    let modules = modules();
    let names: BTreeSet<String> = modules.keys().cloned().collect();
    let wrong: Vec<String> = modules
        .iter()
        .flat_map(|(module, text)| {
            imports(text, &names).into_iter().filter_map(move |import| trespass(module, &import))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let modules = modules();
    let names: BTreeSet<String> = modules.keys().cloned().collect();
    let graph: BTreeMap<_, _> =
        modules.iter().map(|(module, text)| (module.clone(), imports(text, &names))).collect();
    // A module may name its own children (`pub use`), and they what is in it.
    let is_family = |a: &str, b: &str| is_in(a, b) || is_in(b, a);
    for (a, imported) in &graph {
        for b in imported.iter().filter(|b| !is_family(a, b)) {
            let back = graph.get(b).is_some_and(|of_b| of_b.contains(a));
            assert!(!back, "{a} and {b} import each other");
        }
    }
}

#[test]
fn a_trespass_would_be_seen() {
    let names: BTreeSet<String> =
        ["clock", "clock/bound", "interval", "lease", "timestamp"].map(String::from).into();
    let text = "use crate::clock::bound::Bound;\n// crate::lease\nuse crate::interval::Interval;";
    let found = imports(text, &names);
    assert_eq!(found, ["clock/bound", "interval"].map(String::from).into());
    for (module, import) in [
        ("timestamp", "interval"),
        ("interval", "scale"),
        ("clock/estimator", "lease"),
        ("clock/bound", "clock/driver"),
        ("lease", "clock"),
        ("lease", "lib"),
        ("source/kernel", "clock/driver"),
        ("clock", "sim/world"),
        ("nowhere", "interval"),
    ] {
        assert!(trespass(module, import).is_some(), "{module} may import {import}");
    }
    assert_eq!(trespass("lease", "clock/truetime"), None);
}

#[test]
fn unsafe_lives_in_one_file() {
    for (module, text) in modules() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found =
            code.filter(|line| line.contains("unsafe ") && !line.contains("unsafe_")).count();
        assert!(found == 0 || module == "sys", "{module} has {found} lines with `unsafe`");
    }
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    for file in files {
        let lines = fs::read_to_string(&file).expect("readable").lines().count();
        assert!(lines <= 600, "{} has {lines} lines: split it by idea", file.display());
    }
}

#[test]
fn the_top_level_holds_what_it_should_and_nothing_else() {
    const WANTED: &[&str] = &[
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "src",
        "benches",
        "tests",
        "examples",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root).expect("the crate") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let is_ours =
            WANTED.contains(&&*name) || name.starts_with('.') || name.starts_with("target");
        let is_ignored = name.ends_with(".profraw") || name == "proptest-regressions";
        assert!(is_ours || is_ignored, "{name} does not belong at the top level");
    }
    for name in WANTED {
        assert!(root.join(name).exists(), "{name} is missing");
    }
}
