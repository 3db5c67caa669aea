//! Tests of the engine on small crates that are written here, so that it cannot pass blindly.

use crate::cycles::cycles;
use crate::graph_of_files;
use crate::graph_of_modules;
use crate::imports::{Imports, imports};
use crate::paths::count_unsafe;
use crate::table::trespass;
use crate::tree::{Sources, Tree};

/// The imports of the crate that these files make up.
fn crate_of(files: &[(&str, &str)]) -> Imports {
    let own = |&(name, text): &(&str, &str)| (name.to_owned(), text.to_owned());
    let sources: Sources = files.iter().map(own).collect();
    imports(&Tree::read(&sources, "lib.rs"))
}

/// Each import as `importer: item of file`.
fn lines(imports: &Imports) -> Vec<String> {
    let line = |((from, to), items): (&(String, String), &std::collections::BTreeSet<String>)| {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        format!("{from}: {} of {to}", items.join(" "))
    };
    imports.iter().map(line).collect()
}

/// The imports of `scale/unix.rs`, if that is its text, in a crate with some other modules.
fn seen_in(text: &str) -> Vec<String> {
    let files = [
        ("lib.rs", "pub mod clock; pub mod lease; pub mod scale; pub use clock::Counter;"),
        (
            "clock/mod.rs",
            "mod counter; pub use counter::{Counter, Kind as CounterKind}; pub fn f() {}",
        ),
        ("clock/counter.rs", "pub struct Counter; pub enum Kind { Tsc }"),
        (
            "lease/mod.rs",
            "pub mod term; pub use self::term::*; pub struct Lease; pub mod both; pub fn both() {}",
        ),
        ("lease/both.rs", "pub struct In;"),
        (
            "lease/term.rs",
            "pub const MAX_TERM: u64 = 1; #[macro_export] macro_rules! term { () => {} }",
        ),
        ("scale/mod.rs", "pub mod unix; mod leap; use crate::lease::Lease;"),
        ("scale/leap.rs", "pub struct Leap;"),
        ("scale/unix.rs", text),
    ];
    let lines = lines(&crate_of(&files)).into_iter();
    lines.filter_map(|line| line.strip_prefix("scale/unix: ").map(str::to_owned)).collect()
}

#[test]
fn a_trespass_is_seen_however_it_is_spelt() {
    let spellings = [
        "use crate::lease::MAX_TERM;",
        "use super::super::lease::MAX_TERM;",
        "use super::super::lease::term::MAX_TERM;",
        "use self::super::super::lease::{self, term::{MAX_TERM as M}};",
        "use crate::{lease::{MAX_TERM}, scale::leap};",
        "use crate::lease as l; fn f() -> u64 { l::term::MAX_TERM }",
        "fn f() -> u64 { crate::lease::term::MAX_TERM }",
        "fn f() -> u64 { super::super::lease::MAX_TERM }",
        "fn f() { use super::super::lease; let x = 1 + lease::MAX_TERM; }",
        "fn f() { assert!(x < crate::lease::MAX_TERM, \"{}\", 1); }",
        "fn f() { assert_eq!(vec![0, super::super::lease::MAX_TERM], y); }",
        "macro_rules! m { () => { $crate::lease::MAX_TERM } }",
        "use super::super::lease::*; fn f() -> u64 { MAX_TERM }",
        "mod inner { use super::super::super::lease::MAX_TERM; }",
        "struct S([u8; crate::lease::MAX_TERM as usize]);",
        "pub use crate::lease::term::MAX_TERM;",
    ];
    for text in spellings {
        let seen = seen_in(text);
        let is_seen = seen.iter().any(|line| line == "MAX_TERM of lease/term");
        assert!(is_seen, "{text}\nis read as {seen:?}");
    }
    for item in ["MAX_TERM", "*"] {
        assert!(trespass("scale/unix", "lease/term", item).is_some());
    }
}

#[test]
fn code_that_cannot_be_followed_is_refused() {
    for text in [
        "extern crate self as me; use me::lease::Lease;",
        "include!(\"hidden.rs\");",
        "fn f() { mod inner { use super::super::lease::Lease; } }",
        "mod absent;",
        "fn f( {}",
    ] {
        let read = std::panic::catch_unwind(|| seen_in(text));
        assert!(read.is_err(), "{text}\nis read as {read:?}");
    }
}

