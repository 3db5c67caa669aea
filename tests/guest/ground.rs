//! What the guests stand on: the unpacked packages, the program inside, the initrd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use nix::fcntl::{Flock, FlockArg};

use crate::initrd::Initrd;
use crate::plan::{self, HONEST, Hardware, Plan};
use crate::sabotage::{self, Sabotage};

/// Set to run the guests; without it all of this is skipped.
pub const ASK: &str = "TRUECHIMER_GUEST";
/// Where the packages are, if not in `target/guest`.
const DIRECTORY: &str = "TRUECHIMER_GUEST_DIR";
/// Which edition of what `fetch.sh` fetches these guests are made of.
const EDITION: &str = "3";
/// The guest's own program, which is packed anyway.
const INIT: &str = "/init";
const CHRONYD: &str = "/usr/sbin/chronyd";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Who is who in the guest: daemons look their own users up.
const PASSWD: &[u8] = b"root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";

/// Where everything is.
pub struct Ground {
    dir: PathBuf,
    /// The guest program by build: `honest`, or the name of a sabotage. Holding
    /// the lock while building keeps it to one build at a time.
    programs: Mutex<BTreeMap<String, PathBuf>>,
    /// Two runs at once would build in the same place.
    _lock: Flock<File>,
}

impl Ground {
    /// The ground, or a sentence that says what is missing and how to get it.
    pub fn find() -> Result<Ground, String> {
        let dir = match std::env::var_os(DIRECTORY) {
            Some(dir) => PathBuf::from(dir),
            None => target_dir().join("guest"),
        };
        let edition = fs::read_to_string(dir.join("complete")).unwrap_or_default();
        if edition.trim() != EDITION {
            return Err(format!(
                "the guests' packages (qemu, kernels, time daemons; about 300 MB) are not in {}, \
                 or are those of an earlier edition: run `apt-get update && tests/guest/fetch.sh`, \
                 or name a directory in {DIRECTORY}",
                dir.display(),
            ));
        }
        let lock = File::create(dir.join("lock")).map_err(|error| error.to_string())?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| {
            format!("another run of the guests uses {}: wait for its end", dir.display())
        })?;
        Ok(Ground { dir, programs: Mutex::default(), _lock: lock })
    }

    /// A command that runs an unpacked program with its unpacked libraries.
    pub fn command(&self, program: &str) -> Command {
        let root = self.dir.join("root");
        let mut command = Command::new(root.join(program));
        command.env("LD_LIBRARY_PATH", libraries(&root));
        command
    }

    /// The emulator: the host's own, or a newer one that knows network cards with clocks and
    /// comes with all of its libraries and their loader.
    pub fn emulator(&self, hardware: Hardware) -> Command {
        const PROGRAM: &str = "usr/bin/qemu-system-x86_64";
        let (root, mut command) = match hardware {
            Hardware::Plain | Hardware::Ec2 => (self.dir.join("root"), self.command(PROGRAM)),
            Hardware::NetworkCards | Hardware::CardThatRunsWrong => {
                let root = self.dir.join("newer/root");
                let libraries = root.join("usr/lib/x86_64-linux-gnu");
                let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
                // pulseaudio's libraries are in a folder of their own.
                let pulse = libraries.join("pulseaudio");
                let path = format!("{}:{}", libraries.display(), pulse.display());
                command.args(["--library-path", &path]).arg(root.join(PROGRAM));
                (root, command)
            }
        };
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(root.join(firmware));
        }
        command
    }

    /// A folder of its own for what only one kind of guest needs.
    pub fn part(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn kernel(&self, hardware: Hardware) -> PathBuf {
        self.dir.join(match hardware {
            Hardware::Plain | Hardware::Ec2 => "vmlinuz",
            Hardware::NetworkCards | Hardware::CardThatRunsWrong => "vmlinuz-general",
        })
    }

    /// A directory of its own for one guest's files, empty.
    pub fn scratch(&self, name: &str) -> io::Result<PathBuf> {
        let at = self.dir.join("runs").join(name);
        if at.exists() {
            fs::remove_dir_all(&at)?;
        }
        fs::create_dir_all(&at)?;
        Ok(at)
    }

    /// The program inside, built once for each build that is asked for.
    pub fn program(&self, build: &str) -> io::Result<PathBuf> {
        let mut programs = self.programs.lock().expect("no build panics");
        if let Some(at) = programs.get(build) {
            return Ok(at.clone());
        }
        // Every build, the honest one too, is made from a fresh copy at one
        // place: cargo then shares the dependencies, and never takes the
        // program of another build for this one's.
        let copy = self.dir.join("sources");
        sabotage::copy_sources(Path::new(env!("CARGO_MANIFEST_DIR")), &copy)?;
        if build != HONEST {
            let sabotage = Sabotage::named(build)
                .ok_or_else(|| io::Error::other(format!("no sabotage is called {build}")))?;
            sabotage.apply_to(&copy)?;
        }
        let at = self.dir.join(format!("program-{build}"));
        // An earlier run may have built it from the very same sources.
        let (mark, made_of) = (at.with_extension("made-of"), sabotage::fingerprint(&copy)?);
        if !at.exists() || fs::read_to_string(&mark).ok().as_ref() != Some(&made_of) {
            let built = self.build(&copy)?;
            fs::copy(built, &at)?;
            fs::write(mark, made_of)?;
        }
        programs.insert(build.to_owned(), at.clone());
        Ok(at)
    }

    fn build(&self, sources: &Path) -> io::Result<PathBuf> {
        let target_dir = self.dir.join("build");
        let output = Command::new(env!("CARGO"))
            .args(["build", "--release", "--target", TARGET])
            .arg("--target-dir")
            .arg(&target_dir)
            .current_dir(sources.join("tests/guest/program"))
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            // Builds differ in some lines of one file.
            .env("CARGO_INCREMENTAL", "1")
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{}:\n{words}", sources.display())));
        }
        Ok(target_dir.join(TARGET).join("release/guest-program"))
    }

    /// The initrd for a plan: the programs, chronyd with its libraries, and the plan itself.
    pub fn initrd(&self, plan: &Plan) -> io::Result<Vec<u8>> {
        let mut initrd = Initrd::new();
        initrd.copy(&self.program(HONEST)?, "/init")?;
        let mut builds: Vec<&str> = plan.observers.iter().map(|o| o.build.as_str()).collect();
        builds.sort_unstable();
        builds.dedup();
        for build in builds {
            initrd.copy(&self.program(build)?, &format!("/program-{build}"))?;
        }
        // This guest's own program starts some of those that it is given as arguments.
        let started = plan.processes().flat_map(|process| match process.argv[0].as_str() {
            INIT => process.argv.iter().filter(|word| is_program(word)).collect(),
            _ => vec![&process.argv[0]],
        });
        let started = started.map(String::as_str);
        let programs: BTreeSet<&str> = started.chain([CHRONYD]).collect();
        let mut libraries = BTreeMap::new();
        for program in programs {
            let program = program.trim_start_matches('/');
            let at = self.program_of_packages(program)?;
            libraries.extend(self.libraries_of(&at)?);
            initrd.copy(&at, &format!("/{program}"))?;
        }
        for (name, path) in libraries {
            initrd.copy(&path, &name)?;
        }
        if matches!(plan.hardware, Hardware::NetworkCards | Hardware::CardThatRunsWrong) {
            for module in plan::MODULES {
                let at = self.dir.join(format!("modules/{module}.ko"));
                if at.exists() {
                    initrd.copy(&at, &format!("/modules/{module}.ko"))?;
                }
            }
        }
        initrd.file("/etc/passwd", PASSWD);
        initrd.file("/etc/group", GROUP);
        initrd.directory("/var/lib/chrony");
        initrd.file("/plan.json", &serde_json::to_vec(plan)?);
        Ok(initrd.finish())
    }

    /// A program of the packages, wherever they have it.
    fn program_of_packages(&self, program: &str) -> io::Result<PathBuf> {
        let roots =
            ["root", "newer/root", "clockbound/root"].map(|root| self.dir.join(root).join(program));
        let found = roots.into_iter().find(|at| at.exists());
        found.ok_or_else(|| io::Error::other(format!("{program} is in none of the packages")))
    }

    /// The libraries that a program loads: the path it looks for, and the file here.
    fn libraries_of(&self, program: &Path) -> io::Result<Vec<(String, PathBuf)>> {
        let listing = Command::new("ldd")
            .arg(program)
            .env("LD_LIBRARY_PATH", libraries(&self.dir.join("root")))
            .output()?;
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        if let Some(missing) = listing.lines().find(|line| line.contains("not found")) {
            let at = program.display();
            return Err(io::Error::other(format!("{at} lacks a library: {}", missing.trim())));
        }
        let found = listing.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            match (words.next()?, words.next()) {
                (name, Some("=>")) => {
                    let path = words.next().filter(|path| path.starts_with('/'))?;
                    Some((format!("/usr/lib/{name}"), PathBuf::from(path)))
                }
                (loader, _) => loader.starts_with('/').then(|| (loader.to_owned(), loader.into())),
            }
        });
        Ok(found.collect())
    }
}

/// Whether an argument is the path of a program.
fn is_program(word: &str) -> bool {
    ["/usr/bin/", "/usr/sbin/", "/lib/systemd/"].iter().any(|folder| word.starts_with(folder))
}

fn libraries(root: &Path) -> String {
    let dirs =
        ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd"];
    dirs.map(|dir| root.join(dir).display().to_string()).join(":")
}

/// `target`, found from where this test itself was built: `target/debug/deps/guest-…`.
fn target_dir() -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().nth(3)).map(Path::to_path_buf);
    target.filter(|target| target.join("guest/complete").exists()).unwrap_or(fallback)
}
