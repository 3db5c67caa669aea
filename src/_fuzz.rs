//! What the fuzz targets under `tests/fuzz/` run that is not public.
//!
//! A fuzzing build sets `cfg(fuzzing)`. Without it only the crate's own tests contain this module.

use crate::durable::{Kind, decode, encode};

/// A record's file. What is accepted is exactly what would be written.
pub fn record(bytes: &[u8]) {
    for kind in [Kind(*b"hlc-mark"), Kind(*b"fence\0\0\0")] {
        match decode(bytes, kind, "record") {
            Ok(value) => assert_eq!(bytes, encode(kind, value)),
            Err(error) => assert!(!error.to_string().is_empty() && !error.is_transient()),
        }
    }
}

/// A message of the system bus, with a property of systemd-timesyncd.
#[cfg(unix)]
pub fn timesyncd(bytes: &[u8]) {
    crate::source::timesyncd::fuzz(bytes);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;

    use super::*;

    fn each_stored_file(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&folder).expect("the corpus").collect();
        assert!(!files.is_empty(), "{}", folder.display());
        for file in files {
            run(&std::fs::read(file.expect("an entry").path()).expect("a file"));
        }
    }

    #[test]
    fn stored_files_of_the_record_target() {
        each_stored_file("record", record);
    }

    #[cfg(unix)]
    #[test]
    fn stored_files_of_the_timesyncd_target() {
        each_stored_file("timesyncd", timesyncd);
    }
}
