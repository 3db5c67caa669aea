//! The processes that a plan starts beside the clocks.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::LOGS;
use crate::plan::Process;
use crate::truth::RAW0;

/// Those that run, by name.
#[derive(Default)]
pub struct Processes(Vec<(String, Child)>);

impl Processes {
    /// Starts one, with its output in a log of its name.
    pub fn start(&mut self, process: &Process, raw0: i64) -> io::Result<()> {
        for (path, contents) in &process.files {
            if let Some(parent) = Path::new(path).parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, contents)
                .map_err(|error| io::Error::other(format!("{path}: {error}")))?;
        }
        let output = File::create(format!("{LOGS}/{}.log", process.name))?;
        let mut command = Command::new(&process.argv[0]);
        command.args(&process.argv[1..]).env(RAW0, raw0.to_string()).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        if process.uid != 0 {
            command.uid(process.uid).gid(process.uid);
        }
        let child = command
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", process.argv[0])))?;
        self.0.push((process.name.clone(), child));
        Ok(())
    }

    /// A scenario whose daemon has ended shows nothing.
    pub fn must_run(&mut self) -> io::Result<()> {
        for (name, child) in &mut self.0 {
            if let Some(status) = child.try_wait()? {
                let words = fs::read_to_string(format!("{LOGS}/{name}.log")).unwrap_or_default();
                let words: Vec<&str> = words.lines().rev().take(5).collect();
                return Err(io::Error::other(format!(
                    "{name} has ended by itself: {status}; its last words, latest first: {words:?}"
                )));
            }
        }
        Ok(())
    }

    pub fn end(&mut self) -> io::Result<()> {
        self.must_run()?;
        for (_, child) in &mut self.0 {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

/// Does nothing, under another name: any process may call itself what it likes.
pub fn idle_as(arguments: &[String]) -> io::Result<()> {
    let [name] = arguments else {
        return Err(io::Error::other("usage: idle-as NAME"));
    };
    let name = CString::new(name.as_str()).map_err(io::Error::other)?;
    nix::sys::prctl::set_name(&name)?;
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
