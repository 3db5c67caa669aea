//! A copy of the crate whose source text is changed.
//!
//! The mutants and the guests show that a safety is tested by taking it out. They change the
//! text of the shipping source, in a copy, so the crate itself needs no switch for it. A change
//! names the text that it replaces, and it fails when this text is no longer found.

use std::fs;
use std::io;
use std::path::Path;

/// In `file`, the text `from`, which occurs once, becomes `to`.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

impl Change {
    /// The text of the changed file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or does not have the text exactly once.
    pub fn applied_to(&self, crate_root: &Path) -> Result<String, String> {
        let path = crate_root.join(self.file);
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        match text.matches(self.from).count() {
            1 => Ok(text.replacen(self.from, self.to, 1)),
            found => {
                Err(format!("{} has this text {found} times, not once: {:?}", self.file, self.from))
            }
        }
    }
}

/// Whether each text to be changed is where it should be, once.
pub fn check(changes: &[Change], crate_root: &Path) -> Result<(), String> {
    changes.iter().try_for_each(|change| change.applied_to(crate_root).map(|_| ()))
}

/// Makes the changes in a copy of the crate, one after the other.
pub fn apply(changes: &[Change], copy: &Path) -> io::Result<()> {
    for change in changes {
        let text = change.applied_to(copy).map_err(io::Error::other)?;
        fs::write(copy.join(change.file), text)?;
    }
    Ok(())
}

/// Makes `to` a copy of all that cargo needs to build the crate at `from`.
///
/// A file that is already the same is left alone, because cargo would build a newer one again.
pub fn copy_crate(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for part in ["Cargo.toml", "Cargo.lock", "README.md", "src", "tests", "benches", "examples"] {
        if from.join(part).exists() {
            synchronize(&from.join(part), &to.join(part))?;
        }
    }
    Ok(())
}

fn synchronize(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let contents = fs::read(from)?;
        return match fs::read(to) {
            Ok(present) if present == contents => Ok(()),
            _ => fs::write(to, contents),
        };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !from.join(entry.file_name()).exists() {
            remove(&entry.path())?;
        }
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        synchronize(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
