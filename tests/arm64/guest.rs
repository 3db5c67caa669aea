//! One arm64 guest: its packages, its program, its initrd, and the emulator around it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::initrd::Initrd;

/// Where the packages are, if not in `target/arm64`.
const DIRECTORY: &str = "TRUECHIMER_ARM64_DIR";
const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// The C library that a test program of this crate loads.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu/lib";
const LOADED: [&str; 4] = ["ld-linux-aarch64.so.1", "libc.so.6", "libgcc_s.so.1", "libm.so.6"];
/// A guest takes half a minute where the host is quiet.
const PATIENCE: Duration = Duration::from_secs(400);

/// Where everything is.
pub struct Ground {
    dir: PathBuf,
}

impl Ground {
    /// The ground, or a sentence that says what is missing and how to get it.
    pub fn find() -> Result<Ground, String> {
        let dir = match std::env::var_os(DIRECTORY) {
            Some(dir) => PathBuf::from(dir),
            None => target_dir().join("arm64"),
        };
        if !dir.join("complete").exists() {
            return Err(format!(
                "the packages (an arm64 kernel and qemu; about 90 MB) are not in {}: run \
                 `apt-get update && tests/arm64/fetch.sh`, or name a directory in {DIRECTORY}",
                dir.display(),
            ));
        }
        if !is_program(LINKER) {
            return Err(format!(
                "{LINKER} is missing: install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, \
                 and run `rustup target add {TARGET}`",
            ));
        }
        Ok(Ground { dir })
    }

    /// Builds the program inside, statically, so that the guest needs nothing else.
    pub fn program(&self) -> io::Result<PathBuf> {
        let target_dir = self.dir.join("build");
        self.cargo("tests/arm64/program")
            .args(["build", "--release", "--target-dir"])
            .arg(&target_dir)
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .output()
            .and_then(built)?;
        Ok(target_dir.join(TARGET).join("release/arm64-program"))
    }

    /// Builds the crate's own test of readers as it is, for aarch64.
    pub fn readers(&self) -> io::Result<PathBuf> {
        let output = self
            .cargo(".")
            .args(["test", "--no-run", "--test", "readers", "--message-format", "json"])
            // As `emulated.sh` has it, so that both share what they build.
            .args(["--features", "serde,sim"])
            .arg("--target-dir")
            .arg(self.dir.join("tests"))
            .output()
            .and_then(built)?;
        let messages = String::from_utf8_lossy(&output);
        let program = messages.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let program = message.get("executable")?.as_str()?;
            (message["target"]["name"] == "readers").then(|| PathBuf::from(program))
        });
        program.ok_or_else(|| io::Error::other("cargo named no program of `readers`"))
    }

    fn cargo(&self, package: &str) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(package))
            .env("CARGO_BUILD_TARGET", TARGET)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
            .stdin(Stdio::null());
        command
    }

    /// What a guest boots into: the program, and the test of readers with its libraries.
    pub fn initrd(&self, program: &Path, readers: Option<&Path>) -> io::Result<Vec<u8>> {
        let mut initrd = Initrd::new();
        initrd.copy(program, "/init")?;
        for directory in ["/dev", "/proc", "/sys", "/tmp"] {
            initrd.directory(directory);
        }
        if let Some(readers) = readers {
            initrd.copy(readers, "/readers")?;
            for library in LOADED {
                initrd.copy(&Path::new(LIBRARIES).join(library), &format!("/lib/{library}"))?;
            }
        }
        Ok(initrd.finish())
    }

    /// Boots a guest whose counter has this frequency, and returns its console's lines.
    pub fn run(&self, name: &str, hertz: u64, initrd: &[u8]) -> io::Result<Vec<String>> {
        let dir = self.dir.join("runs").join(name);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("initrd"), initrd)?;
        let root = self.dir.join("root");
        let mut qemu = Command::new(root.join("usr/bin/qemu-system-aarch64"))
            .env("LD_LIBRARY_PATH", libraries(&root))
            .args(["-M", "virt,gic-version=3", "-accel", "tcg", "-smp", "2", "-m", "512"])
            .args(["-cpu", &format!("max,cntfrq={hertz}")])
            // A nanosecond an instruction, so that a reading is as short as on a processor.
            // An emulated instruction takes longer, and the crate would refuse the counter.
            .args(["-icount", "shift=0,sleep=off"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .arg("-L")
            .arg(root.join("usr/share/qemu"))
            .arg("-kernel")
            .arg(self.dir.join("vmlinuz"))
            .arg("-initrd")
            .arg(dir.join("initrd"))
            .args(["-append", "console=ttyAMA0 panic=-1 loglevel=4 random.trust_cpu=on"])
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("qemu-errors"))?)
            .spawn()
            .map(Ended)?;
        let (lines, ending) = follow(&mut qemu.0)?;
        fs::write(dir.join("console"), lines.join("\n"))?;
        match ending {
            Ok(()) => Ok(lines),
            Err(error) => {
                let tail = &lines[lines.len().saturating_sub(20)..];
                let tail = tail.join("\n  ");
                Err(io::Error::other(format!("{error}; its last lines:\n  {tail}")))
            }
        }
    }
}

/// Reads the console until the emulator ends, and says whether it ended in time and well.
fn follow(qemu: &mut Child) -> io::Result<(Vec<String>, io::Result<()>)> {
    let stdout = qemu.stdout.take().ok_or_else(|| io::Error::other("no console"))?;
    let (sender, console) = channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).split(b'\n').map_while(Result::ok);
        lines.try_for_each(|line| sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()))
    });
    let deadline = Instant::now() + PATIENCE;
    let mut lines = Vec::new();
    loop {
        match console.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Timeout) => {
                let error = format!("the guest took longer than {PATIENCE:?}, and was ended");
                return Ok((lines, Err(io::Error::other(error))));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = qemu.wait()?;
    let ending = match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("the emulator ended with {status}"))),
    };
    Ok((lines, ending))
}

/// Whatever happens, the emulator that was started here ends here.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What a build printed, or its complaints.
fn built(output: std::process::Output) -> io::Result<Vec<u8>> {
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

fn is_program(name: &str) -> bool {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).exists())
}

fn libraries(root: &Path) -> String {
    let dirs = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
    dirs.map(|dir| root.join(dir).display().to_string()).join(":")
}

/// `target`, found from where this test itself was built: `target/debug/deps/arm64-…`.
fn target_dir() -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().nth(3)).map(Path::to_path_buf);
    target.filter(|target| target.join("arm64/complete").exists()).unwrap_or(fallback)
}
