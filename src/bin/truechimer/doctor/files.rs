//! Reading small text files below a root directory.

use std::path::Path;

/// The first line of a file below `root`, without control characters and the space around
/// it; `None` if nothing is left or the file cannot be read.
pub fn first_line_of(root: &Path, path: &str) -> Option<String> {
    let bytes = std::fs::read(root.join(path.trim_start_matches('/'))).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line: String = text.lines().next()?.chars().filter(|c| !c.is_control()).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The contents of a text file below `root`; empty if it cannot be read.
pub fn contents_of(root: &Path, path: &str) -> String {
    let bytes = std::fs::read(root.join(path.trim_start_matches('/'))).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The sorted names in a directory below `root` that begin with `prefix`; empty if it
/// cannot be read.
pub fn entries_of(root: &Path, path: &str, prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join(path.trim_start_matches('/'))) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_unstable();
    names
}

/// A root directory with the files of a host, for tests.
#[cfg(test)]
pub mod fake_root {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Paths and contents.
    pub type Files<'a> = &'a [(&'a str, &'a str)];

    pub struct Host(PathBuf);

    impl Host {
        pub fn with(files: Files) -> Host {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let unique = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("truechimer-doctor-{}-{unique}", std::process::id());
            let root = std::env::temp_dir().join(name);
            for (path, text) in files {
                let path = root.join(path.trim_start_matches('/'));
                let folder = path.parent().expect("below the root");
                fs::create_dir_all(folder).expect("the temporary directory is ours");
                fs::write(path, text).expect("the temporary directory is ours");
            }
            Host(root)
        }

        pub fn root(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