#[test]
fn a_path_leads_to_the_file_that_defines_the_item() {
    let cases: &[(&str, &[&str])] = &[
        // Through one, two and renamed re-exports.
        ("use crate::clock::Counter;", &["Counter of clock/counter"]),
        ("use crate::Counter;", &["Counter of clock/counter"]),
        ("fn f() { crate::clock::CounterKind::Tsc; }", &["Kind of clock/counter"]),
        // Through a private `use` of the parent.
        ("use super::Lease;", &["Lease of lease"]),
        ("use super::*; struct S(Lease);", &["Lease of lease"]),
        // A sibling, and a path that begins with an imported module.
        ("use super::leap::Leap;", &["Leap of scale/leap"]),
        ("use super::leap; struct S(leap::Leap);", &["Leap of scale/leap"]),
        ("impl From<super::leap::Leap> for u8 {}", &["Leap of scale/leap"]),
        // A module and a function of one name.
        ("use crate::lease::both::In;", &["In of lease/both"]),
        ("use crate::lease::both;", &["both of lease"]),
        // An item that only a macro can have defined.
        ("use crate::clock::Made;", &["Made of clock"]),
        // What counts for nothing: a module's name alone, other crates, comments, texts, tests.
        ("use crate::clock;", &[]),
        ("use std::time::Duration; use ::clock::Counter; struct S(libc::timespec);", &[]),
        (
            "// use crate::lease::Lease;\n/// [`crate::lease::Lease`]\nfn f() { \"crate::lease\"; }",
            &[],
        ),
        ("#[cfg(test)] mod tests { use crate::lease::Lease; }", &[]),
        ("#[cfg(all(test, loom))] use crate::lease::Lease;", &[]),
        ("struct S; impl S { #[cfg(test)] fn f() -> crate::lease::Lease {} }", &[]),
        (
            "fn f(x: u8) { debug_assert!(x.Lease > 0); } use super::leap::Leap;",
            &["Leap of scale/leap"],
        ),
        // What is compiled without tests, or with and without them, counts.
        ("#[cfg(not(test))] use crate::lease::Lease;", &["Lease of lease"]),
        ("#[cfg(any(test, unix))] use crate::lease::Lease;", &["Lease of lease"]),
    ];
    for (text, expected) in cases {
        assert_eq!(seen_in(text), *expected, "{text}");
    }
}

#[test]
fn circles_of_two_and_three_are_found_in_either_spelling() {
    // Each says how file `from` uses `Item` of file `to`, both in the folder `a`.
    let spellings: [fn(&str) -> String; 5] = [
        |to| format!("use crate::a::{to}::Item as Other;"),
        |to| format!("use super::{to}::Item as Other;"),
        |to| format!("use super::super::a::{to}::{{Item as Other}};"),
        |to| format!("fn f(_: super::{to}::Item) {{}}"),
        |to| format!("fn f() {{ debug_assert!(crate::a::{to}::Item::new()) }}"),
    ];
    for spelling in spellings {
        for names in [&["one", "two"][..], &["one", "two", "six"]] {
            let text = |i: usize, closed: bool| {
                let next = names[(i + 1) % names.len()];
                let import =
                    if closed || i + 1 < names.len() { spelling(next) } else { String::new() };
                format!("pub struct Item; {import}")
            };
            let circles = |closed: bool| {
                let root = names.iter().map(|name| format!("mod {name};")).collect::<String>();
                let mut files = vec![("lib.rs".to_owned(), "mod a;".to_owned())];
                files.push(("a/mod.rs".to_owned(), root));
                let name = |i: usize| format!("a/{}.rs", names[i]);
                files.extend((0..names.len()).map(|i| (name(i), text(i, closed))));
                let files: Vec<(&str, &str)> =
                    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
                cycles(&graph_of_files(&crate_of(&files)))
            };
            let found = circles(true);
            assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [names.len()], "{found:?}");
            assert!(circles(false).is_empty(), "a chain is no circle");
        }
    }
}

#[test]
fn a_circle_of_top_level_modules_is_found_where_no_files_are_in_one() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a/mod.rs", "mod x; mod y; use super::b::P;"),
        ("a/x.rs", "pub struct X;"),
        ("a/y.rs", ""),
        ("b.rs", "pub struct P; use crate::c::Q;"),
        ("c.rs", "pub struct Q; use super::a::x::X;"),
    ];
    let imports = crate_of(&files);
    assert!(cycles(&graph_of_files(&imports)).is_empty());
    assert_eq!(cycles(&graph_of_modules(&imports)), [["a", "b", "c"]]);
}

