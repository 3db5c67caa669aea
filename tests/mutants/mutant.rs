//! [`Mutant`]: one change of the source that must not go unnoticed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::patched::{self, Change};

/// The crate with one rule broken, and the tests that must see it.
#[derive(Clone, Copy)]
pub struct Mutant {
    pub name: &'static str,
    pub breaks: Broken,
    /// What goes wrong for a user of such a crate.
    pub harm: &'static str,
    pub changes: &'static [Change],
    /// The fewest tests of which one must fail.
    pub caught_by: Tests,
}

/// What the crate promises, and such a mutant does not keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// One of the design's eleven rules.
    Rule(u8),
    /// What a part of the toolkit promises.
    Promise(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Rule(number) => write!(f, "rule {number}"),
            Broken::Promise(promise) => f.write_str(promise),
        }
    }
}

/// Tests of one test binary whose paths contain one of `names`.
#[derive(Clone, Copy)]
pub struct Tests {
    pub target: Target,
    pub names: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// The unit tests of the library.
    Unit,
    /// The same, with the feature `serde`.
    UnitSerde,
    /// The same, with the feature `nts`.
    UnitNts,
    /// The library's loom models.
    Loom,
    /// An integration test.
    File(&'static str),
    /// An integration test that needs the feature `serde`.
    Serde(&'static str),
    /// An integration test in the simulated world, which is a feature of the crate.
    Sim(&'static str),
}

pub const fn unit(names: &'static [&'static str]) -> Tests {
    Tests { target: Target::Unit, names }
}

pub const fn unit_serde(names: &'static [&'static str]) -> Tests {
    Tests { target: Target::UnitSerde, names }
}

pub const fn unit_nts(names: &'static [&'static str]) -> Tests {
    Tests { target: Target::UnitNts, names }
}

pub const fn serde(name: &'static str, names: &'static [&'static str]) -> Tests {
    Tests { target: Target::Serde(name), names }
}

pub const fn loom(names: &'static [&'static str]) -> Tests {
    Tests { target: Target::Loom, names }
}

pub const fn file(name: &'static str, names: &'static [&'static str]) -> Tests {
    Tests { target: Target::File(name), names }
}

pub const fn sim(name: &'static str, names: &'static [&'static str]) -> Tests {
    Tests { target: Target::Sim(name), names }
}

impl Mutant {
    /// Whether the texts that it changes and the tests that it names are still there.
    pub fn check(&self, crate_root: &Path) -> Result<(), String> {
        let named = |error: String| format!("{}: {error}", self.name);
        patched::check(self.changes, crate_root).map_err(named)?;
        let tests = self.caught_by.sources(crate_root).map_err(|error| named(error.to_string()))?;
        for name in self.caught_by.names {
            let function = format!("fn {}(", name.rsplit("::").next().unwrap_or(name));
            if !tests.iter().any(|text| text.contains(&function)) {
                return Err(named(format!("{:?} has no test {name}", self.caught_by.target)));
            }
        }
        Ok(())
    }
}

impl Tests {
    /// The texts of the files in which the tests may stand.
    fn sources(&self, crate_root: &Path) -> io::Result<Vec<String>> {
        let mut paths = match self.target {
            Target::Unit | Target::UnitSerde | Target::UnitNts | Target::Loom => {
                vec![crate_root.join("src")]
            }
            Target::File(name) | Target::Serde(name) | Target::Sim(name) => {
                let tests = crate_root.join("tests");
                let places = [tests.join(name), tests.join(name).with_extension("rs")];
                places.into_iter().filter(|place| place.exists()).collect()
            }
        };
        let mut texts = Vec::new();
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                let entries: io::Result<Vec<PathBuf>> =
                    fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
                paths.extend(entries?);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path)?);
            }
        }
        Ok(texts)
    }
}
