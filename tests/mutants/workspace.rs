//! [`Workspace`]: a copy of the crate, and the test binaries that are built from it.
//!
//! There is one copy and one target directory, because the dependencies are then built once and
//! the compiler does again only what a change of one file needs. Only one thread builds at a
//! time. The binary is then moved out of cargo's way, so that its tests run while the next
//! mutant is built.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::mutant::{Mutant, Target};
use crate::patched;

/// Debug information is most of what the compiler writes, and nobody reads it here.
const SETTINGS: [(&str, &str); 5] = [
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_TEST_DEBUG", "0"),
    // A mutant changes some lines of the copy that was built before.
    ("CARGO_INCREMENTAL", "1"),
    // The models take seconds, where they would take minutes without any optimization.
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
];

pub struct Workspace {
    root: PathBuf,
    /// The unchanged text of each file that differs at present.
    changed: BTreeMap<PathBuf, String>,
    honest: BTreeMap<Target, PathBuf>,
    /// Two runs at once would build in the same place.
    _lock: Flock<File>,
}

impl Workspace {
    /// A copy of the crate below `target`, up to date.
    pub fn open(target: &Path) -> Result<Workspace, String> {
        let root = target.join("mutants");
        let failed = |what: &str, error: std::io::Error| format!("cannot {what}: {error}");
        fs::create_dir_all(root.join("run")).map_err(|e| failed("make a directory", e))?;
        let lock = File::create(root.join("lock")).map_err(|e| failed("make a file", e))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| {
            format!("another run of the mutants uses {}: wait for its end", root.display())
        })?;
        patched::copy_crate(Path::new(env!("CARGO_MANIFEST_DIR")), &root.join("crate"))
            .map_err(|e| failed("copy the crate", e))?;
        Ok(Workspace { root, changed: BTreeMap::new(), honest: BTreeMap::new(), _lock: lock })
    }

    /// Where the copy is: tests run there.
    pub fn crate_root(&self) -> PathBuf {
        self.root.join("crate")
    }

    /// Whether the tests of the unchanged crate are there.
    pub fn has_built(&self, target: Target) -> bool {
        self.honest.contains_key(&target)
    }

    /// The tests of the unchanged crate, built when they are first asked for.
    pub fn honest(&mut self, target: Target) -> Result<PathBuf, String> {
        if let Some(built) = self.honest.get(&target) {
            return Ok(built.clone());
        }
        self.restore()?;
        let name = match target {
            Target::Unit => "honest-lib",
            Target::UnitSerde => "honest-lib-serde",
            Target::UnitNts => "honest-lib-nts",
            Target::Loom => "honest-loom",
            Target::File(name) | Target::Serde(name) | Target::Sim(name) => {
                &format!("honest-{name}")
            }
        };
        let built = self.build(target, name)?;
        self.honest.insert(target, built.clone());
        Ok(built)
    }

    /// The tests of the crate with the changes of one mutant.
    pub fn mutated(&mut self, mutant: &Mutant) -> Result<PathBuf, String> {
        self.restore()?;
        let copy = self.crate_root();
        for change in mutant.changes {
            let path = copy.join(change.file);
            let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
            self.changed.entry(path).or_insert(text);
        }
        patched::apply(mutant.changes, &copy).map_err(|e| e.to_string())?;
        self.build(mutant.caught_by.target, mutant.name)
    }

    fn restore(&mut self) -> Result<(), String> {
        while let Some((path, text)) = self.changed.pop_first() {
            fs::write(&path, text)
                .map_err(|e| format!("cannot restore {}: {e}", path.display()))?;
        }
        Ok(())
    }

    /// Builds one test binary, and returns a name for it that the next build does not take.
    ///
    /// A feature is on only where a test needs it, because less is built without.
    fn build(&self, target: Target, name: &str) -> Result<PathBuf, String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
        let directory = match target {
            Target::Loom => "build-loom",
            _ => "build",
        };
        match target {
            Target::Unit => cargo.arg("--lib"),
            Target::UnitSerde => cargo.args(["--features", "serde", "--lib"]),
            Target::UnitNts => cargo.args(["--features", "nts", "--lib"]),
            Target::Loom => cargo.args(["--lib", "--release"]).env("RUSTFLAGS", "--cfg loom"),
            Target::File(file) => cargo.args(["--test", file]),
            Target::Serde(file) => cargo.args(["--features", "serde", "--test", file]),
            Target::Sim(file) => cargo.args(["--features", "sim", "--test", file]),
        };
        let output = cargo
            .arg("--target-dir")
            .arg(self.root.join(directory))
            .current_dir(self.crate_root())
            .envs(SETTINGS)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("cannot run cargo: {e}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{name} does not compile:\n{errors}"));
        }
        let built = executable(&output.stdout).ok_or("cargo names no test binary")?;
        let kept = self.root.join("run").join(name);
        let _ = fs::remove_file(&kept);
        fs::hard_link(&built, &kept)
            .or_else(|_| fs::copy(&built, &kept).map(|_| ()))
            .map_err(|e| format!("cannot keep {}: {e}", built.display()))?;
        Ok(kept)
    }
}

/// The test binary that cargo says it has built.
fn executable(messages: &[u8]) -> Option<PathBuf> {
    let messages = String::from_utf8_lossy(messages);
    let values = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.rev().find_map(|message| Some(message.get("executable")?.as_str()?.into()))
}