#[test]
fn parents_and_children_are_a_circle_only_where_both_use_what_the_other_defines() {
    let circles = |parent: &str, child: &str| {
        let files = [("lib.rs", "mod a;"), ("a/mod.rs", parent), ("a/b.rs", child)];
        cycles(&graph_of_files(&crate_of(&files))).len()
    };
    let cases = [
        // The parent declares and publishes; the child uses what the parent defines.
        ("mod b; pub use b::B; pub struct A;", "pub struct B(super::A);", 0),
        ("mod b; pub use b::*; pub struct A;", "pub struct B(super::A);", 0),
        // The child uses what the parent only publishes.
        ("mod b; mod c { pub struct C; } pub use c::C;", "use super::C;", 0),
        // The parent uses what the child defines, in a `use` and in code.
        ("mod b; use b::B; pub struct A;", "pub struct B(super::A);", 1),
        ("mod b; pub struct A(b::B);", "use crate::a::A; pub struct B;", 1),
        ("mod b; pub use b::B; pub struct A; fn f() -> B {}", "pub struct B(super::A);", 1),
        ("mod b; pub struct A(b::B);", "pub struct B;", 0),
    ];
    for (parent, child, expected) in cases {
        assert_eq!(circles(parent, child), expected, "{parent}\n{child}");
    }
}

#[test]
fn files_chosen_by_a_path_attribute_are_followed() {
    let files = [
        ("lib.rs", "mod a; mod host;"),
        ("a.rs", "pub struct A;"),
        (
            "host/mod.rs",
            "#[cfg_attr(unix, path = \"linux.rs\")] #[cfg_attr(windows, path = \"../other.rs\")] mod sys;",
        ),
        ("host/linux.rs", "use crate::a::A;"),
        ("other.rs", "use super::super::a::A;"),
    ];
    assert_eq!(lines(&crate_of(&files)), ["host/linux: A of a", "other: A of a"]);
}

#[test]
fn the_table_forbids_what_the_arrows_forbid() {
    for (importer, file, item) in [
        ("timestamp", "interval", "Interval"),
        ("interval", "scale/leap", "LeapTable"),
        ("host/sys", "counter", "Counter"),
        ("source/kernel", "clock/driver", "Driver"),
        ("source/kernel", "estimator", "Estimator"),
        ("estimator", "host", "Host"),
        ("estimator/bound", "lease", "Lease"),
        ("snapshot/ring", "clock", "Clock"),
        ("clock", "sim/world", "World"),
        ("lease", "clock", "Clock"),
        ("lease", "snapshot/ring", "Ring"),
        ("lease", "evidence", "Sample"),
        ("lease", "lib", "VERSION"),
        ("wait/clock", "clock/driver", "Driver"),
        ("hlc/clock", "lease", "Lease"),
        ("nowhere", "interval", "Interval"),
    ] {
        assert!(trespass(importer, file, item).is_some(), "{importer} may use {item} of {file}");
    }
    for (importer, file, item) in [
        ("lease", "clock/truetime", "TrueTime"),
        ("lease", "snapshot/error", "ClockError"),
        ("lease/holder", "evidence", "Reason"),
        ("wait/clock", "clock/running", "Clock"),
        ("sim/machine", "host", "Host"),
        ("clock/driver", "source/kernel", "Kernel"),
    ] {
        assert_eq!(trespass(importer, file, item), None);
    }
}

#[test]
fn unsafe_code_is_counted_and_its_mention_is_not() {
    let cases = [
        ("fn f() { unsafe { g() } }", 1),
        ("unsafe fn f() {} unsafe impl Send for S {} fn g() { h!(unsafe { x }) }", 3),
        ("#![deny(unsafe_op_in_unsafe_fn)] // unsafe { }\nfn f() { \"unsafe\"; }", 0),
        ("#[cfg(test)] mod tests { fn f() { unsafe { g() } } } fn g() {}", 0),
        ("#[cfg(test)] mod tests; fn f() { unsafe { g() } }", 1),
    ];
    for (text, count) in cases {
        assert_eq!(count_unsafe(text), count, "{text}");
    }
}
