//! The tree is the architecture: which module may import which, and what the top level holds.
//!
//! Every path in `src` is followed to the file that defines what it names, so that a
//! shortcut taken in a hurry fails here, in whichever way it is spelt:
//!
//! - imports run only against the arrows of the layers ([`table`]);
//! - neither files nor top-level modules import each other in a circle of any length;
//! - `unsafe` is in the host layer only.
//!
//! [`engine`] holds the tests of this test.

mod cycles;
mod engine;
mod imports;
mod paths;
mod table;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cycles::{Graph, cycles};
use imports::{Imports, imports};
use table::{EVERY_LAYER_EXISTS, LAYERS, is_below, trespass};
use tree::{Sources, Tree};

/// The only places for `unsafe`: the host layer, and the command's bare reads of what only it shows.
const UNSAFE: &[&str] = &["host", "bin/truechimer/raw_read.rs", "bin/truechimer/timex.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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

fn sources() -> Sources {
    let src = root().join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8");
        (name.to_owned(), fs::read_to_string(path).expect("readable"))
    };
    files.iter().map(read).collect()
}

/// The library and its imports, which several tests look at.
static LIBRARY: LazyLock<Tree> = LazyLock::new(|| Tree::read(&sources(), "lib.rs"));
static IMPORTS: LazyLock<Imports> = LazyLock::new(|| imports(&LIBRARY));

/// The graph of all files.
fn graph_of_files(imports: &Imports) -> Graph {
    let mut graph = Graph::new();
    for (from, to) in imports.keys() {
        graph.entry(from.clone()).or_default().insert(to.clone());
    }
    graph
}

/// The graph of the top-level modules, which a file's path begins with.
fn graph_of_modules(imports: &Imports) -> Graph {
    let top = |file: &str| file.split('/').next().unwrap_or(file).to_owned();
    let mut graph = Graph::new();
    for (from, to) in imports.keys().map(|(from, to)| (top(from), top(to))) {
        if from != to {
            graph.entry(from).or_default().insert(to);
        }
    }
    graph
}

/// One line for each circle, with the items that each step uses.
fn describe(cycles: &[Vec<String>], imports: &Imports) -> String {
    let step = |from: &String, to: &String| {
        let is_step = |a: &str, b: &str| is_below(a, from) && is_below(b, to);
        let exact = imports.get(&(from.clone(), to.clone())).map(|items| vec![items]);
        let items = exact.unwrap_or_else(|| {
            imports.iter().filter(|((a, b), _)| is_step(a, b)).map(|(_, items)| items).collect()
        });
        let items: BTreeSet<&str> = items.into_iter().flatten().map(String::as_str).collect();
        let items: Vec<&str> = items.into_iter().collect();
        format!("{from} uses {} of {to}", items.join(", "))
    };
    let line = |cycle: &Vec<String>| {
        let next = cycle.iter().cycle().skip(1);
        cycle.iter().zip(next).map(|(from, to)| step(from, to)).collect::<Vec<_>>().join("; ")
    };
    cycles.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_run_only_against_the_arrows() {
    let uses = IMPORTS.iter().flat_map(|((from, to), items)| {
        items.iter().filter_map(move |item| trespass(from, to, item))
    });
    let wrong: Vec<String> = uses.collect();
    assert!(wrong.is_empty(), "{} trespasses:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let command = imports(&Tree::read(&sources(), "bin/truechimer/main.rs"));
    for (name, imports) in [("the library", &*IMPORTS), ("the command", &command)] {
        let cycles = cycles(&graph_of_files(imports));
        assert!(cycles.is_empty(), "circles in {name}:\n{}", describe(&cycles, imports));
    }
}

#[test]
fn no_top_level_modules_import_each_other_in_a_circle() {
    let cycles = cycles(&graph_of_modules(&IMPORTS));
    assert!(cycles.is_empty(), "circles:\n{}", describe(&cycles, &IMPORTS));
}

#[test]
fn every_file_is_in_a_layer() {
    let files: BTreeSet<String> = LIBRARY
        .modules
        .iter()
        .filter(|module| !module.names.is_empty() || !module.paths.is_empty())
        .map(|module| module.file.clone())
        .collect();
    let layers = || LAYERS.iter().map(|layer| layer.path).chain(table::OUTERMOST.iter().copied());
    for file in &files {
        let is_in_one = layers().any(|layer| is_below(file, layer));
        assert!(is_in_one, "{file} is in no layer: add it to tests/layers/table.rs");
    }
    for layer in LAYERS.iter().filter(|_| EVERY_LAYER_EXISTS) {
        let exists = files.iter().any(|file| is_below(file, layer.path));
        assert!(exists, "the layer {} has no file", layer.path);
    }
}

#[test]
fn unsafe_is_only_where_it_is_allowed() {
    for (file, text) in sources() {
        let count = paths::count_unsafe(&text);
        let is_allowed = UNSAFE.iter().any(|place| is_below(&file, place));
        assert!(count == 0 || is_allowed, "{file} says `unsafe` {count} times");
    }
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        rust_files(&root().join(folder), &mut files);
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
    for entry in fs::read_dir(root()).expect("the crate") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let is_ours =
            WANTED.contains(&&*name) || name.starts_with('.') || name.starts_with("target");
        let is_ignored = name.ends_with(".profraw") || name == "proptest-regressions";
        assert!(is_ours || is_ignored, "{name} does not belong at the top level");
    }
    for name in WANTED {
        assert!(root().join(name).exists(), "{name} is missing");
    }
}
